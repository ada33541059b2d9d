"""The schedule view: every value of every hyper-parameter of one or several targets, and what is noteworthy about them.

Curves are computed as `classlens lr` computes them. Their values go to the page as numbers of 8 bytes, one for every
step; only of a run too long for that, the steps that its plot needs: straight lines between those lie on the curve.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from classlens.errors import ClasslensError
from classlens.studio.guard import Refused, without_folders
from classlens.studio.replies import answer, number, session_of, while_connected

if TYPE_CHECKING:
    from classlens.runs.schedule_plots import LrRequest, SchedulePlots
    from classlens.schedule.replay import Curve, Curves
    from classlens.studio.session import Session

MOST_VALUES = 4_000_000  # of a curve whose every step goes to the page: 32 MB
LENGTHS = ("dataset_size", "gpus", "epochs", "epoch_length", "steps")
"""What a user may say of the length of the runs, as in the address of the view."""


def ask(request: Request, target: int) -> LrRequest:
    """What is drawn of a target: all of it, over the length that the address says."""
    from classlens.runs.schedule_plots import LrRequest

    session = session_of(request)
    said = {name: number(request, name, 0, 1, 10**15) for name in LENGTHS if request.query_params.get(name)}
    words: dict[str, Any] = {"options": session.request.options, "parameter": "all", **said}
    return LrRequest((session.name(target),), **words)


def lay_out(session: Session, wanted: LrRequest) -> SchedulePlots:
    """The curves of a target, computed once for each length."""
    from classlens.runs.schedule_plots import plot_schedules

    return session.schedules.once(repr(wanted), partial(plot_schedules, wanted))


async def show_schedules(request: Request) -> Response:
    """The runs of all targets that have a schedule; one that cannot be laid out says why."""
    session = session_of(request)

    def describe() -> list[dict[str, Any]]:
        runs = []
        for place, name in enumerate(session.request.targets):
            try:
                if "schedule" not in session.source(place).parts:
                    continue
                wanted = ask(request, place)
                (run,) = lay_out(session, wanted).runs
            except ClasslensError as error:
                said = {"error": without_folders(str(error)), "hint": without_folders(error.hint)}
                runs.append({"id": place, "name": name, "curves": [], "landmarks": [], "lints": [], **said})
                continue
            runs.append({"id": place, "name": name, "error": "", **describe_run(request, place, run)})
        return runs

    return answer({"runs": await while_connected(request, session.readers, describe)})


def describe_run(request: Request, place: int, run: Curves) -> dict[str, Any]:
    """A run with its curves, each once however many groups have it, its landmarks and its lints."""
    from classlens.check.schedule_rules import KINDS
    from classlens.figures.chart import distinct_curves

    clock, query = run.clock, request.url.query
    codes = {kind: (code, severity) for code, kind, severity, _ in KINDS}
    curves: list[dict[str, Any]] = []
    landmarks: list[dict[str, Any]] = []
    for name in run.names:
        for group, curve in distinct_curves(run, name):
            known = list(run).index(curve)
            where = f"/curve/{place}/{known}", f"?{query}" if query else ""
            curves.append({"id": known, "name": name, "group": group, **describe_curve(curve, *where)})
            landmarks += [{"curve": known, **one} for one in find_landmarks(curve)]
    lints = []
    for one in run.findings:
        code, severity = codes.get(one.kind, ("", "warning"))
        facts = {"code": code, "severity": severity, "kind": one.kind, "message": one.what}
        lints.append({**facts, "cure": one.hint, "step": one.step, "parameter": one.name})
    words: dict[str, Any] = {"words": str(clock), "step_words": clock.step_words, "note": clock.note}
    length = {name: getattr(clock, name) for name in ("steps", "steps_per_epoch", "epochs", "gpus")}
    session, said = session_of(request), [(name, request.query_params.get(name)) for name in LENGTHS]
    options = {"dataset_size": "--dataset-size", "gpus": "--ngpus", "epoch_length": "--epoch-length"}
    typed = [word for name, value in said if value for word in (options.get(name, f"--{name}"), value)]
    target = session.name(place)
    asked = "".join(f", {name}={value}" for name, value in said if value)
    return {
        "clock": length | words,
        "curves": curves,
        "landmarks": landmarks,
        "lints": lints,
        "notes": list(run.notes),
        "command": session.command("lr", target, "--parameter", "all", *typed),
        "python": f"classlens.plot_schedules(classlens.LrRequest(({target!r},), parameter='all'{asked}))",
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
    clock, (peak, _) = curve.clock, curve.peak
    named = [(0, "start"), (peak, "peak"), *((one.step, one.what) for one in curve.trajectory.marks)]
    named.append((clock.steps - 1, "end"))
    inside = sorted({(step, name) for step, name in named if 0 <= step < clock.steps})
    values = curve.at([step for step, _ in inside]).tolist()
    epoch = clock.steps_per_epoch
    return [
        {
            "name": name,
            "step": step,
            "epoch": step / epoch if epoch else None,
            "value": value if value == value else None,
        }
        for (step, name), value in zip(inside, values, strict=True)
    ]


async def show_curve(request: Request) -> Response:
    """The numbers of a curve: float64 of its values, or of its steps where not all are drawn; little-endian."""
    session, place = session_of(request), int(request.path_params["run"])
    known, kind = int(request.path_params["curve"]), str(request.path_params.get("kind", "values"))
    if place >= len(session.request.targets):
        raise Refused(404, f"there is no run {place}")

    def pack() -> bytes:
        (run,) = lay_out(session, ask(request, place)).runs
        if known >= len(run):
            raise Refused(404, f"there is no curve {known}")
        curve = run[known]
        return bytes(numbers_of(curve, kind).astype("<f8").data)

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
