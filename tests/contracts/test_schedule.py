"""What holds for the schedule of every adapter."""

import numpy as np
import pytest

import classlens
from tests.contracts.openings import offering

pytestmark = pytest.mark.parametrize("source", offering("schedule"), indirect=True)
CLOCK = classlens.Clock(epochs=4, steps_per_epoch=25)


def test_every_group_has_a_learning_rate_over_the_whole_run(source):
    curves = classlens.replay(source.schedule(), CLOCK)

    for curve in curves.only("lr"):
        values = curve.values
        assert values.shape == (100,)
        assert np.isfinite(values).all()
        assert (values >= 0).all()


def test_values_are_the_same_in_any_order_and_the_users_objects_do_not_move(source):
    schedule = source.schedule()
    first, again = (classlens.replay(schedule, CLOCK).only("lr") for _ in range(2))

    steps = [99, 0, 50]

    for one, other in zip(first, again, strict=True):
        assert (one.at(steps) == other.values[steps]).all()


def test_groups_have_names_and_initial_values(source):
    for group in source.schedule().groups:
        assert group.name
        assert group.initial["lr"] >= 0
