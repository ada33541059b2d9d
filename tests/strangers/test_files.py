"""Files, archives and lists of strangers: sizes are checked before they are read, and nothing is waited for."""

import gzip
import json
import os
import re
import socket
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

import classlens
from classlens.checkpoints.class_names import read_names
from classlens.dataset.storage import read_bytes
from classlens.errors import DataError
from tests.strangers.limits import SECONDS, assert_refused, assert_survived, needs_prlimit, run_limited

MB = 1 << 20
BOTH = '{"metainfo": METAINFO, "data_list": [{"img_path": "a.png", "gt_label": 0}]}'


def zipped(place: Path, *, packing: int = zipfile.ZIP_DEFLATED, zeros: int = 260) -> Path:
    with zipfile.ZipFile(place, "w", packing, compresslevel=1) as archive, archive.open("a/x.png", "w") as member:
        for _ in range(zeros):
            member.write(bytes(MB))
    return place


def patched(place: Path, change) -> Path:
    place.write_bytes(bytes(change(bytearray(place.read_bytes()))))
    return place


def claim(data: bytearray, size: int) -> bytearray:
    """Another size of the first member, in both of its headers."""
    data[22:26] = struct.pack("<I", size)
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", size)
    return data


def encrypt(data: bytearray) -> bytearray:
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return data


def spoil(data: bytearray) -> bytearray:
    data[60] ^= 255
    return data


def tarred(place: Path, *members: tuple[str, bytes, int], content: bytes = b"x" * 600) -> Path:
    """A tar file of members with a name, a kind and a claimed size; their content is always the same."""
    blocks = []
    for name, kind, size in members:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, size
        blocks.append(info.tobuf(tarfile.GNU_FORMAT) + content.ljust(1024, b"\0"))
    place.write_bytes(b"".join(blocks) + bytes(1024))
    return place


def sparse(place: Path, size: int) -> Path:
    with place.open("wb") as file:
        file.truncate(size)
    return place


def fifo(place: Path) -> Path:
    os.mkfifo(place)
    return place


def linked(place: Path, target: str) -> Path:
    place.symlink_to(target)
    return place


def listening(place: Path) -> Path:
    here = Path.cwd()
    os.chdir(place.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as open_socket:
            open_socket.bind(place.name)
    finally:
        os.chdir(here)
    return place


def text(place: Path, content: str | bytes) -> Path:
    place.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    return place


def in_folder(folder: Path, make, *arguments, **options) -> Path:
    (folder / "photos" / "c").mkdir(parents=True)
    make(folder / "photos" / "c" / "x.jpg", *arguments, **options)
    return folder / "photos"


FILES = {
    "a zip bomb": (lambda f: zipped(f / "b.zip"), "273 MB, the limit is 256 MB"),
    "a member that claims little": (lambda f: patched(zipped(f / "b.zip"), lambda d: claim(d, 100)), "cannot be read"),
    "a member that claims much": (
        lambda f: patched(zipped(f / "b.zip", zeros=1), lambda d: claim(d, 4_000_000_000)),
        "MB",
    ),
    "bzip2 in a zip": (lambda f: zipped(f / "b.zip", packing=zipfile.ZIP_BZIP2, zeros=9), "packed in another way"),
    "lzma in a zip": (lambda f: zipped(f / "b.zip", packing=zipfile.ZIP_LZMA, zeros=9), "packed in another way"),
    "an encrypted member": (lambda f: patched(zipped(f / "b.zip", zeros=1), encrypt), "encrypted"),
    "a wrong checksum": (lambda f: patched(zipped(f / "b.zip", zeros=1), spoil), "cannot be read"),
    "a zip cut short": (lambda f: patched(zipped(f / "b.zip", zeros=1), lambda d: d[:-30]), "zip file"),
    "an empty zip": (lambda f: text(f / "b.zip", b""), "zip file"),
    "a zip of zeros": (lambda f: sparse(f / "b.zip", 1 << 40), "zip file"),
    "a pipe named zip": (lambda f: fifo(f / "b.zip"), "not a regular file"),
    "a pipe named tar": (lambda f: fifo(f / "b.tar"), "not a regular file"),
    "a socket named zip": (lambda f: listening(f / "b.zip"), "zip file"),
    "zeros named zip": (lambda f: linked(f / "b.zip", "/dev/zero"), "not a regular file"),
    "chance named tar": (lambda f: linked(f / "b.tar", "/dev/random"), "not a regular file"),
    "a tar of zeros": (lambda f: sparse(f / "b.tar", 1 << 40), "no picture"),
    "a tar member that claims much": (lambda f: tarred(f / "b.tar", ("a.png", b"0", 7_000_000_000)), "7,000 MB"),
    "a tar member that is cut short": (lambda f: tarred(f / "b.tar", ("a.png", b"0", 90_000)), "cut short"),
    "a sparse tar member": (lambda f: tarred(f / "b.tar", ("a.png", b"S", 1_000_000)), "tar"),
    "links and devices in a tar": (
        lambda f: tarred(f / "b.tar", ("a.png", b"1", 0), ("b.png", b"2", 0), ("c.png", b"3", 0), ("d.png", b"6", 0)),
        "no picture|plain tar",
    ),
    "a pax header of gigabytes": (lambda f: tarred(f / "b.tar", ("a.png", b"x", 8_000_000_000)), "a header of"),
    "a long name of gigabytes": (lambda f: tarred(f / "b.tar", ("a.png", b"L", 8_000_000_000)), "a header of"),
    "a global header of gigabytes": (lambda f: tarred(f / "b.tar", ("a.png", b"g", 8_000_000_000)), "a header of"),
    "a packed tar": (lambda f: text(f / "b.tar.gz", gzip.compress(bytes(50 * MB))), "unpack|plain tar"),
    "a sparse picture": (lambda f: in_folder(f, sparse, 1 << 40), "1,099,512 MB, the limit is 256 MB"),
    "a picture that is a pipe": (lambda f: in_folder(f, linked, str(fifo(f / "pipe"))), "not a regular file"),
    "a picture that is zeros": (lambda f: in_folder(f, linked, "/dev/zero"), "not a regular file"),
    "a picture that is standard input": (lambda f: in_folder(f, linked, "/dev/stdin"), "not a|no such|empty"),
    "a picture that is memory": (lambda f: in_folder(f, linked, "/proc/self/mem"), "empty|error"),
    "a picture of the system": (lambda f: in_folder(f, linked, "/proc/version"), "empty"),
    "a list that is a pipe": (lambda f: fifo(f / "l.txt"), "not a regular file|no such"),
    "a table that is zeros": (lambda f: linked(f / "l.csv", "/dev/zero"), "not a regular file|neither"),
    "a JSON list that is a pipe": (lambda f: fifo(f / "l.json"), "not a regular file"),
    "a parquet file that is a pipe": (lambda f: fifo(f / "l.parquet"), "not a regular file"),
    "an arrow file that is a pipe": (lambda f: fifo(f / "l.arrow"), "not a regular file"),
    "a parquet file of zeros": (lambda f: sparse(f / "l.parquet", 1 << 33), "not a table"),
    "a sparse list": (lambda f: sparse(f / "l.txt", 1 << 40), "the limit is 512 MB"),
    "a list of zeros": (lambda f: sparse(f / "l.txt", 50 * MB), "not a text"),
    "deep JSON": (lambda f: text(f / "l.json", "[" * 100_000), "not a list in JSON"),
    "deep JSON in rows": (lambda f: text(f / "l.jsonl", "[" * 100_000), "not a list in JSON"),
    "a number of many digits": (lambda f: text(f / "l.json", "9" * 5000), "not a list in JSON"),
    "unfinished JSON": (lambda f: text(f / "l.json", "[["), "not JSON"),
    "JSON of nothing": (lambda f: text(f / "l.json", "null"), "no data_list"),
    "metainfo that is a list": (
        lambda f: text(f / "l.json", BOTH.replace("METAINFO", "[]")),
        "no such file",
    ),
    "classes that are a number": (
        lambda f: text(f / "l.json", BOTH.replace("METAINFO", '{"classes": 5}')),
        "no such file",
    ),
    "classes that are objects": (
        lambda f: text(f / "l.json", BOTH.replace("METAINFO", '{"classes": [{}, [], 1.5]}')),
        "no such file",
    ),
    "categories without end": (
        lambda f: text(f / "l.json", BOTH.replace("METAINFO", '{"categories": [{"id": 1e400}, {"id": true}]}')),
        "no such file",
    ),
    "labels that are objects": (
        lambda f: text(f / "l.json", '[{"img_path": "a.png", "gt_label": {"a": [1, {"b": 2}]}}]'),
        "no such file",
    ),
    "not a number": (lambda f: text(f / "l.json", '[{"img_path": "a.png", "gt_label": NaN}]'), "no such file"),
    "a thousand labels": (
        lambda f: text(f / "l.json", json.dumps([{"img_path": "a.png", "gt_label": [1] * 5000}])),
        "no such file",
    ),
    "a label of many digits": (lambda f: text(f / "l.txt", "a.png " + "9" * 5000), "no such file"),
    "a cell of many letters": (lambda f: text(f / "l.csv", "a.png," + "x" * 200_000), "field larger"),
    "a name of many letters": (lambda f: text(f / "l.txt", "b" * 5000 + ".png 1"), "too long"),
    "a name with a zero": (lambda f: text(f / "l.txt", "a\0b.png 1"), "not a text"),
    "lone surrogates": (
        lambda f: text(f / "l.json", '[{"img_path": "\\ud800.png", "gt_label": 0}]'),
        "surrogate|no such",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_stranger_is_refused_or_costs_its_row(tmp_path, name):
    make, reason = FILES[name]
    target = make(tmp_path)
    begun = time.process_time()

    try:
        found = [row.error for row in classlens.browse(f"folder:{target}", classlens.BrowseRequest(keep_pictures=True))]
    except DataError as error:
        found = [str(error)]

    assert len(found) == 1
    assert re.search(reason, found[0]), found
    assert time.process_time() - begun < SECONDS


def test_overlapping_members_cost_only_themselves(tmp_path):
    data = zipped(tmp_path / "b.zip", zeros=1).read_bytes()
    start = data.index(b"PK\x01\x02")
    entry = data[start : data.index(b"PK\x05\x06")]
    many = b"".join(entry.replace(b"a/x.png", b"a/%01x.png" % number) for number in range(16))
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 16, 16, len(many), start, 0)
    (tmp_path / "b.zip").write_bytes(data[:start] + many + end)

    rows = list(classlens.browse(f"folder:{tmp_path / 'b.zip'}"))

    assert len(rows) == 16
    assert all(row.error for row in rows)


def test_a_larger_file_is_read_where_the_user_allows_it(tmp_path, monkeypatch):
    (tmp_path / "a.bin").write_bytes(bytes(2000))
    monkeypatch.setenv("CLASSLENS_LIMITS", "picture=1000")

    with pytest.raises(DataError, match="the limit is 0 MB") as refused:
        read_bytes(str(tmp_path / "a.bin"))
    monkeypatch.setenv("CLASSLENS_LIMITS", "picture=1000,picture=2e3")

    assert "--limit picture=2.2e+03" in refused.value.hint
    assert len(read_bytes(str(tmp_path / "a.bin"))) == 2000


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("size=5", "no limit named 'size'"),
        ("pixels=x", "is no number"),
        ("pixels=-1", "not above 0"),
        ("pixels=nan", "not above"),
    ],
)
def test_a_limit_that_is_none_is_named(monkeypatch, words, reason):
    monkeypatch.setenv("CLASSLENS_LIMITS", words)

    with pytest.raises(DataError, match=reason):
        read_bytes(__file__)


@pytest.mark.parametrize("make", [fifo, lambda place: linked(place, "/dev/zero")], ids=["pipe", "zeros"])
def test_class_names_are_never_waited_for(tmp_path, make):
    with pytest.raises(DataError, match="no class names"):
        read_names(str(make(tmp_path / "names.txt")))


def test_a_label_that_cannot_be_read_costs_its_row(tmp_path):
    names = ("a.png", "a.cls", "b.png", "b.json")
    tarred(tmp_path / "s.tar", *((name, b"0", 600) for name in names), content=b"[" * 600)

    rows = list(classlens.browse(f"folder:{tmp_path / 's.tar'}"))

    assert len(rows) == 2


@needs_prlimit
@pytest.mark.parametrize("name", ["a zip bomb", "a sparse picture", "zeros named zip", "a pax header of gigabytes"])
def test_the_command_stays_within_its_memory(tmp_path, name):
    make, reason = FILES[name]
    target = make(tmp_path)

    ending = run_limited(["browse", f"folder:{target}", "--not-show", "--output-dir", "out"], cwd=tmp_path)

    (assert_refused if ending.status else assert_survived)(ending, match=reason)


def test_a_sample_that_takes_too_long_is_a_bad_one(tmp_path):
    (tmp_path / "data.py").write_text(
        "import numpy as np\n"
        "class Data:\n"
        "    def __len__(self): return 4\n"
        "    def __getitem__(self, index):\n"
        "        while index == 2: pass\n"
        "        return np.full((8, 8, 3), index, np.uint8), index % 2\n"
        "train = Data()\n"
    )

    words = ["browse", "py:data.py:train", "--limit", "seconds=1", "--not-show", "-o", "out", "--workers", "1"]
    ending = run_limited(words, cwd=tmp_path)

    assert ending.status == 0
    assert "sample 2: more than 1 s of work" in ending.err
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 4


def test_packed_arrays_are_unpacked_as_far_as_a_list_may_go(tmp_path, monkeypatch):
    from classlens.adapters.openmm.dataset_kinds import idx_array

    monkeypatch.setenv("CLASSLENS_LIMITS", "list=1e6")
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(50 * MB)))
    (tmp_path / "b.gz").write_bytes(gzip.compress(bytes(100))[:-12] + bytes(12))

    with pytest.raises(DataError, match="the limit is 1 MB"):
        idx_array(str(tmp_path / "a"), dimensions=1)
    with pytest.raises(DataError, match=r"damaged archive|not an IDX"):
        idx_array(str(tmp_path / "b"), dimensions=1)
