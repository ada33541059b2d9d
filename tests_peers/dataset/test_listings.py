"""The samples of a dataset, in mmpretrain's order and with its labels."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpretrain import datasets
from mmpretrain.datasets import categories
from mmpretrain.registry import DATASETS
from tests.adapters.openmm import published

from classlens.adapters.openmm.dataset_kinds import KINDS
from classlens.adapters.openmm.datasets import open_split
from classlens.adapters.openmm.setup import Split, names_of
from classlens.errors import ConfigError, DataError


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


@pytest.mark.parametrize("kind", [kind for kind in KINDS if getattr(getattr(datasets, kind, None), "METAINFO", None)])
def test_datasets_with_names_of_their_own_have_the_peers(kind):
    assert names_of(kind) == tuple(getattr(datasets, kind).METAINFO["classes"])


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_datasets_have_the_peers_classes(kind, tmp_path):
    build, (split, *_) = PUBLISHED[kind]
    if kind == "Food101" or kind.startswith("FGVC"):
        pytest.skip("its copy has only some of the names in its list")
    settings = {"type": kind.partition(",")[0], "data_root": str(build(tmp_path / "data")), "split": split}
    init_default_scope("mmpretrain")

    ours = open_split(Split(settings), name="train", classes=None)

    if kind not in ("InShop", "SUN397"):
        assert ours.classes == DATASETS.build(settings).CLASSES


CATEGORIES = [
    {"metainfo": {"categories": [{"id": 7, "category_name": "late"}, {"id": 2, "category_name": "early"}]}},
    {"metainfo": {"classes": ["named"], "categories": [{"id": 2, "category_name": "early"}]}},
    {"metainfo": {}},
]


OWN = [{}, {"classes": ["x", "y"]}, {"metainfo": {"categories": [{"id": 3, "category_name": "own"}]}}]


@pytest.mark.parametrize("kind", ["BaseDataset", "MultiLabelDataset"])
@pytest.mark.parametrize(
    ("content", "own"),
    [(content, own) for content in CATEGORIES for own in OWN if content != CATEGORIES[1] or own != OWN[2]],
)
def test_classes_and_categories_of_an_annotation_file_are_the_peers(content, kind, own, tmp_path):
    rows = [{"img_path": "a.jpg", "gt_label": [0] if kind == "MultiLabelDataset" else 0}]
    (tmp_path / "list.json").write_text(json.dumps({**content, "data_list": rows}))
    settings = {"type": kind, "data_root": str(tmp_path), "ann_file": "list.json", **own}
    init_default_scope("mmpretrain")

    ours = open_split(Split(settings), name="train", classes=None)

    theirs = DATASETS.build(settings).CLASSES
    assert ours.classes == (theirs and tuple(theirs))


SPLIT_WORDS = ("train", "val", "test", "trainval", "valid", "Train", "trian", "query")


@pytest.mark.parametrize("kind", [*PUBLISHED, "CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "ImageNet21k", "VOC"])
def test_a_split_is_refused_where_the_peer_refuses_it(kind, tmp_path):
    name = kind.partition(",")[0]
    root = PUBLISHED[kind][0](tmp_path) if kind in PUBLISHED else tmp_path
    init_default_scope("mmpretrain")
    for split in SPLIT_WORDS:
        settings = {"type": name, "data_root": str(root), "split": split}

        theirs = refusal(lambda settings=settings: DATASETS.build({**settings, "lazy_init": True}), Exception)
        ours = refusal(
            lambda settings=settings: open_split(Split(settings), name="train", classes=None), (ConfigError, DataError)
        )

        assert ("has no split" in ours) == ("must be one of" in theirs), split


def refusal(build, errors):
    """What is said instead of building."""
    try:
        build()
    except errors as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "CustomDataset"},
        {"type": "CustomDataset", "classes": ["a", "b", "c"]},
        {"type": "CustomDataset", "metainfo": {"classes": ["x", "y"]}},
        {"type": "CustomDataset", "metainfo": {"classes": ["ant", "Bee", "zebra"]}},
        {"type": "Places205"},
        {"type": "ImageNet"},
        {"type": "ImageNet21k"},
        {"type": "ImageNet", "classes": ["a", "b"]},
    ],
)
def test_numbers_of_folders_and_names_that_stop_the_peer_get_a_word(settings, folder):
    settings = {"data_root": str(folder / "data"), **settings}
    init_default_scope("mmpretrain")
    theirs = refusal(lambda: DATASETS.build(settings), Exception)

    ours = open_split(Split(settings), name="train", classes=None)

    stops = any("training stops here: 3 class folders" in warning for warning in ours.warnings)
    assert stops == ("number of subfolders" in theirs)
    assert theirs or ours.classes == tuple(DATASETS.build(settings).CLASSES)
