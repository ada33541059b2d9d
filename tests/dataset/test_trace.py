import random

import numpy as np
import pytest

from classlens.dataset.dataset import Dataset, Outcome, Sample, Stage
from classlens.dataset.rng import generator, seeded_globals
from classlens.dataset.trace import trace
from classlens.image import Image


def noise(state, chance):
    return Outcome(state + chance.integers(0, 9, state.shape, dtype=np.uint8), {"added": "noise"})


def old_style(state, chance):
    return Outcome(state + np.uint8(random.randint(0, 20)) + np.random.randint(0, 20, state.shape).astype(np.uint8))


def in_place(state, chance):
    state += np.uint8(1)
    return Outcome(state)


def nothing(state, chance):
    return Outcome(state, note="not drawn")


def dataset_of(*stages, length=10):
    return Dataset(
        name="toy",
        length=length,
        load=lambda index: np.full((4, 5, 3), index, np.uint8),
        stages=stages,
        to_image=lambda state: Image(state.copy()),
        sample=lambda index: Sample(f"{index}.png", (index % 3,)),
        classes=("a", "b"),
    )


QUIET = Stage("noise", noise, draws_globally=False)
LOUD = Stage("old", old_style)


def pixels(dataset, index, seed=0):
    return [snapshot.image.pixels.tobytes() for snapshot in trace(dataset, index, seed).snapshots]


@pytest.mark.parametrize("stages", [(QUIET,), (LOUD,), (QUIET, LOUD, QUIET)])
def test_the_same_index_and_seed_give_the_same_pixels_in_any_order(stages):
    dataset = dataset_of(*stages)

    forward = [pixels(dataset, index) for index in range(10)]
    backward = [pixels(dataset, index) for index in reversed(range(10))]

    assert forward == backward[::-1]


@pytest.mark.parametrize("stage", [QUIET, LOUD])
def test_another_seed_or_another_sample_gives_other_draws(stage):
    dataset = dataset_of(stage)

    def params(index, seed):
        return (trace(dataset, index, seed).transformed.image.pixels - index).tobytes()

    assert len({params(index, seed) for index in range(4) for seed in range(4)}) == 16


def test_global_generators_are_given_back_as_they_were():
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tobytes()

    trace(dataset_of(LOUD), 3)

    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before


def test_global_generators_are_given_back_after_an_error():
    def broken(state, chance):
        random.random()
        raise RuntimeError

    before = random.getstate()

    with pytest.raises(RuntimeError):
        trace(dataset_of(Stage("broken", broken)), 0)

    assert random.getstate() == before


def test_torch_is_seeded_and_given_back_where_it_is_imported():
    torch = pytest.importorskip("torch")
    before = torch.get_rng_state()

    with seeded_globals(4):
        first = torch.rand(3)
    with seeded_globals(4):
        second = torch.rand(3)

    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_snapshot_is_not_changed_by_stages_that_work_in_place():
    dataset = dataset_of(Stage("one", in_place), Stage("two", in_place))

    shown = [int(snapshot.image.pixels[0, 0, 0]) for snapshot in trace(dataset, 5).snapshots]

    assert shown == [5, 6, 7]


def test_a_snapshot_says_what_was_drawn_and_whether_anything_changed():
    result = trace(dataset_of(QUIET, Stage("idle", nothing)), 1)

    assert [snapshot.stage for snapshot in result.snapshots] == ["original", "noise", "idle"]
    assert result.snapshots[1].params == {"added": "noise"}
    assert [snapshot.changed for snapshot in result.snapshots] == [True, True, False]
    assert result.snapshots[2].note == "not drawn"


def test_a_label_without_a_class_is_marked_and_never_named_after_another():
    result = trace(dataset_of(), 2)

    assert result.class_names == ("2 (no such class)",)
    assert Dataset("d", 1, int, (), Image, lambda i: Sample(None, (-1,)), ("a",)).class_names(0) == (
        "-1 (no such class)",
    )


def test_ends_are_the_same_as_those_of_the_whole_trace():
    dataset = dataset_of(QUIET, LOUD)

    whole, ends, first, last = (trace(dataset, 4, 2, keep=keep) for keep in ("all", "ends", "first", "last"))

    assert [len(one.snapshots) for one in (whole, ends, first, last)] == [3, 2, 1, 1]
    np.testing.assert_array_equal(whole.transformed.image.pixels, last.transformed.image.pixels)
    np.testing.assert_array_equal(whole.transformed.image.pixels, ends.transformed.image.pixels)
    np.testing.assert_array_equal(whole.original.image.pixels, first.original.image.pixels)


def test_an_index_outside_the_dataset_is_refused():
    with pytest.raises(IndexError, match=r"index 10 is outside toy \(0..9\)"):
        trace(dataset_of(), 10)


def test_streams_of_stages_and_samples_differ():
    draws = {
        generator(seed, index, stage).integers(2**62) for seed in (-1, 0, 1) for index in range(5) for stage in range(5)
    }

    assert len(draws) == 75


def test_only_a_dataset_can_be_traced():
    with pytest.raises(TypeError, match="trace takes a Dataset, not a str"):
        trace("data/train", 0)
