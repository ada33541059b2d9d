"""Each check finds its mistake, and leaves the right spelling of the same thing alone."""

import pytest

from classlens import Clock, Schedule, replay
from classlens.adapters.openmm import lr_config, param_schedulers
from classlens.schedule.schedule import Group

CLOCK = Clock(epochs=10, steps_per_epoch=100)


def findings(*configs, clock=CLOCK, lr=0.1):
    schedulers = [
        param_schedulers.check_scheduler(config, f"param_scheduler[{index}]") for index, config in enumerate(configs)
    ]
    return found(lambda clock: param_schedulers.trajectory_of(schedulers, clock), clock, lr)


def old_findings(config, clock=CLOCK):
    policy = lr_config.check_policy(config, "lr", by_epoch=clock.by_epoch)
    return found(lambda clock: lr_config.trajectory_of(policy, clock), clock, 0.1)


def found(rule, clock, lr):
    curves = replay(Schedule((Group("all", {"lr": lr}),), {"lr": rule}), clock)
    return {finding.kind: str(finding) for finding in curves.findings}


CASES = [
    ("dead milestone", {"type": "MultiStepLR", "milestones": [3, 10]}, "milestone 10 never fires, the last epoch is 9"),
    ("dead milestone", {"type": "MultiStepLR", "milestones": [3.5]}, "milestone 3.5 is no whole number of epochs"),
    ("stuck warm-up", {"type": "LinearLR", "start_factor": 0.1, "end": 1}, "stays at 0.1 of what it was for good"),
    ("zero start", {"type": "LinearLR", "start_factor": 0, "end": 5}, "start_factor=0 makes training stop"),
    (
        "converted gamma",
        {"type": "ExponentialLR", "gamma": 0.9, "convert_to_iter_based": True},
        "gamma=0.9 acts at every step, not every epoch",
    ),
    ("short cosine", {"type": "CosineAnnealingLR", "T_max": 7}, "falls for 7 epochs, but acts for 10: it rises again"),
    ("long cosine", {"type": "CosineAnnealingLR", "T_max": 15}, "falls for 15 epochs, but acts for 10: it never"),
    ("wrong unit", {"type": "CosineAnnealingLR", "T_max": 10, "by_epoch": False}, "T_max looks like epochs"),
    (
        "restored",
        {"type": "ConstantLR", "factor": 0.1, "begin": 7, "end": 10},
        "the last epoch trains at 10 x the value before",
    ),
    ("minimum above start", {"type": "CosineAnnealingLR", "eta_min": 0.5}, "the minimum 0.5 is above the 0.1 of all"),
    (
        "short cycle",
        {"type": "OneCycleLR", "eta_max": 0.3, "total_steps": 5},
        "total_steps=5, but it acts for 10 epochs",
    ),
    ("wrong unit", {"type": "MultiStepLR", "milestones": [3, 6], "by_epoch": False}, "within the first 10 steps"),
    (
        "long warm-up",
        {"type": "LinearLR", "start_factor": 0.01, "end": 500},
        "takes 500 epochs, but acts for 10: it never",
    ),
    (
        "long warm-up",
        {"type": "LinearLR", "start_factor": 0.01, "begin": 2, "end": 11},
        "takes 9 epochs, but acts for 8",
    ),
    (
        "long warm-up",
        {"type": "LinearLR", "start_factor": 0.01, "end": 11, "convert_to_iter_based": True},
        "takes 1,100 steps, but acts for 1,000",
    ),
    (
        "long warm-up",
        {"type": "LinearLR", "start_factor": 1, "end_factor": 0.1, "end": 30},
        "the decay takes 30 epochs",
    ),
    ("long warm-up", {"type": "ConstantLR", "factor": 0.1, "end": 30}, "warm-up holds the value down for 30 epochs"),
    ("long warm-up", {"type": "QuadraticWarmupLR", "end": 30}, "the warm-up takes 30 epochs"),
    ("negative", {"type": "ExponentialLR", "gamma": -0.5}, "lr of all is -0.05 at step 100: below 0"),
    ("vanished", {"type": "StepLR", "step_size": 2, "by_epoch": False}, "a billionth of its peak from step 20 on"),
    ("idle plateau", {"type": "ReduceOnPlateauLR"}, "patience=10 outlasts the run: it never acts"),
    ("not a number", {"type": "StepLR", "step_size": 2, "gamma": float("nan")}, "lr of all is nan from step 200 on"),
]


@pytest.mark.parametrize(("kind", "config", "message"), CASES)
def test_a_mistake_is_found(kind, config, message):
    assert message in findings(config)[kind]


RIGHT = [
    {"type": "MultiStepLR", "milestones": [3, 9]},
    {"type": "LinearLR", "start_factor": 0.1, "end": 1, "convert_to_iter_based": True},
    {"type": "LinearLR", "start_factor": 1e-6, "end": 5},
    {"type": "LinearLR", "start_factor": 0.1, "end": 10},
    {"type": "LinearLR", "start_factor": 0.1},
    {"type": "ConstantLR", "factor": 1, "end": 30},
    {"type": "ExponentialLR", "gamma": 0.9},
    {"type": "CosineAnnealingLR", "T_max": 10},
    {"type": "CosineAnnealingLR", "T_max": 10, "convert_to_iter_based": True, "eta_min": 0.1},
    {"type": "ConstantLR", "factor": 0.1, "begin": 7, "end": 11},
    {"type": "OneCycleLR", "eta_max": 0.3, "total_steps": 10},
    {"type": "OneCycleLR", "eta_max": 0.3, "total_steps": 10, "convert_to_iter_based": True},
    {"type": "MultiStepLR", "milestones": [3, 600], "by_epoch": False},
    {"type": "ReduceOnPlateauLR", "patience": 2},
]


@pytest.mark.parametrize("config", RIGHT, ids=lambda config: config["type"])
def test_the_right_spelling_is_left_alone(config):
    assert findings(config) == {}


def test_epoch_schedulers_in_a_run_over_steps_are_found():
    assert "no epoch ever ends" in findings({"type": "StepLR", "step_size": 3}, clock=Clock.of_steps(50))["frozen"]


def test_a_finding_says_at_which_step_the_last_epoch_jumps():
    config = {"type": "ConstantLR", "factor": 0.1, "begin": 7, "end": 10}
    curves = replay(
        Schedule(
            (Group("all", {"lr": 0.1}),),
            {
                "lr": lambda clock: param_schedulers.trajectory_of(
                    [param_schedulers.check_scheduler(config, "param_scheduler")], clock
                )
            },
        ),
        CLOCK,
    )

    (finding,) = curves.findings

    assert finding.step == 900
    assert curves[0].at([899, 900]) == pytest.approx([0.01, 0.1])
    assert finding.hint == "end=11"


def test_two_groups_share_one_finding():
    config = {"type": "MultiStepLR", "milestones": [30]}
    groups = tuple(Group(name, {"lr": lr}) for name, lr in (("head", 1.0), ("body", 0.1)))
    rule = {
        "lr": lambda clock: param_schedulers.trajectory_of(
            [param_schedulers.check_scheduler(config, "param_scheduler")], clock
        )
    }

    assert len(replay(Schedule(groups, rule), CLOCK).findings) == 1


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("dead milestone", {"policy": "step", "step": [3, 12]}, "lr_config (step): milestone 12 never fires"),
        (
            "long warm-up",
            {"policy": "fixed", "warmup": "linear", "warmup_iters": 5000},
            "takes 5,000 steps, the run has 1,000",
        ),
    ],
)
def test_a_mistake_in_an_old_config_is_found(kind, config, message):
    assert message in old_findings(config)[kind]
