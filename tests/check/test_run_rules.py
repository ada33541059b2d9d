"""Runs of five frameworks, really trained for some steps: the planted fault is named in each, and healthy ones pass."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as torch_schedules

import classlens
from classlens.adapters.torch_schedule import schedule_of
from classlens.check.examine import examine
from classlens.check.inspection import Inspection
from classlens.check.rule import choose_rules
from classlens.check.run_causes import compare_rates
from classlens.logs.training_logs import LoggedRates, TrainingLog, read_training_log
from classlens.schedule.replay import replay
from classlens.schedule.schedule import Clock, Group, Schedule
from classlens.schedule.shapes import Link, chain, multi_step
from classlens.source import Source
from tests.check.training_runs import with_accelerate, with_lightning, with_timm, with_torch, with_transformers

LOGS = Path(__file__).parent / "logs"
WARM = "schedule:hf.cosine(lr=0.1, steps=100, steps_per_epoch=10, num_warmup_steps=20)"
STAIRS = "schedule:torch.StepLR(step_size=3, lr=0.1, epochs=10, steps_per_epoch=10)"
FALLING = "schedule:torch.CosineAnnealingLR(T_max=50, lr=0.1, epochs=5, steps_per_epoch=10, every='step')"
LINEAR = "schedule:hf.linear(lr=1e-3, steps=40, num_warmup_steps=10)"
TIMM = "schedule:timm.cosine(lr=0.1, epochs=10, steps_per_epoch=10, warmup_epochs=3, warmup_lr=1e-3)"
TIMM_STEPS = TIMM.replace("1e-3", "1e-3, every='step'")
WARMUP = {"sched": "cosine", "warmup_epochs": 3, "warmup_lr": 1e-3}


def warm(optimizer, steps=100):
    return importlib.import_module("transformers").get_cosine_schedule_with_warmup(optimizer, 20, steps)


def longer(optimizer):
    """As made by somebody who counts batches, of which four are in each update."""
    return warm(optimizer, 400)


def longer_linear(optimizer):
    return importlib.import_module("transformers").get_linear_schedule_with_warmup(optimizer, 10, 160)


def stairs(optimizer):
    return torch_schedules.StepLR(optimizer, 3)


def falling(optimizer):
    return torch_schedules.CosineAnnealingLR(optimizer, 50)


def one_cycle(optimizer):
    return torch_schedules.OneCycleLR(optimizer, 0.1, total_steps=50)


FAULTS = {
    "accelerate: every process steps": (WARM, with_accelerate, dict(make=warm, processes=4), "R004", "4 processes"),
    "accelerate: batches counted": (
        WARM,
        with_accelerate,
        dict(make=longer, accumulate=4),
        "R009",
        "made for 400 steps",
    ),
    "torch: stepped per update": (WARM, with_torch, dict(make=warm, every=4), "R005", "4 accumulated batches"),
    "torch: epochs stepped as steps": (STAIRS, with_torch, dict(make=stairs), "R006", "10 times too fast"),
    "torch: resumed without state": (WARM, with_torch, dict(make=warm, resume=50), "R008", "beginning at step 50"),
    "torch: never stepped": (STAIRS, with_torch, dict(make=stairs, every=10**6), "R001", "never stepped"),
    "lightning: default interval": (FALLING, with_lightning, dict(make=falling, interval="epoch"), "R006", "too slow"),
    "transformers: no warm-up": (LINEAR, with_transformers, dict(), "R010", "10 steps is missing"),
    "transformers: longer": (
        LINEAR,
        with_transformers,
        dict(warmup_steps=10, steps=60),
        "R009",
        "for 60 steps, not 40",
    ),
    "timm: epoch, not epoch + 1": (TIMM, with_timm, dict(late=True, **WARMUP), "R007", "one epoch late"),
    "timm: resumed from 0": (TIMM, with_timm, dict(resume=6, **WARMUP), "R008", "beginning at step 60"),
    "transformers: batches counted": (
        LINEAR,
        with_transformers,
        dict(make=longer_linear, gradient_accumulation_steps=4),
        "R005",
        "160 steps for 40",
    ),
    "lightning: went on": (FALLING, with_lightning, dict(make=falling, epochs=8), "R009", "went on to step 79"),
    "timm: scaled rate": (TIMM, with_timm, dict(lr=0.2, **WARMUP), "R003", "2 times the intended"),
}
HEALTHY = {
    "torch: every step": (WARM, with_torch, dict(make=warm)),
    "torch: logged after the scheduler": (WARM, with_torch, dict(make=warm, late=True)),
    "torch: stopped early": (WARM, with_torch, dict(make=warm, epochs=3)),
    "torch: epochs, logged by step": (STAIRS, with_torch, dict(make=stairs, stepping="epoch")),
    "torch: epochs, logged by epoch": (STAIRS, with_torch, dict(make=stairs, stepping="epoch", log="epoch")),
    "accelerate": (WARM, with_accelerate, dict(make=warm)),
    "accelerate: accumulating": (WARM, with_accelerate, dict(make=warm, accumulate=2)),
    "lightning": (FALLING, with_lightning, dict(make=falling)),
    "lightning: monitored by epoch": (FALLING, with_lightning, dict(make=falling, monitor="epoch")),
    "lightning: one cycle": (
        "schedule:torch.OneCycleLR(max_lr=0.1, lr=0.1, epochs=5, steps_per_epoch=10)",
        with_lightning,
        dict(make=one_cycle),
    ),
    "lightning: accumulating": (
        "schedule:torch.CosineAnnealingLR(T_max=50, lr=0.1, epochs=5, steps_per_epoch=5, every='step')",
        with_lightning,
        dict(make=falling, accumulate=2),
    ),
    "transformers": (LINEAR, with_transformers, dict(warmup_steps=10)),
    "transformers: every 5": (LINEAR, with_transformers, dict(warmup_steps=10, logged=5)),
    "transformers: accumulating": (LINEAR, with_transformers, dict(warmup_steps=10, gradient_accumulation_steps=2)),
    "timm: epochs": (TIMM, with_timm, WARMUP),
    "timm: steps": (TIMM_STEPS, with_timm, dict(updates=True, **WARMUP)),
    "timm: stopped early": (TIMM, with_timm, dict(stop=5, **WARMUP)),
}
MMENGINE = {
    "four_gpus": ("R009", "8 epochs x 3 steps, not 80 steps = 8 epochs x 10 steps"),
    "no_state_at_resume": ("R008", "starts again at step 40, on top of the rate that was restored"),
    "scaled": ("R003", "4 times the intended one"),
    "fewer_epochs": ("R009", "made for 40 steps, not 80"),
    "epochs_as_steps": ("R006", "10 times too fast"),
    **dict.fromkeys(("healthy", "healthy_steps", "healthy_biases", "healthy_accumulation", "healthy_resume")),
}


def findings_of(address, log, **about):
    source = classlens.open_source(address)
    return examine(Inspection(source, log=log, **about), choose_rules(["R"])).findings


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(name, tmp_path):
    address, run, settings, code, words = FAULTS[name]
    run(tmp_path / "run", **settings)

    (finding,) = findings_of(address, tmp_path / "run")

    assert finding.code == code
    assert words in finding.message
    assert finding.evidence["left_unexplained"] < 0.02


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_raises_no_alarm(name, tmp_path):
    address, run, settings = HEALTHY[name]
    run(tmp_path / "run", **settings)

    assert findings_of(address, tmp_path / "run") == ()


@pytest.mark.parametrize("name", MMENGINE)
def test_logs_of_mmengine_are_explained(name):
    """Made by really running it: tests_peers/check/mmengine_runs.py, which runs again in the comparison with peers."""
    config = LOGS / f"{'steps' if name in ('healthy_steps', 'epochs_as_steps') else 'cosine'}.py"

    found = findings_of(str(config), LOGS / f"mmengine_{name}.json", dataset_size=80)

    assert [one.code for one in found] == ([MMENGINE[name][0]] if MMENGINE[name] else [])
    assert all(MMENGINE[name][1] in one.message for one in found)


@pytest.mark.parametrize(("groups", "code"), [((0.01, 0.1), "R002"), ((0.02, 0.02), "R003"), ((0.1, 0.01), None)])
def test_groups_that_are_exchanged_are_told_from_rates_that_differ(groups, code, tmp_path):
    with_lightning(tmp_path / "run", falling, groups=groups)
    parts = [{"params": torch.nn.Linear(2, 2).parameters(), "lr": lr} for lr in (0.1, 0.01)]
    schedule = schedule_of(falling(torch.optim.SGD(parts)), every="step")

    log = read_training_log(tmp_path / "run")
    comparison = compare_rates(log, replay(schedule, Clock.of_steps(50)), schedule)

    assert (comparison and comparison.cause.code) == code


@pytest.mark.parametrize("seed", range(20))
def test_values_as_coarse_as_a_framework_writes_them_raise_no_alarm(seed):
    """mmcv rounds to five decimals, event files hold 32 bits."""
    random = np.random.default_rng(seed)
    source = classlens.open_source(WARM)
    curves = replay(source.schedule(), source.clock())
    steps = np.sort(random.choice(100, 30, replace=False))
    values = curves[0].at(steps)
    values = values.round(5) if seed % 2 else values.astype(np.float32).astype(np.float64)
    log = TrainingLog("mmcv", (LoggedRates("lr", steps, values),))

    assert compare_rates(log, curves, source.schedule()) is None


def test_a_known_number_of_processes_is_the_cause(tmp_path):
    with_accelerate(tmp_path / "run", warm, processes=2)

    (finding,) = findings_of(WARM, tmp_path / "run", gpus=2)

    assert finding.message == "the schedule moves 2 times in every step: 2 processes each step it, as with accelerate"


def test_what_has_no_cause_is_another_schedule(tmp_path):
    lines = [json.dumps({"lr": 0.05 + 0.01 * (step % 7), "step": step + 1, "epoch": 1}) for step in range(90)]
    (tmp_path / "scalars.json").write_text("\n".join(lines))

    (finding,) = findings_of(WARM, tmp_path / "scalars.json")

    assert finding.code == "R011"


def stepwise(unit, **more):
    """Stairs of three epochs, or of 30 steps, of a source that says nothing about the run."""
    link = Link(multi_step((3, 6, 9) if unit == "epoch" else (30, 60, 90), 0.1), 0, 10**9, unit)
    schedule = Schedule((Group("all", {"lr": 0.1}),), {"lr": lambda clock: chain([link], clock)}, **more)
    return Source("made", open_schedule=lambda: schedule)


RULES_WITHOUT_RUNS = {
    "epochs in the schedule": (replace(classlens.open_source(STAIRS), plan=None), ("step", "epoch")),
    "epochs in the log": (stepwise("epoch"), ("step", "epoch")),
    "steps alone": (stepwise("step"), ("step",)),
    "epochs alone": (stepwise("epoch"), ("epoch",)),
}


@pytest.mark.parametrize("name", RULES_WITHOUT_RUNS)
def test_the_log_says_how_long_a_run_is_where_the_source_does_not(tmp_path, name):
    """Ten epochs of ten steps: the rule's rates are healthy beside it, and half of them are named."""
    source, units = RULES_WITHOUT_RUNS[name]
    for file, factor in (("right", 1.0), ("half", 0.5)):
        lines, table = [], [f"{epoch},{factor * 0.1 * 0.1 ** (epoch // 3)}" for epoch in range(10)]
        for step in range(100):
            rate = factor * 0.1 * 0.1 ** (step // 30)
            known = {"step": step + 1, "epoch": step // 10 + 1}
            lines.append(json.dumps({"lr": rate} | {unit: known[unit] for unit in units}))
        (tmp_path / f"{file}.json").write_text("\n".join(lines))
        (tmp_path / f"{file}.csv").write_text("\n".join(["epoch,lr", *table]))  # as timm writes it

    ending = "json" if "step" in units else "csv"
    right, half = (
        examine(Inspection(source, log=tmp_path / f"{file}.{ending}"), choose_rules(["R0"])).findings
        for file in ("right", "half")
    )

    assert right == ()
    assert [one.code for one in half] == ["R003"]


def test_rates_scaled_for_the_batch_of_a_config_are_called_so(tmp_path):
    """Goyal et al. 2017: 2 processes of 64 pictures in place of 256 are half the rate."""
    (tmp_path / "config.py").write_text(
        "model = dict(type='ImageClassifier')\n"
        "train_cfg = dict(by_epoch=True, max_epochs=10)\n"
        "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))\n"
        "auto_scale_lr = dict(base_batch_size=256)\n"
        "param_scheduler = dict(type='CosineAnnealingLR', T_max=10, by_epoch=True)\n"
        "train_dataloader = dict(batch_size=64, dataset=dict(type='CustomDataset', data_root='nowhere', pipeline=[]))\n"
    )
    source = classlens.open_source(str(tmp_path / "config.py"))
    curve = replay(source.schedule(), source.clock(dataset_size=1280, gpus=2))[0]
    lines = [json.dumps({"lr": 0.5 * value, "step": step + 1}) for step, value in enumerate(curve.values.tolist())]
    (tmp_path / "scalars.json").write_text("\n".join(lines))

    (finding,) = findings_of(str(tmp_path / "config.py"), tmp_path / "scalars.json", dataset_size=1280, gpus=2)

    assert finding.code == "R003"
    assert "the linear scaling rule, for batches of 128 in place of 256" in finding.message


LONG = "schedule:hf.cosine(lr=5e-5, steps=20000, num_warmup_steps=500)"
SIBLINGS = {
    "8 processes": (lambda at, value: value(np.minimum(at * 8, 19_999)), "R004", "8 processes"),
    "restarted between two logged steps": (lambda at, value: value(np.where(at >= 7010, at - 7010, at)), "R008", "7,010"),
    "another warm-up": (lambda at, value: value(at / 2) * (at < 1000) + later(at, 1000, 20_000), "R010", "1,000 steps, not 500"),
    "no warm-up": (lambda at, value: later(at, 0, 20_000), "R010", "500 steps is missing"),
    "another length": (lambda at, value: value(at) * (at < 500) + later(at, 500, 31_000), "R011", "another schedule"),
    "twice the length": (lambda at, value: value(at) * (at < 500) + later(at, 500, 40_000), "R005", "2 times as long"),
    "half the rate": (lambda at, value: value(at) / 2, "R003", "0.5 times"),
}  # fmt: skip


def later(at, warm_up, length):
    """What follows a warm-up in a cosine over a run of some length."""
    return np.where(at >= warm_up, 5e-5 * 0.5 * (1 + np.cos(np.pi * (at - warm_up) / (length - warm_up))), 0)


@pytest.mark.parametrize("name", SIBLINGS)
def test_faults_are_named_in_long_runs_that_log_now_and_then(name, tmp_path):
    change, code, words = SIBLINGS[name]
    source = classlens.open_source(LONG)
    curve = replay(source.schedule(), source.clock())[0]
    steps = np.arange(0, 20_000, 50)
    values = change(steps, lambda at: curve.at(np.asarray(at, np.int64))).tolist()
    entries = [{"step": step + 1, "learning_rate": rate} for step, rate in zip(steps.tolist(), values, strict=True)]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": entries}))

    (finding,) = findings_of(LONG, tmp_path)

    assert finding.code == code
    assert words in finding.message
