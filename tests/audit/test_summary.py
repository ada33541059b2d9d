from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import classlens
from classlens.audit.carry_out import Audit
from classlens.audit.clusters import find_clusters
from classlens.audit.manifest import read_manifest
from classlens.audit.place import Place
from classlens.audit.rows import read_rows
from classlens.audit.summary import summarise
from tests.audit.tiny_setup import row, write_rows


def test_settings_that_are_missing_are_called_none(tmp_path):
    write_rows(tmp_path, [row(0, 0, 0)])
    manifest = read_manifest(Place(str(tmp_path)))

    assert manifest.differences(replace(manifest, data="folder:a")) == ["data: none, there 'folder:a'"]


def test_mistakes_are_called_confident_from_one_half_on_and_first_five_need_six_classes(tmp_path):
    place = write_rows(tmp_path, [row(0, 0, 1, 0.49), row(1, 0, 1, 0.9), row(2, 1, 1)])
    whole = Audit(place.address, read_manifest(place), summarise(place), (), (), {}, notes=("fed by a guess",))

    lines = classlens.draw(whole).text.splitlines()

    assert [line for line in lines if line.startswith("confident")] == [
        "confident mistake: 1.png: 90.0% green, labelled blue"
    ]
    assert lines[1].startswith("right: 33.3%, loss")
    assert lines[2] == "note: fed by a guess"


def test_accuracy_confusion_and_mistakes_are_those_of_the_rows(tmp_path):
    rows = [
        row(0, 0, 0),
        row(1, 0, 1, 0.9),
        row(2, 1, 1),
        row(3, 1, 2, 0.7, top=[2, 1]),
        row(4, 0, 1, 0.95),
        row(5, 2, 2),
    ]
    rows += [row(6, None, 2), {"index": 7, "path": "7.png", "error": "no picture"}, row(8, 1, 1)]
    summary = summarise(write_rows(tmp_path, rows))

    assert (summary.pictures, summary.good, summary.labelled) == (9, 8, 7)
    assert summary.accuracy == pytest.approx(4 / 7)
    assert summary.top5_accuracy == pytest.approx(5 / 7)
    assert summary.confusions == ((0, 1, 2), (1, 2, 1))
    assert [one.index for one in summary.mistakes] == [4, 1, 3]
    assert summary.bad == {"no picture": 1}
    assert {name: group.count for name, group in summary.groups.items()} == {
        "all": 8, "right": 4, "wrong": 3, "unlabelled": 1,
    }  # fmt: skip
    confusion = pd.read_parquet(tmp_path / "confusion.parquet")
    assert confusion.values.tolist() == [[0, 0, 1], [0, 1, 2], [1, 1, 2], [1, 2, 1], [2, 2, 1]]
    classes = pd.read_parquet(tmp_path / "classes.parquet")
    assert classes[["labelled", "right", "predicted"]].values.tolist() == [[3, 1, 1], [3, 2, 4], [1, 1, 3]]


def test_calibration_error_is_that_of_its_definition(tmp_path):
    """Guo et al. 2017, eq. 3, written down once more without bins that are added up."""
    random = np.random.default_rng(0)
    probability = random.uniform(0.34, 1, 200).round(6)
    right = random.random(200) < probability**2
    rows = [row(at, 0, 0 if right[at] else 1, float(p)) for at, p in enumerate(probability)]

    summary = summarise(write_rows(tmp_path, rows))

    place = np.minimum((probability.astype(np.float32).astype(float) * 15).astype(int), 14)
    errors = [abs(right[place == b].mean() - probability[place == b].mean()) * (place == b).mean() for b in set(place)]
    assert summary.calibration_error == pytest.approx(sum(errors), abs=1e-6)
    assert sum(one.count for one in summary.bins) == 200


def test_mean_maps_are_of_shares_and_empty_maps_count_nowhere(tmp_path):
    corner, centre, empty = np.zeros((3, 4, 4), np.float32)
    corner[0, 0], centre[1:3, 1:3] = 100, 0.01
    rows = [row(0, 0, 0, map=corner), row(1, 0, 0, map=centre), row(2, 0, 0, map=empty)]

    group = summarise(write_rows(tmp_path, rows)).groups["right"]

    assert group.count == 3
    np.testing.assert_allclose(group.map, (corner / 100 + centre / 0.04) / 2, atol=1e-3)
    assert group.places["centre"] == pytest.approx(0.5, abs=1e-3)


def test_maps_of_two_places_are_two_groups(tmp_path):
    random, maps = np.random.default_rng(0), random_maps()
    kinds = random.integers(0, 2, 60)
    rows = [row(at, int(kind), int(kind), map=maps[kind][at]) for at, kind in enumerate(kinds.tolist())]
    place = write_rows(tmp_path, rows)

    clusters = find_clusters(place)

    table = pd.read_parquet(tmp_path / "clusters.parquet")
    assert table["index"].tolist() == list(range(60))
    by_kind = [set(table["cluster"][kinds == kind]) for kind in (0, 1)]
    assert not by_kind[0] & by_kind[1]
    assert sum(one.count for one in clusters) == 60
    assert [one.count for one in clusters] == sorted((one.count for one in clusters), reverse=True)
    assert all(len(one.classes) == 1 for one in clusters)
    again = find_clusters(place)
    assert [one.examples for one in again] == [one.examples for one in clusters]


def random_maps():
    """Of one kind in the upper left corner, of the other in the lower right."""
    random = np.random.default_rng(1)
    maps = random.uniform(0, 0.1, (2, 60, 4, 4)).astype(np.float32)
    maps[0, :, :2, :2] += 1
    maps[1, :, 2:, 2:] += 1
    return maps


def test_missing_numbers_are_told_apart_from_noughts(tmp_path):
    rows = [row(0, None, 1), row(1, 2, 1)]

    (part,) = read_rows(str(write_rows(tmp_path, rows).address), ["label", "loss", "correct"])

    assert part["label"].tolist() == [-1, 2]
    assert np.isnan(part["loss"]).tolist() == [True, False]
    assert part["correct"].tolist() == [False, False]
