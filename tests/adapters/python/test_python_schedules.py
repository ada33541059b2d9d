"""Schedules that are functions of the position in the run, as fastai writes them."""

import math
import sys
from types import ModuleType

import numpy as np
import pytest

import classlens
from classlens.adapters import open_source
from classlens.errors import ConfigError

CLOCK = classlens.Clock(epochs=4, steps_per_epoch=25)


def cosine(position):
    return 1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * position)) / 2


def curves(source, clock=CLOCK):
    return {(curve.group.name, curve.name): curve.values for curve in classlens.replay(source.schedule(), clock).curves}


def test_a_function_of_the_position_is_asked_at_every_step():
    found = curves(open_source({"lr": cosine, "mom": lambda position: 0.95 - 0.1 * position}))

    expected = [cosine(step / 100) for step in range(100)]
    np.testing.assert_allclose(found["all parameters", "lr"], expected, rtol=1e-12)
    np.testing.assert_allclose(found["all parameters", "momentum"], [0.95 - step / 1000 for step in range(100)])


@pytest.mark.parametrize(("interval", "width"), [("step", 1), ("epoch", 25)])
def test_with_an_interval_it_is_given_that_number(interval, width):
    found = curves(open_source({"lr": lambda number: 0.5**number, "interval": interval}))

    np.testing.assert_allclose(found["all parameters", "lr"], [0.5 ** (step // width) for step in range(100)])


def test_several_values_are_those_of_several_groups_and_one_is_that_of_all():
    spread = np.array([1e-4, 1e-3])

    found = curves(open_source({"lr": lambda position: spread * (1 - position), "momentum": lambda position: 0.9}))

    assert set(found) == {(group, name) for group in ("group 0", "group 1") for name in ("lr", "momentum")}
    np.testing.assert_allclose(found["group 1", "lr"][:2], [1e-3, 1e-3 * 0.99])


def test_the_length_of_the_run_stands_beside_it_or_is_asked_for(tmp_path, monkeypatch, capsys):
    from classlens.cli.main import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(
        "def lr(position):\n    return 0.1 * (1 - position)\n\nrun = {'lr': lr, 'epochs': 2, 'steps_per_epoch': 5}\n"
    )

    assert main(["lr", "py:train.py:run", "--save-path", "a.png"]) == 0
    assert main(["lr", "py:train.py:lr", "--steps", "10", "--save-path", "b.png"]) == 0
    assert main(["lr", "py:train.py:lr", "--save-path", "c.png"]) == 2
    assert "does not say how long it trains" in capsys.readouterr().err


def test_a_function_that_fails_or_gives_no_number_is_told():
    with pytest.raises(ConfigError, match=r"function for lr, called with 0, fails at .*: ZeroDivisionError"):
        open_source({"lr": lambda position: 1 / position}).schedule()
    with pytest.raises(ConfigError, match="different numbers of values: lr 2, momentum 3"):
        open_source({"lr": lambda position: [1, 2], "mom": lambda position: [1, 2, 3]}).schedule()


@pytest.fixture
def fastai(monkeypatch):
    """The shapes of fastai's schedule module: an annealer, what combines several, and the callback that holds them."""
    module = ModuleType("fastai.callback.schedule")
    exec(
        """
class _Annealer:
    def __init__(self, f, start, end): self.f, self.start, self.end = f, start, end
    def __call__(self, pos): return self.f(self.start, self.end, pos)

def SchedLin(start, end): return _Annealer(lambda start, end, pos: start + pos * (end - start), start, end)

def combine_scheds(pcts, scheds):
    def _inner(pos): return scheds[0](pos / pcts[0]) if pos < pcts[0] else scheds[1]((pos - pcts[0]) / pcts[1])
    return _inner

class ParamScheduler:
    def __init__(self, scheds): self.scheds = scheds
""",
        module.__dict__,
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_what_fastai_makes_is_known_by_itself(fastai):
    rising = fastai.SchedLin(0.0, 1.0)
    both = fastai.combine_scheds([0.5, 0.5], [rising, fastai.SchedLin(1.0, 0.0)])
    callback = fastai.ParamScheduler({"lr": both, "mom": fastai.SchedLin(0.95, 0.85)})

    assert curves(open_source(rising))["all parameters", "lr"][50] == 0.5
    assert curves(open_source(both))["all parameters", "lr"][50] == 1.0
    assert set(curves(open_source(callback))) == {("all parameters", "lr"), ("all parameters", "momentum")}
