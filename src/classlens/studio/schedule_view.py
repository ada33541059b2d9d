"""The schedule view: every value of every hyper-parameter of one or several targets, and what is noteworthy about them.

Curves are computed as `classlens lr` computes them. Their values go to the page as numbers of 8 bytes, one for every
step; only of a run too long for that, the steps that its plot needs: straight lines between those lie on the curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from classlens.errors import ClasslensError
from classlens.studio.guard import Refused
from classlens.studio.replies import answer, number, session_of, while_connected, words_of
from classlens.studio.session import keywords

if TYPE_CHECKING:
    from classlens.runs.schedule_plots import SchedulePlots
    from classlens.schedule.replay import Curve
    from classlens.studio.session import Session

MOST_VALUES = 4_000_000  # of a curve whose every step goes to the page: 32 MB
MOST_STEPS = 10**15
LENGTHS = ("dataset_size", "gpus", "epochs", "epoch_length", "steps")
"""What a user may say of the length of the runs, as in the address of the view."""


def read_lengths(request: Request) -> tuple[dict[str, int], list[ClasslensError]]:
    """What the address says of the length, and what is wrong with the rest of it."""
    said, wrong = dict[str, int](), list[ClasslensError]()
    for name in filter(request.query_params.get, LENGTHS):
        try:
            said[name] = number(request, name, 0, 1, MOST_STEPS)
        except Refused as error:
            wrong.append(error)
    return said, wrong


def lay_out(session: Session, target: int, said: Mapping[str, int]) -> SchedulePlots:
    """All curves of a target over a length, and what a run of it has logged; computed once for each length."""
    from classlens.runs.schedule_plots import LrRequest, plot_schedules

    training = session.training(target)
    words = {"logged": training.pop("log"), "options": session.request.options, **training, **said}
    wanted = LrRequest((session.name(target),), parameter="all", **words)
    return session.schedules.once(repr(wanted), partial(plot_schedules, wanted))


async def show_schedules(request: Request) -> Response:
    """The runs of all targets with a schedule; one that cannot be laid out, or has none, says so beside them."""
    session, (said, wrong) = session_of(request), read_lengths(request)

    def describe() -> dict[str, list[dict[str, Any]]]:
        runs: list[dict[str, Any]] = []
        absent: list[dict[str, Any]] = []
        for place, name in enumerate(session.request.targets):
            try:
                if "schedule" in session.source(place).parts:
                    runs += describe_target(session, place, said, wrong)
                else:
                    absent.append({"id": place, "name": name, "error": "this target has no schedule"})
            except ClasslensError as error:
                runs.append({"id": place, "name": name, "curves": [], "landmarks": [], "lints": [], **words_of(error)})
        return {"runs": runs, "absent": absent}

    facts = await while_connected(request, session.readers, describe)
    return answer(facts | (words_of(wrong[0]) if wrong else {"error": "", "hint": ""}))


def describe_target(
    session: Session, place: int, said: Mapping[str, int], wrong: list[ClasslensError]
) -> list[dict[str, Any]]:
    """The intended run and the logged one; a length that leads to none is left out, and is `wrong`."""
    try:
        plots = lay_out(session, place, said)
    except ClasslensError as error:
        if not said:
            raise
        plots = lay_out(session, place, {})
        wrong.append(error)
    return [describe_run(session, place, plots, number) for number in range(len(plots.runs))]


def describe_run(session: Session, place: int, plots: SchedulePlots, number: int) -> dict[str, Any]:
    """A run with its curves, each once however many groups have it, its landmarks and its lints."""
    from classlens.check.schedule_rules import KINDS
    from classlens.figures.chart import distinct_curves

    run, known, target = plots.runs[number], sum(map(len, plots.runs[:number])), session.name(place)
    asked = {name: getattr(plots.request, name) for name in (*LENGTHS, "logged")}
    clock, query = run.clock, "&".join(f"{name}={asked[name]}" for name in LENGTHS if asked[name])
    codes = {kind: (code, severity) for code, kind, severity, _ in KINDS}
    curves: list[dict[str, Any]] = []
    landmarks: list[dict[str, Any]] = []
    for name in run.names:
        for group, curve in distinct_curves(run, name):
            number_of = known + list(run).index(curve)
            where = f"/curve/{place}/{number_of}", f"?{query}"
            curves.append({"id": number_of, "name": name, "group": group, **describe_curve(curve, *where)})
            landmarks += [{"curve": number_of, **one} for one in find_landmarks(curve)]
    lints = []
    for one in run.findings:
        code, severity = codes.get(one.kind, ("", "warning"))
        facts = {"code": code, "severity": severity, "kind": one.kind, "message": one.what}
        lints.append({**facts, "cure": one.hint, "step": one.step, "parameter": one.name})
    words: dict[str, Any] = {"words": str(clock), "step_words": clock.step_words, "note": clock.note}
    length = {name: getattr(clock, name) for name in ("steps", "steps_per_epoch", "epochs", "gpus")}
    return {
        "id": place if number == 0 else len(session.request.targets),
        "name": target if number == 0 else f"{target}, {run.title}",
        "error": "",
        "clock": length | words,
        "curves": curves,
        "landmarks": landmarks,
        "lints": lints,
        "notes": list(run.notes),
        "command": session.command("lr", target, "--parameter", "all", **asked),
        "python": f"plots = classlens.plot_schedules(classlens.LrRequest(({target!r},), parameter='all'{keywords(asked)}))"
        "\nclasslens.draw(plots).save('schedule.png')",
    }


def describe_curve(curve: Curve, address: str, query: str) -> dict[str, Any]:
    """Where the values of a curve are: of every step, or of some steps that are listed beside them."""
    is_whole, undecided = curve.clock.steps <= MOST_VALUES, curve.trajectory.undecided
    depends = None if undecided is None else {"metric": undecided.metric, "from_step": undecided.first}
    return {
        "length": curve.clock.steps if is_whole else len(curve.points[0]),
        "unit": "step",
        "values": f"{address}.bin{query}",
        "steps": None if is_whole else f"{address}.steps.bin{query}",
        "constant": bool((curve.points[1] == curve.points[1][0]).all()),
        "tensors": curve.group.tensors,
        "depends_on_metric": depends,
        "lowest": f"{address}.lowest.bin{query}" if depends and is_whole else None,
    }


def find_landmarks(curve: Curve) -> list[dict[str, Any]]:
    """The start, the peak, the end, and what happens between; in order."""
    from classlens.schedule.replay import finite

    clock, (peak, _) = curve.clock, curve.peak
    named = [(0, "start"), (peak, "peak"), *((one.step, one.what) for one in curve.trajectory.marks)]
    named.append((clock.steps - 1, "end"))
    inside = sorted({(step, name) for step, name in named if 0 <= step < clock.steps})
    values = curve.at([step for step, _ in inside]).tolist()
    epoch = clock.steps_per_epoch
    return [
        {"name": name, "step": step, "epoch": step / epoch if epoch else None, "value": finite(value)}
        for (step, name), value in zip(inside, values, strict=True)
    ]


async def show_curve(request: Request) -> Response:
    """The numbers of a curve: float64 of its values, or of its steps where not all are drawn; little-endian."""
    session, place = session_of(request), int(request.path_params["run"])
    known, kind = int(request.path_params["curve"]), str(request.path_params.get("kind", "values"))

    def pack() -> bytes:
        curves = [curve for run in lay_out(session, place, read_lengths(request)[0]).runs for curve in run]
        if known >= len(curves):
            raise Refused(404, f"there is no curve {known}")
        return bytes(numbers_of(curves[known], kind).astype("<f8").data)

    return Response(await while_connected(request, session.readers, pack), media_type="application/octet-stream")


def numbers_of(curve: Curve, kind: str) -> Any:  # noqa: ANN401 - an array of numbers
    """The values, the steps that they are of, or the lowest that they can be where a metric decides."""
    import numpy as np

    if curve.clock.steps > MOST_VALUES:
        return curve.points[0 if kind == "steps" else 1]
    undecided = curve.trajectory.undecided
    if kind == "lowest" and undecided is not None:
        return undecided.lowest(np.arange(curve.clock.steps), curve.group.initial[curve.name])
    return curve.values if kind == "values" else np.arange(curve.clock.steps)
