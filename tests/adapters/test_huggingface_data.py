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


def test_a_named_column_takes_the_place_of_one_that_has_the_usual_name(tmp_path):
    rows("photo").add_column("image", [10, 11, 12, 13]).save_to_disk(str(tmp_path))

    dataset = open_source(f"hfds:{tmp_path}?image=photo").dataset()

    assert (classlens.trace(dataset, 3).original.image.pixels == 120).all()


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


@pytest.mark.parametrize("name", ["mine", "MyPets", "MNIST"])
def test_what_was_fetched_before_is_opened_without_a_network(tmp_path, monkeypatch, name):
    """The cache has its folders in snake case, whatever a dataset is called on the Hub."""
    monkeypatch.setattr(hub, "reachable", lambda url: False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    snake = {"MyPets": "my_pets", "MNIST": "mnist"}.get(name, name)
    place = tmp_path / f"user___{snake}" / "default" / "0.0.0" / ("a" * 40)
    place.mkdir(parents=True)
    splits = datasets.SplitDict({"train": datasets.SplitInfo("train", num_examples=4, dataset_name=snake)})
    info = datasets.DatasetInfo(
        features=rows().features, config_name="default", dataset_name=snake, version="0.0.0", splits=splits
    )
    info.write_to_directory(str(place))
    with datasets.arrow_writer.ArrowWriter(path=str(place / f"{snake}-train.arrow"), features=info.features) as writer:
        writer.write_table(rows().data.table)
        writer.finalize()

    dataset = open_source(f"hfds:user/{name}").dataset()

    assert (dataset.length, dataset.classes) == (4, ("cat", "dog"))


def test_the_labels_of_all_samples_are_read_at_once(tmp_path, monkeypatch):
    saved = rows().select([3, 0, 2, 1, 1])
    saved.save_to_disk(str(tmp_path))
    dataset = open_source(f"hfds:{tmp_path}").dataset()
    asked = []
    select = datasets.Dataset.select_columns
    monkeypatch.setattr(
        datasets.Dataset, "select_columns", lambda self, names: asked.append(names) or select(self, names)
    )

    labels = [dataset.sample(index).labels for index in range(dataset.length)]

    assert labels == [(label,) for label in saved["label"]]
    assert asked == [["label"]]


@pytest.mark.parametrize("label", [datasets.ClassLabel(names=["cat", "dog"]), datasets.Value("int64")])
def test_rows_of_a_table_in_any_order_cost_one_reading_of_each_row_group(label, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    saved = datasets.concatenate_datasets([rows()] * 30).cast_column("label", label)
    saved.to_parquet(str(tmp_path / "data.parquet"), batch_size=2)
    read = []
    whole = parquet.ParquetFile.read_row_group
    monkeypatch.setattr(
        parquet.ParquetFile,
        "read_row_group",
        lambda self, number, **kind: read.append(number) or whole(self, number, **kind),
    )
    dataset = open_source(f"folder:{tmp_path / 'data.parquet'}").dataset()
    order = np.random.default_rng(0).permutation(dataset.length)

    labels = [dataset.sample(index).labels for index in order]
    shades = [dataset.to_image(dataset.load(index)).pixels[0, 0, 0] for index in order]

    assert labels == [(saved[int(index)]["label"],) for index in order]
    assert shades == [np.asarray(saved[int(index)]["image"])[0, 0, 0] for index in order]
    assert len(set(read)) > 4
    assert len(read) == len(set(read))


def test_labels_of_a_table_that_are_names_are_its_classes(tmp_path):
    table = rows().cast_column("label", datasets.Value("string"))
    table = table.map(lambda row, index: {"label": ["zebra", "ant"][index % 2]}, with_indices=True)
    table.to_parquet(str(tmp_path / "data.parquet"))

    dataset = open_source(f"folder:{tmp_path / 'data.parquet'}").dataset()

    assert dataset.classes == ("ant", "zebra")
    assert [dataset.class_names(index)[0] for index in range(4)] == list(table["label"])
