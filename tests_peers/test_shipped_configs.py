"""The shipped configs say what upstream's configs of the same name say."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from classlens.config import read_config
from classlens.files import CONFIGS

NEW = [
    "resnet/resnet50_8xb32_in1k.py",
    "resnet/resnet18_8xb16_cifar10.py",
    "resnet/resnet50_8xb16_cifar100.py",
    "swin_transformer/swin-tiny_16xb64_in1k.py",
    "swin_transformer/swin-small_16xb64_in1k.py",
    "repvgg/repvgg-B3g4_8xb32_in1k.py",
    "mobilenet_v3/mobilenet-v3-large_8xb128_in1k.py",
    "vision_transformer/vit-base-p16_64xb64_in1k-384px.py",
    "t2t_vit/t2t-vit-t-14_8xb64_in1k.py",
]
OLD = [
    "resnet/resnet50_b16x8_cifar100.py",
    "repvgg/repvgg-B3g4_4xb64-autoaug-lbs-mixup-coslr-200e_in1k.py",
    "mobilenet_v3/mobilenet-v3-large_8xb32_in1k.py",
    "vision_transformer/vit-base-p16_ft-64xb64_in1k-384.py",
]
SECTIONS = {
    "mmpretrain": [
        "model",
        "train_dataloader",
        "val_dataloader",
        "test_dataloader",
        "param_scheduler",
        "optim_wrapper",
        "train_cfg",
        "data_preprocessor",
        "auto_scale_lr",
        "custom_hooks",
    ],
    "mmcls": ["model", "data", "optimizer", "optimizer_config", "lr_config", "runner", "custom_hooks"],
}
HOW_NOT_WHAT = {"pin_memory", "persistent_workers", "collate_fn"}
"""Settings of the loader's machinery, which change nothing that Classlens shows."""


def upstream(package: str, name: str) -> Path:
    return Path(find_spec(package).submodule_search_locations[0]) / ".mim" / "configs" / name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("package", "name"), [("mmpretrain", name) for name in NEW] + [("mmcls", name) for name in OLD]
)
def test_a_shipped_config_says_what_upstreams_says(package, name):
    ours = read_config(CONFIGS / name)
    theirs = read_config(upstream(package, name))

    for section in SECTIONS[package]:
        expected, found = theirs.get(section), ours.get(section)
        if section.endswith("_dataloader"):
            expected = {key: value for key, value in expected.items() if key not in HOW_NOT_WHAT}
        assert found == expected, section


def test_every_shipped_config_is_compared_or_is_ours_alone():
    root = CONFIGS
    names = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if "_base_" not in path.parts}

    assert names == {*NEW, *OLD, "demo/efficientnet-lite0_photos.py"}
