"""`schedule:package.name(...)`: schedules without a config."""

import pytest
import torch

from classlens import open_source, replay
from classlens.adapters import Options, RunLength
from classlens.errors import ConfigError, NotFound


def curve(address):
    source = open_source(f"schedule:{address}")
    return replay(source.schedule(), source.clock(), names=["lr"])[0]


def test_a_rule_of_torch_by_name():
    rates = curve("torch.MultiStepLR(milestones=[2, 4], gamma=0.5, lr=0.8, epochs=5, steps_per_epoch=2)")

    assert rates.values.tolist() == pytest.approx([0.8] * 4 + [0.4] * 4 + [0.2] * 2)


def test_a_run_over_steps_moves_after_every_step():
    assert curve("torch.ExponentialLR(gamma=0.5, lr=1.0, steps=3)").values.tolist() == pytest.approx([1, 0.5, 0.25])


@pytest.mark.parametrize("own", ["epochs=10, steps_per_epoch=900", "steps=900", ""])
def test_a_length_said_beside_the_address_is_the_schedulers_too(own):
    length = Options(run=RunLength(epochs=5, steps_per_epoch=4))
    source = open_source(f"schedule:torch.OneCycleLR(max_lr=0.3, {own})", options=length)

    rates = replay(source.schedule(), source.clock(), names=["lr"])[0]

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, epochs=5, steps_per_epoch=4)
    expected = []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates.values.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("address", "values"),
    [
        (
            "torch.SequentialLR(schedulers=[LinearLR(start_factor=0.5, total_iters=2), ExponentialLR(gamma=0.5)], "
            "milestones=[2], lr=1.0, steps=5)",
            [0.5, 0.75, 1.0, 0.5, 0.25],
        ),
        (
            "torch.ChainedScheduler(schedulers=[ConstantLR(factor=0.1, total_iters=2), StepLR(step_size=3)], lr=1.0, steps=5)",
            [0.1, 0.1, 1.0, 0.1, 0.1],
        ),
    ],
)
def test_rules_inside_a_rule_by_name(address, values):
    assert curve(address).values.tolist() == pytest.approx(values)


def test_a_plateau_by_name():
    rates = curve("torch.ReduceLROnPlateau(patience=2, lr=1.0, epochs=9, steps_per_epoch=3)")

    assert rates.trajectory.undecided.first == 12


def test_a_rule_of_timm_by_name():
    pytest.importorskip("timm")

    rates = curve("timm.step(lr=1.0, epochs=4, steps_per_epoch=2, decay_epochs=2, decay_rate=0.1)")

    assert rates.values.tolist() == pytest.approx([1] * 4 + [0.1] * 4)


def test_a_rule_of_transformers_by_name():
    pytest.importorskip("transformers")

    rates = curve("hf.linear(lr=1.0, steps=10, num_warmup_steps=2)")

    assert rates.at([0, 1, 2, 6]) == pytest.approx([0, 0.5, 1, 0.5])


def stepped(make, steps, every=1):
    """The rates of a loop that steps a scheduler after every so many steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    scheduler, seen = make(optimizer), []
    for step in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0 and step + 1 < steps:
            scheduler.step()
    return seen


RULES = torch.optim.lr_scheduler
RUNS = {
    "torch.OneCycleLR(max_lr=0.1, epochs=4, steps_per_epoch=5)": (
        lambda optimizer: RULES.OneCycleLR(optimizer, 0.1, epochs=4, steps_per_epoch=5),
        1,
    ),
    "torch.OneCycleLR(max_lr=0.1, total_steps=20, epochs=4, steps_per_epoch=5)": (
        lambda optimizer: RULES.OneCycleLR(optimizer, 0.1, total_steps=20),
        1,
    ),
    "torch.OneCycleLR(max_lr=0.1, steps=20)": (lambda optimizer: RULES.OneCycleLR(optimizer, 0.1, total_steps=20), 1),
    "torch.OneCycleLR(max_lr=0.1, total_steps=20)": (
        lambda optimizer: RULES.OneCycleLR(optimizer, 0.1, total_steps=20),
        1,
    ),
    'torch.OneCycleLR(max_lr=0.1, total_steps=4, every="epoch", epochs=4, steps_per_epoch=5)': (
        lambda optimizer: RULES.OneCycleLR(optimizer, 0.1, total_steps=4),
        5,
    ),
    "torch.CyclicLR(base_lr=0.01, max_lr=0.1, step_size_up=4, momentum=0.9, epochs=4, steps_per_epoch=5)": (
        lambda optimizer: RULES.CyclicLR(optimizer, 0.01, 0.1, step_size_up=4),
        1,
    ),
    "torch.ChainedScheduler(schedulers=[OneCycleLR(max_lr=0.1)], epochs=4, steps_per_epoch=5)": (
        lambda optimizer: RULES.ChainedScheduler([RULES.OneCycleLR(optimizer, 0.1, epochs=4, steps_per_epoch=5)]),
        1,
    ),
    "torch.CosineAnnealingLR(T_max=30, last_epoch=4, lr=1.0, steps=20)": (
        lambda optimizer: (
            optimizer.param_groups[0].update(initial_lr=1.0) or RULES.CosineAnnealingLR(optimizer, 30, last_epoch=4)
        ),
        1,
    ),
    "torch.StepLR(step_size=2, lr=1.0, epochs=4, steps_per_epoch=5)": (lambda one: RULES.StepLR(one, 2), 5),
}


@pytest.mark.parametrize("address", RUNS)
def test_arguments_of_the_run_are_those_of_the_scheduler_too_and_it_is_stepped_as_it_is_made_for(address):
    make, every = RUNS[address]

    assert curve(address).values.tolist() == pytest.approx(stepped(make, 20, every))


HF_RUNS = {
    "hf.linear(lr=1.0, num_training_steps=16, steps=20)": 1,
    "hf.linear(lr=1.0, num_training_steps=16, epochs=4, steps_per_epoch=5, num_warmup_steps=0)": 1,
    "hf.linear(lr=1.0, num_training_steps=16)": 1,
    'hf.linear(lr=1.0, num_training_steps=16, every="epoch", epochs=4, steps_per_epoch=5)': 5,
}


@pytest.mark.parametrize("address", HF_RUNS)
def test_the_steps_of_a_scheduler_of_transformers_may_differ_from_those_of_the_run(address):
    transformers = pytest.importorskip("transformers")

    values = curve(address).values

    expected = stepped(lambda one: transformers.get_linear_schedule_with_warmup(one, 0, 16), 20, HF_RUNS[address])
    assert values.tolist() == pytest.approx(expected[: values.size])
    assert values.size == (16 if address.endswith("=16)") else 20)


def test_arguments_of_one_kind_of_transformers_may_be_in_their_own_dict():
    pytest.importorskip("transformers")
    plain = curve("hf.polynomial(lr=1.0, steps=20, power=2.0, lr_end=0.1)")

    nested = curve("hf.polynomial(lr=1.0, steps=20, scheduler_specific_kwargs={'power': 2.0, 'lr_end': 0.1})")

    assert nested.values.tolist() == plain.values.tolist()


def test_a_plateau_of_transformers_looks_at_epochs():
    pytest.importorskip("transformers")

    assert curve("hf.reduce_lr_on_plateau(patience=1, epochs=9, steps_per_epoch=3)").trajectory.undecided.first == 9


TIMM_RUNS = {
    "timm.cosine(lr=1.0, steps=20)": {"num_epochs": 1, "updates_per_epoch": 20, "step_on_epochs": False},
    'timm.cosine(lr=1.0, every="step", epochs=4, steps_per_epoch=5)': {
        "num_epochs": 4,
        "updates_per_epoch": 5,
        "step_on_epochs": False,
    },
    "timm.cosine(lr=1.0, num_epochs=2, epochs=4, steps_per_epoch=5)": {"num_epochs": 2},
    "timm.cosine(lr=1.0, num_epochs=4, updates_per_epoch=5)": {"num_epochs": 4},
    "timm.cosine(lr=1.0, step_on_epochs=False, epochs=4, steps_per_epoch=5)": {
        "num_epochs": 4,
        "updates_per_epoch": 5,
        "step_on_epochs": False,
    },
}


@pytest.mark.parametrize("address", TIMM_RUNS)
def test_the_length_of_a_scheduler_of_timm_may_differ_from_that_of_the_run(address):
    timm_scheduler = pytest.importorskip("timm.scheduler")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, _ = timm_scheduler.create_scheduler_v2(optimizer, "cosine", **TIMM_RUNS[address])

    expected = []
    for step in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        scheduler.step_update(step + 1)
        if (step + 1) % 5 == 0:
            scheduler.step((step + 1) // 5)

    assert curve(address).values.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("torch.StepLR", ConfigError, "cannot be read: not a call"),
        ("torch.StepLR(3, lr=1, steps=3)", ConfigError, "cannot be read: not a call"),
        ("torch.StepLR(step_size=open('x'), steps=3)", ConfigError, "cannot be read: malformed node"),
        ("torch.StepLR(", ConfigError, "cannot be read"),
        ("keras.StepLR(steps=3)", NotFound, "no package of schedules named 'keras'"),
        ("timm.cosign(epochs=3, steps_per_epoch=2)", NotFound, "no scheduler of timm named 'cosign'"),
        ("torch.StapLR(steps=3)", NotFound, "no scheduler of torch named 'StapLR'"),
        ("torch.ChainedScheduler(schedulers=[StapLR()], steps=3)", NotFound, "no scheduler of torch named 'StapLR'"),
        ("torch.ChainedScheduler(schedulers=[1], steps=3)", ConfigError, "ChainedScheduler: schedulers is a list such"),
        ("torch.StepLR(step_size=3)", ConfigError, "a clock needs epochs and steps_per_epoch"),
        ("torch.StepLR(step_size=3, steps=0)", ConfigError, "steps of 1 or more, not 0"),
        ("torch.StepLR(size=3, steps=3)", ConfigError, "StepLR refuses its arguments: .*'size'"),
        ("torch.StepLR(step_size=3, lr=-1.0, steps=3)", ConfigError, "SGD refuses the values of the run: ValueError"),
        ("torch.StepLR(step_size=3, steps=2.5)", ConfigError, "a run is counted in whole numbers, not 2.5"),
        ("timm.cosine(every='batch', steps=3)", ConfigError, "every is 'step' or 'epoch', not 'batch'"),
        (
            "torch.OneCycleLR(max_lr=1.0, total_steps=4, epochs=4, steps_per_epoch=5)",
            ConfigError,
            "OneCycleLR stops after 5 steps: Tried to step 5 times",
        ),
    ],
)
def test_a_wrong_address_is_told(address, error, message):
    with pytest.raises(error, match=message):
        curve(address)
