import gzip
import importlib.util
import json
import os
import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from classlens.adapters import open_source
from classlens.adapters.openmm.datasets import open_split
from classlens.adapters.openmm.setup import Split
from classlens.dataset.trace import trace
from classlens.errors import ConfigError, DataError, MissingDependency

LOAD = ({"type": "LoadImageFromFile"},)


def write(path, shade=100, size=(8, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), shade, np.uint8))
    return path


def opened(*, classes=None, **dataset):
    return open_split(Split(dataset), name="train", classes=classes)


def counted(dataset):
    return open_split(Split(dataset), name="train", classes=None, has_stages=False).length


def listed(dataset):
    return [(Path(sample.path).name, *sample.labels) for sample in map(dataset.sample, range(dataset.length))]


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.jpg", "b/1.JPG", "a/x.png", "a/deep/er.png", "c/z.bmp"):
        write(tmp_path / "data" / name)
    return tmp_path / "data"


def test_classes_and_files_come_in_the_order_of_training(folder):
    dataset = opened(type="CustomDataset", data_root=str(folder))

    assert dataset.classes == ("a", "b", "c")
    assert listed(dataset) == [("er.png", 0), ("x.png", 0), ("1.JPG", 1), ("2.jpg", 1), ("z.bmp", 2)]
    assert dataset.warnings == ()
    assert counted({"type": "CustomDataset", "data_root": str(folder)}) == 5


def test_prefix_and_root_are_joined(folder):
    for settings in (
        {"data_root": str(folder.parent), "data_prefix": "data"},
        {"data_root": str(folder.parent), "data_prefix": {"img_path": "data"}},
        {"data_prefix": str(folder)},
        {"data_root": "elsewhere", "data_prefix": str(folder)},
    ):
        assert opened(type="CustomDataset", **settings).length == 5


def test_hidden_folders_never_become_classes_and_nothing_is_left_out_in_silence(folder):
    write(folder / ".ipynb_checkpoints" / "x.jpg")
    write(folder / "a" / "._m.jpg")
    (folder / "a" / "notes.txt").write_text("x")
    (folder / "a" / "new.webp").write_text("x")
    (folder / "a" / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "a" / "loop").symlink_to(folder / "a")
    (folder / "b" / "self").symlink_to(folder / "b" / "self")
    (folder / "empty").mkdir()

    dataset = opened(type="CustomDataset", data_root=str(folder))

    assert dataset.classes == ("a", "b", "c", "empty")
    assert dataset.length == 5
    told = "\n".join(dataset.warnings)
    for part in (".ipynb_checkpoints", "hidden files", "*.txt", "*.webp", "broken link", "circular", "empty"):
        assert part in told


def test_an_unreadable_class_folder_does_not_end_the_listing(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    dataset = opened(type="CustomDataset", data_root=str(folder))

    assert dataset.length == 3
    assert any("permission denied" in warning for warning in dataset.warnings)


def test_a_missing_or_empty_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no such folder: .*nowhere"):
        opened(type="CustomDataset", data_root=str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no picture in the folders of"):
        opened(type="CustomDataset", data_root=str(tmp_path))
    with pytest.raises(ConfigError, match="one of data_root"):
        opened(type="CustomDataset")


def test_class_names_of_the_config_win_and_a_wrong_number_is_said(folder, tmp_path):
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\n")

    by_list = opened(type="CustomDataset", data_root=str(folder), metainfo={"classes": ["ant", "bee"]})
    by_file = opened(
        type="CustomDataset", data_root=str(folder), classes=None, metainfo={"classes": str(tmp_path / "names.txt")}
    )

    assert by_list.class_names(4) == ("2 (no such class)",)
    assert by_list.warnings == ("training stops here: 3 class folders, but 2 class names in the config",)
    assert by_file.class_names(4) == ("cat",)


def renamed(folder, *names):
    for before, after in zip("abc", names, strict=True):
        (folder / before).rename(folder / after)
    return folder


ORDER = "class names in another order than the folders: class 0 is the folder 'ant', but it is called 'bee' and 1 more"
SLIPS = {
    "another order": (["bee", "ant", "zebra"], ORDER),
    "another order and other capitals": (["Bee", "Ant", "Zebra"], ORDER.replace("bee", "Bee")),
    "misspelt": (["ant", "bee", "zbra"], "class names that differ from their folders: 'zbra' for 'zebra'"),
    "translated": (["Ameise", "Biene", "Zebra"], ""),
    "other words": (["x", "y", "z"], ""),
    "the same but for capitals": (["Ant", "BEE", "zebra"], ""),
}


@pytest.mark.parametrize(("names", "word"), SLIPS.values(), ids=SLIPS.keys())
def test_names_that_do_not_fit_their_folders_get_a_word(names, word, folder, tmp_path):
    renamed(folder, "ant", "bee", "zebra")
    (tmp_path / "list.txt").write_text("ant/1.png 0\nbee/1.png 1\nzebra/1.png 2\nant/2.png 0\n")
    settings = {"type": "CustomDataset", "data_root": str(tmp_path), "data_prefix": "data"}

    by_folder = opened(**settings, metainfo={"classes": names})
    by_list = opened(**settings, metainfo={"classes": names}, ann_file="list.txt")

    assert by_folder.warnings == by_list.warnings == ((word,) if word else ())
    assert by_folder.classes == by_list.classes == tuple(names)


def test_a_list_that_labels_a_folder_in_several_ways_is_no_slip(tmp_path):
    (tmp_path / "list.txt").write_text("cat/1.jpg 0\ncat/2.jpg 1\n")

    dataset = opened(type="CustomDataset", data_root=str(tmp_path), ann_file="list.txt", classes=["cat", "dog"])

    assert dataset.warnings == ()


def test_numbers_in_a_list_are_numbers_also_where_classes_are_called_so(tmp_path):
    (tmp_path / "list.txt").write_text("1.jpg 0\n2.jpg 1\n")

    dataset = opened(type="CustomDataset", data_root=str(tmp_path), ann_file="list.txt", classes=["1", "2"])

    assert [dataset.class_names(index) for index in range(2)] == [("1",), ("2",)]


def test_a_dataset_with_names_of_its_own_keeps_them_unless_the_folders_are_others(folder, tmp_path):
    (tmp_path / "list.txt").write_text("a/1.png 0\n")

    by_list = opened(type="Places205", data_root=str(tmp_path), ann_file="list.txt")
    by_folder = opened(type="Places205", data_root=str(folder))

    assert (len(by_list.classes), by_list.class_names(0)) == (205, ("abbey",))
    assert by_folder.classes == ("a", "b", "c")
    assert by_folder.warnings == ("training stops here: 3 class folders, but 205 class names of Places205",)


def test_the_categories_of_a_list_are_its_classes_in_the_order_of_their_ids(tmp_path):
    categories = [{"id": 4, "category_name": "late"}, {"id": 1, "category_name": "early"}]
    rows = [{"img_path": "a.jpg", "gt_label": [1]}]
    (tmp_path / "list.json").write_text(json.dumps({"metainfo": {"categories": categories}, "data_list": rows}))

    dataset = opened(type="MultiLabelDataset", data_root=str(tmp_path), ann_file="list.json")

    assert dataset.classes == ("early", "late")
    assert dataset.class_names(0) == ("late",)


@pytest.mark.parametrize(
    ("kind", "split"),
    [*((kind, "val") for kind in ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "ImageNet21k")), ("VOC", "valid")],
)
def test_a_split_that_the_dataset_does_not_have_is_refused(kind, split, tmp_path):
    with pytest.raises(ConfigError, match=f"train dataset: {kind} has no split '{split}'") as refused:
        opened(type=kind, data_root=str(tmp_path), split=split)

    assert "train" in refused.value.hint or "val" in refused.value.hint


@pytest.mark.parametrize(("indices", "kept"), [(2, [0, 1]), (-2, [3, 4]), ([4, 0, -2], [4, 0, 3]), (0, [])])
def test_a_part_of_a_dataset_can_be_asked_for(indices, kept, folder):
    whole = listed(opened(type="CustomDataset", data_root=str(folder)))

    assert listed(opened(type="CustomDataset", data_root=str(folder), indices=indices)) == [whole[one] for one in kept]
    assert counted({"type": "CustomDataset", "data_root": str(folder), "indices": indices}) == len(kept)


def test_indices_that_do_not_exist_are_refused_and_unknown_settings_told(folder):
    for wrong in ([5], "all", [0.5]):
        with pytest.raises(ConfigError, match="indices is a number or a list of sample numbers below 5"):
            opened(type="CustomDataset", data_root=str(folder), indices=wrong)
    told = opened(type="CustomDataset", data_root=str(folder), with_lable=False).warnings
    assert told == ("CustomDataset has no setting 'with_lable'; did you mean with_label?",)


def test_an_unlabelled_folder_has_no_classes(folder):
    dataset = opened(type="CustomDataset", data_root=str(folder), with_label=False)

    assert dataset.length == 5
    assert dataset.classes is None
    assert dataset.class_names(0) == ()


LISTS = {
    "plain": ("a.jpg 0\nb c.jpg 1\n", [("a.jpg", 0), ("b c.jpg", 1)], ""),
    "windows line ends and a mark": ("\ufeffa.jpg 0\r\nb.jpg 1\r\n", [("a.jpg", 0), ("b.jpg", 1)], ""),
    "blank lines": ("a.jpg 0\n\n  \nb.jpg 1\n", [("a.jpg", 0), ("b.jpg", 1)], "blank line: list.txt:2, list.txt:3"),
    "no label": ("a.jpg 0\nb.jpg\n", [("a.jpg", 0), ("b.jpg",)], "no label: list.txt:2"),
    "text label": ("a.jpg 0\nb.jpg dog\n", [("a.jpg", 0), ("b.jpg",)], "label is not a number: list.txt:2 ('dog')"),
    "known name": ("a.jpg zero\nb.jpg one\n", [("a.jpg", 0), ("b.jpg", 1)], ""),
    "out of range": ("a.jpg 0\nb.jpg 7\n", [("a.jpg", 0), ("b.jpg", 7)], "label outside 0..1: list.txt:2 (7)"),
    "negative": ("a.jpg 0\nb.jpg -1\n", [("a.jpg", 0), ("b.jpg", -1)], "label outside 0..1: list.txt:2 (-1)"),
    "twice": ("a.jpg 0\na.jpg 0\n", [("a.jpg", 0), ("a.jpg", 0)], "listed again: list.txt:2 (first in line 1)"),
    "other label": ("a.jpg 0\na.jpg 1\n", [("a.jpg", 0), ("a.jpg", 1)], "listed again with another label: list.txt:2"),
    "tabs": ("a.jpg\t0\nb.jpg\t1\n", [("a.jpg", 0), ("b.jpg", 1)], ""),
    "a label of two words": ("a.jpg 0\nb.jpg one more\n", [("a.jpg", 0), ("b.jpg one",)], "list.txt:2 ('more')"),
    "commas": ("a.jpg,0\nb.jpg,1\n", [("a.jpg", 0), ("b.jpg", 1)], ""),
    "no line end": ("a.jpg 0\nb.jpg 1", [("a.jpg", 0), ("b.jpg", 1)], ""),
    "one label of several out of range": ("a.jpg 0,5\n", [("a.jpg", 0, 5)], "label outside 0..1: list.txt:1 (0,5)"),
    "a fraction": ("a.jpg 0\nb.jpg 1.5\n", [("a.jpg", 0), ("b.jpg",)], "label is not a number: list.txt:2 ('1.5')"),
    "several labels": ("a.jpg 0,1\n", [("a.jpg", 0, 1)], ""),
}


@pytest.mark.parametrize(("content", "samples", "warning"), LISTS.values(), ids=LISTS.keys())
def test_trouble_in_an_annotation_list_is_told_with_file_and_line(content, samples, warning, tmp_path):
    (tmp_path / "list.txt").write_bytes(content.encode())

    dataset = opened(
        type="CustomDataset", data_root=str(tmp_path), ann_file="list.txt", metainfo={"classes": ["zero", "one"]}
    )

    assert listed(dataset) == samples
    assert warning in "\n".join(dataset.warnings).replace(f"{tmp_path}/", "")
    assert bool(dataset.warnings) == bool(warning)


def test_labels_that_are_names_become_classes_where_no_config_knows_better(tmp_path):
    write(tmp_path / "a b.jpg")
    (tmp_path / "list.csv").write_text("path,label\na b.jpg,zebra\nc.jpg,ant\nd.jpg,\n")
    (tmp_path / "paths.txt").write_text("a b.jpg\nc.jpg\n")

    named = open_source(f"csv:{tmp_path / 'list.csv'}").dataset("train")
    bare = open_source(f"folder:{tmp_path / 'paths.txt'}").dataset("train")

    assert named.classes == ("ant", "zebra")
    assert listed(named) == [("a b.jpg", 1), ("c.jpg", 0), ("d.jpg",)]
    assert named.warnings == (f"no label: {tmp_path}/list.csv:4",)
    assert listed(bare) == [("a b.jpg",), ("c.jpg",)]
    assert trace(bare, 0).original.image.size == (8, 10)


def test_the_first_troubles_of_a_kind_are_listed_and_the_rest_counted(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg 0\n" + "b.jpg\n" * 9)

    warnings = opened(type="CustomDataset", data_root=str(tmp_path), ann_file="list.txt").warnings

    assert warnings[0].startswith(f"no label: {tmp_path}/list.txt:2, ")
    assert warnings[0].endswith("list.txt:6 and 4 more")
    assert "listed again: " in warnings[1]


def test_csv_and_json_lists_are_read(tmp_path):
    (tmp_path / "list.csv").write_text('filename,label\n"a, b.jpg",0\nc.jpg,1\n')
    rows = {"metainfo": {"classes": ["x", "y"]}, "data_list": [{"img_path": "a.jpg", "gt_label": [0, 1]}]}
    (tmp_path / "list.json").write_text(json.dumps(rows))

    by_csv = opened(type="CustomDataset", data_root=str(tmp_path), ann_file="list.csv")
    by_json = opened(type="MultiLabelDataset", data_root=str(tmp_path), ann_file="list.json")

    assert listed(by_csv) == [("a, b.jpg", 0), ("c.jpg", 1)]
    assert by_json.class_names(0) == ("x", "y")


@pytest.mark.parametrize(
    ("content", "message"), [("{", ":1: not JSON"), ("{}", "no data_list"), ("[]", "no data_list")]
)
def test_a_broken_json_list_is_named(content, message, tmp_path):
    (tmp_path / "list.json").write_text(content)

    with pytest.raises(DataError, match=message):
        opened(type="BaseDataset", data_root=str(tmp_path), ann_file="list.json")


def test_imagenet_finds_its_split_and_its_list(tmp_path):
    write(tmp_path / "train" / "n01" / "a.JPEG.jpg")
    write(tmp_path / "val" / "b.jpg")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "val.txt").write_text("b.jpg 281\n")

    train = opened(type="ImageNet", data_root=str(tmp_path), split="train")
    val = opened(type="ImageNet", data_root=str(tmp_path), split="val")

    assert train.classes == ("n01",)
    assert Path(val.sample(0).path) == tmp_path / "val" / "b.jpg"
    assert "tabby" in val.class_names(0)[0]
    with pytest.raises(ConfigError, match="the split is train, val or test"):
        opened(type="ImageNet", data_root=str(tmp_path), split="trian")


def write_cifar(root, red):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    pictures = np.zeros((2, 3072), np.uint8)
    pictures[:, :1024] = red
    for number in range(1, 6):
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps({"data": pictures, "labels": [0, 9]}))
    return folder


def test_cifar_is_read_as_rgb_and_nothing_in_it_is_run(tmp_path):
    folder = write_cifar(tmp_path, red=255)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": Path("x"), "labels": []}))

    dataset = opened(type="CIFAR10", data_root=str(tmp_path), pipeline=({"type": "RandomFlip", "prob": 1.0},))

    assert dataset.length == 10
    assert dataset.class_names(1) == ("truck",)
    np.testing.assert_array_equal(trace(dataset, 0).transformed.image.pixels, np.full((32, 32, 3), (255, 0, 0)))
    with pytest.raises(DataError, match="is no part of an array"):
        opened(type="CIFAR10", data_root=str(tmp_path), split="test")


def test_mnist_is_read_packed_or_not_and_shown_grey(tmp_path):
    pictures = np.arange(2 * 28 * 28, dtype=np.uint32).astype(np.uint8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(
        b"\0\0\x08\3" + struct.pack(">III", 2, 28, 28) + pictures.tobytes()
    )
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(b"\0\0\x08\1" + struct.pack(">I", 2) + b"\x07\x01")
    )

    dataset = opened(type="MNIST", data_root=str(tmp_path), pipeline=({"type": "Resize", "scale": 32},))
    result = trace(dataset, 0)

    assert result.class_names == ("7 - seven",)
    assert result.original.image.size == (28, 28)
    assert result.transformed.image.size == (32, 32)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\3" + struct.pack(">III", 2, 28, 28))
    with pytest.raises(DataError, match="cut short"):
        opened(type="MNIST", data_root=str(tmp_path))


def test_an_unknown_dataset_is_named_with_the_nearest(folder):
    with pytest.raises(ConfigError, match="no dataset named 'ImageNett'") as caught:
        opened(type="ImageNett", data_root=str(folder))

    assert "ImageNet" in caught.value.hint


def test_a_folder_needs_no_config(folder):
    source = open_source(f"folder:{folder}")

    dataset = source.dataset("train")

    assert source.parts == ("dataset",)
    assert dataset.length == 5
    assert dataset.class_names(0) == ("a",)
    assert trace(dataset, 0).original.image.size == (8, 10)


def test_a_folder_with_splits_and_a_flat_one_are_understood(tmp_path):
    write(tmp_path / "split" / "train" / "a" / "1.png")
    write(tmp_path / "split" / "val" / "a" / "2.png")
    write(tmp_path / "flat" / "3.webp")

    assert Path(open_source(f"folder:{tmp_path / 'split'}").dataset("val").sample(0).path).name == "2.png"
    assert open_source(f"folder:{tmp_path / 'flat'}").dataset("train").classes is None
    with pytest.raises(DataError, match="no such folder, list or archive"):
        open_source(f"folder:{tmp_path / 'none'}")


def test_tables_of_hugging_face_are_read_row_by_row(tmp_path):
    arrow, parquet, ipc = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet", "pyarrow.ipc"))
    picture = write(tmp_path / "x.png").read_bytes()
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = arrow.table({"image": [{"bytes": picture, "path": None}] * 5, "label": [0, 1, 1, 0, 1]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    (tmp_path / "hub" / "data").mkdir(parents=True)
    parquet.write_table(table, tmp_path / "hub" / "data" / "train-00000-of-00002.parquet", row_group_size=2)
    parquet.write_table(table, tmp_path / "hub" / "data" / "test-00000-of-00001.parquet")
    (tmp_path / "saved").mkdir()
    with ipc.new_stream(str(tmp_path / "saved" / "data-00000-of-00001.arrow"), table.schema) as writer:
        writer.write_table(table)

    for place in ("hub", "saved", "hub/data/test-00000-of-00001.parquet"):
        dataset = open_source(f"folder:{tmp_path / place}").dataset("train")

        assert dataset.length == 5
        assert [dataset.class_names(index) for index in (0, 4)] == [("cat",), ("dog",)]
        assert trace(dataset, 3).original.image.size == (8, 10)


def test_a_table_may_name_files_instead_of_holding_them(tmp_path):
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    rows = [{"bytes": None, "path": str(write(tmp_path / "x.png"))}, {"bytes": None, "path": None}]
    parquet.write_table(arrow.table({"image": rows, "label": [0, 1]}), tmp_path / "a.parquet")

    dataset = open_source(f"folder:{tmp_path / 'a.parquet'}").dataset("train")

    assert trace(dataset, 0).original.image.size == (8, 10)
    with pytest.raises(DataError, match=r"a\.parquet::1: no picture in column 'image'"):
        dataset.load(1)


def test_a_broken_table_is_named(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")

    with pytest.raises(DataError, match=r"a\.parquet: not a table"):
        open_source(f"folder:{tmp_path / 'a.parquet'}").dataset("train")


def test_a_table_without_pyarrow_says_what_to_install(tmp_path):
    if importlib.util.find_spec("pyarrow"):
        pytest.skip("pyarrow is installed")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")

    with pytest.raises(MissingDependency, match="pyarrow is not installed"):
        open_source(f"folder:{tmp_path / 'a.parquet'}").dataset("train")
