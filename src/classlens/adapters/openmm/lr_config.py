"""The policies of 0.x, each in closed form: (run, initial value, progress) -> values.

`POLICIES` is the list. `run` holds the arguments, and as `total` the length of the run; that and the progress are in
epochs or steps, as the policy counts. `min` and `min_ratio` are written min_lr and min_lr_ratio in `lr_config`,
min_momentum and min_momentum_ratio in `momentum_config`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from classlens.config.settings import Settings
from classlens.errors import ConfigError, NotFound, short_repr
from classlens.schedule import shapes
from classlens.schedule.schedule import CONSTANT, Clock, Mark, Setting, Stairs, Steps, Trajectory, Values, distinct
from classlens.schedule.shapes import Numbers


def power(base: Any, exponents: Any) -> Numbers:  # noqa: ANN401 - numbers of a config
    return np.asarray(np.float_power(base, exponents))


def lowest(run: Settings, initial: float) -> float:
    """The value a policy goes down to."""
    return float(run["min"] if run["min_ratio"] is None else initial * run["min_ratio"])


def step(run: Settings, initial: float, progress: Numbers) -> Numbers:
    """Gamma at every `step`, or at each of a list of them; never below the minimum."""
    every = run["step"]
    drops = progress // every if isinstance(every, int) else np.searchsorted(milestones(run), progress, "right")
    values = initial * power(run["gamma"], drops)
    return values if run["min"] is None else np.maximum(values, run["min"])


def milestones(run: Settings) -> Numbers:
    """Where `step` drops: a milestone that is below an earlier one is met with that."""
    return np.maximum.accumulate(np.asarray(run["step"], np.float64))


def drops_of(run: Settings) -> Iterable[float]:
    every = run["step"]
    if not isinstance(every, int):
        return [float(each) for each in milestones(run)]
    return [float(every * k) for k in range(1, int(run["total"] // every) + 1)] if run["total"] / every <= 4096 else ()


def polynomial(run: Settings, initial: float, progress: Numbers) -> Numbers:
    return np.asarray((initial - run["min"]) * power(1 - progress / run["total"], run["power"]) + run["min"])


def anneal(annealing: shapes.Annealing, run: Settings, initial: float, progress: Numbers) -> Numbers:
    return annealing(progress / run["total"], initial, lowest(run, initial))


def flat_cosine(run: Settings, initial: float, progress: Numbers) -> Numbers:
    """The initial value, then half a cosine from `start_percent` of the run on."""
    start = round(run["total"] * run["start_percent"])
    falling = shapes.cosine((progress - start) / (run["total"] - start), initial, lowest(run, initial))
    return np.where(progress < start, initial, falling)


def cosine_cooldown(run: Settings, initial: float, progress: Numbers) -> Numbers:
    """Half a cosine, then the minimum times `cool_down_ratio` for the last `cool_down_time`."""
    end, low = run["total"] - run["cool_down_time"], lowest(run, initial)
    return np.where(progress > end, low * run["cool_down_ratio"], shapes.cosine(progress / end, initial, low))


def cosine_restart(run: Settings, initial: float, progress: Numbers) -> Numbers:
    """One half cosine after the other, each with its weight."""
    periods, weights = np.asarray(run["periods"], np.float64), np.asarray(run["restart_weights"], np.float64)
    ends, low = np.cumsum(periods), lowest(run, initial)
    index = np.minimum(np.searchsorted(ends, progress, "right"), len(periods) - 1)
    part = np.minimum((progress - (ends - periods)[index]) / periods[index], 1)
    return low + weights[index] * (initial - low) * shapes.half_cosine(part)


def cyclic(run: Settings, initial: float, progress: Numbers) -> Numbers:
    """Up to target_ratio[0] and down to target_ratio[1], `cyclic_times` over; gamma shrinks the height.

    Only the leg that starts a cycle has its end shrunk, the other its start: that is how training computes it.
    """
    ratios = run["target_ratio"]
    high, *rest = (ratios,) if isinstance(ratios, int | float) else ratios
    low = rest[0] if rest else high / 1e5
    period, up = cycle_of(run)
    within, shrink = progress % period, power(run["gamma"], progress // period)
    annealing = shapes.ANNEALINGS[run["anneal_strategy"]]
    if up == 0:
        return annealing(within / period, initial * high, initial * (1 - shrink + low * shrink))
    top = initial * (1 - shrink + high * shrink)
    falling = annealing((within - up) / (period - up), top, initial * low)
    return np.where(within < up, annealing(within / up, initial, top), falling)


def cycle_of(run: Settings) -> tuple[float, float]:
    period = run["total"] // run["cyclic_times"]
    return period, int(run["step_ratio_up"] * period)


def cycle_edges(run: Settings) -> Iterable[float]:
    period, up = cycle_of(run)
    count = min(int(run["total"] // period), 4096) + 1 if period else 0
    return [k * period + part for k in range(count) for part in (0, up)]


def one_cycle_phases(run: Settings) -> tuple[shapes.Phase, ...]:
    """The legs of a one-cycle; that of the momentum falls where the rate rises, and has no `max_lr`."""
    legs = 3 if run["three_phase"] else 2
    if "max_lr" not in run:
        values = (run["max_momentum"], run["base_momentum"], run["max_momentum"])
        return shapes.one_cycle_phases(run["total"], run["pct_start"], values, legs)
    first = run["max_lr"] / run["div_factor"]
    values = (first, run["max_lr"], first / run["final_div_factor"])
    return shapes.one_cycle_phases(run["total_steps"] or run["total"], run["pct_start"], values, legs)


def check_length(kind: str, run: Settings, where: str) -> None:
    """Refuse periods and cycles that are over before training is."""
    total = run["total"]
    if kind == "cosinerestart":
        periods, weights = run["periods"], run["restart_weights"]
        if len(periods) != len(weights):
            raise ConfigError(f"{where}: {len(periods)} periods but {len(weights)} restart_weights")
        if sum(periods) < total:
            raise ConfigError(
                f"{where}: the periods end at {sum(periods):,}, before the run does at {total:,}",
                hint="training stops there with an error; add periods",
            )
    elif kind == "onecycle" and (run["total_steps"] or total) < total:
        raise ConfigError(f"{where}: total_steps is {run['total_steps']:,}, but the run has {total:,}")


@dataclass(frozen=True)
class Formula:
    """A policy: its values, the argument that it needs, those that it takes, and where it jumps; `what` names a jump."""

    name: str
    values: Callable[[Settings, float, Numbers], Numbers]
    needs: str = ""
    takes: Settings = field(default_factory=dict)
    jumps: Callable[[Settings], Iterable[float]] = lambda run: ()
    what: str = ""


LOWEST: Settings = {"min": 0.0, "min_ratio": None}
CYCLE: Settings = {
    "cyclic_times": 1, "step_ratio_up": 0.4, "anneal_strategy": "cos", "gamma": 1, "target_ratio": (10, 1e-4),
}  # fmt: skip
ONE: Settings = {
    "pct_start": 0.3, "anneal_strategy": "cos", "div_factor": 25, "final_div_factor": 1e4, "three_phase": False,
    "total_steps": None, "max_momentum": 0.95, "base_momentum": 0.85,
}  # fmt: skip
MOMENTUM: Mapping[str, Settings] = {"step": {"gamma": 0.5}, "cyclic": {"target_ratio": (0.85 / 0.95, 1.0)}}
"""Where `momentum_config` has other defaults."""

POLICIES: Mapping[str, Formula] = {
    "fixed": Formula("fixed", lambda run, initial, progress: np.full(progress.shape, float(initial))),
    "step": Formula("step", step, "step", {"gamma": 0.1, "min": None}, drops_of, "milestone"),
    "exp": Formula("exp", lambda run, initial, progress: initial * power(run["gamma"], progress), "gamma"),
    "poly": Formula("poly", polynomial, takes={"power": 1.0, "min": 0.0}),
    "inv": Formula(
        "inv",
        lambda run, initial, progress: initial * power(1 + run["gamma"] * progress, -run["power"]),
        "gamma",
        {"power": 1.0},
    ),
    "cosineannealing": Formula("CosineAnnealing", partial(anneal, shapes.cosine), takes=LOWEST),
    "linearannealing": Formula("LinearAnnealing", partial(anneal, shapes.line), takes=LOWEST),
    "flatcosineannealing": Formula(
        "FlatCosineAnnealing",
        flat_cosine,
        takes={**LOWEST, "start_percent": 0.75},
        jumps=lambda run: (round(run["total"] * run["start_percent"]),),
    ),
    "cosineannealingcooldown": Formula(
        "CosineAnnealingCooldown",
        cosine_cooldown,
        takes={**LOWEST, "cool_down_time": 10, "cool_down_ratio": 0.1},
        jumps=lambda run: (run["total"] - run["cool_down_time"] + 1,),
        what="cool-down",
    ),
    "cosinerestart": Formula(
        "CosineRestart",
        cosine_restart,
        "periods",
        {**LOWEST, "restart_weights": [1]},
        lambda run: np.cumsum(run["periods"]),
        "restart",
    ),
    "cyclic": Formula("cyclic", cyclic, takes=CYCLE, jumps=cycle_edges),
    "onecycle": Formula(
        "OneCycle",
        lambda run, initial, progress: shapes.cycle(
            progress, one_cycle_phases(run), shapes.ANNEALINGS[run["anneal_strategy"]]
        ),
        "max_lr",
        ONE,
        lambda run: [edge for phase in one_cycle_phases(run)[:-1] for edge in (phase.end, phase.end + 1)],
    ),
}


WARM_UP: Settings = {"warmup": None, "warmup_iters": 0, "warmup_ratio": 0.1, "warmup_by_epoch": False}
WARM_UPS: Mapping[str, Callable[[float, Numbers], Numbers]] = {
    "constant": lambda ratio, progress: np.full(progress.shape, ratio),
    "linear": lambda ratio, progress: 1 - (1 - progress) * (1 - ratio),
    "exp": lambda ratio, progress: np.float_power(ratio, 1 - progress),
}
"""(ratio, progress) -> factors, from the ratio to 1 where the warm-up ends."""

OWN_CLOCK = {"cyclic", "onecycle"}  # policies that count steps unless the config says otherwise


@dataclass(frozen=True)
class LrPolicy:
    """`lr_config` or `momentum_config`, checked."""

    where: str
    name: str
    kind: str
    arguments: Settings
    by_epoch: bool


def check_policy(settings: Settings, name: str, *, by_epoch: bool) -> LrPolicy:
    """Read `lr_config` (name "lr") or `momentum_config` (name "momentum").

    `by_epoch` says whether training counts epochs, which is what a policy counts if it does not say.
    """
    where, written = f"{name}_config", settings.get("policy", settings.get("type"))
    if written is None:
        raise ConfigError(f"{where}: policy is missing")
    kind = str(written).replace("_", "").lower()
    kind = kind.removesuffix("updaterhook").removesuffix("lr").removesuffix("momentum")
    if kind not in POLICIES:
        raise NotFound("policy", str(written), [policy.name for policy in POLICIES.values()], where=where)
    policy = POLICIES[kind]
    needs = "" if (kind, name) == ("onecycle", "momentum") else policy.needs
    arguments = {**policy.takes, **WARM_UP}
    if name == "momentum":
        arguments |= {"warmup_ratio": 0.9, **MOMENTUM.get(kind, {})}
    keys = {"min": f"min_{name}", "min_ratio": f"min_{name}_ratio"}
    known = {keys.get(key, key): key for key in sorted({*arguments, needs} - {""})}
    for key, value in settings.items():
        if key in {"policy", "type", "by_epoch"}:
            continue
        if key not in known:
            raise ConfigError(
                f"{where} ({written}): unknown argument {short_repr(key)}", hint=f"it takes {', '.join(known)}"
            )
        is_huge = isinstance(value, int) and value.bit_length() > 63
        if is_huge or (isinstance(value, str) and key not in {"anneal_strategy", "warmup"}):
            raise ConfigError(f"{where} ({written}): {key} is a number, not {short_repr(value)}")
        arguments |= {} if value is None else {known[key]: value}
    if needs and needs not in arguments:
        raise ConfigError(f"{where} ({written}): {needs} is missing")
    check_warm_up(arguments, where)
    return LrPolicy(where, name, kind, arguments, bool(settings.get("by_epoch", by_epoch and kind not in OWN_CLOCK)))


def check_warm_up(arguments: Settings, where: str) -> None:
    """Refuse a warm-up that is none."""
    kind, length, ratio = arguments["warmup"], arguments["warmup_iters"], arguments["warmup_ratio"]
    if kind is not None and kind not in WARM_UPS:
        raise NotFound("warm-up", str(kind), WARM_UPS, where=where)
    if kind is not None and not length > 0:
        raise ConfigError(f"{where}: warmup_iters is above 0, not {short_repr(length)}")
    if kind is not None and not 0 < ratio <= 1:
        raise ConfigError(f"{where}: warmup_ratio lies above 0 and up to 1, not {short_repr(ratio)}")


def trajectory_of(policy: LrPolicy, clock: Clock) -> Trajectory:
    """The course of one hyper-parameter under a 0.x policy."""
    formula, warmup, warm = POLICIES[policy.kind], policy.arguments["warmup"], 0.0
    unit, total, width = "step", clock.steps, 1
    if policy.by_epoch:
        unit, total, width = "epoch", clock.epochs or 1, clock.steps_per_epoch or 1
    run = {**policy.arguments, "total": total}
    settings = [Setting("Policy", f"{policy.where} ({formula.name})", unit, 0, total, run)]
    if warmup is not None:
        in_epochs, epoch = run["warmup_by_epoch"], clock.steps_per_epoch
        if in_epochs and epoch is None:
            raise ConfigError(
                f"{policy.where}: the warm-up is given in epochs, but the steps of an epoch are unknown",
                hint="give the number of samples with --dataset-size",
            )
        warm = run["warmup_iters"] * (epoch if in_epochs else 1)
        settings.append(Setting("Warmup", f"{policy.where} ({warmup})", "step", 0, warm))
    if policy.by_epoch and not clock.by_epoch:
        # A run over steps never announces an epoch, and a policy by epoch waits for that to set anything at all.
        return replace(CONSTANT, settings=tuple(settings))
    check_length(policy.kind, run, policy.where)

    def values(steps: Steps, initial: float) -> Values:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            plain = formula.values(run, initial, np.floor(steps / width))
            if warmup is None:
                return plain
            factors = WARM_UPS[warmup](run["warmup_ratio"], steps / warm)
            return np.where(steps < warm, plain * factors if policy.name == "lr" else plain / factors, plain)

    jumps = [float(jump) for jump in formula.jumps(run)]
    places = np.array([0, warm, *(jump * width for jump in jumps)])
    breaks = distinct(np.ceil(places[places < clock.steps]).astype(np.int64))
    stairs = (Stairs(width, width, clock.steps),) if width > 1 and policy.kind != "fixed" else ()
    marks = [
        Mark(round(jump * width), formula.what) for jump in jumps if formula.what and len(jumps) <= shapes.MOST_MARKS
    ]
    marks.append(Mark(int(np.ceil(warm)), shapes.WARM_UP))
    inside = tuple(mark for mark in marks if 0 < mark.step < clock.steps)
    return Trajectory(values, breaks, stairs, inside, tuple(settings))
