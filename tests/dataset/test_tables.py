"""Tables of Hugging Face."""

import json
import sys

import pytest

from classlens.adapters import open_source
from classlens.dataset.trace import trace
from classlens.errors import DataError, MissingDependency
from classlens.files import CHOSEN
from tests.dataset.listings import folder as folder
from tests.dataset.listings import picture as picture
from tests.dataset.listings import write


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


def test_an_arrow_file_may_be_of_the_form_with_a_footer(tmp_path):
    """What `pyarrow.feather` and pandas write, where Hugging Face writes streams."""
    arrow, ipc = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.ipc"))
    table = arrow.table({"image": [write(tmp_path / "x.png").read_bytes()] * 2, "label": [3, 4]})
    with ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)

    dataset = open_source(f"folder:{tmp_path / 'a.arrow'}").dataset("train")

    assert [dataset.sample(index).labels for index in range(2)] == [(3,), (4,)]
    assert trace(dataset, 1).original.image.size == (8, 10)


def test_a_table_without_pictures_or_with_too_many_rows_is_refused(tmp_path, monkeypatch):
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    parquet.write_table(arrow.table({"text": ["a"], "label": [0]}), tmp_path / "texts.parquet")
    parquet.write_table(arrow.table({"image": [b"x"] * 3, "label": [0] * 3}), tmp_path / "long.parquet")

    with pytest.raises(DataError, match=r"texts\.parquet: no column named image, .*; it has text, label"):
        open_source(f"folder:{tmp_path / 'texts.parquet'}").dataset("train")
    monkeypatch.setenv(CHOSEN, "rows=2")
    with pytest.raises(DataError, match="3 rows, the limit is 2") as caught:
        open_source(f"folder:{tmp_path / 'long.parquet'}").dataset("train")
    assert caught.value.hint == "--limit rows=3"


def test_a_broken_table_is_named(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")

    with pytest.raises(DataError, match=r"a\.parquet: not a table"):
        open_source(f"folder:{tmp_path / 'a.parquet'}").dataset("train")


def test_a_table_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")

    with pytest.raises(MissingDependency, match="pyarrow is not installed"):
        open_source(f"folder:{tmp_path / 'a.parquet'}").dataset("train")
