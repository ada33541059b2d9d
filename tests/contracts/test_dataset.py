"""What holds for the dataset of every adapter: the engine and the command line rely on no more than this."""

import json
import random

import numpy as np
import pytest
import torch

import classlens
from classlens.image import Image
from tests.contracts.openings import offering

pytestmark = pytest.mark.parametrize("source", offering("dataset"), indirect=True)


def test_it_has_samples_with_labels_that_have_names(source):
    dataset = source.dataset("train")

    assert dataset.length > 0
    for index in (0, dataset.length - 1):
        names = dataset.class_names(index)
        assert len(names) == 1
        assert "no such class" not in names[0]


def test_every_state_along_the_pipeline_can_be_looked_at(source):
    result = classlens.trace(source.dataset("train"), 0, seed=3)

    assert len(result.snapshots) == 1 + len(source.dataset("train").stages)
    assert all(isinstance(snapshot.image, Image) for snapshot in result.snapshots)
    assert all(snapshot.stage for snapshot in result.snapshots)


def test_the_same_seed_gives_the_same_pixels_in_any_order(source):
    dataset = source.dataset("train")
    last = dataset.length - 1

    forwards = [classlens.trace(dataset, index, seed=5) for index in (0, last)]
    backwards = [classlens.trace(source.dataset("train"), index, seed=5) for index in (last, 0)]

    for first, second in zip(forwards, reversed(backwards), strict=True):
        for one, other in zip(first.snapshots, second.snapshots, strict=True):
            assert np.array_equal(one.image.pixels, other.image.pixels)
            assert repr(one.params) == repr(other.params)


def test_another_seed_draws_something_else(source):
    dataset = source.dataset("train")
    if not dataset.stages:
        pytest.skip("nothing is drawn")

    pictures = [classlens.trace(dataset, 0, seed=seed).transformed.image.pixels for seed in range(6)]

    assert any(not np.array_equal(pictures[0], other) for other in pictures[1:])


def test_the_callers_chance_is_as_it_was(source):
    dataset = source.dataset("train")
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    classlens.trace(dataset, 0)

    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_what_was_drawn_can_be_written_as_data(source):
    for snapshot in classlens.trace(source.dataset("train"), 0, seed=2).snapshots:
        json.dumps(snapshot.params, default=dict)


def test_an_index_outside_the_dataset_is_refused(source):
    dataset = source.dataset("train")

    for index in (-1, dataset.length):
        with pytest.raises(IndexError, match="is outside"):
            classlens.trace(dataset, index)
