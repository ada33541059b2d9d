"""The schedulers of 1.x: `param_scheduler`, each a `dict(type=...)` of the config.

Whoever reads an argument reads it through `Scheduler`, which says where in the config a wrong one stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, inf, isfinite
from typing import Any, Literal, TypeGuard

from classlens.config.settings import Settings
from classlens.errors import ConfigError, NotFound
from classlens.schedule import shapes
from classlens.schedule.chain import Link, Plateau, chain, open_to
from classlens.schedule.schedule import Clock, Mark, Rule, Setting, Trajectory


@dataclass(frozen=True)
class Scheduler:
    """One member of `param_scheduler`, checked; `name` is the hyper-parameter it moves.

    `kind` is the type without its ending: CosineAnnealing for CosineAnnealingLR and CosineAnnealingMomentum. As it is
    written, begin and end count epochs where `by_epoch` says so; once it is placed on a clock they, and the arguments,
    count `unit`s. An `end` of None is that of the run.
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
    unit: Literal["step", "epoch"]
    zero_stays: bool

    @property
    def span(self) -> float:
        return (ANY_END if self.end is None else self.end) - self.begin

    def wrong(self, what: str, *, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.where} ({self.type_name}): {what}", hint=hint)

    def number(self, name: str, default: float, *, least: float = -inf, whole: bool = False) -> float:
        """An argument that is a number, of `least` or more.

        Raises:
            ConfigError: it is something else.
        """
        value = self.arguments.get(name, default)
        bounded = least == -inf or (is_number(value) and least <= value < inf)
        if not is_number(value) or not bounded or (whole and not isinstance(value, int)):
            what = ("a whole number" if whole else "a number") + (f" of {least:g} or more" if least > -inf else "")
            raise self.wrong(f"{name} is {what}, not {value!r}")
        return float(value)

    def word(self, name: str, words: Sequence[str]) -> str:
        """An argument that is one of a few words, the first by default."""
        value = self.arguments.get(name, words[0])
        if value not in words:
            raise self.wrong(f"{name} is {' or '.join(words)}, not {value!r}")
        return str(value)

    def fraction(self, name: str, default: float) -> float:
        """An argument between 0 and 1."""
        value = self.number(name, default)
        if not 0 <= value <= 1:
            raise self.wrong(f"{name} lies between 0 and 1, not {value:g}")
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """An argument that is a list of numbers."""
        values = self.arguments[name]
        if not isinstance(values, list | tuple) or not all(is_number(value) and isfinite(value) for value in values):
            raise self.wrong(f"{name} is a list of numbers, not {values!r}")
        return tuple(float(value) for value in values)


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


FOREVER = 10**9
"""An `end` of this size or more means: until training ends."""

MOST_MARKS = 24
"""A scheduler that decays more often than this is drawn without a mark for each decay."""

Built = tuple[shapes.Shape | Plateau, tuple[Mark, ...]]
"""What moves the value, and the steps worth pointing at."""


def warm_up_marks(scheduler: Scheduler, start: float, end: float) -> tuple[Mark, ...]:
    """Where a rule is over that begins with the run and rises."""
    return (Mark(ceil(scheduler.span - 1), "warm-up ends"),) if scheduler.begin == 0 and start < end else ()


def constant(scheduler: Scheduler) -> Built:
    """ConstantLR."""
    factor = scheduler.fraction("factor", 1 / 3)
    return shapes.Constant(factor, scheduler.span - 1), warm_up_marks(scheduler, factor, 1)


def linear(scheduler: Scheduler) -> Built:
    """LinearLR."""
    check_whole(scheduler)
    start, end = scheduler.fraction("start_factor", 1 / 3), scheduler.fraction("end_factor", 1.0)
    return shapes.Linear(start, end, scheduler.span - 1), warm_up_marks(scheduler, start, end)


def quadratic(scheduler: Scheduler) -> Built:
    """QuadraticWarmupLR of MMDetection."""
    return shapes.Quadratic(scheduler.span - 1), warm_up_marks(scheduler, 0, 1)


def exponential(scheduler: Scheduler) -> Built:
    return shapes.Exponential(scheduler.number("gamma", 1.0)), ()


def step(scheduler: Scheduler) -> Built:
    """StepLR."""
    size = scheduler.number("step_size", 1)
    if not 1 <= size < inf or size != int(size):
        raise scheduler.wrong(f"step_size is a whole number of 1 or more, not {size:g}")
    drops = min(scheduler.span, FOREVER) // size
    marks = tuple(Mark(int(size * (k + 1)), "step") for k in range(int(drops))) if drops <= MOST_MARKS else ()
    return shapes.Step(int(size), scheduler.number("gamma", 0.1)), marks


def multi_step(scheduler: Scheduler) -> Built:
    """MultiStepLR."""
    shape = shapes.MultiStep(scheduler.numbers("milestones"), scheduler.number("gamma", 0.1))
    return shape, tuple(Mark(int(milestone), "milestone") for milestone in shape.met[:MOST_MARKS])


def polynomial(scheduler: Scheduler) -> Built:
    """PolyLR."""
    check_whole(scheduler)
    return shapes.Polynomial(
        scheduler.number("power", 1.0, least=0), scheduler.number("eta_min", 0.0), scheduler.span - 1
    ), ()


def check_whole(scheduler: Scheduler) -> None:
    """Refuse a part of a step: what falls to its end then overshoots it."""
    if scheduler.span != int(scheduler.span):
        span = f"begin={scheduler.begin:g} to end={scheduler.end:g}"
        raise scheduler.wrong(f"{span} is no whole number of {scheduler.unit}s, and its last move overshoots")


def cosine(scheduler: Scheduler) -> Built:
    """CosineAnnealingLR."""
    period = scheduler.number("T_max", 0) if scheduler.arguments.get("T_max") is not None else 0
    period = period or scheduler.span
    if not 0 < period < inf:
        raise scheduler.wrong(f"T_max is above 0, not {period:g}")
    troughs = scheduler.span // period if (scheduler.end or 0) < FOREVER else 0
    marks = (
        tuple(Mark(ceil(period * k), "cosine ends") for k in range(1, int(troughs) + 1, 2))
        if 1 < troughs <= MOST_MARKS
        else ()
    )
    return shapes.Cosine(period, *minimum(scheduler)), marks


def cosine_restart(scheduler: Scheduler) -> Built:
    """CosineRestartLR."""
    periods = scheduler.numbers("periods")
    weights = scheduler.numbers("restart_weights") if "restart_weights" in scheduler.arguments else (1.0,)
    if len(periods) != len(weights):
        raise scheduler.wrong(f"{len(periods)} periods but {len(weights)} restart_weights")
    if min(periods, default=0) <= 0:
        raise scheduler.wrong(f"periods are above 0, not {periods}")
    if minimum(scheduler, default=None) == (None, None):
        raise scheduler.wrong("eta_min or eta_min_ratio is missing")
    starts = [sum(periods[: index + 1]) for index in range(len(periods) - 1)]
    marks = tuple(Mark(ceil(start), "restart") for start in starts[:MOST_MARKS])
    return shapes.CosineRestart(periods, weights, *minimum(scheduler)), marks


def one_cycle(scheduler: Scheduler) -> Built:
    """OneCycleLR."""
    if scheduler.name != "lr":
        raise scheduler.wrong(f"it works for lr only, not for {scheduler.name}")
    total = scheduler.span
    if scheduler.arguments.get("total_steps") is not None:
        total = scheduler.number("total_steps", total, least=1, whole=True)
    if not isinstance(scheduler.arguments.get("pct_start", 0.3), float):
        raise scheduler.wrong(f"pct_start is a float between 0 and 1, not {scheduler.arguments['pct_start']!r}")
    peak, strategy = scheduler.number("eta_max", 0.0), scheduler.word("anneal_strategy", tuple(shapes.ANNEALINGS))
    falls = scheduler.number("div_factor", 25.0), scheduler.number("final_div_factor", 1e4)
    if 0 in falls:
        raise scheduler.wrong("div_factor and final_div_factor divide, so they are not 0")
    first = peak / falls[0]
    legs = 3 if scheduler.arguments.get("three_phase", False) else 2
    values = (first, peak, first / falls[1])
    phases = shapes.one_cycle_phases(total, scheduler.fraction("pct_start", 0.3), values, legs)
    return shapes.OneCycle(phases, shapes.ANNEALINGS[strategy]), ()


def plateau(scheduler: Scheduler) -> Built:
    """ReduceOnPlateauLR.

    Raises:
        ConfigError: an argument is none that training takes, or metrics would have to arrive more often than after epochs.
    """
    lowest = scheduler.arguments.get("min_value", 0.0)
    factor = scheduler.number("factor", 0.1)
    if not 0 <= factor < 1:
        raise scheduler.wrong(f"factor lies between 0 and 1, not {factor:g}")
    if not scheduler.by_epoch or scheduler.converts:
        raise scheduler.wrong("metrics arrive after epochs: by_epoch=False and convert_to_iter_based are not possible")
    scheduler.word("rule", ("less", "greater"))
    scheduler.word("threshold_rule", ("rel", "abs"))
    scheduler.number("threshold", 1e-4, least=0)
    scheduler.number("eps", 1e-8)
    monitor = scheduler.arguments.get("monitor", "loss")
    if not isinstance(monitor, str):
        raise scheduler.wrong(f"monitor is the name of a metric, not {monitor!r}")
    if isinstance(lowest, list | tuple) and len(lowest) != 1:
        raise scheduler.wrong(
            f"min_value has {len(lowest)} values, which are for as many parameter groups", hint="give one for all"
        )
    lowest = (
        scheduler.numbers("min_value")[0] if isinstance(lowest, list | tuple) else scheduler.number("min_value", 0.0)
    )
    patience, cooldown = int(scheduler.number("patience", 10, least=0)), int(scheduler.number("cooldown", 0, least=0))
    return Plateau(factor, patience, cooldown, lowest, monitor), ()


def minimum(scheduler: Scheduler, default: float | None = 0.0) -> tuple[Any, Any]:
    """(eta_min, eta_min_ratio), of which one may be given."""
    written = [name for name in ("eta_min", "eta_min_ratio") if scheduler.arguments.get(name) is not None]
    if len(written) == 2:
        raise scheduler.wrong("eta_min and eta_min_ratio exclude each other")
    if not written:
        return default, default
    value = scheduler.number(written[0], 0.0)
    return (value, 0.0) if written == ["eta_min"] else (0.0, value)


EVERYTHING = ("LR", "Momentum", "ParamScheduler")
"""The endings that most types come with: what they move."""


@dataclass(frozen=True)
class SchedulerKind:
    """A type of scheduler: what builds it, what it must and may be given, what scales with the epoch, its endings."""

    build: Callable[[Scheduler], Built]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    scales: tuple[str, ...] = ()
    endings: tuple[str, ...] = EVERYTHING


KINDS: Mapping[str, SchedulerKind] = {
    "Constant": SchedulerKind(constant, (), ("factor",)),
    "Linear": SchedulerKind(linear, (), ("start_factor", "end_factor")),
    "Exponential": SchedulerKind(exponential, ("gamma",)),
    "Step": SchedulerKind(step, ("step_size",), ("gamma",), ("step_size",)),
    "MultiStep": SchedulerKind(multi_step, ("milestones",), ("gamma",), ("milestones",)),
    "QuadraticWarmup": SchedulerKind(quadratic),
    "Poly": SchedulerKind(polynomial, (), ("power", "eta_min")),
    "CosineAnnealing": SchedulerKind(
        cosine, (), ("T_max", "eta_min", "eta_min_ratio"), ("T_max",), (*EVERYTHING, "WeightDecay")
    ),
    "CosineRestart": SchedulerKind(
        cosine_restart, ("periods",), ("restart_weights", "eta_min", "eta_min_ratio"), ("periods",)
    ),
    "OneCycle": SchedulerKind(
        one_cycle,
        ("eta_max",),
        ("total_steps", "pct_start", "anneal_strategy", "div_factor", "final_div_factor", "three_phase"),
        ("total_steps",),
        ("LR", "ParamScheduler"),
    ),
    "ReduceOnPlateau": SchedulerKind(
        plateau,
        (),
        ("monitor", "rule", "factor", "patience", "threshold", "threshold_rule", "cooldown", "min_value", "eps"),
    ),
}
KNOWN = {f"{kind}{ending}": (kind, ending) for kind in KINDS for ending in KINDS[kind].endings}


def cuts_of(scheduler: Scheduler, rule: Plateau, validation: tuple[int, int], clock: Clock) -> Link | None:
    """All cuts of a metric that never improves, as a scheduler; None where the run ends before the first.

    A run that counts steps validates every so many steps, and its epoch, which never ends, is epoch 0.
    """
    first, every = validation
    start = -(-max(first, 1) // every) * every
    if clock.by_epoch:
        last = min(int(scheduler.end or 0), clock.epochs or 1)
        looks = [epoch for epoch in range(start, last, every) if epoch >= scheduler.begin]
    else:
        looks = list(range(start, clock.steps, every)) if scheduler.begin <= 0 else []
    cuts = rule.cuts(looks)
    if not cuts:
        return None
    shape = shapes.MultiStep(tuple(float(cut - cuts[0]) for cut in cuts), rule.factor)
    return Link(shape, cuts[0], 10**15, "epoch" if clock.by_epoch else "step")


COMMON = {"type", "begin", "end", "by_epoch", "convert_to_iter_based", "last_step", "verbose", "param_name", "_scope_"}
ANY_END = 100
ASK_SIZE = "give the number of samples with --dataset-size"
SUFFIXES: Mapping[str, str] = {"LR": "lr", "Momentum": "momentum", "WeightDecay": "weight_decay", "ParamScheduler": ""}


def check_scheduler(settings: Settings, where: str) -> Scheduler:
    """One `dict(type=...)` of `param_scheduler`; `where` is its place in the config.

    Raises:
        NotFound: the type is unknown.
        ConfigError: an argument is unknown or missing.
    """
    if not isinstance(settings, Mapping) or "type" not in settings:
        raise ConfigError(f"{where}: a scheduler is dict(type=...), not {settings!r}")
    type_name = str(settings["type"]).rsplit(".", 1)[-1]
    if type_name not in KNOWN:
        raise NotFound("scheduler", type_name, KNOWN, where=where)
    kind, suffix = KNOWN[type_name]
    by_epoch = bool(settings.get("by_epoch", True))
    converts = bool(settings.get("convert_to_iter_based", False))
    scheduler = Scheduler(
        where=where,
        type_name=type_name,
        kind=kind,
        name=SUFFIXES[suffix] or str(settings.get("param_name", "")),
        arguments={key: value for key, value in settings.items() if key not in COMMON},
        begin=settings.get("begin", 0),
        end=FOREVER if settings.get("end") == inf else settings.get("end"),
        by_epoch=by_epoch,
        converts=converts,
        unit="epoch" if by_epoch and not converts else "step",
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
    # Whatever the length of the run will be: what is wrong with an argument is known now.
    KINDS[kind].build(replace(scheduler, begin=0, end=ANY_END))
    return scheduler


def check_arguments(scheduler: Scheduler) -> None:
    """Refuse arguments that the type does not have, and ask for those it needs."""
    needs, known = KINDS[scheduler.kind].needs, KINDS[scheduler.kind].needs + KINDS[scheduler.kind].takes
    for name in scheduler.arguments:
        if name not in known:
            raise scheduler.wrong(f"unknown argument {name!r}", hint=f"it takes {', '.join(known)}")
    for name in needs:
        if name not in scheduler.arguments:
            raise scheduler.wrong(f"{name} is missing")
    if scheduler.converts and not scheduler.by_epoch:
        raise scheduler.wrong("convert_to_iter_based needs by_epoch=True")


def place(scheduler: Scheduler, clock: Clock) -> Scheduler:
    """A scheduler on a clock: span and arguments in its final unit."""
    begin, end, arguments = scheduler.begin, scheduler.end, dict(scheduler.arguments)
    if end is None:
        end = (clock.epochs or 1) if scheduler.by_epoch else clock.steps
    if scheduler.converts:
        epoch = clock.steps_per_epoch
        if epoch is None:
            raise scheduler.wrong("epochs are converted to steps, but the steps of an epoch are unknown", hint=ASK_SIZE)
        begin, end = int(begin * epoch), end if end == FOREVER else int(end * epoch)
        for name in KINDS[scheduler.kind].scales:
            if arguments.get(name) is not None:
                arguments[name] = scale(arguments[name], epoch)
    if end <= begin:
        written = f"begin={scheduler.begin}, end={'the end of the run' if scheduler.end is None else scheduler.end}"
        raise scheduler.wrong(f"ends at {scheduler.unit} {end}, but begins at {begin} ({written}; the run has {clock})")
    return replace(scheduler, arguments=arguments, begin=begin, end=end)


def scale(value: Any, factor: int) -> Any:  # noqa: ANN401 - whatever the config says; wrong types are reported later
    """A number, or each of a list, times a factor."""
    if isinstance(value, list | tuple):
        return [scale(each, factor) for each in value]
    return value * factor if isinstance(value, int | float) else value


def trajectory_of(schedulers: Sequence[Scheduler], clock: Clock, validation: tuple[int, int] = (1, 1)) -> Trajectory:
    """The course of one hyper-parameter, given all schedulers that move it, in the order of the config.

    Args:
        validation: when metrics arrive: the first epoch (or step, in a run that counts steps), and every how many.

    Raises:
        ConfigError: a scheduler does not fit the clock.
    """
    links, settings, plateaus, base = [], [], [], shapes.INITIAL
    for here in [place(scheduler, clock) for scheduler in schedulers]:
        end, arguments = here.end or 0, {**here.arguments, "type": here.type_name, "where": here.where}
        settings.append(Setting(here.kind, here.unit, here.begin, end, arguments, here.converts))
        shape, marks = KINDS[here.kind].build(here)
        if isinstance(shape, Plateau):
            plateaus.append((shape, cuts_of(here, shape, validation, clock)))
            continue
        if isinstance(shape, shapes.OneCycle):
            # It replaces the initial value when it is built, for itself and for all that are built after it.
            base = shapes.Affine(0.0, shape.phases[0].start)
        links.append(Link(shape, ceil(max(here.begin, 0)), ceil(end), here.unit, base, marks))
    chained = partial(chain, clock=clock, zero_stays=any(scheduler.zero_stays for scheduler in schedulers))
    trajectory = chained(links, settings=tuple(settings))
    for rule, cuts in plateaus:
        if cuts is not None:
            # Metrics arrive after all other schedulers have moved, and cut the value that is then in force.
            first = cuts.begin * ((clock.steps_per_epoch or 1) if cuts.unit == "epoch" else 1)
            trajectory = open_to(rule, trajectory, chained([*links, cuts]), first)
    return trajectory


def rules_of(param_scheduler: Sequence[Settings], validation: tuple[int, int]) -> dict[str, Rule]:
    """The rules of `param_scheduler`, by hyper-parameter; `validation` says when metrics arrive."""
    schedulers = [
        check_scheduler(settings, f"param_scheduler[{index}]" if len(param_scheduler) > 1 else "param_scheduler")
        for index, settings in enumerate(param_scheduler)
    ]
    return {
        name: partial(trajectory_of, tuple(each for each in schedulers if each.name == name), validation=validation)
        for name in dict.fromkeys(scheduler.name for scheduler in schedulers)
    }
