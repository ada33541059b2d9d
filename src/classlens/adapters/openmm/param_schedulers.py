"""One scheduler of a config: as written (`Scheduler`), and on a clock (`Placed`).

Whoever reads an argument reads it through `Placed`, which says where in the config a wrong one stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, inf, isfinite
from typing import Any, Literal, TypeGuard

from classlens.config.settings import Settings
from classlens.errors import ConfigError, NotFound
from classlens.schedule import shapes
from classlens.schedule.chain import Link, Plateau, chain, open_to
from classlens.schedule.schedule import Clock, Mark, Setting, Trajectory
from classlens.schedule.shapes import MultiStep


@dataclass(frozen=True)
class Scheduler:
    """One member of `param_scheduler`, checked; `name` is the hyper-parameter it moves.

    `kind` is the type without its ending: CosineAnnealing for CosineAnnealingLR and CosineAnnealingMomentum.
    """

    where: str
    type_name: str
    kind: str
    name: str
    arguments: Mapping[str, Any]
    begin: float
    end: float | None
    by_epoch: bool
    converts: bool
    zero_stays: bool

    def wrong(self, what: str, *, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.where} ({self.type_name}): {what}", hint=hint)


@dataclass(frozen=True)
class Placed:
    """A scheduler on a clock: arguments and span in its final unit."""

    scheduler: Scheduler
    arguments: Mapping[str, Any]
    begin: float
    end: float
    unit: Literal["step", "epoch"]

    @property
    def last(self) -> float:
        return self.end - self.begin - 1

    def number(self, name: str, default: float, *, least: float = -inf, whole: bool = False) -> float:
        """An argument that is a number, of `least` or more.

        Raises:
            ConfigError: it is something else.
        """
        value = self.arguments.get(name, default)
        bounded = least == -inf or (is_number(value) and least <= value < inf)
        if not is_number(value) or not bounded or (whole and not isinstance(value, int)):
            what = ("a whole number" if whole else "a number") + (f" of {least:g} or more" if least > -inf else "")
            raise self.scheduler.wrong(f"{name} is {what}, not {value!r}")
        return float(value)

    def word(self, name: str, words: Sequence[str]) -> str:
        """An argument that is one of a few words, the first by default.

        Raises:
            ConfigError: it is something else.
        """
        value = self.arguments.get(name, words[0])
        if value not in words:
            raise self.scheduler.wrong(f"{name} is {' or '.join(words)}, not {value!r}")
        return str(value)

    def fraction(self, name: str, default: float) -> float:
        """An argument between 0 and 1."""
        value = self.number(name, default)
        if not 0 <= value <= 1:
            raise self.scheduler.wrong(f"{name} lies between 0 and 1, not {value:g}")
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """An argument that is a list of numbers."""
        values = self.arguments[name]
        if not isinstance(values, list | tuple) or not all(is_number(value) and isfinite(value) for value in values):
            raise self.scheduler.wrong(f"{name} is a list of numbers, not {values!r}")
        return tuple(float(value) for value in values)


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
    peak, strategy = placed.number("eta_max", 0.0), placed.word("anneal_strategy", tuple(shapes.ANNEALINGS))
    falls = placed.number("div_factor", 25.0), placed.number("final_div_factor", 1e4)
    if 0 in falls:
        raise placed.scheduler.wrong("div_factor and final_div_factor divide, so they are not 0")
    first = peak / falls[0]
    legs = 3 if placed.arguments.get("three_phase", False) else 2
    values = (first, peak, first / falls[1])
    phases = shapes.one_cycle_phases(total, placed.fraction("pct_start", 0.3), values, legs)
    return shapes.OneCycle(phases, shapes.ANNEALINGS[strategy]), ()


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


KIND = "ReduceOnPlateau"
TAKES = ("monitor", "rule", "factor", "patience", "threshold", "threshold_rule", "cooldown", "min_value", "eps")


def plateau_of(here: Placed) -> Plateau:
    """The rule as the config writes it.

    Raises:
        ConfigError: an argument is none that training takes, or metrics would have to arrive more often than after epochs.
    """
    scheduler, lowest = here.scheduler, here.arguments.get("min_value", 0.0)
    factor = here.number("factor", 0.1)
    if not 0 <= factor < 1:
        raise scheduler.wrong(f"factor lies between 0 and 1, not {factor:g}")
    if not scheduler.by_epoch or scheduler.converts:
        raise scheduler.wrong("metrics arrive after epochs: by_epoch=False and convert_to_iter_based are not possible")
    here.word("rule", ("less", "greater"))
    here.word("threshold_rule", ("rel", "abs"))
    here.number("threshold", 1e-4, least=0)
    here.number("eps", 1e-8)
    monitor = here.arguments.get("monitor", "loss")
    if not isinstance(monitor, str):
        raise scheduler.wrong(f"monitor is the name of a metric, not {monitor!r}")
    if isinstance(lowest, list | tuple) and len(lowest) != 1:
        raise scheduler.wrong(
            f"min_value has {len(lowest)} values, which are for as many parameter groups", hint="give one for all"
        )
    minimum = here.numbers("min_value")[0] if isinstance(lowest, list | tuple) else here.number("min_value", 0.0)
    patience, cooldown = int(here.number("patience", 10, least=0)), int(here.number("cooldown", 0, least=0))
    return Plateau(factor, patience, cooldown, minimum, monitor)


def cuts_of(here: Placed, plateau: Plateau, validation: tuple[int, int], clock: Clock) -> Link | None:
    """All cuts of a metric that never improves, as a scheduler; None where the run ends before the first.

    A run that counts steps validates every so many steps, and its epoch, which never ends, is epoch 0.
    """
    first, every = validation
    start = -(-max(first, 1) // every) * every
    if clock.by_epoch:
        last = min(int(here.end), clock.epochs or 1)
        looks = [epoch for epoch in range(start, last, every) if epoch >= here.begin]
    else:
        looks = list(range(start, clock.steps, every)) if here.begin <= 0 else []
    cuts = plateau.cuts(looks)
    if not cuts:
        return None
    shape = MultiStep(tuple(float(cut - cuts[0]) for cut in cuts), plateau.factor)
    return Link(shape, cuts[0], 10**15, "epoch" if clock.by_epoch else "step")


COMMON = {"type", "begin", "end", "by_epoch", "convert_to_iter_based", "last_step", "verbose", "param_name", "_scope_"}
ANY_END = 100
ASK_SIZE = "give the number of samples with --dataset-size"
SUFFIXES: Mapping[str, str] = {"LR": "lr", "Momentum": "momentum", "WeightDecay": "weight_decay", "ParamScheduler": ""}


def checked(settings: Settings, where: str) -> Scheduler:
    """One `dict(type=...)` of `param_scheduler`; `where` is its place in the config.

    Raises:
        NotFound: the type is unknown.
        ConfigError: an argument is unknown or missing.
    """
    if not isinstance(settings, Mapping) or "type" not in settings:
        raise ConfigError(f"{where}: a scheduler is dict(type=...), not {settings!r}")
    type_name = str(settings["type"]).rsplit(".", 1)[-1]
    kinds = {name: KINDS[name].endings if name in KINDS else EVERYTHING for name in (*KINDS, KIND)}
    known = {f"{name}{ending}": (name, ending) for name, endings in kinds.items() for ending in endings}
    if type_name not in known:
        raise NotFound("scheduler", type_name, known, where=where)
    kind, suffix = known[type_name]
    scheduler = Scheduler(
        where=where,
        type_name=type_name,
        kind=kind,
        name=SUFFIXES[suffix] or str(settings.get("param_name", "")),
        arguments={key: value for key, value in settings.items() if key not in COMMON},
        begin=settings.get("begin", 0),
        end=FOREVER if settings.get("end") == inf else settings.get("end"),
        by_epoch=bool(settings.get("by_epoch", True)),
        converts=bool(settings.get("convert_to_iter_based", False)),
        zero_stays=suffix == "WeightDecay",
    )
    for edge, value in (("begin", scheduler.begin), ("end", scheduler.end)):
        if edge in settings and not (is_number(value) and isfinite(value)):
            raise scheduler.wrong(f"{edge} is a number, not {value!r}")
    if (last := settings.get("last_step", -1)) != -1:
        raise scheduler.wrong(f"last_step is -1 where a run starts, not {last!r}", hint="it is for resuming a run")
    if not scheduler.name:
        raise scheduler.wrong("param_name is missing")
    check_arguments(scheduler)
    if scheduler.converts and not scheduler.by_epoch:
        raise scheduler.wrong("convert_to_iter_based needs by_epoch=True")
    # Whatever the length of the run will be: what is wrong with an argument is known now.
    (plateau_of if kind == KIND else KINDS[kind].build)(Placed(scheduler, scheduler.arguments, 0, ANY_END, "epoch"))
    return scheduler


def check_arguments(scheduler: Scheduler) -> None:
    """Refuse arguments that the type does not have, and ask for those it needs.

    Raises:
        ConfigError: an argument is unknown or missing.
    """
    needs, takes = ((), TAKES) if scheduler.kind == KIND else (KINDS[scheduler.kind].needs, KINDS[scheduler.kind].takes)
    for name in scheduler.arguments:
        if name not in needs + takes:
            raise scheduler.wrong(f"unknown argument {name!r}", hint=f"it takes {', '.join(needs + takes)}")
    for name in needs:
        if name not in scheduler.arguments:
            raise scheduler.wrong(f"{name} is missing")


def placed(scheduler: Scheduler, clock: Clock) -> Placed:
    """A scheduler on a clock.

    Raises:
        ConfigError: its span is empty, or epochs are to be converted whose length nobody knows.
    """
    begin, end, arguments = scheduler.begin, scheduler.end, dict(scheduler.arguments)
    if end is None:
        end = (clock.epochs or 1) if scheduler.by_epoch else clock.steps
    unit: Literal["step", "epoch"] = "epoch" if scheduler.by_epoch and not scheduler.converts else "step"
    if scheduler.converts:
        epoch = clock.steps_per_epoch
        if epoch is None:
            raise scheduler.wrong("epochs are converted to steps, but the steps of an epoch are unknown", hint=ASK_SIZE)
        begin, end = int(begin * epoch), end if end == FOREVER else int(end * epoch)
        for name in KINDS[scheduler.kind].scales:
            if arguments.get(name) is not None:
                arguments[name] = scaled(arguments[name], epoch)
    if end <= begin:
        written = f"begin={scheduler.begin}, end={'the end of the run' if scheduler.end is None else scheduler.end}"
        raise scheduler.wrong(f"ends at {unit} {end}, but begins at {begin} ({written}; the run has {clock})")
    return Placed(scheduler, arguments, begin, end, unit)


def scaled(value: Any, factor: int) -> Any:  # noqa: ANN401 - whatever the config says; wrong types are told later
    """A number, or each of a list, times a factor."""
    if isinstance(value, list | tuple):
        return [scaled(each, factor) for each in value]
    return value * factor if isinstance(value, int | float) else value


def course_of(schedulers: Sequence[Scheduler], clock: Clock, validation: tuple[int, int] = (1, 1)) -> Trajectory:
    """The course of one hyper-parameter, given all schedulers that move it, in the order of the config.

    Args:
        validation: when metrics arrive: the first epoch (or step, in a run that counts steps), and every how many.

    Raises:
        ConfigError: a scheduler does not fit the clock.
    """
    links, settings, plateaus, base = [], [], [], shapes.INITIAL
    for scheduler in schedulers:
        here = placed(scheduler, clock)
        settings.append(setting_of(here))
        if scheduler.kind == KIND:
            rule = plateau_of(here)
            plateaus.append((rule, cuts_of(here, rule, validation, clock)))
            continue
        shape, marks = KINDS[scheduler.kind].build(here)
        if isinstance(shape, shapes.OneCycle):
            # It replaces the initial value when it is built, for itself and for all that are built after it.
            base = shapes.Affine(0.0, shape.phases[0].start)
        links.append(Link(shape, ceil(max(here.begin, 0)), ceil(here.end), here.unit, base, marks))
    made = partial(chain, clock=clock, zero_stays=any(scheduler.zero_stays for scheduler in schedulers))
    course = made(links, settings=tuple(settings))
    for plateau, cuts in plateaus:
        if cuts is not None:
            # Metrics arrive after all other schedulers have moved, and cut the value that is then in force.
            first = cuts.begin * ((clock.steps_per_epoch or 1) if cuts.unit == "epoch" else 1)
            course = open_to(plateau, course, made([*links, cuts]), first)
    return course


def setting_of(here: Placed) -> Setting:
    """A scheduler in the words of the plot and its checks."""
    scheduler = here.scheduler
    return Setting(
        kind=scheduler.kind,
        unit=here.unit,
        begin=here.begin,
        end=here.end,
        arguments={**here.arguments, "type": scheduler.type_name, "where": scheduler.where},
        converted=scheduler.converts,
    )
