"""Every config of two upstream releases, read by both readers: the same values, and nothing refused."""

import importlib.util
import warnings
from pathlib import Path

import pytest
from mmengine.config import Config

from classlens.config import read_config
from classlens.errors import ConfigError

UPSTREAM_FAILS = (ImportError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)

# What neither reader can open: bases that are not in the release, that lack a key the file asks for, or that import a
# type, which makes them of the other style.
BROKEN = {
    "mmpretrain": {
        "byol/benchmarks/mask-rcnn_r50-c4_ms-1x_coco.py",
        "byol/benchmarks/mask-rcnn_r50_fpn_ms-1x_coco.py",
        "replknet/deploy/replknet-31B-deploy_32xb64_in1k-384px.py",
        "replknet/deploy/replknet-31B-deploy_32xb64_in1k.py",
        "replknet/replknet-31B_32xb64_in1k-384px.py",
        "replknet/replknet-31B_32xb64_in1k.py",
        "swin_transformer_v2/swinv2-base-w12_8xb128_in21k-192px.py",
        "swin_transformer_v2/swinv2-large-w12_8xb128_in21k-192px.py",
    },
    "mmcls": {
        "_base_/datasets/imagenet_bs64_autoaug.py",
        "_base_/models/van/van_base.py",
        "_base_/models/van/van_large.py",
        "_base_/models/van/van_small.py",
        "_base_/models/van/van_tiny.py",
        "mobilenet_v3/mobilenet-v3-small_8xb16_cifar10.py",
        "mobilenet_v3/mobilenet_v3_small_cifar.py",
    },
}
CONFIGS = {"mmpretrain": 846, "mmcls": 477}


def upstream(file):
    """What mmengine makes of a file, or None if it cannot open it."""
    try:
        return Config.fromfile(str(file), import_custom_modules=False).to_dict()
    except UPSTREAM_FAILS:
        return None


@pytest.mark.parametrize("package", CONFIGS)
@pytest.mark.filterwarnings("ignore")
def test_all_configs_of_a_release_mean_what_upstream_means(package):
    root = Path(importlib.util.find_spec(package).origin).parent / ".mim" / "configs"
    files = sorted(root.rglob("*.py"))
    different, refused = [], []

    for file in files:
        name = file.relative_to(root).as_posix()
        theirs = upstream(file)
        try:
            ours = read_config(file)
        except ConfigError:
            refused.append(name)
            continue
        if theirs is not None and ours != theirs:
            different.append(name)

    assert len(files) == CONFIGS[package]
    assert different == []
    assert set(refused) == BROKEN[package]


@pytest.mark.parametrize("package", CONFIGS)
def test_what_is_refused_is_broken_upstream_too(package):
    root = Path(importlib.util.find_spec(package).origin).parent / ".mim" / "configs"

    with warnings.catch_warnings(action="ignore"):
        opened = [name for name in BROKEN[package] if upstream(root / name) is not None]

    assert opened == []
