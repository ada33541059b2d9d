"""Folders without a config: their splits, and the order of their classes."""

import shutil

import pytest

from classlens.adapters import open_source
from classlens.errors import NotFound
from tests.dataset.listings import write

NAMES = {
    "numbers": ["class1", "class2", "class10"],
    "capitals": ["ant", "Bee", "cat"],
    "both": ["x9", "X10", "x10b"],
    "the same everywhere": ["class01", "class02", "class10"],
    "words": ["ant", "bee", "cat"],
}


@pytest.mark.parametrize("place", ["data", "all.zip"])
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
def test_where_timm_numbers_class_folders_otherwise_the_order_that_counts_is_named(names, place, tmp_path):
    timm_data = pytest.importorskip("timm.data")
    torchvision_data = pytest.importorskip("torchvision.datasets")
    for name in names:
        write(tmp_path / "data" / name / "1.png")
    shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "data")
    by_torchvision = torchvision_data.ImageFolder(str(tmp_path / "data")).classes
    numbers = timm_data.ImageDataset(str(tmp_path / "data")).reader.class_to_idx
    by_timm = sorted(numbers, key=numbers.get)

    dataset = open_source(f"folder:{tmp_path / place}").dataset()

    assert dataset.classes == tuple(by_torchvision)
    differ = [number for number in range(3) if by_torchvision[number] != by_timm[number]]
    assert bool(differ) == bool(dataset.warnings)
    if differ:
        assert f"{differ[0]} is {by_torchvision[differ[0]]!r}" in dataset.warnings[0]
        assert f"with timm, it is {by_timm[differ[0]]!r}" in dataset.warnings[0]


def test_a_class_folder_without_pictures_that_timm_does_not_count_is_told(tmp_path):
    timm_data = pytest.importorskip("timm.data")
    (tmp_path / "ant").mkdir()
    for name in ("bee", "cat"):
        write(tmp_path / name / "1.png")
    assert timm_data.ImageDataset(str(tmp_path)).reader.class_to_idx == {"bee": 0, "cat": 1}

    empty, order = open_source(f"folder:{tmp_path}").dataset().warnings

    assert empty == "classes without a picture: ant"
    assert order.endswith("0 is 'ant'; trained with timm, it is 'bee'")


@pytest.mark.parametrize("place", ["data", "all.zip"])
def test_a_folder_with_other_splits_does_not_show_them(place, tmp_path):
    for name in ("train/a/1.png", "valid/a/2.png", "valid/b/3.png"):
        write(tmp_path / "data" / name)
    (tmp_path / "data" / "annotations").mkdir()
    shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "data")
    source = open_source(f"folder:{tmp_path / place}")

    assert source.dataset("val").length == 2
    with pytest.raises(NotFound, match="no split named 'test'") as refused:
        source.dataset("test")

    assert refused.value.hint == "there is: train, val"


@pytest.mark.parametrize("place", ["data", "all.zip"])
def test_a_folder_with_one_split_does_not_show_it_as_another(place, tmp_path):
    for name in ("photos/val/a/1.png", "photos/val/b/2.png"):
        write(tmp_path / "data" / name)
    shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "data")
    source = open_source(f"folder:{tmp_path / place}" + ("/photos" if place == "data" else ""))

    assert source.dataset("val").classes == ("a", "b")
    with pytest.raises(NotFound, match="no split named 'train'"):
        source.dataset("train")


@pytest.mark.parametrize("place", ["data", "all.zip"])
def test_a_folder_without_splits_says_that_it_shows_all(place, tmp_path):
    for name in ("a/1.png", "b/2.png"):
        write(tmp_path / "data" / name)
    shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "data")
    source = open_source(f"folder:{tmp_path / place}")

    assert source.dataset("train").warnings == ()
    assert source.dataset("val").warnings == (f"{tmp_path / place} has no splits: all of it is shown as val",)


@pytest.mark.parametrize("place", ["data", "all.zip"])
def test_a_class_may_be_called_like_a_split(place, tmp_path):
    for name in ("bus/1.png", "car/2.png", "train/3.png"):
        write(tmp_path / "data" / name)
    shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "data")

    dataset = open_source(f"folder:{tmp_path / place}").dataset()

    assert dataset.classes == ("bus", "car", "train")


def test_tables_and_shards_of_other_splits_are_not_shown(tmp_path):
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    picture = write(tmp_path / "x.png").read_bytes()
    table = arrow.table({"image": [{"bytes": picture, "path": None}], "label": [0]})
    for name in ("train-0", "test-0"):
        (tmp_path / "tables").mkdir(exist_ok=True)
        parquet.write_table(table, tmp_path / "tables" / f"{name}.parquet")
        write(tmp_path / "loose" / name / "1.png")
        shutil.make_archive(str(tmp_path / "shards" / name), "tar", tmp_path / "loose" / name)

    for place in ("tables", "shards"):
        source = open_source(f"folder:{tmp_path / place}")

        assert source.dataset("test").length == 1
        with pytest.raises(NotFound, match="no split named 'val'"):
            source.dataset("val")
