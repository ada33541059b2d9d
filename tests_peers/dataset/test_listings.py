"""The samples of a dataset, in mmpretrain's order and with its labels."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpretrain.datasets import categories
from mmpretrain.registry import DATASETS
from tests.adapters import published

from classlens.adapters.openmm.samples import open_split
from classlens.adapters.openmm.setup import Split


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for number in range(40):
        name = f"{['zebra', 'ant', 'Bee'][number % 3]}/{['', 'deep/'][number % 2]}{random.integers(10**6)}"
        path = tmp_path / "data" / f"{name}{['.jpg', '.PNG', '.txt', '.webp'][number % 4]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".PNG"):
            cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
        else:
            path.write_text("x")
    lines = [
        f"{path.relative_to(tmp_path / 'data')} {number % 3}"
        for number, path in enumerate((tmp_path / "data").rglob("*.jpg"))
    ]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    return tmp_path


def settings_of(root):
    inner = {"type": "CustomDataset", "data_root": str(root / "data")}
    return {
        "folder": inner,
        "list": {"type": "CustomDataset", "data_root": str(root), "ann_file": "list.txt", "data_prefix": "data"},
        "flat": {**inner, "with_label": False},
        "folds": {"type": "KFoldDataset", "dataset": inner, "fold": 2, "num_splits": 3, "seed": 5},
        "tested fold": {
            "type": "KFoldDataset",
            "dataset": inner,
            "fold": 2,
            "num_splits": 3,
            "seed": 5,
            "test_mode": True,
        },
        "repeated": {"type": "RepeatDataset", "dataset": inner, "times": 2},
        "joined": {"type": "ConcatDataset", "datasets": [inner, inner]},
        "balanced": {"type": "ClassBalancedDataset", "dataset": inner, "oversample_thr": 0.4},
        "the first": {**inner, "indices": 7},
        "the last": {**inner, "indices": -7},
        "some": {**inner, "indices": [3, 1, 12]},
        "imagenet": {"type": "ImageNet", "data_root": str(root), "data_prefix": "data", "classes": ["a", "b", "c"]},
    }


@pytest.mark.parametrize("kind", settings_of(Path("x")).keys())
def test_samples_come_in_the_peers_order_with_the_peers_labels(kind, folder):
    settings = settings_of(folder)[kind]
    init_default_scope("mmpretrain")
    peer = DATASETS.build(settings)
    expected = [peer.get_data_info(index) for index in range(len(peer))]

    ours = open_split(Split(settings), name="train", classes=None)

    found = [ours.sample(index) for index in range(ours.length)]
    assert [one.path for one in found] == [one["img_path"] for one in expected]
    assert [one.labels for one in found] == [(one["gt_label"],) if "gt_label" in one else () for one in expected]


PUBLISHED = {
    "CUB": (published.cub, ("train", "test")),
    "Caltech101": (published.caltech101, ("train", "test")),
    "Food101": (lambda root: published.food101(root, list(categories.FOOD101_CATEGORIES)), ("train", "test")),
    "FGVCAircraft": (
        lambda root: published.aircraft(root, list(categories.FGVCAIRCRAFT_CATEGORIES)),
        ("train", "val", "trainval", "test"),
    ),
    "OxfordIIITPet": (published.pets, ("trainval", "test")),
    "SUN397": (published.sun397, ("train", "test")),
    "InShop": (published.inshop, ("train",)),
    "DTD": (published.dtd, ("train", "val", "trainval", "test")),
    "Flowers102": (published.flowers102, ("train", "val", "trainval", "test")),
    "StanfordCars": (published.cars, ("train", "test")),
    "StanfordCars, devkit": (published.cars_devkit, ("train", "test")),
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_datasets_hold_the_peers_samples_and_labels(kind, tmp_path):
    build, splits = PUBLISHED[kind]
    root = build(tmp_path / "data")
    init_default_scope("mmpretrain")
    for split in splits:
        settings = {"type": kind.partition(",")[0], "data_root": str(root), "split": split}
        peer = DATASETS.build(settings)
        expected = [peer.get_data_info(index) for index in range(len(peer))]

        ours = open_split(Split(settings), name="train", classes=None)

        found = [ours.sample(index) for index in range(ours.length)]
        assert [one.path for one in found] == [one["img_path"] for one in expected]
        assert [one.labels for one in found] == [(one["gt_label"],) for one in expected]
