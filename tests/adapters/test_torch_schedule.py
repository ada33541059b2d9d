"""Schedulers of torch, timm and transformers, against the same objects stepped by a training loop."""

import copy
import random
import warnings

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as rules

from classlens import Clock, replay
from classlens.adapters.torch_schedule import schedule_alone, schedule_of
from classlens.errors import ConfigError


def optimizer_of(rates=(0.1, 0.03), kind=torch.optim.SGD, **settings):
    groups = [{"params": [torch.zeros(3, 2, requires_grad=True)], "lr": rate} for rate in rates]
    return kind(groups, **({"momentum": 0.9} if kind is torch.optim.SGD else {}) | settings)


def trained(scheduler, ticks):
    """What a loop would see: every group's rate before each step."""
    optimizer, seen = scheduler.optimizer, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(ticks):
            seen.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            scheduler.step()
    return np.array(seen)


def params(scheduler, ticks, every="step"):
    curves = replay(schedule_of(scheduler, every=every), Clock.of_steps(ticks))
    return np.stack([curve.values for curve in curves.named("lr")], axis=1)


SCHEDULERS = {
    "step": lambda optimizer: rules.StepLR(optimizer, 30, 0.5),
    "multi-step": lambda optimizer: rules.MultiStepLR(optimizer, [20, 20, 70], 0.3),
    "constant": lambda optimizer: rules.ConstantLR(optimizer, 0.2, 15),
    "linear": lambda optimizer: rules.LinearLR(optimizer, 0.01, 0.7, 25),
    "exponential": lambda optimizer: rules.ExponentialLR(optimizer, 0.97),
    "polynomial": lambda optimizer: rules.PolynomialLR(optimizer, 60, 1.7),
    "cosine": lambda optimizer: rules.CosineAnnealingLR(optimizer, 40, 1e-3),
    "lambda": lambda optimizer: rules.LambdaLR(optimizer, [lambda t: 1 / (t + 1), lambda t: 0.9**t]),
    "multiplicative": lambda optimizer: rules.MultiplicativeLR(optimizer, lambda t: 0.99),
    "warm restarts": lambda optimizer: rules.CosineAnnealingWarmRestarts(optimizer, 10, 2, 1e-4),
    "cyclic": lambda optimizer: rules.CyclicLR(optimizer, 1e-3, 0.2, 12, 20, mode="triangular2"),
    "one-cycle": lambda optimizer: rules.OneCycleLR(optimizer, [0.5, 0.2], total_steps=101),
    "sequential": lambda optimizer: rules.SequentialLR(
        optimizer, [rules.LinearLR(optimizer, 0.1, 1, 10), rules.CosineAnnealingLR(optimizer, 90)], [10]
    ),
    "chained": lambda optimizer: rules.ChainedScheduler(
        [rules.LinearLR(optimizer, 0.1, 1, 10), rules.CosineAnnealingLR(optimizer, 90, 1e-3)]
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_of_torch_gives_the_values_of_its_training(name):
    mine, theirs = SCHEDULERS[name](optimizer_of()), SCHEDULERS[name](optimizer_of())

    values = params(mine, 100)

    np.testing.assert_allclose(values, trained(theirs, 100), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_users_scheduler_is_where_it_was(name):
    scheduler = SCHEDULERS[name](optimizer_of())
    before = copy.deepcopy(scheduler.state_dict()), copy.deepcopy(scheduler.optimizer.state_dict())

    params(scheduler, 50)

    after = scheduler.state_dict(), scheduler.optimizer.state_dict()
    assert str(after) == str(before)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_that_was_stepped_goes_on_from_there(name):
    mine, theirs = SCHEDULERS[name](optimizer_of()), SCHEDULERS[name](optimizer_of())
    trained(mine, 13), trained(theirs, 13)

    values = params(mine, 80)

    np.testing.assert_allclose(values, trained(theirs, 80), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_where_a_scheduler_is_that_goes_on_is_a_note(name):
    scheduler = SCHEDULERS[name](optimizer_of())
    trained(scheduler, 5)

    assert schedule_of(SCHEDULERS[name](optimizer_of())).notes == ()
    (note,) = schedule_of(scheduler, every="epoch").notes
    assert note == f"{type(scheduler).__name__} is at epoch 5 already: its values go on from there"


RESUMED = {
    "step": lambda optimizer: rules.StepLR(optimizer, 5, last_epoch=7),
    "linear": lambda optimizer: rules.LinearLR(optimizer, 0.1, total_iters=20, last_epoch=7),
    "cosine": lambda optimizer: rules.CosineAnnealingLR(optimizer, 30, last_epoch=7),
    "lambda": lambda optimizer: rules.LambdaLR(optimizer, lambda t: 1 / (t + 1), last_epoch=7),
    "one-cycle": lambda optimizer: rules.OneCycleLR(optimizer, 0.5, total_steps=60, last_epoch=7),
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_scheduler_that_is_made_for_a_later_epoch_goes_on_from_there(name):
    def resumed():
        optimizer = optimizer_of()
        for group in optimizer.param_groups:
            group.update(initial_lr=0.2, max_lr=0.5, min_lr=1e-5, base_momentum=0.85, max_momentum=0.95)
        return RESUMED[name](optimizer)

    np.testing.assert_allclose(params(resumed(), 50), trained(resumed(), 50), rtol=1e-9, atol=1e-15)


def test_a_scheduler_counts_from_the_rate_in_force_when_others_were_made_before_it():
    def made():
        optimizer = optimizer_of()
        rules.LinearLR(optimizer, 0.1)
        return rules.StepLR(optimizer, 3)

    np.testing.assert_allclose(params(made(), 9), trained(made(), 9))
    assert replay(schedule_alone(made().optimizer), Clock.of_steps(2))[0].values.tolist() == pytest.approx([0.01, 0.01])


UNUSUAL = {
    "polynomial over nothing": lambda optimizer: rules.PolynomialLR(optimizer, total_iters=0),
    "polynomial over less": lambda optimizer: rules.PolynomialLR(optimizer, total_iters=-3, power=2.0),
    "polynomial over a fraction": lambda optimizer: rules.PolynomialLR(optimizer, total_iters=2.5),
    "linear to nothing": lambda optimizer: rules.LinearLR(optimizer, 0.5, 0.0, 6),
    "linear over nothing": lambda optimizer: rules.LinearLR(optimizer, 0.5, total_iters=0),
    "linear over a fraction": lambda optimizer: rules.LinearLR(optimizer, 0.5, total_iters=4.5),
    "constant over nothing": lambda optimizer: rules.ConstantLR(optimizer, 0.5, 0),
    "constant over a fraction": lambda optimizer: rules.ConstantLR(optimizer, 0.5, 4.5),
    "steps of a fraction": lambda optimizer: rules.StepLR(optimizer, 2.5),
    "steps of less": lambda optimizer: rules.StepLR(optimizer, -3),
    "cosine of less": lambda optimizer: rules.CosineAnnealingLR(optimizer, -4, 1e-3),
    "exponential to nothing": lambda optimizer: rules.ExponentialLR(optimizer, 0.0),
    "milestone at the start": lambda optimizer: rules.MultiStepLR(optimizer, [0, 3, 3]),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_settings_at_the_edge_mean_what_they_mean_in_torch(name):
    mine, theirs = UNUSUAL[name](optimizer_of()), UNUSUAL[name](optimizer_of())

    np.testing.assert_allclose(params(mine, 20), trained(theirs, 20), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda optimizer: rules.StepLR(optimizer, 0), r"StepLR.step\(\): ZeroDivisionError"),
        (lambda optimizer: rules.ConstantLR(optimizer, 0.0, 5), r"ConstantLR.step\(\): ZeroDivisionError"),
        (lambda optimizer: rules.CosineAnnealingLR(optimizer, 0), r"CosineAnnealingLR.step\(\): ZeroDivisionError"),
    ],
)
def test_a_rule_at_which_training_stops_is_an_error(make, message):
    with pytest.raises(ZeroDivisionError):
        trained(make(optimizer_of()), 20)
    with pytest.raises(ConfigError, match=message):
        params(make(optimizer_of()), 20)


@pytest.mark.parametrize("kind", ["one-cycle", "cyclic", "inside another", "transformers"])
def test_a_scheduler_is_stepped_after_what_it_is_made_for_unless_it_is_said(kind):
    def make():
        optimizer = optimizer_of()
        if kind == "transformers":
            return pytest.importorskip("transformers").get_linear_schedule_with_warmup(optimizer, 4, 12)
        if kind == "inside another":
            return rules.ChainedScheduler([rules.OneCycleLR(optimizer, 0.3, total_steps=12)])
        return SCHEDULERS[kind](optimizer)

    curves = replay(schedule_of(make()), Clock(epochs=2, steps_per_epoch=6)).named("lr")

    np.testing.assert_allclose(np.stack([curve.values for curve in curves], 1), trained(make(), 12))


def test_one_cycle_moves_the_momentum_too():
    optimizer = optimizer_of(kind=torch.optim.AdamW)
    curves = replay(schedule_of(rules.OneCycleLR(optimizer, 0.1, total_steps=10), every="step"), Clock.of_steps(10))

    momentum = curves.named("momentum")[0]

    assert momentum.at([0, 2, 9]).tolist() == pytest.approx([0.95, 0.85, 0.95])


@pytest.mark.parametrize(
    ("make", "marks"),
    [
        (lambda optimizer: rules.MultiStepLR(optimizer, [2, 5]), [(8, "milestone"), (20, "milestone")]),
        (lambda optimizer: rules.StepLR(optimizer, 3), [(12, "step"), (24, "step")]),
        (lambda optimizer: rules.LinearLR(optimizer, 0.1, total_iters=4), [(16, "warm-up ends")]),
    ],
)
def test_decays_and_the_end_of_a_warmup_are_marked(make, marks):
    (curve, *_) = replay(schedule_of(make(optimizer_of((0.1,)))), Clock(7, 4))

    assert [(mark.step, mark.what) for mark in curve.trajectory.marks] == marks


def test_by_epoch_values_move_between_epochs_only():
    curves = replay(schedule_of(rules.StepLR(optimizer_of(), 1)), Clock(epochs=3, steps_per_epoch=4))

    assert curves.named("lr")[0].values.tolist() == pytest.approx([0.1] * 4 + [0.01] * 4 + [0.001] * 4)


def test_a_lambda_is_asked_at_the_drawn_steps_only():
    asked = []
    scheduler = rules.LambdaLR(optimizer_of((0.1,)), lambda t: asked.append(t) or min(1, t / 12_345) * 0.5)
    (curve, *_) = replay(schedule_of(scheduler, every="step"), Clock.of_steps(10**8), names=["lr"])

    steps, values = curve.points

    assert len(asked) < 100_000
    assert curve.peak[1] == pytest.approx(0.05)
    assert abs(steps[np.argmax(values > 0.05 * 0.9999)] - 12_345) <= 2


def test_too_many_steps_of_a_rule_without_closed_form_are_refused():
    scheduler = rules.CyclicLR(optimizer_of((0.1,)), 1e-3, 0.2, 12)

    with pytest.raises(ConfigError, match=r"CyclicLR has no closed form here, and 1,000,000,000 calls"):
        replay(schedule_of(scheduler, every="step"), Clock.of_steps(10**9))


def test_a_cycle_that_is_over_before_the_run_says_so():
    scheduler = rules.OneCycleLR(optimizer_of((0.1,)), 0.1, total_steps=20)

    with pytest.raises(ConfigError, match=r"OneCycleLR stops after 21 steps: Tried to step 21 times"):
        replay(schedule_of(scheduler, every="step"), Clock.of_steps(30))


def metric_driven():
    timm, transformers = pytest.importorskip("timm.scheduler"), pytest.importorskip("transformers.optimization")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm: plateaus are deprecated
        plateau = timm.create_scheduler_v2(
            optimizer_of(), "plateau", num_epochs=60, patience_epochs=4, warmup_epochs=3, warmup_lr=1e-3
        )[0]
    return {
        "torch": rules.ReduceLROnPlateau(optimizer_of(), "max", 0.3, patience=3, cooldown=2, min_lr=[1e-3, 1e-4]),
        "timm": plateau,
        "greedy": transformers.get_scheduler("greedy", optimizer_of()),
        "transformers": transformers.get_scheduler("reduce_lr_on_plateau", optimizer_of()),
    }


@pytest.mark.parametrize("name", ["torch", "timm", "greedy", "transformers"])
def test_a_scheduler_that_waits_for_a_metric_is_drawn_between_the_best_and_the_worst(name):
    theirs = copy.deepcopy(metric_driven()[name])
    curves = replay(schedule_of(metric_driven()[name], every="epoch"), Clock(60, 2)).named("lr")

    seen = []
    for epoch in range(60):
        seen += [[group["lr"] for group in theirs.optimizer.param_groups]] * 2
        theirs.step(epoch + 1, 5.0) if name == "timm" else theirs.step(5.0)

    for index, curve in enumerate(curves):
        steps, undecided = np.arange(120), curve.trajectory.undecided
        np.testing.assert_allclose(undecided.lowest(steps, 0.0), np.array(seen)[:, index], rtol=1e-12)
        assert (undecided.lowest(steps, 0.0) <= curve.values).all()
        assert undecided.lowest(steps[: undecided.first], 0.0) == pytest.approx(curve.values[: undecided.first])


@pytest.mark.parametrize("name", ["torch", "timm", "greedy", "transformers"])
@pytest.mark.parametrize("epochs", [2, 6])
def test_a_scheduler_that_waits_for_a_metric_and_was_stepped_goes_on_from_there(name, epochs):
    ours, theirs = metric_driven()[name], metric_driven()[name]

    def step(scheduler, epoch, metric):
        scheduler.step(epoch + 1, metric) if name == "timm" else scheduler.step(metric)

    for scheduler in (ours, theirs):
        for epoch in range(epochs):
            step(scheduler, epoch, 5.0)
    curves = replay(schedule_of(ours, every="epoch"), Clock(40, 2)).named("lr")

    seen = []
    for epoch in range(40):
        seen += [[group["lr"] for group in theirs.optimizer.param_groups]] * 2
        step(theirs, epochs + epoch, 5.0)

    for index, curve in enumerate(curves):
        lowest = curve.trajectory.undecided.lowest(np.arange(80), 0.0)
        np.testing.assert_allclose(lowest, np.array(seen)[:, index], rtol=1e-12)


def test_the_first_metric_can_cut_only_after_the_patience_is_over():
    scheduler = rules.ReduceLROnPlateau(optimizer_of((0.1,)), patience=3)
    curve = replay(schedule_of(scheduler), Clock(12, 5)).named("lr")[0]

    assert curve.trajectory.undecided.first == 5 * 5
    assert set(curve.values) == {0.1}


def test_a_patience_that_outlasts_the_run_is_a_finding():
    curves = replay(schedule_of(rules.ReduceLROnPlateau(optimizer_of((0.1,)))), Clock(8, 5))

    assert [finding.kind for finding in curves.findings] == ["idle plateau"]


def random_scheduler(sample_params, optimizer, depth=0):
    """Any of torch's rules with any arguments, or a sequence or a chain of them."""
    simple = {
        "StepLR": lambda: {"step_size": sample_params.randrange(1, 30), "gamma": sample_params.choice([0.1, 0.9])},
        "MultiStepLR": lambda: {"milestones": sorted(sample_params.sample(range(60), 3)), "gamma": 0.5},
        "ConstantLR": lambda: {
            "factor": sample_params.choice([0.1, 0.5, 1.0]),
            "total_iters": sample_params.randrange(40),
        },
        "LinearLR": lambda: {
            "start_factor": sample_params.choice([0.01, 0.5]),
            "total_iters": sample_params.randrange(1, 40),
        },
        "ExponentialLR": lambda: {"gamma": sample_params.choice([0.8, 0.99])},
        "PolynomialLR": lambda: {
            "total_iters": sample_params.randrange(1, 70),
            "power": sample_params.choice([1.0, 2.0]),
        },
        "CosineAnnealingLR": lambda: {
            "T_max": sample_params.randrange(1, 70),
            "eta_min": sample_params.choice([0, 1e-3]),
        },
        "CosineAnnealingWarmRestarts": lambda: {
            "T_0": sample_params.randrange(1, 20),
            "T_mult": sample_params.choice([1, 2]),
        },
    }
    kind = sample_params.choice([*simple, "SequentialLR", "ChainedScheduler"] if depth == 0 else list(simple))
    if kind in simple:
        return getattr(rules, kind)(optimizer, **simple[kind]())
    parts = [random_scheduler(sample_params, optimizer, 1) for _ in range(sample_params.choice([2, 3]))]
    if kind == "ChainedScheduler":
        return rules.ChainedScheduler(parts)
    return rules.SequentialLR(optimizer, parts, sorted(sample_params.sample(range(1, 60), len(parts) - 1)))


def test_random_schedulers_of_torch_give_the_values_of_their_training():
    for seed in range(400):
        mine, theirs = (random_scheduler(random.Random(seed), optimizer_of()) for _ in range(2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values, expected = params(mine, 70), trained(theirs, 70)

        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12, err_msg=f"{seed} {theirs}")


def test_an_optimizer_alone_has_counted_groups_that_stay():
    curves = replay(schedule_alone(optimizer_of()), Clock.of_steps(3))

    assert [(curve.group.tensors, curve.group.parameters) for curve in curves.named("lr")] == [(1, 6), (1, 6)]
    assert curves.named("lr")[1].values.tolist() == [0.03] * 3


def test_something_else_is_refused():
    with pytest.raises(ConfigError, match="a dict is no scheduler of torch, timm or transformers"):
        schedule_of({})


TIMM = {
    "cosine": {"num_epochs": 30, "warmup_epochs": 3, "warmup_lr": 1e-4, "min_lr": 1e-5},
    "cosine cycles": {"sched": "cosine", "num_epochs": 10, "cycle_mul": 1.5, "cycle_limit": 3, "cycle_decay": 0.5},
    "tanh": {"num_epochs": 30, "warmup_epochs": 2},
    "step": {"num_epochs": 30, "decay_epochs": 4, "decay_rate": 0.7},
    "multistep": {"num_epochs": 30, "decay_milestones": [5, 12]},
    "poly": {"num_epochs": 30, "patience_epochs": 0, "decay_rate": 0.5},
    "noise": {"sched": "cosine", "num_epochs": 30, "noise": [0.3, 0.9]},
    "constant": {"num_epochs": 30, "warmup_epochs": 4},
    "wsd": {"num_epochs": 30, "warmup_epochs": 3, "decay_epochs": 9},
    "rsqrt": {"num_epochs": 30, "warmup_epochs": 3, "decay_epochs": 9},
}


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("by_epoch", [True, False])
def test_a_scheduler_of_timm_gives_the_values_of_its_training(name, by_epoch):
    timm_scheduler = pytest.importorskip("timm.scheduler")
    settings = {"sched": name} | TIMM[name]
    settings |= {"step_on_epochs": by_epoch, "updates_per_epoch": 4}
    ours, theirs = (timm_scheduler.create_scheduler_v2(optimizer_of(), **settings)[0] for _ in range(2))
    if theirs is None:
        pytest.skip(f"this timm has no {name}")
    curves = replay(schedule_of(ours), Clock(epochs=30, steps_per_epoch=4))

    seen = []
    for epoch in range(30):
        for update in range(4):
            seen.append([group["lr"] for group in theirs.optimizer.param_groups])
            theirs.step_update(num_updates=epoch * 4 + update + 1)
        theirs.step(epoch + 1)

    values = np.stack([curve.values for curve in curves.named("lr")], axis=1)
    np.testing.assert_allclose(values, seen, rtol=1e-9)


def stepped_timm(scheduler, epochs):
    """The rates of timm's own loop over some epochs of four updates, the first and the last of which are given."""
    seen = []
    for epoch in range(*epochs):
        for update in range(4):
            seen.append([group["lr"] for group in scheduler.optimizer.param_groups])
            scheduler.step_update(num_updates=epoch * 4 + update + 1)
        scheduler.step(epoch + 1)
    return seen


@pytest.mark.parametrize("name", [name for name in TIMM if name not in ("step", "multistep", "constant", "wsd")])
@pytest.mark.parametrize("epochs", [2, 7])
@pytest.mark.parametrize("by_epoch", [True, False])
def test_a_scheduler_of_timm_that_was_stepped_goes_on_from_there(name, epochs, by_epoch):
    timm_scheduler = pytest.importorskip("timm.scheduler")
    settings = {"sched": name, "step_on_epochs": by_epoch, "updates_per_epoch": 4} | TIMM[name]
    ours, theirs = (timm_scheduler.create_scheduler_v2(optimizer_of(), **settings)[0] for _ in range(2))
    if theirs is None:
        pytest.skip(f"this timm has no {name}")
    stepped_timm(ours, (0, epochs)), stepped_timm(theirs, (0, epochs))
    curves = replay(schedule_of(ours), Clock(epochs=20, steps_per_epoch=4))

    values = np.stack([curve.values for curve in curves.named("lr")], axis=1)
    np.testing.assert_allclose(values, stepped_timm(theirs, (epochs, epochs + 20)), rtol=1e-9)


def test_where_a_scheduler_of_timm_can_only_be_guessed_a_note_says_so_and_what_it_never_sets_is_refused():
    timm_scheduler = pytest.importorskip("timm.scheduler")
    scheduler = timm_scheduler.StepLRScheduler(optimizer_of(), decay_t=10, decay_rate=0.1)
    scheduler.step(14)

    (note,) = schedule_of(scheduler).notes

    assert note == (
        "StepLRScheduler is at epoch 10 already (or up to 9 epochs later: it does not move there, and keeps no count): "
        "its values go on from there"
    )
    scheduler.optimizer.param_groups[0]["lr"] = 0.123
    with pytest.raises(ConfigError, match=r"StepLRScheduler: the lr 0\.123 of its optimizer is none that it sets"):
        schedule_of(scheduler)


TRANSFORMERS = {
    "linear": {},
    "cosine": {},
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"power": 2.0},
    "constant": {},
    "constant_with_warmup": {},
    "inverse_sqrt": {},
    "cosine_with_min_lr": {"min_lr": 1e-3},
    "cosine_warmup_with_min_lr": {"min_lr": 1e-3},
    "warmup_stable_decay": {"num_decay_steps": 30},
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_scheduler_of_transformers_gives_the_values_of_its_training(name):
    optimization = pytest.importorskip("transformers.optimization")
    ours, theirs = (
        optimization.get_scheduler(
            name,
            optimizer_of(),
            num_warmup_steps=10,
            num_training_steps=100,
            scheduler_specific_kwargs=TRANSFORMERS[name],
        )
        for _ in range(2)
    )

    np.testing.assert_allclose(params(ours, 100), trained(theirs, 100), rtol=1e-9)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_scheduler_of_transformers_that_was_stepped_goes_on_from_there(name):
    optimization = pytest.importorskip("transformers.optimization")
    settings = {"num_warmup_steps": 10, "num_training_steps": 100, "scheduler_specific_kwargs": TRANSFORMERS[name]}
    ours, theirs = (optimization.get_scheduler(name, optimizer_of(), **settings) for _ in range(2))
    trained(ours, 25), trained(theirs, 25)

    np.testing.assert_allclose(params(ours, 70), trained(theirs, 70), rtol=1e-9)


def test_a_function_of_the_user_that_fails_during_the_run_is_told_by_its_line():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = schedule_of(torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (5 - epoch)))

    with pytest.raises(
        ConfigError, match=r"LambdaLR, called with 5, fails at .*test_torch_schedule\.py:\d+: ZeroDivision"
    ):
        replay(schedule, Clock(epochs=10, steps_per_epoch=2))[0].at([10])
