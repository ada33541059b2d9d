import pytest

from classlens.adapters import open_source
from classlens.errors import ConfigError, DataError
from tests.adapters import published
from tests.adapters.test_samples import listed, opened

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
