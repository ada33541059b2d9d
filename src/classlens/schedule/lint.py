"""Mistakes that a schedule's plot can show but its reader may miss. Every check is a function of the curves.

A finding says what happens in training, at which step, and what was probably meant. None of them stops a plot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from classlens.schedule.schedule import Clock, Setting

if TYPE_CHECKING:
    from classlens.schedule.replay import Curve, Curves

VANISHED = 1e-9
"""A share of the peak below which a rate trains nothing."""


@dataclass(frozen=True)
class Finding:
    """One probable mistake: its kind, what happens, at which step (None: everywhere), and what to do.

    `name` is the hyper-parameter that is concerned.
    """

    kind: str
    what: str
    step: int | None = None
    hint: str = ""
    name: str = ""

    def __str__(self) -> str:
        return self.what + (f" ({self.hint})" if self.hint else "")


def lint(curves: Curves) -> tuple[Finding, ...]:
    """All findings about a replayed schedule, each once."""
    findings: dict[str, Finding] = {}
    for name in curves.names:
        same_name = curves.named(name)
        for setting in same_name[0].trajectory.settings:
            for check in CHECKS.get(setting.kind, (frozen,)):
                for finding in check(setting, curves.clock):
                    findings.setdefault(finding.what, replace(finding, name=name))
        for curve in same_name:
            for finding in (*check_values(curve), *check_rules(curve)):
                findings.setdefault(finding.kind + name, replace(finding, name=name))
    return tuple(findings.values())


def where(setting: Setting) -> str:
    return f"{setting.arguments.get('where', '')} {setting.arguments.get('type', setting.kind)}".strip()


def milestones(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """Milestones that never fire: fractions, and those at or after the end."""
    steps = setting.arguments.get("step") if setting.kind == "Policy" else setting.arguments.get("milestones")
    if not isinstance(steps, list | tuple):
        return
    last = min(setting.end, length(setting, clock)) - setting.begin
    if setting.unit == "step" and clock.epochs and steps and max(steps) <= clock.epochs < last:
        yield Finding(
            "wrong unit",
            f"{where(setting)}: all milestones are within the first {clock.epochs} steps: they look like epochs",
            hint="count steps",
        )
    for milestone in steps:
        if milestone != int(milestone):
            yield Finding(
                "dead milestone",
                f"{where(setting)}: milestone {milestone:g} is no whole number of {setting.unit}s, so it never fires",
            )
        elif milestone >= last:
            yield Finding(
                "dead milestone",
                f"{where(setting)}: milestone {milestone:g} never fires, the last {setting.unit} is {last - 1:g}",
            )


def length(setting: Setting, clock: Clock) -> float:
    return clock.steps if setting.unit == "step" else (clock.epochs or 1)


def stuck_warmup(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A linear or constant warm-up over a single unit: it applies its start and never gets to give it back."""
    if setting.end - setting.begin != 1:
        return
    start = setting.arguments.get("start_factor" if setting.kind == "Linear" else "factor", 1 / 3)
    if start != 1 and setting.end <= length(setting, clock):
        hint = "set convert_to_iter_based=True" if setting.unit == "epoch" else "give it more steps"
        yield Finding(
            "stuck warm-up",
            f"{where(setting)}: lasts one {setting.unit}, so the value stays at {start:g} of what it was for good",
            hint=hint,
        )


def zero_start(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A factor of 0, which training divides by one step later."""
    name = "start_factor" if setting.kind == "Linear" else "factor"
    if setting.arguments.get(name) == 0 and setting.end - setting.begin > 1:
        yield Finding(
            "zero start", f"{where(setting)}: {name}=0 makes training stop with a division by zero", hint="use 1e-6"
        )


def frozen(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A scheduler that counts epochs in a run that counts steps: no epoch ever ends."""
    if setting.unit == "epoch" and not clock.by_epoch:
        yield Finding(
            "frozen",
            f"{where(setting)}: counts epochs, but the run counts steps and no epoch ever ends: it stays at its start",
            hint="set by_epoch=False",
        )


def converted_gamma(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """An exponential decay converted to steps keeps its gamma, which then acts at every step."""
    if setting.converted:
        gamma = setting.arguments.get("gamma")
        yield Finding(
            "converted gamma",
            f"{where(setting)}: converted to steps, gamma={gamma} acts at every step, not every epoch",
            hint=f"use gamma={gamma} ** (1 / {clock.steps_per_epoch})",
        )


def cosine_length(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A cosine whose trough is not where it, or the run, ends; or whose period is in the wrong unit."""
    end = min(setting.end, length(setting, clock))
    span, period = end - setting.begin, float(setting.arguments.get("T_max") or setting.end - setting.begin)  # type: ignore[arg-type]
    if abs(period - span) <= max(1, 0.001 * span):
        return
    what = f"{where(setting)}: falls for {period:,.10g} {setting.unit}s, but acts for {span:,.10g}"
    if setting.unit == "step" and clock.epochs is not None and period <= clock.epochs < span:
        yield Finding("wrong unit", f"{what} and swings up and down: T_max looks like epochs", hint="count steps")
    elif period < span:
        yield Finding("short cosine", f"{what}: it rises again after its end", at(setting, period, clock))
    else:
        yield Finding("long cosine", f"{what}: it never reaches its minimum", at(setting, span - 1, clock))


def at(setting: Setting, local: float, clock: Clock) -> int:
    """A local step of a setting as a step of the run."""
    width = 1 if setting.unit == "step" else clock.steps_per_epoch or 1
    return min(int((setting.begin + local) * width), clock.steps - 1)


def short_cycle(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A one-cycle that is over before the run is, where training stops with an error."""
    total = setting.arguments.get("total_steps")
    span = min(setting.end, length(setting, clock)) - setting.begin
    if isinstance(total, int | float) and total < span - 1:
        yield Finding(
            "short cycle",
            f"{where(setting)}: total_steps={total:g}, but it acts for {span:,g} {setting.unit}s: training stops with an error",
            at(setting, total + 1, clock),
        )


def restored(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A constant factor that is given back on the last unit of the run, which trains at the undecayed value."""
    if setting.begin == 0 or setting.end - setting.begin <= 1:
        return
    factor = float(setting.arguments.get("factor", 1 / 3))  # type: ignore[arg-type]
    if factor and setting.end == length(setting, clock):
        yield Finding(
            "restored",
            f"{where(setting)}: gives its factor back one {setting.unit} early, "
            f"so the last {setting.unit} trains at {1 / factor:g} x the value before",
            at(setting, setting.end - setting.begin - 1, clock),
            hint=f"end={setting.end + 1:g}",
        )


def long_warmup(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A warm-up that is longer than the run."""
    if setting.end >= clock.steps:
        yield Finding(
            "long warm-up", f"{where(setting)}: the warm-up takes {setting.end:,g} steps, the run has {clock.steps:,}"
        )


CHECKS: Mapping[str, tuple[Callable[[Setting, Clock], Iterator[Finding]], ...]] = {
    "Constant": (stuck_warmup, zero_start, frozen, restored),
    "CosineAnnealing": (frozen, cosine_length),
    "Exponential": (frozen, converted_gamma),
    "Linear": (stuck_warmup, zero_start, frozen),
    "MultiStep": (milestones, frozen),
    "OneCycle": (frozen, short_cycle),
    "Policy": (milestones, frozen),
    "Warmup": (frozen, long_warmup),
}
"""The checks of each kind of rule; those of all others is `frozen` alone."""


def check_values(curve: Curve) -> Iterator[Finding]:
    """Values that are no numbers, or below 0, or next to nothing for the last tenth of the run and more."""
    steps, values = curve.points
    of = f"{curve.name} of {curve.group.name} is"
    for kind, places, what in (
        ("not a number", ~np.isfinite(values), "{value} from step {step:,} on"),
        ("negative", values < 0, "{value:.4g} at step {step:,}: below 0"),
    ):
        if places.any():
            first = int(np.argmax(places))
            step = int(steps[first])
            yield Finding(kind, f"{of} {what.format(value=values[first], step=step)}", step)
    alive = np.flatnonzero(values > VANISHED * np.nanmax(values, initial=0.0))
    if curve.name == "lr" and alive.size and steps[alive[-1]] < 0.9 * (curve.clock.steps - 1):
        step = int(steps[alive[-1]]) + 1
        what = f"{of} less than a billionth of its peak from step {step:,} on"
        yield Finding("vanished", what, step, hint="does the decay count steps where epochs are meant?")


def check_rules(curve: Curve) -> Iterator[Finding]:
    """An absolute minimum above the rate that a group starts with, and a plateau whose patience outlasts the run."""
    initial = curve.group.initial[curve.name]
    for setting in curve.trajectory.settings:
        lowest = setting.arguments.get("eta_min", setting.arguments.get("min_lr"))
        # Weight decay and momentum are often meant to rise.
        if curve.name == "lr" and isinstance(lowest, int | float) and 0 < initial < lowest:
            yield Finding(
                "minimum above start",
                f"{where(setting)}: the minimum {lowest:g} is above the {initial:g} of {curve.group.name}, which rises",
                hint="use a minimum relative to each group (eta_min_ratio)",
            )
        if "Plateau" in setting.kind and curve.trajectory.undecided is None:
            what = f"{where(setting)}: patience={setting.arguments.get('patience', 10)} outlasts the run: it never acts"
            yield Finding("idle plateau", what)
