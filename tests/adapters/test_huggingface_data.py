import numpy as np
import pytest
from PIL import Image as Pillow

import classlens
from classlens.adapters import hub, open_source
from classlens.errors import DataError, NotFound

datasets = pytest.importorskip("datasets")


def rows(image="image", label="label"):
    pictures = [Pillow.fromarray(np.full((8, 10, 3), 40 * number, np.uint8)) for number in range(4)]
    features = datasets.Features({image: datasets.Image(), label: datasets.ClassLabel(names=["cat", "dog"])})
    return datasets.Dataset.from_dict({image: pictures, label: [0, 1, 0, 1]}, features=features)


def test_a_saved_dataset_gives_its_splits_labels_and_names(tmp_path):
    datasets.DatasetDict({"train": rows(), "validation": rows().select([3])}).save_to_disk(str(tmp_path))
    source = open_source(f"hfds:{tmp_path}")

    result = classlens.trace(source.dataset("train"), 3)

    assert (result.original.image.pixels == 120).all()
    assert result.class_names == ("dog",)
    assert source.dataset("val").length == 1
    with pytest.raises(NotFound, match="no split named 'test'"):
        source.dataset("test")


def test_columns_of_other_names_are_named_in_the_address(tmp_path):
    rows("photo", "species").save_to_disk(str(tmp_path))

    dataset = open_source(f"hfds:{tmp_path}?image=photo&label=species").dataset()

    assert classlens.trace(dataset, 1).class_names == ("dog",)
    with pytest.raises(NotFound, match="no column named 'foto'"):
        open_source(f"hfds:{tmp_path}?image=foto").dataset()


def test_a_label_is_read_without_decoding_the_picture(tmp_path, monkeypatch):
    rows().save_to_disk(str(tmp_path))
    dataset = open_source(f"hfds:{tmp_path}").dataset()

    def refuse(*arguments, **settings):
        raise AssertionError("decoded")

    monkeypatch.setattr(datasets.Image, "decode_example", refuse)

    assert dataset.sample(1).labels == (1,)


def test_data_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "reachable", lambda url: False)

    with pytest.raises(DataError, match="no network"):
        open_source("hfds:nobody/nothing").dataset()
    with pytest.raises(DataError, match="no such folder"):
        open_source("hfds:./nowhere").dataset()
    with pytest.raises(DataError, match="cannot be opened"):
        open_source(f"hfds:{tmp_path}").dataset()
