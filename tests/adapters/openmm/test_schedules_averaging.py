"""The moving average of the weights as a scheduled value."""

from dataclasses import replace
from pathlib import Path

import pytest

from classlens import Clock, replay
from classlens.adapters.openmm.schedules import open_schedule
from classlens.adapters.openmm.setup import Optimization, Setup

SETUP = Setup(
    path=Path("config.py"),
    generation="1.x",
    model=None,
    splits={},
    optimization=Optimization({"type": "SGD", "lr": 0.1}, param_scheduler=()),
)
CLOCK = Clock(epochs=4, steps_per_epoch=100)


def average(generation="1.x", **hook):
    setup = replace(SETUP, generation=generation, hooks=({"type": "EMAHook"} | hook,))
    return replay(open_schedule(setup), CLOCK).named("ema_momentum")[0]


def test_a_plain_average_moves_by_the_same_share():
    assert set(average(momentum=4e-5).values) == {4e-5}


def test_an_annealed_average_follows_the_weights_closely_at_first():
    found = average(ema_type="MomentumAnnealingEMA", momentum=0.3, gamma=100)

    assert found.at([0, 100, 300, 399]) == pytest.approx([1.0, 0.5, 0.3, 0.3])


def test_a_cosine_average_falls_to_its_end_over_the_run():
    found = average(ema_type="mmpretrain.CosineEMA", end_momentum=0.001)

    assert found.at([0, 200]) == pytest.approx([0.004, 0.0025])
    assert found.final == pytest.approx(0.001, rel=1e-3)


def test_a_stochastic_average_is_the_mean_of_all_weights():
    assert average(ema_type="StochasticWeightAverage").at([0, 1, 3]) == pytest.approx([1, 1 / 2, 1 / 4])


def test_an_average_that_begins_later_is_zero_before():
    assert average(momentum=0.1, begin_epoch=2).at([199, 200]).tolist() == [0.0, 0.1]


def test_an_old_average_warms_up():
    assert average("0.x", momentum=0.5, warm_up=100).at([0, 98, 399]) == pytest.approx([0.01, 0.5, 0.5])


def test_without_a_hook_there_is_no_average():
    assert replay(open_schedule(SETUP), CLOCK).names == ("lr", "momentum", "weight_decay")
