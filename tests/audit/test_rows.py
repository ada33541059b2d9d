from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import classlens
from classlens.audit.manifest import read_manifest
from classlens.audit.measure import pool
from classlens.audit.place import Place
from classlens.audit.rows import read_rows, schema_of
from classlens.audit.shards import begin
from classlens.errors import DataError, NotFound, WrongValue
from tests.audit.tiny_setup import row, write_network, write_pictures, write_rows


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    """An audit of 50 pictures, of which one is bad and one of another size."""
    place = tmp_path_factory.mktemp("rows")
    pictures = classlens.open_source(write_pictures(place / "photos", 50, bad=(7,), other_size=(9,)))
    network = classlens.open_source(write_network(place))
    options = classlens.AuditOptions(methods=["GradCAM", "EigenCAM"], flips=True, batch_size=4)
    return classlens.audit(network, place / "out", pictures=pictures, options=options)


def all_rows(audit, columns=None, **how):
    parts = list(read_rows(audit.folder, columns, **how))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_pandas_polars_and_duckdb_read_the_same_rows(audit):
    files = f"{audit.folder}/rows/*.parquet"
    frame = pl.read_parquet(files)
    tables = [
        pd.concat(map(pd.read_parquet, sorted(Path(audit.folder, "rows").iterdir()))).reset_index(drop=True),
        frame.to_pandas(),
        duckdb.sql(f"select * from '{files}' order by index").df(),
    ]

    assert [len(table) for table in tables] == [50, 50, 50]
    for table in tables:
        assert table["index"].tolist() == list(range(50))
        assert table["path"].tolist() == tables[0]["path"].tolist()
        np.testing.assert_array_equal(table["probability"].to_numpy(float), tables[0]["probability"].to_numpy(float))
        np.testing.assert_array_equal(table["map_0"][0], tables[0]["map_0"][0])
    assert frame.schema["map_0"] == pl.List(pl.Float16)


def test_rows_agree_with_the_network_asked_directly(audit):
    """Predictions, probabilities, losses and maps are those of `explain`, which feeds one picture after the other."""
    rows = all_rows(audit)
    classifier = classlens.open_source(audit.manifest.target).classifier()
    images = [classlens.read_image(path) for path in rows["path"].tolist()]
    maps = classlens.explain(classifier, images, methods=["GradCAM", "EigenCAM"])

    for method, column in (("GradCAM", "map_0"), ("EigenCAM", "map_1")):
        for at, one in enumerate(maps.where(method=method)):
            if images[at].size != (16, 16):
                continue  # brought to the usual size
            assert rows["predicted"][at] == one.predicted.target
            assert rows["probability"][at] == pytest.approx(one.predicted.probability, rel=1e-5)
            values = rows[column][at].astype(np.float32) * rows[f"{column}_scale"][at]
            np.testing.assert_allclose(values, one.values, atol=2e-3 * np.abs(one.values).max())
    labels = np.exp(-rows["loss"].astype(float))
    np.testing.assert_allclose(labels, rows["label_probability"], rtol=1e-5)
    shares = np.exp(rows["logits"].astype(float))
    np.testing.assert_allclose((shares / shares.sum(axis=1, keepdims=True)).max(axis=1), rows["probability"], rtol=5e-3)


def test_a_bad_picture_is_a_row_with_an_error(audit):
    bad, good = all_rows(audit, ["path", "error", "predicted"], bad=True), all_rows(audit, ["predicted"])

    assert len(bad["index"]) == 1
    assert bad["path"][0].endswith("00007.png")
    assert "header cannot be read" in bad["error"][0]
    assert bad["predicted"].tolist() == [-1]
    assert len(good["index"]) == 49
    assert audit.summary.bad == {"damaged PNG: its header cannot be read": 1}


def test_columns_say_what_they_are_and_unknown_ones_are_refused(audit):
    schema = schema_of(audit.manifest)

    assert all(field.metadata[b"says"] for field in schema)
    with pytest.raises(NotFound, match=r"no column named 'probabilty' in .*out"):
        next(read_rows(audit.folder, ["probabilty"]))


def test_evidence_in_a_corner_and_evidence_everywhere_are_told_apart():
    from classlens.audit.measure import describe_maps

    maps = np.zeros((3, 8, 8), np.float32)
    maps[0] = 2.0
    maps[1, 0, 0] = 3.0
    facts = describe_maps(maps)

    np.testing.assert_allclose(facts["_border"][:2], [1 - 0.75**2, 1])
    np.testing.assert_allclose(facts["_centre"][:2], [0.25, 0])
    np.testing.assert_allclose(facts["_entropy"][:2], [1, 0], atol=1e-9)
    np.testing.assert_allclose(facts["_area"][:2], [1, 1 / 64])
    assert [facts[name][2] for name in ("_border", "_centre", "_entropy")] == [None] * 3
    assert facts["_scale"] == [2.0, 3.0, 0.0]


def test_features_of_a_picture_are_the_mean_over_its_tokens_and_its_parts():
    """As numpy's mean says it; heads read pixels, tokens, or vectors, and some read a picture in several parts."""
    tokens, parts = np.arange(24.0).reshape(2, 3, 4), np.arange(48.0).reshape(4, 3, 2, 2)

    assert pool(torch.tensor(tokens), 2).tolist() == tokens.mean(axis=1).tolist()
    assert pool(torch.tensor(parts), 2).tolist() == parts.reshape(2, 2, 3, 4).mean(axis=(1, 3)).tolist()


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1 no rows")])
def test_rows_that_cannot_be_read_say_how_to_get_them(tmp_path, damage):
    write_rows(tmp_path, [row(at, 0, 0) for at in range(6)])
    damage(tmp_path / "rows" / "part-00001.parquet")

    with pytest.raises(DataError, match=r"cannot read .*part-00001\.parquet") as error:
        list(read_rows(str(tmp_path)))

    assert "it makes what is missing" in error.value.hint


def test_a_manifest_of_another_format_is_refused(tmp_path):
    place = write_rows(tmp_path, [row(0, 0, 0)])
    content = place.read("manifest.json")
    place.write("manifest.json", content.replace(b'"format": 1', b'"format": 2'))

    with pytest.raises(DataError, match="has format 2, this classlens reads 1"):
        list(read_rows(str(tmp_path)))


def test_files_behind_an_address_are_written_and_removed_as_on_a_disk(tmp_path):
    (tmp_path / "taken").touch()
    place = Place(f"file://{tmp_path}/out")

    place.write("rows/a", b"1")
    assert (place.names("rows"), (tmp_path / "out/rows/a").read_bytes()) == ({"a"}, b"1")
    for _ in range(2):  # another process may have removed it before
        place.remove("rows/a")
    assert place.names("rows") == set()
    with pytest.raises(DataError, match=r"cannot write file://.*/taken/rows/a: "):
        Place(f"file://{tmp_path}/taken").write("rows/a", b"1")


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"methods": "GradCAM"}, "methods and layers are lists of names"),
        ({"layers": "3"}, "methods and layers are lists of names"),
        ({"number": 0}, "number is at least 1, not 0"),
        ({"batch_size": -1}, "batch_size is at least 1, not -1"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused_when_they_are_made(wish, said):
    with pytest.raises(WrongValue, match=said):
        classlens.AuditOptions(**wish)


def test_rows_without_a_manifest_are_somebody_elses(tmp_path):
    place = write_rows(tmp_path, [row(0, 0, 0)])
    manifest = read_manifest(place)
    place.remove("manifest.json")

    with pytest.raises(DataError, match=r"holds rows, but no manifest\.json"):
        begin(place, manifest)
