"""The policies of 0.x, each in closed form: (run, initial value, progress in epochs or steps) -> values.

`POLICIES` is the list. Names of arguments that hold `{name}` are those of the learning rate in `lr_config` and of the
momentum in `momentum_config`: min_lr, min_momentum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from classlens.config.settings import Settings
from classlens.errors import ConfigError, NotFound
from classlens.schedule import shapes
from classlens.schedule.schedule import (
    CONSTANT,
    Clock,
    Mark,
    Rule,
    Setting,
    Stairs,
    Steps,
    Trajectory,
    Values,
    distinct,
)

Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """What a policy knows: which value it sets, its arguments, and the length of the run in its own unit."""

    name: str
    arguments: Mapping[str, Any]
    total: float
    where: str

    def argument(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever the config says
        """An argument, or its default; `{name}` stands for lr or momentum."""
        value = self.arguments.get(name.format(name=self.name))
        return default if value is None else value

    def floor(self, initial: float) -> float:
        """The value a policy goes down to: min_lr, or min_lr_ratio of the initial one."""
        ratio = self.argument("min_{name}_ratio")
        return float(self.argument("min_{name}", 0.0)) if ratio is None else initial * float(ratio)


def power(base: Any, exponents: Any) -> Numbers:  # noqa: ANN401 - numbers of a config
    return np.asarray(np.float_power(base, exponents))


def step(run: Run, initial: float, p: Numbers) -> Numbers:
    """Gamma at every `step`, or at each of a list of them; never below the minimum."""
    every = run.argument("step")
    drops = p // every if isinstance(every, int) else np.searchsorted(milestones(run), p, "right")
    values = initial * power(run.argument("gamma", 0.1 if run.name == "lr" else 0.5), drops)
    lowest = run.argument("min_{name}")
    return values if lowest is None else np.maximum(values, lowest)


def milestones(run: Run) -> Numbers:
    """Where `step` drops: a milestone that is below an earlier one is met with that."""
    return np.maximum.accumulate(np.asarray(run.argument("step"), np.float64))


def polynomial(run: Run, initial: float, p: Numbers) -> Numbers:
    """(1 - progress / total) to a power, down to the minimum."""
    lowest = float(run.argument("min_{name}", 0.0))
    return (initial - lowest) * power(1 - p / run.total, run.argument("power", 1.0)) + lowest


def flat_cosine(run: Run, initial: float, p: Numbers) -> Numbers:
    """The initial value, then half a cosine from `start_percent` of the run on."""
    start = flat_until(run)
    falling = shapes.cosine((p - start) / (run.total - start), initial, run.floor(initial))
    return np.where(p < start, initial, falling)


def flat_until(run: Run) -> float:
    return float(round(run.total * run.argument("start_percent", 0.75)))


def cosine_cooldown(run: Run, initial: float, p: Numbers) -> Numbers:
    """Half a cosine, then the minimum times `cool_down_ratio` for the last `cool_down_time`."""
    end = run.total - run.argument("cool_down_time", 10)
    lowest = run.floor(initial)
    return np.where(p > end, lowest * run.argument("cool_down_ratio", 0.1), shapes.cosine(p / end, initial, lowest))


def cosine_restart(run: Run, initial: float, p: Numbers) -> Numbers:
    """One half cosine after the other, each with its weight."""
    periods, ends = np.asarray(run.argument("periods"), np.float64), restarts(run)
    weights = np.asarray(run.argument("restart_weights", [1]), np.float64)
    index = np.minimum(np.searchsorted(ends, p, "right"), len(periods) - 1)
    lowest = run.floor(initial)
    part = np.minimum((p - (ends - periods)[index]) / periods[index], 1)
    return lowest + weights[index] * (initial - lowest) * shapes.half_cosine(part)


def restarts(run: Run) -> Numbers:
    return np.cumsum(np.asarray(run.argument("periods"), np.float64))


def cyclic(run: Run, initial: float, p: Numbers) -> Numbers:
    """Up to target_ratio[0] and down to target_ratio[1], `cyclic_times` over; gamma shrinks the height.

    Only the leg that starts a cycle has its end shrunk, the other its start: that is how training computes it.
    """
    ratios = run.argument("target_ratio", (10, 1e-4) if run.name == "lr" else (0.85 / 0.95, 1.0))
    high, *rest = (ratios,) if isinstance(ratios, int | float) else ratios
    low = rest[0] if rest else high / 1e5
    period, up = cycle_of(run)
    within, shrink = p % period, power(run.argument("gamma", 1), p // period)
    annealing = shapes.ANNEALINGS[run.argument("anneal_strategy", "cos")]
    if up == 0:
        return annealing(within / period, initial * high, initial * (1 - shrink + low * shrink))
    top = initial * (1 - shrink + high * shrink)
    falling = annealing((within - up) / (period - up), top, initial * low)
    return np.where(within < up, annealing(within / up, initial, top), falling)


def cycle_of(run: Run) -> tuple[float, float]:
    """The length of a cycle, and of its way up."""
    period = run.total // run.argument("cyclic_times", 1)
    return period, int(run.argument("step_ratio_up", 0.4) * period)


def one_cycle(run: Run, initial: float, p: Numbers) -> Numbers:
    return shapes.cycle(p, one_cycle_phases(run), shapes.ANNEALINGS[run.argument("anneal_strategy", "cos")])


def one_cycle_phases(run: Run) -> tuple[shapes.Phase, ...]:
    """The legs of `one_cycle`."""
    legs, share = 3 if run.argument("three_phase", False) else 2, run.argument("pct_start", 0.3)
    if run.name == "momentum":
        high, low = run.argument("max_momentum", 0.95), run.argument("base_momentum", 0.85)
        return shapes.one_cycle_phases(run.total, share, (high, low, high), legs)
    peak = run.argument("max_lr")
    first = peak / run.argument("div_factor", 25)
    values = (first, peak, first / run.argument("final_div_factor", 1e4))
    return shapes.one_cycle_phases(run.argument("total_steps", run.total), share, values, legs)


def drops_of(run: Run) -> Iterable[float]:
    """Where `step` drops, unless it does so all the time."""
    every = run.argument("step")
    if not isinstance(every, int):
        return [float(each) for each in milestones(run)]
    return [float(every * k) for k in range(1, int(run.total // every) + 1)] if run.total / every <= 4096 else ()


def cycle_edges(run: Run) -> Iterable[float]:
    """Bottoms and tops of the cycles."""
    period, up = cycle_of(run)
    count = min(int(run.total // period), 4096) + 1 if period else 0
    return [k * period + part for k in range(count) for part in (0, up)]


def check_length(kind: str, run: Run) -> None:
    """Refuse periods and cycles that are over before training is."""
    if kind == "cosinerestart":
        periods, weights = run.argument("periods"), run.argument("restart_weights", [1])
        if len(periods) != len(weights):
            raise ConfigError(f"{run.where}: {len(periods)} periods but {len(weights)} restart_weights")
        if sum(periods) < run.total:
            raise ConfigError(
                f"{run.where}: the periods end at {sum(periods):,}, before the run does at {run.total:,}",
                hint="training stops there with an error; add periods",
            )
    elif kind == "onecycle" and (total := run.argument("total_steps", run.total)) < run.total:
        raise ConfigError(f"{run.where}: total_steps is {total:,}, but the run has {run.total:,}")


@dataclass(frozen=True)
class Regular:
    """A policy: its formula, the arguments that it needs and takes, and where it jumps; `what` names a jump."""

    name: str
    values: Callable[[Run, float, Numbers], Numbers]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    jumps: Callable[[Run], Iterable[float]] = lambda run: ()
    what: str = ""


LOWEST = ("min_{name}", "min_{name}_ratio")
CYCLE = ("cyclic_times", "step_ratio_up", "anneal_strategy", "gamma", "target_ratio")
ONE = ("pct_start", "anneal_strategy", "div_factor", "final_div_factor", "three_phase", "total_steps")
POLICIES: Mapping[str, Regular] = {
    "fixed": Regular("fixed", lambda run, initial, p: np.full(p.shape, float(initial))),
    "step": Regular("step", step, ("step",), ("gamma", "min_{name}"), drops_of, "milestone"),
    "exp": Regular("exp", lambda run, initial, p: initial * power(run.argument("gamma"), p), ("gamma",)),
    "poly": Regular("poly", polynomial, (), ("power", "min_{name}")),
    "inv": Regular(
        "inv",
        lambda run, initial, p: initial * power(1 + run.argument("gamma") * p, -run.argument("power", 1.0)),
        ("gamma",),
        ("power",),
    ),
    "cosineannealing": Regular(
        "CosineAnnealing",
        lambda run, initial, p: shapes.cosine(p / run.total, initial, run.floor(initial)),
        (),
        LOWEST,
    ),
    "linearannealing": Regular(
        "LinearAnnealing",
        lambda run, initial, p: shapes.line(p / run.total, initial, run.floor(initial)),
        (),
        LOWEST,
    ),
    "flatcosineannealing": Regular(
        "FlatCosineAnnealing", flat_cosine, (), (*LOWEST, "start_percent"), lambda run: (flat_until(run),)
    ),
    "cosineannealingcooldown": Regular(
        "CosineAnnealingCooldown",
        cosine_cooldown,
        (),
        (*LOWEST, "cool_down_time", "cool_down_ratio"),
        lambda run: (run.total - run.argument("cool_down_time", 10) + 1,),
        "cool-down",
    ),
    "cosinerestart": Regular(
        "CosineRestart", cosine_restart, ("periods",), (*LOWEST, "restart_weights"), restarts, "restart"
    ),
    "cyclic": Regular("cyclic", cyclic, (), CYCLE, cycle_edges),
    "onecycle": Regular(
        "OneCycle",
        one_cycle,
        ("max_lr",),
        (*ONE, "max_momentum", "base_momentum"),
        lambda run: [edge for phase in one_cycle_phases(run)[:-1] for edge in (phase.end, phase.end + 1)],
    ),
}


MOST_MARKS = 24
"""A policy that jumps more often than this is drawn without a mark for each jump."""

WARM_UPS = ("constant", "linear", "exp")
OWN_CLOCK = {"cyclic", "onecycle"}
"""Policies that count steps unless the config says otherwise."""


@dataclass(frozen=True)
class Warmup:
    """How the first `length` steps or epochs are scaled, starting at `ratio`."""

    kind: str
    length: float
    ratio: float
    in_epochs: bool

    def factors(self, progress: Numbers) -> Numbers:
        """The factor at each progress, from 0 to 1 where the warm-up ends."""
        if self.kind == "constant":
            return np.full(progress.shape, self.ratio)
        if self.kind == "linear":
            return 1 - (1 - progress) * (1 - self.ratio)
        return np.float_power(self.ratio, 1 - progress)


@dataclass(frozen=True)
class LrPolicy:
    """`lr_config` or `momentum_config`, checked."""

    where: str
    name: str
    kind: str
    arguments: Mapping[str, Any]
    by_epoch: bool
    warmup: Warmup | None


def check_policy(settings: Settings, name: str, *, by_epoch: bool) -> LrPolicy:
    """Read `lr_config` (name "lr") or `momentum_config` (name "momentum").

    Args:
        by_epoch: whether training counts epochs, which is what a policy counts if it does not say.

    Raises:
        NotFound: the policy is unknown.
        ConfigError: an argument is unknown, missing or out of range.
    """
    where = f"{name}_config"
    if "policy" not in settings and "type" not in settings:
        raise ConfigError(f"{where}: policy is missing")
    written = str(settings.get("policy", settings.get("type")))
    kind = written.replace("_", "").lower().removesuffix("updaterhook").removesuffix("lr").removesuffix("momentum")
    if kind not in POLICIES:
        raise NotFound("policy", written, [policy.name for policy in POLICIES.values()], where=where)
    rest = {key: value for key, value in settings.items() if key not in {"policy", "type", "by_epoch"}}
    arguments = {key: value for key, value in rest.items() if not key.startswith("warmup")}
    policy = POLICIES[kind]
    known = sorted({each.format(name=name) for each in policy.needs + policy.takes})
    for key in arguments:
        if key.format(name=name) not in known:
            takes = ", ".join(known) or "no argument of its own"
            raise ConfigError(f"{where} ({written}): unknown argument {key!r}", hint=f"it takes {takes}")
        if isinstance(arguments[key], str) and key != "anneal_strategy":
            raise ConfigError(f"{where} ({written}): {key} is a number, not {arguments[key]!r}")
    for key in policy.needs:
        # The cycle of the momentum has defaults for all that it needs.
        if key not in arguments and (kind, name) != ("onecycle", "momentum"):
            raise ConfigError(f"{where} ({written}): {key} is missing")
    counts_epochs = bool(settings.get("by_epoch", by_epoch and kind not in OWN_CLOCK))
    return LrPolicy(where, name, kind, arguments, counts_epochs, warmup_of(rest, name, where))


def warmup_of(settings: Settings, name: str, where: str) -> Warmup | None:
    """The warm-up of a policy, if it has one."""
    kind = settings.get("warmup")
    if kind is None:
        return None
    if kind not in WARM_UPS:
        raise NotFound("warm-up", str(kind), WARM_UPS, where=where)
    length = settings.get("warmup_iters", 0)
    ratio = settings.get("warmup_ratio", 0.1 if name == "lr" else 0.9)
    if not length > 0:
        raise ConfigError(f"{where}: warmup_iters is above 0, not {length!r}")
    if not 0 < ratio <= 1:
        raise ConfigError(f"{where}: warmup_ratio lies above 0 and up to 1, not {ratio!r}")
    return Warmup(str(kind), length, ratio, bool(settings.get("warmup_by_epoch", False)))


def trajectory_of(policy: LrPolicy, clock: Clock) -> Trajectory:
    """The course of one hyper-parameter under a 0.x policy.

    Raises:
        ConfigError: the run is too short or too long for the policy.
    """
    if policy.by_epoch and not clock.by_epoch:
        # A run over steps never announces an epoch, and a policy by epoch waits for that to set anything at all.
        return replace(CONSTANT, settings=settings_of(policy, clock))
    width = (clock.steps_per_epoch or 1) if policy.by_epoch else 1
    total = (clock.epochs or 1) if policy.by_epoch else clock.steps
    run, regular = Run(policy.name, policy.arguments, total, policy.where), POLICIES[policy.kind]
    check_length(policy.kind, run)
    warm = warm_steps(policy, clock)

    def values(steps: Steps, initial: float) -> Values:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            plain = regular.values(run, initial, np.floor(steps / width))
            if policy.warmup is None:
                return plain
            factors = policy.warmup.factors(steps / warm)
            return np.where(steps < warm, plain * factors if policy.name == "lr" else plain / factors, plain)

    jumps = [float(jump) for jump in regular.jumps(run)]
    places = np.array([0, warm, *(jump * width for jump in jumps)], np.float64)
    breaks = distinct(np.ceil(places[places < clock.steps]).astype(np.int64))
    stairs = (Stairs(width, width, clock.steps),) if width > 1 and policy.kind != "fixed" else ()
    few = jumps if regular.what and len(jumps) <= MOST_MARKS else []
    marks = [Mark(round(jump * width), regular.what) for jump in few]
    marks += [Mark(int(np.ceil(warm)), "warm-up ends")] if warm else []
    inside = tuple(mark for mark in marks if 0 < mark.step < clock.steps)
    return Trajectory(values, breaks, stairs, inside, settings_of(policy, clock))


def warm_steps(policy: LrPolicy, clock: Clock) -> float:
    """Steps of the warm-up; 0 without one."""
    if policy.warmup is None:
        return 0
    if policy.warmup.in_epochs and clock.steps_per_epoch is None:
        raise ConfigError(
            f"{policy.where}: the warm-up is given in epochs, but the steps of an epoch are unknown",
            hint="give the number of samples with --dataset-size",
        )
    return policy.warmup.length * ((clock.steps_per_epoch or 1) if policy.warmup.in_epochs else 1)


def settings_of(policy: LrPolicy, clock: Clock) -> tuple[Setting, ...]:
    """The policy and its warm-up in the words of the plot and its checks."""
    unit, total = ("epoch", clock.epochs or 1) if policy.by_epoch else ("step", clock.steps)
    settings = [Setting("Policy", f"{policy.where} {POLICIES[policy.kind].name}", unit, 0, total, policy.arguments)]
    if policy.warmup is not None:
        where = f"{policy.where} {policy.warmup.kind}"
        settings.append(Setting("Warmup", where, "step", 0, warm_steps(policy, clock)))
    return tuple(settings)


def rules_of(written: Mapping[str, Settings | None], *, by_epoch: bool) -> dict[str, Rule]:
    """The rules of `lr_config` and `momentum_config`, by hyper-parameter; `by_epoch` says what training counts."""
    return {
        name: partial(trajectory_of, check_policy(settings, name, by_epoch=by_epoch))
        for name, settings in written.items()
        if settings
    }
