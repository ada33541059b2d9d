"""Our closed forms against mmengine's schedulers, stepped one by one: upstream's own schedules, and random ones."""

import json
import random
from functools import cache
from pathlib import Path

import mmpretrain
import numpy as np
import pytest

from classlens import Clock
from classlens.adapters.openmm.param_schedulers import check_scheduler, trajectory_of
from classlens.adapters.openmm.setup import read_setup
from classlens.config import read_config
from classlens.errors import ClasslensError
from tests_peers.schedule.stepping import stepped

CONFIGS = Path(mmpretrain.__file__).parent / ".mim" / "configs"
EPOCH = 23
INITIAL = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}


@cache
def upstream_schedules():
    """Every distinct (schedulers, epochs, steps) of upstream's configs, with one config that has it."""
    found = {}
    for path in sorted(CONFIGS.rglob("*.py")):
        try:
            setup = read_setup(read_config(path), path)
        except ClasslensError:
            continue
        optimization = setup.optimization
        if optimization.param_scheduler and (optimization.epochs or optimization.steps):
            key = json.dumps([optimization.param_scheduler, optimization.epochs, optimization.steps], default=str)
            found.setdefault(key, (path.relative_to(CONFIGS), optimization))
    return list(found.values())


def ours(configs, clock):
    """Every value of a run by our closed forms, by hyper-parameter."""
    schedulers = [check_scheduler(config, "param_scheduler") for config in configs]
    return {
        name: trajectory_of([each for each in schedulers if each.name == name], clock).values(
            np.arange(clock.steps), INITIAL[name]
        )
        for name in {scheduler.name for scheduler in schedulers}
    }


def epoch_length(configs, epochs):
    """Short epochs, but long enough for the spans that are given in steps."""
    spans = [config.get(edge, 0) for config in configs for edge in ("begin", "end") if not config.get("by_epoch", True)]
    return max(EPOCH, 7 + max(spans, default=0) // (epochs or 1))


def test_upstream_has_as_many_distinct_schedules_as_we_say():
    schedules = upstream_schedules()
    settings = {json.dumps(each, default=str) for _, found in schedules for each in found.param_scheduler}

    assert len(schedules) >= 85
    assert len(settings) >= 104  # and 34 more of mmcls, in test_policies_of_mmcls.py


@pytest.mark.parametrize("part", range(8))
def test_upstream_schedules_equal_mmengine_stepping(part):
    for path, optimization in upstream_schedules()[part::8]:
        configs, steps = optimization.param_scheduler, min(optimization.steps or 0, 3000)
        epochs, epoch = optimization.epochs, epoch_length(configs, optimization.epochs)
        clock = Clock.of_steps(steps, epoch) if steps else Clock(epochs, epoch)

        theirs = stepped(configs, epochs=epochs, epoch_length=epoch, steps=steps or None, initial=INITIAL)

        for name, values in ours(configs, clock).items():
            np.testing.assert_allclose(values, theirs[name], rtol=1e-9, atol=1e-18, err_msg=f"{path} {name}")


def random_scheduler(draw, epochs, steps):
    """Any scheduler with any span, often overlapping others, sometimes reaching past the end."""
    kind = draw.choice(list(SETTINGS))
    by_epoch = draw.random() < 0.5
    span = epochs if by_epoch else steps
    begin = draw.randrange(max(1, span - 1))
    config = {"type": kind, "by_epoch": by_epoch, "begin": begin}
    if by_epoch and draw.random() < 0.4:
        config["convert_to_iter_based"] = True
    if draw.random() < 0.8:
        config["end"] = draw.randrange(begin + 1, span + 3)
    length = config.get("end", span) - begin
    return config | SETTINGS[kind](draw, length) if length > 0 else None


def cosine(draw, length):
    floor = draw.choice([{}, {"eta_min": 1e-3}, {"eta_min_ratio": 0.05}])
    return floor | ({"T_max": draw.randrange(2, length + 4)} if draw.random() < 0.5 else {})


def restart(draw, length):
    floor = draw.choice([{"eta_min": 1e-3}, {"eta_min_ratio": 0.05}])
    return floor | {
        "periods": [draw.randrange(2, max(3, length)) for _ in range(3)],
        "restart_weights": [1, 0.5, 0.25],
    }


SETTINGS = {
    "ConstantLR": lambda draw, length: {"factor": draw.choice([0.1, 0.5, 1 / 3])},
    "LinearLR": lambda draw, length: {
        "start_factor": draw.choice([0.001, 0.3, 1.0]),
        "end_factor": draw.choice([1.0, 0.5, 0.1]),
    },
    "ExponentialLR": lambda draw, length: {"gamma": draw.choice([0.9, 0.99])},
    "StepLR": lambda draw, length: {"step_size": draw.randrange(1, 5), "gamma": draw.choice([0.1, 0.5])},
    "MultiStepLR": lambda draw, length: {"milestones": [draw.randrange(length + 3) for _ in range(3)], "gamma": 0.3},
    "PolyLR": lambda draw, length: {"power": draw.choice([1, 2, 0.9]), "eta_min": draw.choice([0, 1e-3])},
    "CosineAnnealingLR": cosine,
    "CosineRestartLR": restart,
    "OneCycleLR": lambda draw, length: {
        "eta_max": 0.3,
        "pct_start": 0.37,
        "three_phase": draw.random() < 0.5,
        "anneal_strategy": draw.choice(["cos", "linear"]),
    },
}


@pytest.mark.parametrize("part", range(4))
def test_random_compositions_equal_mmengine_stepping(part):
    compared = 0
    for seed in range(part * 1000, part * 1000 + 700):
        draw = random.Random(seed)
        epochs, epoch = draw.randrange(2, 8), draw.randrange(1, 12)
        steps = draw.randrange(5, 60) if draw.random() < 0.15 else None
        total = steps or epochs * epoch
        configs = [random_scheduler(draw, epochs, total) for _ in range(draw.choice([1, 1, 2, 2, 3]))]
        configs = [config for config in configs if config is not None]
        clock = Clock.of_steps(steps, epoch) if steps else Clock(epochs, epoch)
        try:
            theirs = stepped(configs, epochs=epochs, epoch_length=epoch, steps=steps, initial=INITIAL)
        except (ZeroDivisionError, ValueError):  # theirs stops: a span that is empty, or a cycle that is over
            continue

        values = ours(configs, clock).get("lr")

        if values is not None:
            compared += 1
            peak = np.abs(theirs["lr"]).max()
            np.testing.assert_allclose(values, theirs["lr"], rtol=1e-9, atol=1e-12 * peak, err_msg=f"{configs} {clock}")
    assert compared >= 500


@pytest.mark.parametrize("part", range(2))
def test_the_bounds_of_a_plateau_are_mmengine_stepping_with_the_best_and_the_worst_metrics(part):
    compared = 0
    for seed in range(part * 1000, part * 1000 + 100):
        draw = random.Random(seed)
        epochs, epoch = draw.randrange(6, 24), draw.randrange(1, 6)
        others = [random_scheduler(draw, epochs, epochs * epoch) for _ in range(draw.choice([0, 1, 1, 2]))]
        configs = [config for config in others if config is not None]
        plateau = {
            "type": "ReduceOnPlateauLR",
            "patience": draw.randrange(4),
            "cooldown": draw.randrange(3),
            "factor": draw.choice([0.1, 0.5]),
            "begin": draw.choice([0, 0, 3]),
            "eps": 0.0,
        }
        configs.append(plateau | ({} if configs else {"min_value": draw.choice([0.0, 0.002])}))
        clock = Clock(epochs, epoch)
        try:
            best, worst = (
                stepped(configs, epochs=epochs, epoch_length=epoch, initial=INITIAL, loss=loss)["lr"]
                for loss in (lambda epoch: 1 / epoch, lambda epoch: 1.0)
            )
        except (ZeroDivisionError, ValueError):
            continue

        course = trajectory_of([check_scheduler(config, "param_scheduler") for config in configs], clock)

        values, steps = course.values(np.arange(clock.steps), 0.1), np.arange(clock.steps)
        lowest = values if course.undecided is None else course.undecided.lowest(steps, 0.1)
        first = clock.steps if course.undecided is None else course.undecided.first
        compared += course.undecided is not None
        scale = {"rtol": 1e-9, "atol": 1e-12 * np.abs(best).max(), "err_msg": f"{configs} {clock}"}
        np.testing.assert_allclose(values, best, **scale)
        np.testing.assert_allclose(lowest, worst, **scale)
        np.testing.assert_allclose(lowest[:first], best[:first], **scale)
    assert compared >= 50
