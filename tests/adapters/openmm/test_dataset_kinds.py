"""The published datasets that OpenMMLab knows by name."""

import gzip
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from classlens.adapters import open_source
from classlens.dataset.trace import trace
from classlens.errors import ConfigError, DataError, MissingDependency
from tests.adapters.openmm import published
from tests.dataset.listings import folder as folder
from tests.dataset.listings import listed, opened, write, write_cifar
from tests.dataset.listings import picture as picture

FOOD = ["apple_pie", "baklava", "churros"]

PLANES = ["707-320", "A318", "F-16A B"]

SPLITS = {
    "CUB": (published.cub, "train", [("a.jpg", 0), ("c.jpg", 1)], "Black_footed_Albatross"),
    "Caltech101": (published.caltech101, "train", [("image_1.jpg", 1), ("image_2.jpg", 5)], "Faces"),
    "Food101": (lambda root: published.food101(root, FOOD), "test", [("12.jpg", 1)], "baklava"),
    "FGVCAircraft": (
        lambda root: published.aircraft(root, PLANES),
        "trainval",
        [("0000003.jpg", 0), ("0000005.jpg", 2)],
        "707-320",
    ),
    "OxfordIIITPet": (published.pets, "test", [("american_bulldog_8.jpg", 1)], "american_bulldog"),
    "SUN397": (published.sun397, "train", [("sun_1.jpg", 0), ("sun_2.jpg", 3)], "abbey"),
    "InShop": (published.inshop, "train", [("1.jpg", 0), ("2.jpg", 1), ("3.jpg", 0)], "id_7"),
    "DTD": (published.dtd, "val", [("b2.jpg", 1)], "blotchy"),
    "Flowers102": (
        published.flowers102,
        "trainval",
        [(f"image_{n:05d}.jpg", k) for n, k in ((5, 0), (1, 2), (2, 0), (3, 1))],
        "0",
    ),
    "StanfordCars": (published.cars, "train", [("1.jpg", 1), ("3.jpg", 1)], "Acura RL Sedan 2012"),
}

MATLAB = {"DTD", "Flowers102", "StanfordCars"}


@pytest.mark.parametrize("kind", SPLITS)
def test_a_published_dataset_is_read_by_its_own_lists(kind, tmp_path):
    if kind in MATLAB:
        pytest.importorskip("scipy")
    build, split, samples, first = SPLITS[kind]

    dataset = opened(type=kind, data_root=str(build(tmp_path)), split=split)

    assert listed(dataset) == samples
    assert dataset.class_names(0) == (first,)
    with pytest.raises(ConfigError, match=f"train dataset: {kind} has no split 'trian'"):
        opened(type=kind, data_root=str(tmp_path), split="trian")


@pytest.mark.parametrize("kind", SPLITS)
def test_a_published_dataset_that_is_not_there_is_named(kind, tmp_path):
    if kind in MATLAB:
        pytest.importorskip("scipy")

    with pytest.raises(DataError, match=f"{tmp_path}.*no such file"):
        opened(type=kind, data_root=str(tmp_path))


def test_cars_may_lie_as_in_the_devkit(tmp_path):
    pytest.importorskip("scipy")

    dataset = opened(type="StanfordCars", data_root=str(published.cars_devkit(tmp_path)), split="test")

    assert listed(dataset) == [("00001.jpg", 0), ("00002.jpg", 1)]
    assert "cars_test/00001.jpg" in dataset.sample(0).path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("image_class_labels.txt", "1 1\n2 two\n", r"image_class_labels.txt:2: not of the form NUMBER NUMBER: '2 two'"),
        ("train_test_split.txt", "1 1\n\n2\n", r"train_test_split.txt:3: not of the form"),
        ("images.txt", "1 a.jpg\n", "name different pictures"),
    ],
)
def test_a_broken_line_of_a_published_list_is_named(name, content, message, tmp_path):
    published.fill(published.cub(tmp_path), {name: content})

    with pytest.raises(DataError, match=message):
        opened(type="CUB", data_root=str(tmp_path))


def test_a_class_that_the_list_of_classes_lacks_is_named(tmp_path):
    published.fill(published.food101(tmp_path, FOOD), {"meta/train.txt": "aple_pie/1\n"})

    with pytest.raises(DataError, match="no class named 'aple_pie'") as caught:
        opened(type="Food101", data_root=str(tmp_path))

    assert "apple_pie" in caught.value.hint


@pytest.mark.parametrize("kind", ["cars_annos.mat", "imdb/imdb.mat"])
def test_a_broken_matlab_file_is_named(kind, tmp_path):
    pytest.importorskip("scipy")
    published.fill(tmp_path, {kind: "nothing" * 40})

    with pytest.raises(DataError, match=f"{kind}: not a MATLAB file"):
        opened(type="StanfordCars" if "cars" in kind else "DTD", data_root=str(tmp_path))
    published.save_matlab(tmp_path / kind, images=3)
    with pytest.raises(DataError, match=f"{kind}: not the annotations"):
        opened(type="StanfordCars" if "cars" in kind else "DTD", data_root=str(tmp_path))


OLD = """
train_pipeline = [dict(type='LoadImageFromFile')]
data = dict(samples_per_gpu=2,
    train=dict(type='CUB', ann_file={root!r} + '/images.txt', data_prefix={root!r} + '/images',
        image_class_labels_file={root!r} + '/image_class_labels.txt',
        train_test_split_file={root!r} + '/train_test_split.txt', pipeline=train_pipeline),
    test=dict(type='VOC', data_prefix={root!r} + '/VOC2007/', ann_file={root!r} + '/VOC2007/ImageSets/Main/test.txt',
        pipeline=train_pipeline))
runner = dict(type='EpochBasedRunner', max_epochs=1)
"""


def test_the_older_generation_names_every_list_in_the_config(tmp_path):
    voc = {
        "VOC2007/ImageSets/Main/test.txt": "000001\n",
        "VOC2007/Annotations/000001.xml": "<annotation><object><name>dog</name></object></annotation>",
    }
    published.fill(published.cub(tmp_path), voc)
    (tmp_path / "config.py").write_text(OLD.format(root=str(tmp_path)))
    source = open_source(str(tmp_path / "config.py"))

    birds, objects = source.dataset("train"), source.dataset("test")

    assert listed(birds) == [("a.jpg", 0), ("c.jpg", 1)]
    assert birds.sample(0).path == str(tmp_path / "images" / "001.Crow" / "a.jpg")
    assert objects.sample(0).path == str(tmp_path / "VOC2007" / "JPEGImages" / "000001.jpg")
    assert objects.class_names(0) == ("dog",)


def test_a_dataset_with_names_of_its_own_keeps_them_unless_the_folders_are_others(folder, tmp_path):
    (tmp_path / "list.txt").write_text("a/1.png 0\n")

    by_list = opened(type="Places205", data_root=str(tmp_path), ann_file="list.txt")
    by_folder = opened(type="Places205", data_root=str(folder))

    assert (len(by_list.classes), by_list.class_names(0)) == (205, ("abbey",))
    assert by_folder.classes == ("a", "b", "c")
    assert by_folder.warnings == ("training stops here: 3 class folders, but 205 class names of Places205",)


@pytest.mark.parametrize(
    ("kind", "split"),
    [*((kind, "val") for kind in ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "ImageNet21k")), ("VOC", "valid")],
)
def test_a_split_that_the_dataset_does_not_have_is_refused(kind, split, tmp_path):
    with pytest.raises(ConfigError, match=f"train dataset: {kind} has no split '{split}'") as refused:
        opened(type=kind, data_root=str(tmp_path), split=split)

    assert "train" in refused.value.hint or "val" in refused.value.hint


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
    with pytest.raises(ConfigError, match="ImageNet has no split"):
        opened(type="ImageNet", data_root=str(tmp_path), split="trian")


def test_cifar_is_read_as_rgb_and_nothing_in_it_is_run(tmp_path):
    folder = write_cifar(tmp_path, red=255)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": Path("x"), "labels": []}))

    dataset = opened(type="CIFAR10", data_root=str(tmp_path), pipeline=({"type": "RandomFlip", "prob": 1.0},))

    assert dataset.length == 10
    assert dataset.class_names(1) == ("truck",)
    np.testing.assert_array_equal(trace(dataset, 0).transformed.image.pixels, np.full((32, 32, 3), (255, 0, 0)))
    with pytest.raises(DataError, match="is no part of an array"):
        opened(type="CIFAR10", data_root=str(tmp_path), split="test")


def test_tuples_of_the_same_tuples_are_refused_before_they_are_hashed(tmp_path):
    folder = write_cifar(tmp_path, red=255)
    bomb: tuple = (0, 0)
    for _ in range(60):
        bomb = (bomb, bomb)
    content = pickle.dumps([bomb, {}])
    (folder / "test_batch").write_bytes(content)  # as a key of the dict it would be hashed for years

    with pytest.raises(DataError, match="tuples hold one another again and again"):
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


def test_cifar_100_has_files_and_labels_of_its_own(tmp_path):
    (tmp_path / "cifar-100-python").mkdir()
    content = {"data": np.zeros((2, 3072), np.uint8), "fine_labels": [99, 0], "coarse_labels": [1, 2]}
    (tmp_path / "cifar-100-python" / "test").write_bytes(pickle.dumps(content))

    dataset = opened(type="CIFAR100", data_root=str(tmp_path), split="test")

    assert [dataset.class_names(index) for index in range(2)] == [("worm",), ("apple",)]


def test_pictures_and_labels_in_memory_are_as_many(tmp_path):
    for name, header in (("train-images-idx3", (2051, 2, 1, 1)), ("train-labels-idx1", (2049, 3))):
        (tmp_path / f"{name}-ubyte").write_bytes(struct.pack(f">{len(header)}I", *header) + bytes(header[1]))

    with pytest.raises(DataError, match="2 pictures, but 3 labels"):
        opened(type="MNIST", data_root=str(tmp_path))


def test_the_pictures_of_imagenet_s_test_have_no_labels(tmp_path):
    write(tmp_path / "test" / "a.jpg")

    dataset = opened(type="ImageNet", data_root=str(tmp_path), split="test")

    assert (dataset.length, dataset.sample(0).labels) == (1, ())


def test_several_labels_of_imagenet_21k_stop_training(tmp_path):
    with pytest.raises(ConfigError, match="training stops at multi_label=True, which ImageNet21k does not support"):
        opened(type="ImageNet21k", data_root=str(tmp_path), multi_label=True)


def test_lists_that_name_no_picture_are_an_error(tmp_path):
    published.fill(published.food101(tmp_path, FOOD), {"meta/train.txt": "\n"})

    with pytest.raises(DataError, match="train dataset: its lists name no picture"):
        opened(type="Food101", data_root=str(tmp_path), split="train")


def test_voc_pictures_have_the_labels_of_their_objects_and_say_what_is_wrong_with_them(picture, tmp_path):
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "trainval.txt").write_text("1\n2\n3\n4\n")
    (tmp_path / "Annotations").mkdir()
    rows = (("dog", 0), ("cat", 0), ("dog", 0), ("car", 1), ("unicorn", 0))
    objects = "".join(f"<object><name>{name}</name><difficult>{hard}</difficult></object>" for name, hard in rows)
    for name, content in (("1", objects.replace("unicorn", "cat")), ("2", objects), ("3", "<object>")):
        (tmp_path / "Annotations" / f"{name}.xml").write_text(f"<annotation>{content}</annotation>")
    (tmp_path / "JPEGImages").mkdir()
    for number in range(1, 5):
        (tmp_path / "JPEGImages" / f"{number}.jpg").write_bytes(picture)

    dataset = opened(type="VOC", data_root=str(tmp_path))
    told = [trace(dataset, index).remarks for index in range(4)]

    assert [dataset.class_names(index) for index in range(4)] == [("cat", "dog"), ("cat", "dog"), (), ()]
    assert told[0] == ()
    assert told[1] == ("no such class: unicorn",)
    assert "3.xml: mismatched tag" in told[2][0]
    assert "4.xml: no such file" in told[3][0]


def test_matlab_files_without_scipy_say_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "cars_annos.mat").touch()
    monkeypatch.setitem(sys.modules, "scipy.io", None)

    with pytest.raises(MissingDependency, match="scipy is not installed"):
        opened(type="StanfordCars", data_root=str(tmp_path))
