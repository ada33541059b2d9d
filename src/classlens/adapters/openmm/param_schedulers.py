"""The schedulers of 1.x: `param_scheduler`, each a `dict(type=...)` of the config.

`KINDS` says what each type takes and which shape it becomes, `ARGUMENTS` what each argument may be. All arguments are
checked when the config is opened; what is left to be wrong depends on the length of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil, inf, isfinite
from typing import Any, TypeGuard

import numpy as np

from classlens.config.settings import Settings
from classlens.errors import ConfigError, NotFound
from classlens.schedule import shapes
from classlens.schedule.schedule import Clock, MetricDependent, Rule, Setting, Steps, Trajectory, Unit, Values, distinct


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
    arguments: Settings
    begin: float
    end: float | None
    by_epoch: bool
    converts: bool

    @property
    def unit(self) -> Unit:
        return "epoch" if self.by_epoch and not self.converts else "step"

    @property
    def span(self) -> float:
        return (self.end or 0) - self.begin

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - what `ARGUMENTS` lets through
        return self.arguments[name]

    def wrong(self, what: str, *, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.where} ({self.type_name}): {what}", hint=hint)


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_list(value: object) -> TypeGuard[Sequence[float]]:
    return isinstance(value, list | tuple) and all(is_number(each) and isfinite(each) for each in value)


def one_of(*values: object) -> tuple[str, Callable[[Any], bool]]:
    return f"is {' or '.join(map(str, values))}", lambda value: value in values


NUMBER = "is a number", is_number
OPTIONAL = "is a number", lambda value: value is None or is_number(value)
FRACTION = "lies between 0 and 1", lambda value: is_number(value) and 0 <= value <= 1
COUNT = "is a number of 0 or more", lambda value: is_number(value) and 0 <= value < inf
DIVISOR = "is a number other than 0", lambda value: is_number(value) and value != 0
WHOLE = "is a whole number of 1 or more"
ARGUMENTS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "T_max": ("is a number above 0", lambda value: value is None or (is_number(value) and 0 <= value < inf)),
    "anneal_strategy": one_of(*shapes.ANNEALINGS),
    "cooldown": COUNT,
    "div_factor": DIVISOR,
    "end_factor": FRACTION,
    "eps": NUMBER,
    "eta_max": NUMBER,
    "eta_min": OPTIONAL,
    "eta_min_ratio": OPTIONAL,
    "factor": FRACTION,
    "final_div_factor": DIVISOR,
    "gamma": NUMBER,
    "milestones": ("is a list of numbers", is_list),
    "min_value": (
        "is one number for all groups",
        lambda value: is_number(value) or (is_list(value) and len(value) == 1),
    ),
    "monitor": ("is the name of a metric", lambda value: isinstance(value, str)),
    "patience": COUNT,
    "pct_start": ("is a float between 0 and 1", lambda value: isinstance(value, float) and 0 <= value <= 1),
    "periods": ("is a list of numbers above 0", lambda value: is_list(value) and min(value, default=0) > 0),
    "power": COUNT,
    "restart_weights": ("is a list of numbers", is_list),
    "rule": one_of("less", "greater"),
    "start_factor": FRACTION,
    "step_size": (WHOLE, lambda value: is_number(value) and 1 <= value < inf and value == int(value)),
    "three_phase": one_of(True, False),
    "threshold": COUNT,
    "threshold_rule": one_of("rel", "abs"),
    "total_steps": (WHOLE, lambda value: value is None or (is_number(value) and isinstance(value, int) and value >= 1)),
}
"""What each argument is, in words and as a check."""


def cosine(scheduler: Scheduler) -> shapes.Shape:
    """CosineAnnealingLR and CosineRestartLR, whose minimum is absolute or a share of the base."""
    lowest, ratio = scheduler["eta_min"], scheduler["eta_min_ratio"]
    if lowest is not None and ratio is not None:
        raise scheduler.wrong("eta_min and eta_min_ratio exclude each other")
    if scheduler.kind == "CosineAnnealing":
        return shapes.Cosine(scheduler["T_max"] or scheduler.span, lowest or 0.0, ratio or 0.0)
    periods, weights = scheduler["periods"], scheduler["restart_weights"]
    if len(periods) != len(weights):
        raise scheduler.wrong(f"{len(periods)} periods but {len(weights)} restart_weights")
    if lowest is None and ratio is None:
        raise scheduler.wrong("eta_min or eta_min_ratio is missing")
    return shapes.CosineRestart(tuple(periods), tuple(weights), lowest or 0.0, ratio or 0.0)


def one_cycle(scheduler: Scheduler) -> shapes.Shape:
    """OneCycleLR."""
    if scheduler.name != "lr":
        raise scheduler.wrong(f"it works for lr only, not for {scheduler.name}")
    peak, first = scheduler["eta_max"], scheduler["eta_max"] / scheduler["div_factor"]
    total, values = scheduler["total_steps"] or scheduler.span, (first, peak, first / scheduler["final_div_factor"])
    phases = shapes.one_cycle_phases(total, scheduler["pct_start"], values, 3 if scheduler["three_phase"] else 2)
    return shapes.OneCycle(phases, shapes.ANNEALINGS[scheduler["anneal_strategy"]])


def plateau(scheduler: Scheduler) -> None:
    """ReduceOnPlateauLR has no shape, as nobody knows the metric: `cut_by_metric` gives the bounds of its values."""
    if scheduler["factor"] == 1:
        raise scheduler.wrong("factor lies between 0 and 1, not 1")
    if scheduler.unit == "step":
        raise scheduler.wrong("metrics arrive after epochs: by_epoch=False and convert_to_iter_based are not possible")


EVERYTHING = ("LR", "Momentum", "ParamScheduler")
"""The endings that most types come with: what they move."""


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
    "Constant": SchedulerKind(lambda one: shapes.Constant(one["factor"], one.span - 1), takes={"factor": 1 / 3}),
    "Linear": SchedulerKind(
        lambda one: shapes.Linear(one["start_factor"], one["end_factor"], one.span - 1),
        takes={"start_factor": 1 / 3, "end_factor": 1.0},
        whole=True,
    ),
    "Exponential": SchedulerKind(lambda one: shapes.Exponential(one["gamma"]), ("gamma",)),
    "Step": SchedulerKind(
        lambda one: shapes.Step(int(one["step_size"]), one["gamma"]), ("step_size",), {"gamma": 0.1}, "step_size"
    ),
    "MultiStep": SchedulerKind(
        lambda one: shapes.MultiStep(tuple(one["milestones"]), one["gamma"]), ("milestones",), {"gamma": 0.1}, "milestones"
    ),
    "QuadraticWarmup": SchedulerKind(lambda one: shapes.Quadratic(one.span - 1)),
    "Poly": SchedulerKind(
        lambda one: shapes.Polynomial(one["power"], one["eta_min"], one.span - 1),
        takes={"power": 1.0, "eta_min": 0.0},
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
FOREVER = 10**9
"""An `end` of this size or more means: until training ends."""

ANY_END = 100
NAMES: Mapping[str, str] = {"LR": "lr", "Momentum": "momentum", "WeightDecay": "weight_decay"}


def rules_of(param_scheduler: Sequence[Settings], validation: tuple[int, int]) -> dict[str, Rule]:
    """The rules of `param_scheduler`, by hyper-parameter; `validation` says when metrics arrive."""
    schedulers = [
        check_scheduler(settings, f"param_scheduler[{index}]" if len(param_scheduler) > 1 else "param_scheduler")
        for index, settings in enumerate(param_scheduler)
    ]
    return {
        name: partial(trajectory_of, [each for each in schedulers if each.name == name], validation=validation)
        for name in dict.fromkeys(scheduler.name for scheduler in schedulers)
    }


def check_scheduler(settings: Settings, where: str) -> Scheduler:
    """One `dict(type=...)` of `param_scheduler`; `where` is its place in the config.

    Raises:
        NotFound: the type is unknown.
        ConfigError: an argument is unknown or missing.
    """
    type_name = str(settings["type"]).rsplit(".", 1)[-1]
    if type_name not in KNOWN:
        raise NotFound("scheduler", type_name, KNOWN, where=where)
    kind, ending = KNOWN[type_name]
    scheduler = Scheduler(
        where=where,
        type_name=type_name,
        kind=kind,
        name=NAMES.get(ending) or str(settings.get("param_name", "")),
        arguments=dict(KINDS[kind].takes) | {key: value for key, value in settings.items() if key not in COMMON},
        begin=settings.get("begin", 0),
        end=FOREVER if settings.get("end") == inf else settings.get("end"),
        by_epoch=bool(settings.get("by_epoch", True)),
        converts=bool(settings.get("convert_to_iter_based", False)),
    )
    for edge, value in (("begin", scheduler.begin), ("end", scheduler.end)):
        if edge in settings and not (is_number(value) and isfinite(value)):
            raise scheduler.wrong(f"{edge} is a number, not {value!r}")
    if (last := settings.get("last_step", -1)) != -1:
        raise scheduler.wrong(f"last_step is -1 where a run starts, not {last!r}", hint="it is for resuming a run")
    if not scheduler.name:
        raise scheduler.wrong("param_name is missing")
    if scheduler.converts and not scheduler.by_epoch:
        raise scheduler.wrong("convert_to_iter_based needs by_epoch=True")
    check_arguments(scheduler)
    return scheduler


def check_arguments(scheduler: Scheduler) -> None:
    """Refuse arguments that the type does not have or that are none, and ask for those it needs."""
    kind = KINDS[scheduler.kind]
    known = (*kind.needs, *kind.takes)
    for name, value in scheduler.arguments.items():
        if name not in known:
            raise scheduler.wrong(f"unknown argument {name!r}", hint=f"it takes {', '.join(known)}")
        words, is_right = ARGUMENTS[name]
        if not is_right(value):
            raise scheduler.wrong(f"{name} {words}, not {value!r}")
    for name in kind.needs:
        if name not in scheduler.arguments:
            raise scheduler.wrong(f"{name} is missing")
    kind.build(replace(scheduler, begin=0, end=ANY_END))  # what is wrong for a run of any length is known now


def trajectory_of(schedulers: Sequence[Scheduler], clock: Clock, validation: tuple[int, int] = (1, 1)) -> Trajectory:
    """The course of one hyper-parameter, given all schedulers that move it, in the order of the config.

    Args:
        validation: when metrics arrive: the first epoch (or step, in a run that counts steps), and every how many.

    Raises:
        ConfigError: a scheduler does not fit the clock.
    """
    links, settings, plateaus, base = [], [], [], shapes.INITIAL
    for here in [place(scheduler, clock) for scheduler in schedulers]:
        end, where = here.end or 0, f"{here.where} {here.type_name}"
        settings.append(Setting(here.kind, where, here.unit, here.begin, end, here.arguments, here.converts))
        shape = KINDS[here.kind].build(here)
        if shape is None:
            plateaus.append(here)
            continue
        if isinstance(shape, shapes.OneCycle):
            # It replaces the initial value when it is built, for itself and for all that are built after it.
            base = shapes.absolute(shape.phases[0].start)
        links.append(shapes.Link(shape, ceil(max(here.begin, 0)), ceil(end), here.unit, base))
    zero_stays = any(scheduler.type_name.endswith("WeightDecay") for scheduler in schedulers)
    trajectory = shapes.chain(links, clock, tuple(settings), zero_stays=zero_stays)
    for here in plateaus:
        if cuts := cuts_of(here, validation, clock):
            # Metrics arrive after all other schedulers have moved, and cut the value that is then in force.
            worst = shapes.chain([*links, cuts], clock, zero_stays=zero_stays)
            first = cuts.begin * ((clock.steps_per_epoch or 1) if clock.by_epoch else 1)
            trajectory = cut_by_metric(here, trajectory, worst, first)
    return trajectory


def place(scheduler: Scheduler, clock: Clock) -> Scheduler:
    """A scheduler on a clock: span and arguments in its final unit."""
    begin, end, arguments = scheduler.begin, scheduler.end, dict(scheduler.arguments)
    kind, unit = KINDS[scheduler.kind], scheduler.unit
    if end is None:
        end = clock.length("epoch" if scheduler.by_epoch else "step")
    if scheduler.converts:
        epoch = clock.steps_per_epoch
        if epoch is None:
            raise scheduler.wrong(
                "epochs are converted to steps, but the steps of an epoch are unknown",
                hint="give the number of samples with --dataset-size",
            )
        begin, end = int(begin * epoch), end if end == FOREVER else int(end * epoch)
        if (value := arguments.get(kind.scales)) is not None:
            arguments[kind.scales] = value * epoch if is_number(value) else [each * epoch for each in value]
    if end <= begin:
        written = f"begin={scheduler.begin}, end={'the end of the run' if scheduler.end is None else scheduler.end}"
        raise scheduler.wrong(f"ends at {unit} {end}, but begins at {begin} ({written}; the run has {clock})")
    if kind.whole and (end - begin) != int(end - begin):
        raise scheduler.wrong(f"begin={begin:g} to end={end:g} is no whole number of {unit}s: its last move overshoots")
    return replace(scheduler, arguments=arguments, begin=begin, end=end)


def cuts_of(plateau: Scheduler, validation: tuple[int, int], clock: Clock) -> shapes.Link | None:
    """All cuts of a metric that never improves; None where the run ends before the first.

    A cut comes once the metric has been bad more than `patience` times in a row, and the next `cooldown` metrics count
    for nothing; the first metric of all is never bad. A run that counts steps validates every so many steps, and its
    epoch, which never ends, is epoch 0.
    """
    begin, every = validation
    start = -(-max(begin, 1) // every) * every
    if clock.by_epoch:
        last = min(int(plateau.end or 0), clock.length("epoch"))
        looks = [epoch for epoch in range(start, last, every) if epoch >= plateau.begin]
    else:
        looks = list(range(start, clock.steps, every)) if plateau.begin <= 0 else []
    wait = int(plateau["patience"]) + 1
    cuts = looks[wait :: wait + int(plateau["cooldown"])]
    if not cuts:
        return None
    shape = shapes.MultiStep(tuple(float(cut - cuts[0]) for cut in cuts), plateau["factor"])
    return shapes.Link(shape, cuts[0], 10**15, "epoch" if clock.by_epoch else "step")


def cut_by_metric(plateau: Scheduler, known: Trajectory, worst: Trajectory, first: int) -> Trajectory:
    """The course of a value that a metric may cut from step `first` on, but not below the minimum.

    `known` is its course if the metric always improves, `worst` that with all the cuts of one that never does.
    """

    def lowest(steps: Steps, initial: float) -> Values:
        held = np.minimum(np.ravel(plateau["min_value"]), known.values(steps, initial))
        return np.asarray(np.maximum(worst.values(steps, initial), held))

    breaks = distinct(np.concatenate([known.breaks, worst.breaks, [first]]))
    return replace(known, breaks=breaks, undecided=MetricDependent(first, lowest, plateau["monitor"]))
