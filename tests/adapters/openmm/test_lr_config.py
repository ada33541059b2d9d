"""The policies of 0.x against values recorded from mmcv's own hooks, called step by step."""

import json
from pathlib import Path

import numpy as np
import pytest

from classlens import Clock
from classlens.adapters.openmm.lr_config import check_policy, trajectory_of
from classlens.errors import ConfigError, NotFound

RECORDED = json.loads((Path(__file__).parent / "recorded" / "mmcv-1.7.2-policies.json").read_text())
CLOCK = Clock(epochs=8, steps_per_epoch=10)


def course(config, clock=CLOCK, name="lr"):
    return trajectory_of(check_policy(config, name, by_epoch=clock.by_epoch), clock)


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: f"{case['name']} {case['config']['policy']}")
def test_a_policy_gives_the_values_of_its_training(case):
    clock = Clock.of_steps(case["steps"], 10) if case["steps"] else CLOCK

    values = course(case["config"], clock, case["name"]).values(
        np.array(RECORDED["at"]), {"lr": 0.1}.get(case["name"], 0.9)
    )

    np.testing.assert_allclose(values, case["values"], rtol=1e-12)


def test_all_policies_are_recorded():
    assert {case["config"]["policy"].lower() for case in RECORDED["cases"]} >= {
        "fixed", "step", "exp", "poly", "inv", "cosineannealing", "linearannealing", "flatcosineannealing",
        "cosineannealingcooldown", "cosinerestart", "cyclic", "onecycle",
    }  # fmt: skip


def test_a_policy_by_epoch_does_nothing_in_a_run_over_steps():
    frozen = course({"policy": "step", "step": [2], "by_epoch": True}, Clock.of_steps(50, 10))

    assert frozen.values(np.array([0, 49]), 0.1).tolist() == [0.1, 0.1]


def test_steps_are_drawn_on_both_sides_and_marked():
    found = course({"policy": "step", "step": [3, 5], "warmup": "linear", "warmup_iters": 15})

    assert set(found.breaks.tolist()) == {0, 15, 30, 50}
    assert [(mark.step, mark.what) for mark in found.marks] == [
        (30, "milestone"),
        (50, "milestone"),
        (15, "warm-up ends"),
    ]


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({}, ConfigError, "lr_config: policy is missing"),
        ({"policy": "cosin"}, NotFound, "no policy named 'cosin' in lr_config"),
        ({"policy": "step"}, ConfigError, r"lr_config \(step\): step is missing"),
        ({"policy": "step", "steps": [3]}, ConfigError, r"lr_config \(step\): unknown argument 'steps'"),
        ({"policy": "step", "step": 3, "min_momentum": 1}, ConfigError, "unknown argument 'min_momentum'"),
        ({"policy": "step", "step": "3"}, ConfigError, r"lr_config \(step\): step is a number, not '3'"),
        (
            {"policy": "exp", "gamma": 2**64},
            ConfigError,
            r"lr_config \(exp\): gamma is a number, not 18446744073709551616",
        ),
        ({"policy": "fixed", "warmup": "cosine"}, NotFound, "no warm-up named 'cosine'"),
        ({"policy": "fixed", "warmup": "linear"}, ConfigError, "warmup_iters is above 0, not 0"),
        (
            {"policy": "fixed", "warmup": "linear", "warmup_iters": 5, "warmup_ratio": 2},
            ConfigError,
            "warmup_ratio lies above 0 and up to 1, not 2",
        ),
    ],
)
def test_a_wrong_policy_is_told_before_the_clock_is_known(config, error, message):
    with pytest.raises(error, match=message):
        check_policy(config, "lr", by_epoch=True)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"policy": "CosineRestart", "periods": [3], "min_lr": 0}, "the periods end at 3, before the run does at 8"),
        ({"policy": "CosineRestart", "periods": [9], "restart_weights": [1, 2]}, "1 periods but 2 restart_weights"),
        ({"policy": "OneCycle", "max_lr": 1, "total_steps": 70}, "total_steps is 70, but the run has 80"),
    ],
)
def test_a_policy_that_does_not_fit_the_run_is_told(config, message):
    with pytest.raises(ConfigError, match=message):
        course(config)


def test_a_warmup_in_epochs_needs_to_know_how_long_an_epoch_is():
    config = {"policy": "fixed", "warmup": "linear", "warmup_iters": 2, "warmup_by_epoch": True}

    with pytest.raises(ConfigError, match="the steps of an epoch are unknown") as caught:
        course(config, Clock.of_steps(100))

    assert "--dataset-size" in caught.value.hint


def test_a_cycle_without_a_way_up_falls_from_the_top():
    """`CyclicLrUpdaterHook` of mmcv with step_ratio_up=0: one leg, from 10 times the rate to a ten-thousandth of it."""
    rates = course({"policy": "cyclic", "step_ratio_up": 0.0}).values(np.array([0, 40]), 0.1)

    assert rates.tolist() == pytest.approx([1.0, (1.0 + 1e-5) / 2])


def test_the_turns_of_a_cyclic_policy_are_drawn():
    assert set(course({"policy": "cyclic", "cyclic_times": 2, "step_ratio_up": 0.4}).breaks) >= {0, 16, 40, 56}


def test_a_cool_down_is_marked_where_it_begins():
    cooled = course({"policy": "CosineAnnealingCooldown", "min_lr": 0.01, "cool_down_time": 2})

    assert [(mark.step, mark.what) for mark in cooled.marks] == [(70, "cool-down")]
    assert cooled.values(np.array([69, 70]), 0.1) == pytest.approx([0.01, 0.001])
