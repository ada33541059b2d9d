"""The schedulers of 1.x: `param_scheduler`, each a `dict(type=...)` of the config.

`KINDS` says what each type takes and which shape it becomes, `ARGUMENTS` what each argument may be. All arguments are
checked when the config is opened; what is left to be wrong depends on the length of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil, inf, isfinite
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from classlens.config.settings import Settings
from classlens.errors import ConfigError, NotFound, short_repr
from classlens.schedule import shapes
from classlens.schedule.schedule import Clock, MetricDependent, Setting, Steps, Trajectory, Unit, Values, distinct


@dataclass(frozen=True)
class Scheduler:
    """One member of `param_scheduler`, checked; `name` is the hyper-parameter it moves.

    `kind` is the type without its ending: CosineAnnealing for CosineAnnealingLR and CosineAnnealingMomentum. As it is
    written, begin and end count epochs where `by_epoch` says so; once it is placed on a clock they, and the arguments,
    count `unit`s. An `end` of None is that of the run.
    """

    where: str
    kind: str
    name: str
    arguments: Settings
    begin: float
    end: float | None
    by_epoch: bool
    converts: bool
    unit: Unit
    zero_stays: bool

    @property
    def span(self) -> float:
        return (self.end or 0) - self.begin


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


Check: TypeAlias = tuple[str, Callable[[Any], bool]]


def one_of(*words: str) -> Check:
    return f"is {' or '.join(words)}", lambda value: value in words


NUMBER: Check = "is a number", is_number
OPTIONAL: Check = "is a number", lambda value: value is None or is_number(value)
FRACTION: Check = "lies between 0 and 1", lambda value: is_number(value) and 0 <= value <= 1
COUNT: Check = "is a number of 0 or more", lambda value: is_number(value) and 0 <= value < inf
DIVISOR: Check = "is a number other than 0", lambda value: is_number(value) and value != 0
NUMBERS: Check = (
    "is a list of numbers",
    lambda value: isinstance(value, list | tuple) and all(is_number(each) and isfinite(each) for each in value),
)
WHOLE = "is a whole number of 1 or more"
ANYTHING: Check = "", lambda value: True
ARGUMENTS: Mapping[str, Check] = {
    **dict.fromkeys(("eps", "eta_max", "gamma"), NUMBER),
    **dict.fromkeys(("eta_min", "eta_min_ratio"), OPTIONAL),
    **dict.fromkeys(("factor", "start_factor", "end_factor"), FRACTION),
    **dict.fromkeys(("cooldown", "patience", "power", "threshold"), COUNT),
    **dict.fromkeys(("div_factor", "final_div_factor"), DIVISOR),
    **dict.fromkeys(("milestones", "periods", "restart_weights"), NUMBERS),
    "T_max": ("is a number above 0", lambda value: value is None or (is_number(value) and 0 <= value < inf)),
    "anneal_strategy": one_of(*shapes.ANNEALINGS),
    "begin": ("is a number", lambda value: is_number(value) and isfinite(value)),
    "end": ("is a number", lambda value: is_number(value) and value > -inf),
    "last_step": ("is -1 where a run starts", lambda value: value == -1),
    "min_value": (
        "is one number for all groups",
        lambda value: is_number(value) or (NUMBERS[1](value) and len(value) == 1),
    ),
    "monitor": ("is the name of a metric", lambda value: isinstance(value, str)),
    "pct_start": ("is a float between 0 and 1", lambda value: isinstance(value, float) and 0 <= value <= 1),
    "rule": one_of("less", "greater"),
    "step_size": (WHOLE, lambda value: is_number(value) and 1 <= value < inf and value == int(value)),
    "threshold_rule": one_of("rel", "abs"),
    "total_steps": (WHOLE, lambda value: value is None or (is_number(value) and isinstance(value, int) and value >= 1)),
}
"""What an argument is, in words and as a check."""


def cosine(one: Scheduler) -> shapes.Shape:
    """CosineAnnealingLR and CosineRestartLR, whose minimum is absolute or a share of the base."""
    lowest, ratio = one.arguments["eta_min"], one.arguments["eta_min_ratio"]
    if lowest is not None and ratio is not None:
        raise ConfigError(f"{one.where}: eta_min and eta_min_ratio exclude each other")
    if one.kind == "CosineAnnealing":
        return shapes.cosine_annealing(one.arguments["T_max"] or one.span, lowest or 0.0, ratio or 0.0)
    periods, weights = one.arguments["periods"], one.arguments["restart_weights"]
    if len(periods) != len(weights):
        raise ConfigError(f"{one.where}: {len(periods)} periods but {len(weights)} restart_weights")
    if min(periods, default=0) <= 0:
        raise ConfigError(f"{one.where}: periods are above 0, not {periods}")
    if lowest is None and ratio is None:
        raise ConfigError(f"{one.where}: eta_min or eta_min_ratio is missing")
    return shapes.cosine_restart(tuple(periods), tuple(weights), lowest or 0.0, ratio or 0.0)


def one_cycle(one: Scheduler) -> shapes.Shape:
    """OneCycleLR."""
    if one.name != "lr":
        raise ConfigError(f"{one.where}: it works for lr only, not for {one.name}")
    peak, first = one.arguments["eta_max"], one.arguments["eta_max"] / one.arguments["div_factor"]
    values, total = (first, peak, first / one.arguments["final_div_factor"]), one.arguments["total_steps"] or one.span
    legs = 3 if one.arguments["three_phase"] else 2
    phases = shapes.one_cycle_phases(total, one.arguments["pct_start"], values, legs)
    return shapes.one_cycle(phases, shapes.ANNEALINGS[one.arguments["anneal_strategy"]])


def plateau(one: Scheduler) -> None:
    """ReduceOnPlateauLR has no shape, as nobody knows the metric: `cut_by_metric` gives the bounds of its values."""
    if one.arguments["factor"] == 1:
        raise ConfigError(f"{one.where}: factor lies between 0 and 1, not 1")
    if one.unit == "step":
        raise ConfigError(
            f"{one.where}: metrics arrive after epochs: by_epoch=False and convert_to_iter_based are not possible"
        )


EVERYTHING = ("LR", "Momentum", "ParamScheduler")  # the endings that most types come with: what they move


@dataclass(frozen=True)
class SchedulerKind:
    """A type of scheduler: the shape it becomes, what it must be given, what it takes otherwise, and its endings.

    `scales` is the argument that counts epochs or steps; `whole` says that its span may not end within one, as what
    falls to the end then overshoots it.
    """

    build: Callable[[Scheduler], shapes.Shape | None]
    needs: tuple[str, ...] = ()
    takes: Settings = field(default_factory=dict)
    scales: str = ""
    endings: tuple[str, ...] = EVERYTHING
    whole: bool = False


KINDS: Mapping[str, SchedulerKind] = {
    "Constant": SchedulerKind(lambda one: shapes.constant(one.arguments["factor"], one.span - 1), takes={"factor": 1 / 3}),
    "Linear": SchedulerKind(
        lambda one: shapes.linear(one.arguments["start_factor"], one.arguments["end_factor"], one.span - 1),
        takes={"start_factor": 1 / 3, "end_factor": 1.0},
        whole=True,
    ),
    "Exponential": SchedulerKind(lambda one: shapes.exponential(one.arguments["gamma"]), ("gamma",)),
    "Step": SchedulerKind(
        lambda one: shapes.step_decay(int(one.arguments["step_size"]), one.arguments["gamma"]),
        ("step_size",), {"gamma": 0.1}, "step_size",
    ),
    "MultiStep": SchedulerKind(
        lambda one: shapes.multi_step(tuple(one.arguments["milestones"]), one.arguments["gamma"]),
        ("milestones",), {"gamma": 0.1}, "milestones",
    ),
    "QuadraticWarmup": SchedulerKind(lambda one: shapes.quadratic(one.span - 1)),
    "Poly": SchedulerKind(
        lambda one: shapes.polynomial(one.arguments["power"], one.arguments["eta_min"] or 0.0, one.span - 1),
        takes={"power": 1.0, "eta_min": None},
        whole=True,
    ),
    "CosineAnnealing": SchedulerKind(
        cosine, (), {"T_max": None, "eta_min": None, "eta_min_ratio": None}, "T_max", (*EVERYTHING, "WeightDecay")
    ),
    "CosineRestart": SchedulerKind(
        cosine, ("periods",), {"restart_weights": (1.0,), "eta_min": None, "eta_min_ratio": None}, "periods"
    ),
    "OneCycle": SchedulerKind(
        one_cycle,
        ("eta_max",),
        {
            "total_steps": None, "pct_start": 0.3, "anneal_strategy": "cos", "div_factor": 25.0,
            "final_div_factor": 1e4, "three_phase": False,
        },
        "total_steps",
        ("LR", "ParamScheduler"),
    ),
    "ReduceOnPlateau": SchedulerKind(
        plateau,
        (),
        {
            "monitor": "loss", "rule": "less", "factor": 0.1, "patience": 10, "threshold": 1e-4, "threshold_rule": "rel",
            "cooldown": 0, "min_value": 0.0, "eps": 1e-8,
        },
    ),
}  # fmt: skip
KNOWN = {f"{kind}{ending}": (kind, ending) for kind in KINDS for ending in KINDS[kind].endings}
COMMON = {"type", "begin", "end", "by_epoch", "convert_to_iter_based", "last_step", "verbose", "param_name", "_scope_"}
FOREVER = 10**9  # an `end` of this size or more means: until training ends
ANY_END = 100
NAMES: Mapping[str, str] = {"LR": "lr", "Momentum": "momentum", "WeightDecay": "weight_decay"}


def check_scheduler(settings: Settings, where: str) -> Scheduler:
    """One `dict(type=...)` of `param_scheduler`; `where` is its place in the config."""
    type_name = str(settings["type"]).rsplit(".", 1)[-1]
    if type_name not in KNOWN:
        raise NotFound("scheduler", type_name, KNOWN, where=where)
    kind_name, ending = KNOWN[type_name]
    kind, where = KINDS[kind_name], f"{where} ({type_name})"
    takes = (*kind.needs, *kind.takes)
    for key, value in settings.items():
        if key not in takes and key not in COMMON:
            raise ConfigError(f"{where}: unknown argument {short_repr(key)}", hint=f"it takes {', '.join(takes)}")
        words, is_right = ARGUMENTS.get(key, ANYTHING)
        if not is_right(value):
            raise ConfigError(f"{where}: {key} {words}, not {short_repr(value)}")
    for key in kind.needs if ending in NAMES else (*kind.needs, "param_name"):
        if key not in settings:
            raise ConfigError(f"{where}: {key} is missing")
    by_epoch, converts = bool(settings.get("by_epoch", True)), bool(settings.get("convert_to_iter_based", False))
    if converts and not by_epoch:
        raise ConfigError(f"{where}: convert_to_iter_based needs by_epoch=True")
    scheduler = Scheduler(
        where=where,
        kind=kind_name,
        name=NAMES.get(ending) or str(settings["param_name"]),
        arguments={**kind.takes, **{key: value for key, value in settings.items() if key in takes}},
        begin=settings.get("begin", 0),
        end=FOREVER if settings.get("end") == inf else settings.get("end"),
        by_epoch=by_epoch,
        converts=converts,
        unit="epoch" if by_epoch and not converts else "step",
        zero_stays=ending == "WeightDecay",
    )
    kind.build(replace(scheduler, begin=0, end=ANY_END))  # what is wrong for a run of any length is known now
    return scheduler


def trajectory_of(schedulers: Sequence[Scheduler], clock: Clock, validation: tuple[int, int] = (1, 1)) -> Trajectory:
    """The course of one hyper-parameter, given all schedulers that move it, in the order of the config.

    `validation` says when metrics arrive: the first epoch (or step, in a run that counts steps), and every how many.
    """
    links, settings, plateaus, base = [], [], [], shapes.INITIAL
    for here in [place(scheduler, clock) for scheduler in schedulers]:
        end = here.end or 0
        settings.append(Setting(here.kind, here.where, here.unit, here.begin, end, here.arguments, here.converts))
        shape = KINDS[here.kind].build(here)
        if shape is None:
            plateaus.append(here)
            continue
        if here.kind == "OneCycle":
            # It replaces the initial value when it is built, for itself and for all that are built after it.
            base = shapes.absolute(here.arguments["eta_max"] / here.arguments["div_factor"])
        links.append(shapes.Link(shape, ceil(max(here.begin, 0)), ceil(end), here.unit, base))
    chain = partial(shapes.chain, clock=clock, zero_stays=any(scheduler.zero_stays for scheduler in schedulers))
    trajectory = chain(links, settings=tuple(settings))
    for here in plateaus:
        trajectory = cut_by_metric(here, trajectory, lambda cuts: chain([*links, cuts]), validation, clock)
    return trajectory


def place(scheduler: Scheduler, clock: Clock) -> Scheduler:
    """A scheduler on a clock: span and arguments in its final unit."""
    begin, end, arguments, unit = scheduler.begin, scheduler.end, dict(scheduler.arguments), scheduler.unit
    kind, epoch = KINDS[scheduler.kind], clock.steps_per_epoch
    if end is None:
        end = (clock.epochs or 1) if scheduler.by_epoch else clock.steps
    if scheduler.converts:
        if epoch is None:
            raise ConfigError(
                f"{scheduler.where}: epochs are converted to steps, but the steps of an epoch are unknown",
                hint="give the number of samples with --dataset-size",
            )
        begin, end = int(begin * epoch), end if end == FOREVER else int(end * epoch)
        if (value := arguments.get(kind.scales)) is not None:
            arguments[kind.scales] = value * epoch if is_number(value) else [each * epoch for each in value]
    what = ""
    if end <= begin:
        written = f"begin={scheduler.begin}, end={'the end of the run' if scheduler.end is None else scheduler.end}"
        what = f"ends at {unit} {end}, but begins at {begin} ({written}; the run has {clock})"
    elif kind.whole and (end - begin) != int(end - begin):
        what = f"begin={begin:g} to end={end:g} is no whole number of {unit}s, and its last move overshoots"
    if what:
        raise ConfigError(f"{scheduler.where}: {what}")
    return replace(scheduler, arguments=arguments, begin=begin, end=end)


def cut_by_metric(
    plateau: Scheduler,
    known: Trajectory,
    chain_with: Callable[[shapes.Link], Trajectory],
    validation: tuple[int, int],
    clock: Clock,
) -> Trajectory:
    """The course of a value that a metric may cut, but not below the minimum, after all other schedulers have moved.

    A cut comes once the metric has been bad more than `patience` times in a row, and the next `cooldown` metrics count
    for nothing; the first metric of all is never bad. `known` is the course if the metric always improves,
    `chain_with(cuts)` that with all the cuts of one that never does.
    """
    begin, every = validation
    start = -(-max(begin, 1) // every) * every
    if clock.by_epoch:
        last = min(int(plateau.end or 0), clock.epochs or 1)
        looks = [epoch for epoch in range(start, last, every) if epoch >= plateau.begin]
    else:  # it validates every so many steps, and its epoch, which never ends, is epoch 0
        looks = list(range(start, clock.steps, every)) if plateau.begin <= 0 else []
    wait = int(plateau.arguments["patience"]) + 1
    cuts = looks[wait :: wait + int(plateau.arguments["cooldown"])]
    if not cuts:
        return known
    shape = shapes.multi_step(tuple(float(cut - cuts[0]) for cut in cuts), plateau.arguments["factor"])
    worst = chain_with(shapes.Link(shape, cuts[0], 10**15, "epoch" if clock.by_epoch else "step"))
    first = cuts[0] * ((clock.steps_per_epoch or 1) if clock.by_epoch else 1)

    def lowest(steps: Steps, initial: float) -> Values:
        held = np.minimum(np.ravel(plateau.arguments["min_value"]), known.values(steps, initial))
        return np.asarray(np.maximum(worst.values(steps, initial), held))

    breaks = distinct(np.concatenate([known.breaks, worst.breaks, [first]]))
    return replace(known, breaks=breaks, undecided=MetricDependent(first, lowest, plateau.arguments["monitor"]))
