"""Annotation lists as people write them: which column holds what is found by names and by content, or refused."""

import gc
import json
import os
from random import Random

import pytest

from classlens.adapters import open_source
from classlens.dataset.trace import trace
from classlens.errors import DataError
from tests.dataset.listings import listed, opened, write

CATS, CAT_AND_DOG = ("cat", "dog"), [("a.jpg", 0), ("b.jpg", 1)]
TWO = [("a.jpg", 0), ("b b.jpg", 1)]
TABLES = {
    "file_name of Hugging Face": ("l.csv", "file_name,label\na.jpg,cat\nb.jpg,dog\n", CATS, CAT_AND_DOG),
    "filepath": ("l.csv", "filepath,label\na.jpg,1\nb.jpg,0\n", None, [("a.jpg", 1), ("b.jpg", 0)]),
    "a heading with capitals": ("l.csv", "Image Path,Class Name\na.jpg,cat\nb.jpg,dog\n", CATS, CAT_AND_DOG),
    "numbers for names": ("l.csv", "image_id,breed\n000b,collie\n001a,akita\n", ("akita", "collie"), [("000b", 1), ("001a", 0)]),
    "label first": ("l.csv", "label,path\ncat,a.jpg\ndog,b.jpg\n", CATS, CAT_AND_DOG),
    "label first without a heading": ("l.csv", "0,a.jpg\n1,b.jpg\n0,c.jpg\n", None, [*CAT_AND_DOG, ("c.jpg", 0)]),
    "label first in a text": ("l.txt", "label path\n0 a.jpg\n1 b.jpg\n", None, CAT_AND_DOG),
    "the index of pandas": ("l.csv", ",path,label\n0,a.jpg,cat\n1,b.jpg,dog\n", CATS, CAT_AND_DOG),
    "the index of pandas, read and written": ("l.csv", "Unnamed: 0,img,y\n4,a.jpg,0\n7,b.jpg,1\n", None, CAT_AND_DOG),
    "semicolons": ("l.csv", "path;label\na.jpg;cat\nb.jpg;dog\n", CATS, CAT_AND_DOG),
    "semicolons in a text": ("l.txt", "a.jpg;cat\nb b.jpg;dog\n", CATS, TWO),
    "commas in a text": ("l.txt", "a.jpg,cat\nb b.jpg,dog\n", CATS, TWO),
    "tabs": ("l.csv", "path\tlabel\na.jpg\t0\nb b.jpg\t1\n", None, TWO),
    "tabs and names of two words": ("l.tsv", "a.jpg\tbig cat\nb b.jpg\tdog\n", ("big cat", "dog"), TWO),
    "bars": ("l.csv", "a.jpg|cat\nb b.jpg|dog\n", CATS, TWO),
    "a text with a heading": ("l.txt", "path label\na.jpg 0\nb b.jpg 1\n", None, TWO),
    "a text with three columns": ("l.txt", "idx path label\n0 a.jpg 0\n1 b.jpg 1\n", None, CAT_AND_DOG),
    "one column per class": (
        "l.csv",
        "image,cat,dog\na.jpg,1,0\nb.jpg,0,1\nc.jpg,1,1\nd.jpg,0,0\n",
        CATS,
        [*CAT_AND_DOG, ("c.jpg", 0, 1), ("d.jpg",)],
    ),
    "one column per class in -1 and 1": ("l.csv", "image_id,Male,Smiling\na.jpg,1,-1\nb.jpg,-1,1\n", ("Male", "Smiling"), CAT_AND_DOG),
    "one column per class in floats": ("l.csv", ",image,cat,dog\n0,a.jpg,1.0,0.0\n1,b.jpg,0.0,1.0\n", CATS, CAT_AND_DOG),
    "further columns beside a label": ("l.csv", "image,width,height,label\na.jpg,64,48,cat\nb.jpg,63,48,dog\n", CATS, CAT_AND_DOG),
    "masks": ("l.csv", "image,mask,label\na.jpg,a.png,0\nb.jpg,b.png,1\n", None, CAT_AND_DOG),
    "names beside numbers": ("l.csv", "path,class,class_id\na.jpg,zebra,0\nb.jpg,ant,1\n", ("ant", "zebra"), [("a.jpg", 1), ("b.jpg", 0)]),
    "numbers that pandas made floats": ("l.csv", "path,label\na.jpg,10.0\nb.jpg,2.0\n", None, [("a.jpg", 10), ("b.jpg", 2)]),
    "names with commas": ("l.csv", 'path,label\na.jpg,"tench, Tinca tinca"\nb.jpg,dog\n', ("dog", "tench, Tinca tinca"), [("a.jpg", 1), ("b.jpg", 0)]),
    "names without an ending": ("l.txt", "n01/img1 0\nn02/img2 1\n", None, [("n01/img1", 0), ("n02/img2", 1)]),
    "a table of Excel": ("l.csv", "sep=;\npath;label\na.jpg;cat\nb.jpg;dog\n", CATS, CAT_AND_DOG),
    "quotes behind blanks": ("l.csv", '"path", "label"\n"a.jpg", "cat"\n"b.jpg", "dog"\n', CATS, CAT_AND_DOG),
    "one row": ("l.csv", "a.jpg,1\n", None, [("a.jpg", 1)]),
    "names without ending and heading": ("l.csv", "cat,x1\ncat,x2\ndog,x3\n", CATS, [("x1", 0), ("x2", 0), ("x3", 1)]),
}  # fmt: skip


def samples(dataset, folder):
    found = map(dataset.sample, range(dataset.length))
    return [(os.path.relpath(one.path, folder), *one.labels) for one in found]


@pytest.mark.parametrize(("name", "content", "classes", "expected"), TABLES.values(), ids=TABLES.keys())
def test_columns_are_found_by_their_names_and_by_what_they_hold(name, content, classes, expected, tmp_path):
    (tmp_path / name).write_text(content)

    dataset = open_source(f"csv:{tmp_path / name}").dataset("train")

    assert dataset.classes == classes
    assert samples(dataset, tmp_path) == expected
    assert dataset.warnings == ()


DOUBTS = {
    "two numbers": ("l.csv", "image,width,height\na.jpg,64,48\nb.jpg,63,48\n", r"'width' \(64, 63, ...\) or column 'height' \(48"),
    "no heading": ("l.csv", "a.jpg,64,cat\nb.jpg,63,dog\n", r"which column holds labels: column 2 \(64, 63, ...\) or column 3"),
    "two pictures": ("l.csv", "a.jpg,a.png,0\nb.jpg,b.png,1\n", "which column holds pictures: column 1"),
    "an index without a heading": ("l.csv", "0,a.jpg,cat\n1,b.jpg,dog\n2,c.jpg,cat\n", r"labels: column 1 \(0, 1, 2, ...\) or column 3"),
    "labels or a running number": ("l.csv", "0,a.jpg\n1,b.jpg\n2,c.jpg\n", r"labels, or a running number: column 1 \(0, 1, 2"),
    "a 2 among 0 and 1": ("l.csv", "image,cat,dog\na.jpg,1,0\nb.jpg,0,2\n", r"column 'cat' \(1, 0, ...\) or column 'dog' \(0, 2"),
    "keys of JSON": ("l.json", '[{"image": "a.jpg", "w": 1, "h": 2}]', r"column 'w' \(1, ...\) or column 'h'"),
    "several lists in JSON": ("l.json", '{"train": [{"path": "a.jpg"}], "val": [{"path": "b.jpg"}]}', "no data_list with samples in it; it has train, val"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), DOUBTS.values(), ids=DOUBTS.keys())
def test_where_two_columns_may_be_meant_the_error_shows_what_was_understood(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)

    with pytest.raises(DataError, match=message) as refused:
        open_source(f"csv:{tmp_path / name}").dataset("train")

    assert refused.value.hint


JSON = {
    "other keys": ([{"file_name": "a.jpg", "label": "cat"}, {"file_name": "b.jpg", "label": "dog"}], CATS),
    "names as keys": ({"a.jpg": 0, "b.jpg": 1}, None),
    "pairs": ([["a.jpg", 0], ["b.jpg", 1]], None),
    "one key per class": ([{"image": "a.jpg", "cat": 1, "dog": 0}, {"image": "b.jpg", "cat": False, "dog": True}], CATS),
    "names in gt_label": ([{"img_path": "a.jpg", "gt_label": ["cat"]}, {"img_path": "b.jpg", "gt_label": "dog"}], CATS),
    "categories of COCO and iNaturalist": (
        {
            "images": [{"id": 5, "file_name": "a.jpg"}, {"id": 6, "file_name": "b.jpg"}],
            "annotations": [{"image_id": 6, "category_id": 9}, {"image_id": 5, "category_id": 3}],
            "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
        },
        CATS,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "classes"), JSON.values(), ids=JSON.keys())
def test_lists_in_json_may_have_any_form(content, classes, tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(content))

    dataset = open_source(f"csv:{tmp_path / 'list.json'}").dataset("train")

    assert dataset.classes == classes
    assert samples(dataset, tmp_path) == CAT_AND_DOG


def test_a_list_in_utf_16_is_read_as_excel_writes_it(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg\tcat\nb.jpg\tdog\n", encoding="utf-16")

    assert samples(open_source(f"csv:{tmp_path / 'list.txt'}").dataset("train"), tmp_path) == CAT_AND_DOG


@pytest.mark.parametrize(("name", "content"), [("l.csv", "\n \n"), ("l.txt", "\n\n"), ("l.csv", "image,label\n")])
def test_a_list_without_a_picture_is_refused(name, content, tmp_path):
    (tmp_path / name).write_text(content)

    with pytest.raises(DataError, match="no line of the form 'path label'"):
        open_source(f"csv:{tmp_path / name}").dataset("train")


def test_meta_information_of_another_form_names_no_classes(tmp_path):
    rows = [{"img_path": "a.jpg", "gt_label": 0}, {"img_path": "b.jpg", "gt_label": 1}]
    (tmp_path / "list.json").write_text(json.dumps({"metainfo": ["cat", "dog"], "data_list": rows}))

    dataset = open_source(f"csv:{tmp_path / 'list.json'}").dataset("train")

    assert dataset.classes is None
    assert samples(dataset, tmp_path) == CAT_AND_DOG


def test_columns_of_classes_are_numbered_as_the_config_numbers_them(tmp_path):
    (tmp_path / "list.csv").write_text("image,cat,dog\na.jpg,1,0\nb.jpg,0,1\n")
    settings = {"type": "CustomDataset", "data_root": str(tmp_path), "ann_file": "list.csv"}

    reordered = opened(**settings, metainfo={"classes": ["dog", "cow", "cat"]})
    renamed = opened(**settings, metainfo={"classes": ["Katze", "Hund"]})

    assert samples(reordered, tmp_path) == [("a.jpg", 2), ("b.jpg", 0)]
    assert samples(renamed, tmp_path) == [("a.jpg", 0), ("b.jpg", 1)]
    with pytest.raises(DataError, match="2 columns of 0 and 1, but 3 class names"):
        opened(**settings, metainfo={"classes": ["x", "y", "z"]})


def test_a_column_of_splits_is_not_followed_and_said_so(tmp_path):
    (tmp_path / "list.csv").write_text("path,breed,split\na.jpg,cat,train\nb.jpg,dog,val\n")

    dataset = open_source(f"csv:{tmp_path / 'list.csv'}").dataset("train")

    assert samples(dataset, tmp_path) == CAT_AND_DOG
    assert dataset.warnings == (f"{tmp_path}/list.csv: all rows are shown, whatever column 'split' says",)


def test_captions_and_fractions_are_no_silent_classes(tmp_path):
    (tmp_path / "texts.csv").write_text("file_name,text\n" + "".join(f"{n}.jpg,picture {n}\n" for n in range(30)))
    (tmp_path / "scores.csv").write_text("file_name,score\na.jpg,0.25\nb.jpg,1.5\n")

    texts = open_source(f"csv:{tmp_path / 'texts.csv'}").dataset("train")
    scores = open_source(f"csv:{tmp_path / 'scores.csv'}").dataset("train")

    assert "every picture has a class of its own, such as 'picture 0'" in texts.warnings[0]
    assert samples(scores, tmp_path) == [("a.jpg",), ("b.jpg",)]
    assert "label is not a number" in scores.warnings[0]


def test_trouble_in_a_table_is_told_with_its_line(tmp_path):
    rows = "".join(f"{number}.jpg,1,0\n" for number in range(20_000))
    (tmp_path / "list.csv").write_text(f"image,cat,dog\n{rows}x.jpg,1,2\ny.jpg,1\n,,\n")

    warnings = open_source(f"csv:{tmp_path / 'list.csv'}").dataset("train").warnings

    assert "list.csv:20002 (\"'2' for class 1\")" in warnings[0]
    assert "list.csv:20003 (\"'' for class 1\")" in warnings[0]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_is_read_as_the_loader_of_hugging_face_reads_it(separator, tmp_path):
    datasets = pytest.importorskip("datasets")
    cells = [["", "file_name", "label"], *([str(n), f'"{n}{separator} x.jpg"', f"{n % 3}"] for n in range(9))]
    (tmp_path / "list.csv").write_text("\n".join(separator.join(row) for row in cells))
    settings = {"data_files": str(tmp_path / "list.csv"), "sep": separator, "cache_dir": str(tmp_path / "cache")}
    expected = datasets.load_dataset("csv", split="train", **settings)

    dataset = open_source(f"csv:{tmp_path / 'list.csv'}").dataset("train")

    assert samples(dataset, tmp_path) == list(zip(expected["file_name"], expected["label"], strict=True))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # datasets leaves its file open
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_metadata_of_an_image_folder_is_read_as_hugging_face_reads_it(kind, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [{"file_name": f"{number}.png", "label": "zebra" if number % 2 else "ant"} for number in range(5)]
    for row in rows:
        write(tmp_path / "data" / row["file_name"])
    lines = (
        [json.dumps(row) for row in rows]
        if kind == "jsonl"
        else ["file_name,label", *map(",".join, map(dict.values, rows))]
    )
    (tmp_path / "data" / f"metadata.{kind}").write_text("\n".join(lines))
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    expected = loaded["train"].cast_column("image", datasets.Image(decode=False))
    gc.collect()

    dataset = open_source(f"csv:{tmp_path / 'data'}/metadata.{kind}").dataset()

    found = [(dataset.sample(index).path, dataset.class_names(index)) for index in range(dataset.length)]
    assert found == [(row["image"]["path"], (row["label"],)) for row in expected]


def test_lists_of_openmmlab_are_split_at_the_last_blank_whatever_their_names_hold(tmp_path):
    random = Random(0)
    parts = ["a", "b c", "1", "x,y", "s;t", "img", "path", "1 2", "label", "a|b", "n01", "-"]
    for _ in range(200):
        names = ["/".join(random.choices(parts, k=2)) + random.choice([".jpg", ".JPEG", ""]) for _ in range(4)]
        lines = [f"{name}{number} {random.randrange(3)}" for number, name in enumerate(names)]
        (tmp_path / "list.txt").write_text("\n".join(lines))

        dataset = opened(type="CustomDataset", data_root=str(tmp_path), ann_file="list.txt")

        expected = [line.rsplit(" ", 1) for line in lines]  # as mmpretrain's CustomDataset does
        assert samples(dataset, tmp_path) == [(name, int(label)) for name, label in expected]


def test_a_list_that_labels_a_folder_in_several_ways_is_no_slip(tmp_path):
    (tmp_path / "list.txt").write_text("cat/1.jpg 0\ncat/2.jpg 1\n")

    dataset = opened(type="CustomDataset", data_root=str(tmp_path), ann_file="list.txt", classes=["cat", "dog"])

    assert dataset.warnings == ()


def test_numbers_in_a_list_are_numbers_also_where_classes_are_called_so(tmp_path):
    (tmp_path / "list.txt").write_text("1.jpg 0\n2.jpg 1\n")

    dataset = opened(type="CustomDataset", data_root=str(tmp_path), ann_file="list.txt", classes=["1", "2"])

    assert [dataset.class_names(index) for index in range(2)] == [("1",), ("2",)]


def test_the_categories_of_a_list_are_its_classes_in_the_order_of_their_ids(tmp_path):
    categories = [{"id": 4, "category_name": "late"}, {"id": 1, "category_name": "early"}]
    rows = [{"img_path": "a.jpg", "gt_label": [1]}]
    (tmp_path / "list.json").write_text(json.dumps({"metainfo": {"categories": categories}, "data_list": rows}))

    dataset = opened(type="MultiLabelDataset", data_root=str(tmp_path), ann_file="list.json")

    assert dataset.classes == ("early", "late")
    assert dataset.class_names(0) == ("late",)


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
    ("content", "message"),
    [
        ("{", ":1: not JSON"),
        ("{}", "no data_list"),
        ("[]", "no data_list"),
        ("[{}]", "its samples are empty"),
        ("[" * 100_000, "not a list in JSON: RecursionError"),
        ("[{\0", "not a text: there are zeros in it"),
    ],
)
def test_a_broken_json_list_is_named(content, message, tmp_path):
    (tmp_path / "list.json").write_text(content)

    with pytest.raises(DataError, match=message):
        opened(type="BaseDataset", data_root=str(tmp_path), ann_file="list.json")


def test_a_heading_may_be_shorter_than_its_rows(tmp_path):
    (tmp_path / "list.csv").write_text("x,label\n7,0,a.jpg\n8,1,b.jpg\n9,1,\n")
    (tmp_path / "hot.csv").write_text("image,cat\na.jpg,1,0\nb.jpg,0,1\n")

    dataset = open_source(f"csv:{tmp_path / 'list.csv'}").dataset("train")
    hot = open_source(f"csv:{tmp_path / 'hot.csv'}").dataset("train")

    assert samples(dataset, tmp_path) == samples(hot, tmp_path) == CAT_AND_DOG
    assert dataset.warnings == (f"blank line: {tmp_path}/list.csv:4",)
