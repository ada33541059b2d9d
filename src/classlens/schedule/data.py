"""Curves as data: a summary for JSON, and every value of every step for a table."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from classlens.schedule.replay import Curve, Curves

CHUNK = 1 << 16
"""Rows that are computed at a time, so that a long run of many groups needs little memory."""

COLUMNS = ("lr", "momentum", "weight_decay")
"""Hyper-parameters that a table always has, in this order; others follow."""


def summary(run: Curves) -> dict[str, Any]:
    """What a run is and how its values move, as plain data: the drawn points are exact values of training."""
    clock = run.clock
    return {
        "title": run.title,
        "steps": clock.steps,
        "epochs": clock.epochs,
        "steps_per_epoch": clock.steps_per_epoch,
        "counted": clock.note,
        "notes": list(run.notes),
        "findings": [
            {"kind": finding.kind, "what": finding.what, "step": finding.step, "hint": finding.hint}
            for finding in run.findings
        ],
        "curves": [curve_summary(curve) for curve in run],
    }


def curve_summary(curve: Curve) -> dict[str, Any]:
    """One curve as plain data; values that are no numbers are None, as JSON has none."""
    steps, values = curve.points
    step, peak = curve.peak
    return {
        "name": curve.name,
        "group": curve.group.name,
        "tensors": curve.group.tensors,
        "parameters": curve.group.parameters,
        "initial": curve.group.initial[curve.name],
        "peak": finite(peak),
        "peak_step": step,
        "final": finite(curve.final),
        "marks": [{"step": mark.step, "what": mark.what} for mark in curve.course.marks],
        "points": {"step": steps.tolist(), "value": [finite(value) for value in values.tolist()]},
        **undecided_part(curve),
    }


def undecided_part(curve: Curve) -> dict[str, Any]:
    """What a metric decides: from which step on, and the lowest that the values at the points can be."""
    undecided = curve.course.undecided
    if undecided is None:
        return {}
    lowest = [finite(value) for value in curve.lowest.tolist()]
    return {"depends_on_metric": {"metric": undecided.metric, "from_step": undecided.first, "lowest": lowest}}


def finite(value: float) -> float | None:
    """The value, or None where it is no number."""
    return value if np.isfinite(value) else None


def table(runs: Sequence[Curves]) -> Iterator[str]:
    """Lines of a CSV table: one for every step and group, with every digit, and the run's name if there are several.

    Columns: step, epoch, group, lr, momentum, weight_decay, then other hyper-parameters; empty where a group or a
    clock has none.
    """
    several = len(runs) > 1
    names = list(dict.fromkeys([*COLUMNS, *(name for run in runs for name in run.names)]))
    yield ",".join((["run"] if several else []) + ["step", "epoch", "group", *names]) + "\n"
    for run in runs:
        head = quoted(run.title) + "," if several else ""
        stride = max(1, CHUNK // max(1, len({id(curve.group) for curve in run})))
        for first in range(0, run.clock.steps, stride):
            yield from rows(run, names, head, np.arange(first, min(first + stride, run.clock.steps)))


def rows(run: Curves, names: Sequence[str], head: str, steps: np.ndarray) -> Iterator[str]:
    """The table's lines for some steps, every group in turn."""
    groups = list({id(curve.group): curve.group for curve in run}.values())
    epoch = run.clock.steps_per_epoch
    epochs = [""] * len(steps) if epoch is None else [repr(value) for value in (steps / epoch).tolist()]
    columns = []
    for group in groups:
        curves = {curve.name: curve for curve in run if curve.group is group}
        texts = (
            [repr(value) for value in curves[name].at(steps).tolist()] if name in curves else [""] * len(steps)
            for name in names
        )
        columns.append([",".join(row) for row in zip(*texts, strict=True)])
    labels = [quoted(group.name) for group in groups]
    for index, step in enumerate(steps.tolist()):
        for label, column in zip(labels, columns, strict=True):
            yield f"{head}{step},{epochs[index]},{label},{column[index]}\n"


def quoted(text: str) -> str:
    """A field of the table."""
    return '"' + text.replace('"', '""') + '"' if any(letter in text for letter in ',"\n') else text
