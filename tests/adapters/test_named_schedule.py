"""`schedule:package.name(...)`: schedules without a config."""

import pytest

from classlens import open_source, replay
from classlens.errors import ConfigError, NotFound


def curve(address):
    source = open_source(f"schedule:{address}")
    return replay(source.schedule(), source.clock(), names=["lr"])[0]


def test_a_rule_of_torch_by_name():
    rates = curve("torch.MultiStepLR(milestones=[2, 4], gamma=0.5, lr=0.8, epochs=5, steps_per_epoch=2)")

    assert rates.values.tolist() == pytest.approx([0.8] * 4 + [0.4] * 4 + [0.2] * 2)


def test_a_run_over_steps_moves_after_every_step():
    assert curve("torch.ExponentialLR(gamma=0.5, lr=1.0, steps=3)").values.tolist() == pytest.approx([1, 0.5, 0.25])


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

    assert rates.course.undecided.first == 12


def test_a_rule_of_timm_by_name():
    pytest.importorskip("timm")

    rates = curve("timm.step(lr=1.0, epochs=4, steps_per_epoch=2, decay_epochs=2, decay_rate=0.1)")

    assert rates.values.tolist() == pytest.approx([1] * 4 + [0.1] * 4)


def test_a_rule_of_transformers_by_name():
    pytest.importorskip("transformers")

    rates = curve("hf.linear(lr=1.0, steps=10, num_warmup_steps=2)")

    assert rates.at([0, 1, 2, 6]) == pytest.approx([0, 0.5, 1, 0.5])


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
    ],
)
def test_a_wrong_address_is_told(address, error, message):
    with pytest.raises(error, match=message):
        curve(address)
