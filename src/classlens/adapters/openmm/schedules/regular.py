"""The policies of 0.x, each in closed form: (run, initial value, progress in epochs or steps) -> values.

`POLICIES` is the list. Names of arguments that hold `{name}` are those of the learning rate in `lr_config` and of the
momentum in `momentum_config`: min_lr, min_momentum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from classlens.errors import ConfigError
from classlens.schedule import formulas

Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """What a policy knows: which value it sets, its arguments, and the length of the run in its own unit."""

    name: str
    arguments: Mapping[str, Any]
    total: float
    where: str

    def given(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever the config says
        """An argument, or its default; `{name}` stands for lr or momentum."""
        value = self.arguments.get(name.format(name=self.name))
        return default if value is None else value

    def floor(self, initial: float) -> float:
        """The value a policy goes down to: min_lr, or min_lr_ratio of the initial one."""
        ratio = self.given("min_{name}_ratio")
        return float(self.given("min_{name}", 0.0)) if ratio is None else initial * float(ratio)


def power(base: Any, exponents: Any) -> Numbers:  # noqa: ANN401 - numbers of a config
    """`base` to each exponent."""
    return np.asarray(np.float_power(base, exponents))


def fixed(run: Run, initial: float, p: Numbers) -> Numbers:
    """The initial value."""
    return np.full(p.shape, float(initial))


def step(run: Run, initial: float, p: Numbers) -> Numbers:
    """Gamma at every `step`, or at each of a list of them; never below the minimum."""
    drops = p // run.given("step") if isinstance(run.given("step"), int) else np.searchsorted(met(run), p, "right")
    values = initial * power(run.given("gamma", 0.1 if run.name == "lr" else 0.5), drops)
    lowest = run.given("min_{name}")
    return values if lowest is None else np.maximum(values, lowest)


def met(run: Run) -> Numbers:
    """The milestones as they act: the first one that is ahead counts, so in an unsorted list earlier ones are void."""
    return np.maximum.accumulate(np.asarray(run.given("step"), np.float64))


def exponential(run: Run, initial: float, p: Numbers) -> Numbers:
    """Gamma to the power of the progress."""
    return initial * power(run.given("gamma"), p)


def polynomial(run: Run, initial: float, p: Numbers) -> Numbers:
    """(1 - progress / total) to a power, down to the minimum."""
    lowest = float(run.given("min_{name}", 0.0))
    return (initial - lowest) * power(1 - p / run.total, run.given("power", 1.0)) + lowest


def inverse(run: Run, initial: float, p: Numbers) -> Numbers:
    """(1 + gamma * progress) to a negative power."""
    return initial * power(1 + run.given("gamma") * p, -run.given("power", 1.0))


def cosine(run: Run, initial: float, p: Numbers) -> Numbers:
    """Half a cosine over the run; its end is one unit after the last."""
    return formulas.cosine(p / run.total, initial, run.floor(initial))


def linear(run: Run, initial: float, p: Numbers) -> Numbers:
    """A straight line over the run."""
    return formulas.line(p / run.total, initial, run.floor(initial))


def flat_cosine(run: Run, initial: float, p: Numbers) -> Numbers:
    """The initial value, then half a cosine from `start_percent` of the run on."""
    start = flat_until(run)
    falling = formulas.cosine((p - start) / (run.total - start), initial, run.floor(initial))
    return np.where(p < start, initial, falling)


def flat_until(run: Run) -> float:
    """Where the cosine of `flat_cosine` begins."""
    return float(round(run.total * run.given("start_percent", 0.75)))


def cosine_cooldown(run: Run, initial: float, p: Numbers) -> Numbers:
    """Half a cosine, then the minimum times `cool_down_ratio` for the last `cool_down_time`."""
    end = run.total - run.given("cool_down_time", 10)
    lowest = run.floor(initial)
    return np.where(p > end, lowest * run.given("cool_down_ratio", 0.1), formulas.cosine(p / end, initial, lowest))


def cosine_restart(run: Run, initial: float, p: Numbers) -> Numbers:
    """One half cosine after the other, each with its weight."""
    periods, ends = np.asarray(run.given("periods"), np.float64), restarts(run)
    weights = np.asarray(run.given("restart_weights", [1]), np.float64)
    index = np.minimum(np.searchsorted(ends, p, "right"), len(periods) - 1)
    lowest = run.floor(initial)
    part = np.minimum((p - (ends - periods)[index]) / periods[index], 1)
    return lowest + weights[index] * (initial - lowest) * formulas.half_cosine(part)


def restarts(run: Run) -> Numbers:
    """Where each period ends."""
    return np.cumsum(np.asarray(run.given("periods"), np.float64))


def cyclic(run: Run, initial: float, p: Numbers) -> Numbers:
    """Up to target_ratio[0] and down to target_ratio[1], `cyclic_times` over; gamma shrinks the height.

    Only the leg that starts a cycle has its end shrunk, the other its start: that is how training computes it.
    """
    high, low = targets(run)
    period, up = cycle_of(run)
    within, shrink = p % period, power(run.given("gamma", 1), p // period)
    annealing = formulas.ANNEALINGS[run.given("anneal_strategy", "cos")]
    if up == 0:
        return annealing(within / period, initial * high, initial * (1 - shrink + low * shrink))
    top = initial * (1 - shrink + high * shrink)
    falling = annealing((within - up) / (period - up), top, initial * low)
    return np.where(within < up, annealing(within / up, initial, top), falling)


def targets(run: Run) -> tuple[float, float]:
    """The ratios of a cycle's top and bottom to the initial value."""
    ratios = run.given("target_ratio", (10, 1e-4) if run.name == "lr" else (0.85 / 0.95, 1.0))
    listed = (ratios,) if isinstance(ratios, int | float) else tuple(ratios)
    return listed[0], listed[0] / 1e5 if len(listed) == 1 else listed[1]


def cycle_of(run: Run) -> tuple[float, float]:
    """The length of a cycle, and of its way up."""
    period = run.total // run.given("cyclic_times", 1)
    return period, int(run.given("step_ratio_up", 0.4) * period)


def one_cycle(run: Run, initial: float, p: Numbers) -> Numbers:
    """One cycle to max_lr and down again, whatever the optimizer starts with."""
    return formulas.cycle(p, one_cycle_phases(run), formulas.ANNEALINGS[run.given("anneal_strategy", "cos")])


def one_cycle_phases(run: Run) -> tuple[formulas.Phase, ...]:
    """The legs of `one_cycle`."""
    legs, share = 3 if run.given("three_phase", False) else 2, run.given("pct_start", 0.3)
    if run.name == "momentum":
        high, low = run.given("max_momentum", 0.95), run.given("base_momentum", 0.85)
        return formulas.one_cycle_phases(run.total, share, (high, low, high), legs)
    peak = run.given("max_lr")
    first = peak / run.given("div_factor", 25)
    values = (first, peak, first / run.given("final_div_factor", 1e4))
    return formulas.one_cycle_phases(run.given("total_steps", run.total), share, values, legs)


def nowhere(run: Run) -> Iterable[float]:
    """A policy without jumps."""
    return ()


def steps_of(run: Run) -> Iterable[float]:
    """Where `step` drops, unless it does so all the time."""
    every = run.given("step")
    if not isinstance(every, int):
        return [float(each) for each in met(run)]
    return [float(every * k) for k in range(1, int(run.total // every) + 1)] if run.total / every <= 4096 else ()


def cooldown_start(run: Run) -> Iterable[float]:
    """Where the cool-down begins."""
    return (run.total - run.given("cool_down_time", 10) + 1,)


def phase_ends(run: Run) -> Iterable[float]:
    """Where a leg of the one-cycle ends: both sides are drawn."""
    return [edge for phase in one_cycle_phases(run)[:-1] for edge in (phase.end, phase.end + 1)]


def cycle_edges(run: Run) -> Iterable[float]:
    """Bottoms and tops of the cycles."""
    period, up = cycle_of(run)
    count = min(int(run.total // period), 4096) + 1 if period else 0
    return [k * period + part for k in range(count) for part in (0, up)]


def check_restarts(run: Run) -> None:
    """Refuse periods that are over before training is.

    Raises:
        ConfigError: they are, or they do not match the weights.
    """
    periods, weights = run.given("periods"), run.given("restart_weights", [1])
    if len(periods) != len(weights):
        raise ConfigError(f"{run.where}: {len(periods)} periods but {len(weights)} restart_weights")
    if sum(periods) < run.total:
        raise ConfigError(
            f"{run.where}: the periods end at {sum(periods):,}, before the run does at {run.total:,}",
            hint="training stops there with an error; add periods",
        )


def check_one_cycle(run: Run) -> None:
    """Refuse a cycle that is over before training is.

    Raises:
        ConfigError: it is.
    """
    total = run.given("total_steps", run.total)
    if total < run.total:
        raise ConfigError(f"{run.where}: total_steps is {total:,}, but the run has {run.total:,}")


def unchecked(run: Run) -> None:
    """A policy that fits every run."""


@dataclass(frozen=True)
class Regular:
    """A policy: its formula, arguments, and where it jumps; `what` names a jump on the plot."""

    name: str
    values: Callable[[Run, float, Numbers], Numbers]
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    jumps: Callable[[Run], Iterable[float]] = nowhere
    what: str = ""
    check: Callable[[Run], None] = unchecked

    def arguments(self, name: str) -> set[str]:
        """All arguments it takes in `lr_config` or `momentum_config`."""
        return {each.format(name=name) for each in self.needs + self.options}

    def takes(self, name: str) -> str:
        """The same in words."""
        return ", ".join(sorted(self.arguments(name))) or "no argument of its own"

    def needs_of(self, name: str) -> tuple[str, ...]:
        """The arguments it cannot do without; the momentum of a one-cycle has defaults."""
        return () if self.name == "OneCycle" and name == "momentum" else self.needs

    def marks(self, run: Run) -> list[tuple[float, str]]:
        """The jumps worth a mark, if there are not too many."""
        jumps = list(self.jumps(run)) if self.what else []
        return [(jump, self.what) for jump in jumps] if len(jumps) <= 24 else []


LOWEST = ("min_{name}", "min_{name}_ratio")
CYCLE = ("cyclic_times", "step_ratio_up", "anneal_strategy", "gamma", "target_ratio")
ONE = ("pct_start", "anneal_strategy", "div_factor", "final_div_factor", "three_phase", "total_steps")
POLICIES: Mapping[str, Regular] = {
    "fixed": Regular("fixed", fixed),
    "step": Regular("step", step, ("step",), ("gamma", "min_{name}"), steps_of, "milestone"),
    "exp": Regular("exp", exponential, ("gamma",)),
    "poly": Regular("poly", polynomial, (), ("power", "min_{name}")),
    "inv": Regular("inv", inverse, ("gamma",), ("power",)),
    "cosineannealing": Regular("CosineAnnealing", cosine, (), LOWEST),
    "linearannealing": Regular("LinearAnnealing", linear, (), LOWEST),
    "flatcosineannealing": Regular(
        "FlatCosineAnnealing", flat_cosine, (), (*LOWEST, "start_percent"), lambda run: (flat_until(run),)
    ),
    "cosineannealingcooldown": Regular(
        "CosineAnnealingCooldown",
        cosine_cooldown,
        (),
        (*LOWEST, "cool_down_time", "cool_down_ratio"),
        cooldown_start,
        "cool-down",
    ),
    "cosinerestart": Regular(
        "CosineRestart", cosine_restart, ("periods",), (*LOWEST, "restart_weights"), restarts, "restart", check_restarts
    ),
    "cyclic": Regular("cyclic", cyclic, (), CYCLE, cycle_edges),
    "onecycle": Regular(
        "OneCycle", one_cycle, ("max_lr",), (*ONE, "max_momentum", "base_momentum"), phase_ends, "", check_one_cycle
    ),
}
