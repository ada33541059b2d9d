"""Chance that can be repeated: pixels follow from index and seed alone, choices from the seed, whoever asks when."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classlens.dataset.dataset import Dataset, Outcome, Sample, Stage
from classlens.dataset.rng import generator, seed_of, seeded_globals
from classlens.dataset.selection import check_indices, of_classes, shuffle, spread
from classlens.dataset.trace import trace
from classlens.errors import NotFound
from classlens.image import Image

SEEDS = st.integers(-(2**70), 2**70)
PLACES = st.tuples(SEEDS, st.integers(0, 2**63), st.integers(0, 99))


def crop(state, chance):
    top, left = chance.integers(0, 3, 2)
    return Outcome(state[top:, left:].copy())


def flip(state, chance):
    return Outcome(state[:, ::-1].copy() if random.random() < 0.5 else state)


def speckle(state, chance):
    return Outcome(state + np.random.randint(0, 200, state.shape).astype(np.uint8))


def shade(state, chance):
    state += chance.integers(0, 9, dtype=np.uint8)  # in place, as careless frameworks do
    return Outcome(state)


STAGES = (
    Stage("crop", crop, draws_globally=False),
    Stage("flip", flip),
    Stage("speckle", speckle),
    Stage("shade", shade),
)
PIPELINES = st.lists(st.sampled_from(STAGES), max_size=4)


def dataset_of(labels, stages=()):
    return Dataset(
        name="toy",
        length=len(labels),
        load=lambda index: np.full((11, 12, 3), index * 20, np.uint8),
        stages=tuple(stages),
        to_image=lambda state: Image(state.copy()),
        sample=lambda index: Sample(f"{index}.png", (labels[index],)),
        classes=("a", "b", "c"),
    )


def pixels(dataset, index, seed, keep="all"):
    return [snapshot.image.pixels.tobytes() for snapshot in trace(dataset, index, seed, keep=keep).snapshots]


@settings(max_examples=40, deadline=None)
@given(PIPELINES, SEEDS, st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers())
def test_pixels_follow_from_index_and_seed_whoever_drew_before(stages, seed, indices, other):
    dataset = dataset_of([0] * 10, stages)
    known = {index: pixels(dataset, index, seed) for index in sorted(set(indices))}

    random.seed(other)
    np.random.seed(other % 2**32)

    for index in indices:
        assert pixels(dataset, index, seed) == known[index]
        assert pixels(dataset, index, seed, "ends") == ([known[index][0], known[index][-1]] if stages else known[index])
        assert pixels(dataset, index, seed, "last") == known[index][-1:]


@settings(max_examples=40, deadline=None)
@given(PIPELINES, SEEDS, st.sampled_from(STAGES))
def test_a_stage_that_is_added_at_the_end_changes_nothing_before_it(stages, seed, last):
    short, long = (pixels(dataset_of([0] * 10, of), 3, seed) for of in (stages, [*stages, last]))

    assert long[:-1] == short


@settings(max_examples=40, deadline=None)
@given(PLACES, PLACES)
def test_streams_differ_unless_seed_index_and_stage_are_the_same(place, other):
    first, second = (generator(*one).integers(0, 2**63, 4).tolist() for one in (place, other))
    wrapped, wrapped_other = ([number % 2**64 for number in one] for one in (place, other))

    assert first == generator(*place).integers(0, 2**63, 4).tolist()
    assert (first == second) == (wrapped == wrapped_other)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 10**12))
def test_global_generators_are_lent_and_given_back(seed, index):
    def draw():
        return random.random(), float(np.random.random())

    before = random.getstate(), np.random.get_state()[1].tolist()
    with seeded_globals(seed_of(seed, index)):
        first = draw()
    with seeded_globals(seed_of(seed, index)):
        again = draw()

    assert first == again
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


LABELS = st.lists(st.integers(0, 2), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(LABELS, st.integers(1, 70), SEEDS)
def test_a_spread_is_fair_and_has_every_sample_once_at_most(labels, number, seed):
    dataset = dataset_of(labels)

    chosen = spread(dataset, number, seed)

    count, there = Counter(labels[index] for index in chosen), Counter(labels)
    assert chosen == spread(dataset, number, seed)
    assert len(chosen) == len(set(chosen)) == min(number, len(labels))
    most = max(count.values())
    for label, total in there.items():  # a class that is shown less often than another by more than one has no more
        assert count[label] >= min(total, most - 1)


@settings(max_examples=40, deadline=None)
@given(LABELS, st.integers(1, 70), SEEDS, st.data())
def test_what_is_chosen_among_some_is_of_them(labels, number, seed, data):
    dataset = dataset_of(labels)
    some = data.draw(st.lists(st.integers(0, len(labels) - 1), unique=True, min_size=1))

    for choose in (spread, shuffle):
        chosen = choose(dataset, number, seed, some)
        assert len(chosen) == len(set(chosen)) == min(number, len(some))
        assert set(chosen) <= set(some)
    assert check_indices(dataset, [*some, *some]) == some


@settings(max_examples=40, deadline=None)
@given(LABELS, st.lists(st.sampled_from(["a", "b", "c", "0", "1", "2"]), min_size=1, max_size=4))
def test_samples_of_classes_are_all_that_carry_one_of_them(labels, names):
    wanted = {"abc".index(name) if name in "abc" else int(name) for name in names}
    expected = [index for index, label in enumerate(labels) if label in wanted]

    if expected:
        assert of_classes(dataset_of(labels), names) == expected
    with pytest.raises(NotFound):
        of_classes(dataset_of(labels), ["3"])


def test_streams_are_the_same_in_every_version():
    """A seed in a paper or a manifest shows the same pixels for good."""
    assert (generator(1, 2, 3).integers(0, 1000, 4).tolist(), seed_of(1, 2)) == (
        [611, 63, 715, 707],
        15529898885419721899,
    )
