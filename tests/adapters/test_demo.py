import hashlib
from contextlib import nullcontext

import pytest
from PIL import Image

from classlens import demo_photos
from classlens.demo_photos import CLASSES, COMPLETE, make_photos
from classlens.errors import DataError


def digests(folder):
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.jpg")}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("demo") / "photos")


def test_the_demo_dataset_has_hundreds_of_real_pictures_in_several_classes(photos):
    pictures = list(photos.rglob("*.jpg"))

    assert len(pictures) >= 200
    assert {path.parent.name for path in pictures} == set(CLASSES)
    for path in pictures:
        with Image.open(path) as picture:
            assert min(picture.size) >= 100


def test_no_two_crops_are_the_same(photos):
    found = digests(photos)

    assert len(set(found.values())) == len(found)


def test_the_same_photos_are_made_every_time(photos, tmp_path):
    assert digests(make_photos(tmp_path / "photos")) == digests(photos)


def test_an_interrupted_folder_is_made_again_and_a_complete_one_is_left_alone(tmp_path):
    broken = tmp_path / "photos"
    (broken / "train" / "cat").mkdir(parents=True)
    make_photos(broken)
    added = broken / "train" / "cat" / "mine.jpg"
    added.touch()

    make_photos(broken)

    assert added.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("is_complete", [True, False])
def test_photos_that_another_process_made_meanwhile_are_taken_if_they_are_complete(tmp_path, monkeypatch, is_complete):
    remove = demo_photos.shutil.rmtree

    def make_meanwhile(folder, **settings):
        if folder != tmp_path / "photos":
            remove(folder, **settings)
            return
        (folder / "train").mkdir(parents=True)
        (folder / (COMPLETE if is_complete else "half")).touch()

    monkeypatch.setattr(demo_photos.shutil, "rmtree", make_meanwhile)
    monkeypatch.setattr(demo_photos, "CLASSES", dict([*CLASSES.items()][:1]))

    with nullcontext() if is_complete else pytest.raises(DataError, match="not empty"):
        assert make_photos(tmp_path / "photos") == tmp_path / "photos"
