"""Checkpoints of strangers: tensors lie in their records, records lie in the file, and all else is one error."""

import io
import json
import os
import pickle
import random
import re
import struct
import time
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from classlens.checkpoints.check_records import check_pickle
from classlens.checkpoints.load_checkpoint import read_weights
from classlens.errors import ClasslensError, DataError
from tests.strangers.limits import SECONDS, assert_refused, needs_prlimit, run_limited

TENSORS = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.arange(3.0)}


def saved(place: Path, **settings: object) -> Path:
    torch.save({"state_dict": TENSORS, "meta": {"epoch": 1}}, place, **settings)
    return place


def with_record(
    place: Path, change, *, name: str = "data.pkl", packing: int = zipfile.ZIP_STORED, again: str = ""
) -> Path:
    """A checkpoint with one record changed, all packed in some way, or one there twice."""
    saved(place)
    with zipfile.ZipFile(place) as archive:
        records = {one: archive.read(one) for one in archive.namelist()}
    with zipfile.ZipFile(place, "w", packing) as archive:
        for one, content in records.items():
            archive.writestr(one, change(content) if one.endswith(name) else content)
        if again:
            archive.writestr(again, records[next(one for one in records if one.endswith("data.pkl"))])
    return place


class Call:
    """Pickled as a call of a function by its name."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.called = (function, arguments)

    def __reduce__(self) -> object:
        return self.called


class Record:
    def __init__(self, *saved_id: object) -> None:
        self.saved_id = saved_id


class Pickler(pickle._Pickler):
    def persistent_id(self, value: object) -> object:
        return value.saved_id if isinstance(value, Record) else None


def made_of(place: Path, content: object, *, records: dict[str, bytes] | None = None) -> Path:
    """A zip of torch's form around any content."""
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(content)
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/version", "3")
        archive.writestr("archive/byteorder", "little")
        for key, record in (records or {"0": bytes(48)}).items():
            archive.writestr(f"archive/data/{key}", record)
    return place


def tensor(start, size, stride, values=12, *, key="0", kind=torch.FloatStorage) -> dict[str, Call]:
    record = Record("storage", kind, key, "cpu", values)
    arguments = (record, start, size, stride, False, OrderedDict())
    return {"w": Call(torch._utils._rebuild_tensor_v2, *arguments)}


def wrapped(start, size, stride) -> dict[str, Call]:
    """A tensor of a class of its own, or with attributes."""
    record = Record("storage", torch.FloatStorage, "0", "cpu", 12)
    arguments = (record, start, size, stride, False, OrderedDict())
    made = (torch._utils._rebuild_tensor_v2, torch.Tensor, arguments, {})
    return {"w": Call(torch._tensor._rebuild_from_type_v2, *made)}


def of_old(place: Path, *saved_id: object) -> Path:
    """The five pickles of the older form around one record, and its bytes."""
    content = {"w": Call(torch._utils._rebuild_tensor_v2, Record(*saved_id), 0, (3,), (1,), False, OrderedDict())}
    with place.open("wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, content, ["0"]):
            Pickler(file, protocol=2).dump(part)
        file.write(struct.pack("<q", 12) + bytes(48))
    return place


def nested(times: int) -> object:
    value: object = ()
    for _ in range(times):
        value = (value, value)
    return value


def legacy(place: Path, change) -> Path:
    saved(place, _use_new_zipfile_serialization=False)
    place.write_bytes(change(place.read_bytes()))
    return place


def safetensors(place: Path, header: object, *, length: int | None = None, data: bytes = bytes(16)) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    place.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return place


def entry(begin: int, end: int, shape=(4,), kind="F32") -> dict[str, object]:
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


def raw(place: Path, content: bytes) -> Path:
    place.write_bytes(content)
    return place


def sparse(place: Path, size: int, content: bytes = b"") -> Path:
    with place.open("wb") as file:
        file.write(content)
        file.truncate(size)
    return place


FILES = {
    "packed records": (lambda f: with_record(f / "w.pth", bytes, packing=zipfile.ZIP_DEFLATED), "packed"),
    "two contents": (lambda f: with_record(f / "w.pth", bytes, again="other/data.pkl"), "two contents"),
    "two records of one name": (lambda f: with_record(f / "w.pth", bytes, again="w/data.pkl"), "two records of one name"),
    "a record twice": (lambda f: made_of(f / "w.pth", tensor(0, (3,), (1,)), records={"0": bytes(48)}), None),
    "a short record": (lambda f: with_record(f / "w.pth", lambda d: d[:20], name="data/0"), "48 are asked of it"),
    "no record": (lambda f: made_of(f / "w.pth", tensor(0, (3,), (1,), key="9")), "asked of it"),
    "a record of terabytes": (lambda f: made_of(f / "w.pth", tensor(0, (3,), (1,), 1 << 40)), "asked of it"),
    "a record that overflows": (lambda f: made_of(f / "w.pth", tensor(0, (3,), (1,), (1 << 62) + 1)), "asked of it"),
    "a record below nothing": (lambda f: made_of(f / "w.pth", tensor(0, (3,), (1,), -1)), "another way"),
    "a record of another kind": (lambda f: made_of(f / "w.pth", tensor(0, (3,), (1,), kind=torch.DoubleStorage)), "asked"),
    "a record by path": (lambda f: made_of(f / "w.pth", tensor(0, (3,), (1,), key="../../data")), "asked of it"),
    "a tensor beyond its record": (lambda f: made_of(f / "w.pth", tensor(0, (13,), (1,))), "goes on to value 12"),
    "a tensor behind its record": (lambda f: made_of(f / "w.pth", tensor(12, (1,), (1,))), "goes on to value 12"),
    "a tensor before its record": (lambda f: made_of(f / "w.pth", tensor(-4, (1,), (1,))), "without record"),
    "a wrapped tensor beyond its record": (lambda f: made_of(f / "w.pth", wrapped(0, (13,), (1,))), "goes on to value 12"),
    "a wrapped tensor": (lambda f: made_of(f / "w.pth", wrapped(0, (3,), (1,))), None),
    "a tensor of tensors": (
        lambda f: made_of(f / "w.pth", {"w": Call(torch._utils._rebuild_nested_tensor, 1, 2, 3, 4)}),
        "it has a tensor of tensors",
    ),
    "steps backwards": (lambda f: made_of(f / "w.pth", tensor(11, (3,), (-1,))), "without record"),
    "long steps": (lambda f: made_of(f / "w.pth", tensor(0, (3,), (1 << 40,))), "goes on"),
    "a size below nothing": (lambda f: made_of(f / "w.pth", tensor(0, (-3,), (1,))), "without record"),
    "an expanded tensor": (lambda f: made_of(f / "w.pth", tensor(0, (1 << 20, 1 << 20), (0, 0))), "is made of 12"),
    "an expanded row": (lambda f: made_of(f / "w.pth", tensor(0, (1 << 30, 4), (0, 1))), "is made of 12"),
    "sizes and steps that differ": (lambda f: made_of(f / "w.pth", tensor(0, (3, 4), (1,))), "cannot be read"),
    "a bytearray": (lambda f: raw(f / "w.pth", b"\x80\x05\x96" + bytes([0, 0, 0, 128, 0, 0, 0, 0, 46])), "bytes at once"),
    "a tuple of too many": (lambda f: made_of(f / "w.pth", {"a": {tuple(range(10_001)): 0}}), "again and again"),
    "tuples of tuples": (lambda f: made_of(f / "w.pth", {"a": {nested(1): 0}, "b": nested(60)}), "again and again"),
    "bytes without end": (lambda f: made_of(f / "w.pth", {"a": Call(bytearray, 1 << 40)}), "bytearray would be of size"),
    "a tensor without record": (lambda f: made_of(f / "w.pth", {"a": Call(torch.Tensor, 1 << 40)}), "would be of size"),
    "no dict": (lambda f: made_of(f / "w.pth", [1, 2]), "not weights by name"),
    "no weights": (lambda f: made_of(f / "w.pth", {"a": 1}), "holds no weights"),
    "odd names": (lambda f: made_of(f / "w.pth", {(1, 2): 1, None: 2, 3.5: 4}), "holds no weights"),
    "an empty file": (lambda f: sparse(f / "w.pth", 0), "cannot be read|refused"),
    "terabytes": (lambda f: sparse(f / "w.pth", 1 << 40), "the limit is 8,000 MB"),
    "holes": (lambda f: sparse(f / "w.pth", 200 << 20, bytes(4096)), "most of the file was never written"),
    "a text": (lambda f: sparse(f / "w.pth", 100), "refused|cannot be read"),
    "a damaged content": (lambda f: with_record(f / "w.pth", lambda d: d[: len(d) // 2]), "cannot be read"),
    "an empty content": (lambda f: with_record(f / "w.pth", lambda d: b""), "cannot be read"),
    "an old one cut short": (lambda f: legacy(f / "w.pth", lambda d: d[:-30]), "cannot be read|refused"),
    "an old one of terabytes": (
        lambda f: legacy(f / "w.pth", lambda d: d.replace(b"X\x03\x00\x00\x00cpuq", b"X\x03\x00\x00\x00cpuq", 1).replace(b"K\x0cN", b"J\xff\xff\xff\x7fN", 1)),
        "the file of",
    ),
    "an old one beyond its record": (lambda f: legacy(f / "w.pth", lambda d: d.replace(b"K\x03K\x04\x86", b"K\x63K\x04\x86", 1)), "goes on"),
    "an old record below nothing": (
        lambda f: of_old(f / "w.pth", "storage", torch.FloatStorage, "0", "cpu", -1, None),
        "another way",
    ),
    "an old part beyond its record": (
        lambda f: of_old(f / "w.pth", "storage", torch.FloatStorage, "0", "cpu", 12, ("0", 10, 3)),
        "a part of a record lies outside it",
    ),
    "an old part": (lambda f: of_old(f / "w.pth", "storage", torch.FloatStorage, "0", "cpu", 12, ("1", 8, 3)), None),
    "a header of exabytes": (lambda f: safetensors(f / "w.safetensors", {}, length=1 << 60), "safetensors"),
    "a header longer than the file": (lambda f: safetensors(f / "w.safetensors", {}, length=5000), "safetensors"),
    "a header that is no JSON": (lambda f: safetensors(f / "w.safetensors", b"{" * 200), "safetensors"),
    "a deep header": (lambda f: safetensors(f / "w.safetensors", b"[" * 100_000), "safetensors"),
    "offsets beyond the file": (lambda f: safetensors(f / "w.safetensors", {"a": entry(0, 1 << 40, (1 << 38,))}), "safetensors"),
    "offsets that overlap": (lambda f: safetensors(f / "w.safetensors", {"a": entry(0, 16), "b": entry(8, 24)}), "safetensors"),
    "offsets backwards": (lambda f: safetensors(f / "w.safetensors", {"a": entry(16, 0)}), "safetensors"),
    "a shape of another size": (lambda f: safetensors(f / "w.safetensors", {"a": entry(0, 16, (1 << 30, 4))}), "safetensors"),
    "a shape that overflows": (lambda f: safetensors(f / "w.safetensors", {"a": entry(0, 16, (1 << 33, 1 << 33))}), "safetensors"),
    "an unknown kind": (lambda f: safetensors(f / "w.safetensors", {"a": entry(0, 16, (4,), "Q9")}), "safetensors"),
    "an empty safetensors": (lambda f: safetensors(f / "w.safetensors", {}, data=b""), "holds no weights"),
    "terabytes of safetensors": (lambda f: sparse(f / "w.safetensors", 1 << 40), "the limit is 8,000 MB"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_of_a_stranger_is_refused(tmp_path, name):
    make, reason = FILES[name]
    path = make(tmp_path)
    begun = time.process_time()

    if reason is None:
        assert read_weights(path).tensors["w"].shape == (3,)
    else:
        with pytest.raises(DataError) as refused:
            read_weights(path)
        assert re.search(reason, str(refused.value)), refused.value
        assert str(path) in str(refused.value)

    assert time.process_time() - begun < SECONDS


def test_a_pickle_of_plain_values_names_no_record_and_is_followed_behind_its_bytes():
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump([Record("storage", "0")])

    check_pickle(pickle.dumps([bytearray(b"abc")], protocol=5))
    with pytest.raises(DataError, match="it names a record"):
        check_pickle(buffer.getvalue())
    with pytest.raises(DataError, match="again and again"):
        check_pickle(pickle.dumps([bytearray(b"abc"), nested(60)], protocol=5))


@pytest.mark.parametrize("settings", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "old"])
def test_what_torch_saves_is_read(tmp_path, settings):
    weight = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "part": weight[1:3, 2:4],
        "turned": weight.t(),
        "same": weight,
        "wide": torch.ones(1).expand(77, 3),
        "half": weight.half(),
        "brain": weight.bfloat16(),
        "none": torch.zeros(0, 3),
        "one": torch.tensor(3),
        "truth": weight > 3,
        "parameter": torch.nn.Parameter(weight),
        "complex": torch.zeros(2, dtype=torch.complex128),
    }
    if not settings:  # torch does not read these back from its older form
        tensors["small"] = torch.zeros(3, dtype=torch.float8_e4m3fn)
        tensors["unsigned"] = torch.zeros(3, dtype=torch.uint16)
    torch.save(tensors, tmp_path / "w.pth", **settings)

    read = read_weights(tmp_path / "w.pth").tensors

    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name].double(), tensors[name].double()) for name in tensors if name != "complex")


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_a_damaged_checkpoint_is_one_error(tmp_path, kind):
    from safetensors.torch import save

    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    intact = (
        save(TENSORS)
        if kind == "safetensors"
        else saved(path, _use_new_zipfile_serialization=kind == "zip").read_bytes()
    )
    chance = random.Random(0)

    for _ in range(250):
        data = bytearray(intact)
        for _ in range(chance.choice((1, 1, 2, 8))):
            place = chance.randrange(len(data))
            data[place] = chance.choice((0, 1, 127, 255, chance.randrange(256), data[place] ^ 1 << chance.randrange(8)))
        path.write_bytes(data[: chance.randrange(len(data))] if chance.random() < 0.1 else data)
        try:
            read_weights(path)
        except ClasslensError as error:
            assert len(str(error)) < 2000  # noqa: PT017 - most are errors, not all


def test_a_pickle_with_changed_opcodes_is_one_error(tmp_path):
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump({"state_dict": tensor(0, (3, 4), (4, 1)), "meta": {"a": (1, 2.5, "b")}})
    chance, intact, path = random.Random(1), buffer.getvalue(), tmp_path / "w.pth"

    for _ in range(300):
        data = bytearray(intact)
        for _ in range(chance.choice((1, 2, 4))):
            place = chance.randrange(len(data))
            data[place : place + chance.choice((0, 1))] = bytes(
                [chance.choice(b"(.0123FIJKLMNQRSTUVXabcdeghijlopqrstu]}\x80\x85\x86\x87\x88\x89\x8a\x8b\x8c")]
            )
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", bytes(data))
            archive.writestr("archive/version", "3")
            archive.writestr("archive/data/0", bytes(48))
        try:
            read_weights(path)
        except ClasslensError as error:
            assert len(str(error)) < 2000  # noqa: PT017 - most are errors, not all


@needs_prlimit
def test_a_pipe_named_checkpoint_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "w.pth")
    (tmp_path / "a.png").write_bytes(zlib.compress(b""))

    ending = run_limited(["cam", "a.png", "timm:resnet18", "w.pth"], cwd=tmp_path)

    assert_refused(ending, match="no such checkpoint")
