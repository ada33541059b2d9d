"""The schedulers of 1.x: `param_scheduler`, a list whose members act on each other's values.

A scheduler is checked when the config is opened (`checked`) and gets its span when the clock is known (`placed`).
Spans and units are those of training: `end` defaults to the end of the run, local steps count from `begin`, and
`convert_to_iter_based` multiplies spans and periods by the steps of an epoch, but neither gammas nor factors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import ceil, inf, isfinite
from typing import Any, Literal

from classlens.adapters.openmm.schedules.kinds import EVERYTHING, FOREVER, KINDS
from classlens.adapters.openmm.schedules.plateau import KIND as PLATEAU
from classlens.adapters.openmm.schedules.plateau import TAKES, cuts_of, plateau_of
from classlens.adapters.openmm.schedules.scheduler import Placed, Scheduler, is_number
from classlens.adapters.openmm.setup import Settings
from classlens.errors import ConfigError, NotFound
from classlens.schedule import shapes
from classlens.schedule.chain import Link, chain
from classlens.schedule.clock import Clock
from classlens.schedule.plateau import open_to
from classlens.schedule.schedule import Course, Setting

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
    kinds = {name: KINDS[name].endings if name in KINDS else EVERYTHING for name in (*KINDS, PLATEAU)}
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
    (plateau_of if kind == PLATEAU else KINDS[kind].build)(Placed(scheduler, scheduler.arguments, 0, ANY_END, "epoch"))
    return scheduler


def check_arguments(scheduler: Scheduler) -> None:
    """Refuse arguments that the type does not have, and ask for those it needs.

    Raises:
        ConfigError: an argument is unknown or missing.
    """
    needs, takes = (
        ((), TAKES) if scheduler.kind == PLATEAU else (KINDS[scheduler.kind].needs, KINDS[scheduler.kind].takes)
    )
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


def course_of(schedulers: Sequence[Scheduler], clock: Clock, validation: tuple[int, int] = (1, 1)) -> Course:
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
        if scheduler.kind == PLATEAU:
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
            first = cuts.begin * cuts.width(clock.steps_per_epoch or 1)
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
