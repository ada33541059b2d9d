"""The one list of split words, and the one of picture endings."""

import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.adapters import open_source
from classlens.dataset.conventions import files_of_split, is_picture_name
from classlens.errors import NotFound


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.avif", "a.webp", "a.jp2", "a.b.tiff"])
def test_pictures_are_known_by_their_endings(name):
    assert is_picture_name(name)


@pytest.mark.parametrize("name", ["jpg", "a.jpg.txt", "a.pth", "a"])
def test_other_files_are_not(name):
    assert not is_picture_name(name)


@pytest.mark.parametrize("word", ["val", "valid", "validation", "dev", "eval"])
def test_a_split_is_found_under_any_of_its_words(word, tmp_path):
    for split in ("train", word):
        place = tmp_path / split / "cat" / "x.png"
        place.parent.mkdir(parents=True)
        Pillow.fromarray(np.zeros((4, 4, 3), np.uint8)).save(place)

    dataset = open_source(f"folder:{tmp_path}").dataset("val")

    assert dataset.sample(0).path == str(tmp_path / word / "cat" / "x.png")


def test_files_belong_to_the_split_that_their_names_begin_with():
    files = ["trainset-0.tar", "val-0.tar", "dev.tar"]

    assert files_of_split(files, "train", "here") == ["trainset-0.tar"]
    assert files_of_split(files, "val", "here") == ["val-0.tar", "dev.tar"]
    assert files_of_split(["device-0.tar"], "train", "here") == ["device-0.tar"]
    with pytest.raises(NotFound, match="no split named 'test' in here"):
        files_of_split(files, "test", "here")
