"""The types of scheduler in 1.x: from the arguments of a config to a shape.

`KINDS` is the list; a new type is one function and one line in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

from classlens.adapters.openmm.schedules.scheduler import Placed
from classlens.schedule import formulas, shapes
from classlens.schedule.schedule import Mark

FOREVER = 10**9
"""An `end` of this size or more means: until training ends."""

MOST_MARKS = 24
"""A scheduler that decays more often than this is drawn without a mark for each decay."""

Built = tuple[shapes.Shape, tuple[Mark, ...]]


def constant(placed: Placed) -> Built:
    """ConstantLR."""
    factor = placed.fraction("factor", 1 / 3)
    marks = (Mark(ceil(placed.last), "warm-up ends"),) if placed.begin == 0 and factor < 1 else ()
    return shapes.Constant(factor, placed.last), marks


def linear(placed: Placed) -> Built:
    """LinearLR."""
    check_whole(placed)
    start, end = placed.fraction("start_factor", 1 / 3), placed.fraction("end_factor", 1.0)
    marks = (Mark(ceil(placed.last), "warm-up ends"),) if placed.begin == 0 and start < end else ()
    return shapes.Linear(start, end, placed.last), marks


def quadratic(placed: Placed) -> Built:
    """QuadraticWarmupLR of MMDetection."""
    marks = (Mark(ceil(placed.last), "warm-up ends"),) if placed.begin == 0 else ()
    return shapes.Quadratic(placed.last), marks


def exponential(placed: Placed) -> Built:
    """ExponentialLR."""
    return shapes.Exponential(placed.number("gamma", 1.0)), ()


def step(placed: Placed) -> Built:
    """StepLR."""
    size = placed.number("step_size", 1)
    if not 1 <= size < inf or size != int(size):
        raise placed.scheduler.wrong(f"step_size is a whole number of 1 or more, not {size:g}")
    drops = min(placed.end - placed.begin, FOREVER) // size
    marks = tuple(Mark(int(size * (k + 1)), "step") for k in range(int(drops))) if drops <= MOST_MARKS else ()
    return shapes.Step(int(size), placed.number("gamma", 0.1)), marks


def multi_step(placed: Placed) -> Built:
    """MultiStepLR."""
    shape = shapes.MultiStep(placed.numbers("milestones"), placed.number("gamma", 0.1))
    return shape, tuple(Mark(int(milestone), "milestone") for milestone in shape.met[:MOST_MARKS])


def polynomial(placed: Placed) -> Built:
    """PolyLR."""
    check_whole(placed)
    return shapes.Polynomial(placed.number("power", 1.0, least=0), placed.number("eta_min", 0.0), placed.last), ()


def check_whole(placed: Placed) -> None:
    """Refuse a part of a step: what falls to its end then overshoots it.

    Raises:
        ConfigError: the span is no whole number.
    """
    if placed.last != int(placed.last):
        span = f"begin={placed.begin:g} to end={placed.end:g}"
        raise placed.scheduler.wrong(f"{span} is no whole number of {placed.unit}s, and its last move overshoots")


def cosine(placed: Placed) -> Built:
    """CosineAnnealingLR."""
    period = placed.number("T_max", 0) if placed.arguments.get("T_max") is not None else 0
    period = period or placed.end - placed.begin
    if not 0 < period < inf:
        raise placed.scheduler.wrong(f"T_max is above 0, not {period:g}")
    troughs = (placed.end - placed.begin) // period if placed.end < FOREVER else 0
    marks = (
        tuple(Mark(ceil(period * k), "cosine ends") for k in range(1, int(troughs) + 1, 2))
        if 1 < troughs <= MOST_MARKS
        else ()
    )
    return shapes.Cosine(period, *minimum(placed)), marks


def cosine_restart(placed: Placed) -> Built:
    """CosineRestartLR."""
    periods = placed.numbers("periods")
    weights = placed.numbers("restart_weights") if "restart_weights" in placed.arguments else (1.0,)
    if len(periods) != len(weights):
        raise placed.scheduler.wrong(f"{len(periods)} periods but {len(weights)} restart_weights")
    if min(periods, default=0) <= 0:
        raise placed.scheduler.wrong(f"periods are above 0, not {periods}")
    if minimum(placed, default=None) == (None, None):
        raise placed.scheduler.wrong("eta_min or eta_min_ratio is missing")
    starts = [sum(periods[: index + 1]) for index in range(len(periods) - 1)]
    marks = tuple(Mark(ceil(start), "restart") for start in starts[:MOST_MARKS])
    return shapes.CosineRestart(periods, weights, *minimum(placed)), marks


def one_cycle(placed: Placed) -> Built:
    """OneCycleLR."""
    if placed.scheduler.name != "lr":
        raise placed.scheduler.wrong(f"it works for lr only, not for {placed.scheduler.name}")
    total = placed.end - placed.begin
    if placed.arguments.get("total_steps") is not None:
        total = placed.number("total_steps", total, least=1, whole=True)
    if not isinstance(placed.arguments.get("pct_start", 0.3), float):
        raise placed.scheduler.wrong(f"pct_start is a float between 0 and 1, not {placed.arguments['pct_start']!r}")
    peak, strategy = placed.number("eta_max", 0.0), placed.word("anneal_strategy", tuple(formulas.ANNEALINGS))
    falls = placed.number("div_factor", 25.0), placed.number("final_div_factor", 1e4)
    if 0 in falls:
        raise placed.scheduler.wrong("div_factor and final_div_factor divide, so they are not 0")
    first = peak / falls[0]
    legs = 3 if placed.arguments.get("three_phase", False) else 2
    values = (first, peak, first / falls[1])
    phases = formulas.one_cycle_phases(total, placed.fraction("pct_start", 0.3), values, legs)
    return shapes.OneCycle(phases, formulas.ANNEALINGS[strategy]), ()


def minimum(placed: Placed, default: float | None = 0.0) -> tuple[Any, Any]:
    """(eta_min, eta_min_ratio), of which one may be given."""
    given = {name: placed.arguments.get(name) for name in ("eta_min", "eta_min_ratio")}
    if None not in given.values():
        raise placed.scheduler.wrong("eta_min and eta_min_ratio exclude each other")
    if given["eta_min"] is None and given["eta_min_ratio"] is None:
        return default, default
    return tuple(0.0 if given[name] is None else placed.number(name, 0.0) for name in given)  # type: ignore[return-value]


EVERYTHING = ("LR", "Momentum", "ParamScheduler")
"""The endings that most types come with: what they move."""


@dataclass(frozen=True)
class Kind:
    """A type of scheduler: what builds it, what it must and may be given, what scales with the epoch, its endings."""

    build: Callable[[Placed], Built]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    scales: tuple[str, ...] = ()
    endings: tuple[str, ...] = EVERYTHING


KINDS: Mapping[str, Kind] = {
    "Constant": Kind(constant, (), ("factor",)),
    "Linear": Kind(linear, (), ("start_factor", "end_factor")),
    "Exponential": Kind(exponential, ("gamma",)),
    "Step": Kind(step, ("step_size",), ("gamma",), ("step_size",)),
    "MultiStep": Kind(multi_step, ("milestones",), ("gamma",), ("milestones",)),
    "QuadraticWarmup": Kind(quadratic),
    "Poly": Kind(polynomial, (), ("power", "eta_min")),
    "CosineAnnealing": Kind(
        cosine, (), ("T_max", "eta_min", "eta_min_ratio"), ("T_max",), (*EVERYTHING, "WeightDecay")
    ),
    "CosineRestart": Kind(cosine_restart, ("periods",), ("restart_weights", "eta_min", "eta_min_ratio"), ("periods",)),
    "OneCycle": Kind(
        one_cycle,
        ("eta_max",),
        ("total_steps", "pct_start", "anneal_strategy", "div_factor", "final_div_factor", "three_phase"),
        ("total_steps",),
        ("LR", "ParamScheduler"),
    ),
}
