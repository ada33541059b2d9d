import numpy as np
import pytest

from classlens import Clock
from classlens.schedule.schedule import Accumulation


def test_a_run_over_epochs_knows_its_steps():
    clock = Clock(epochs=100, steps_per_epoch=5005)

    assert (clock.steps, clock.by_epoch) == (500_500, True)
    assert str(clock) == "500,500 steps = 100 epochs x 5,005 steps"


def test_a_run_over_steps_has_no_epochs():
    clock = Clock.of_steps(160_000)

    assert (clock.steps, clock.by_epoch) == (160_000, False)
    assert str(clock) == "160,000 steps"


def test_a_run_over_steps_may_know_how_often_it_sees_the_data():
    assert str(Clock.of_steps(1000, 400)) == "1,000 steps, 2.5 passes over the data"


def test_a_run_that_sums_gradients_says_how_many_updates_it_makes():
    clock = Clock(epochs=3, steps_per_epoch=10, accumulation=Accumulation(4))

    assert str(clock) == "30 steps (8 updates) = 3 epochs x 10 steps"


def test_what_is_left_at_the_end_of_an_epoch_may_be_an_update_of_its_own():
    clock = Clock(epochs=3, steps_per_epoch=10, accumulation=Accumulation(4, flushes=True))

    assert str(clock) == "30 steps (9 updates) = 3 epochs x 10 steps"
    assert clock.accumulation.updates_before(np.array([3, 4, 8, 9, 10, 14, 20]), 10).tolist() == [0, 1, 2, 2, 3, 4, 6]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0, "steps_per_epoch": 5}, "epochs of 1 or more, not 0"),
        ({"epochs": 5, "steps_per_epoch": -1}, "steps_per_epoch of 1 or more, not -1"),
        ({"epochs": 5, "steps_per_epoch": None}, "use Clock.of_steps"),
    ],
)
def test_a_clock_without_a_step_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Clock(**settings)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="steps of 1 or more, not 0"):
        Clock.of_steps(0)
