"""The findings view, what `classlens check` finds in a target, and the report of a whole target in one file."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from classlens.studio.guard import Refused
from classlens.studio.replies import answer, describe_job, is_soon, number, session_of, while_connected
from classlens.studio.session import keywords

if TYPE_CHECKING:
    from classlens.studio.session import Session

STATES = {"waiting": "running", "done": "ready", "cancelled": "failed"}


async def show_findings(request: Request) -> Response:
    """The findings, or how far the check is: it begins when they are first asked for, and anew with `again=1`."""
    session, target, again = session_of(request), number(request, "target", 0), number(request, "again", 0, 0, 1)
    job = await while_connected(request, session.readers, partial(session.check, target, again=bool(again)))
    facts = describe_job(job, **STATES)
    name = session.name(target)
    weights, training = session.first_checkpoint(target), session.training(target)
    facts["command"] = session.command("check", name, *filter(None, [weights]), **training)
    said = keywords({"checkpoint": weights, "log": training["log"]})
    facts["python"] = f"print(classlens.draw(classlens.check(classlens.open_source({name!r}){said})))"
    facts["targets"] = [count_findings(session, number) for number in range(len(session.request.targets))]
    return answer(facts | (job.result.facts if job.result else {"findings": [], "skipped": []}))


def count_findings(session: Session, target: int) -> dict[str, Any]:
    """How far the check of a target is, and how much it has found; nothing is begun for that."""
    job = session.checked(target)
    state = "idle" if job is None else STATES.get(job.state, job.state)
    findings = job.result.facts["findings"] if job and job.result else ()
    severities = Counter(one["severity"] for one in findings)
    counts = {"errors": severities["error"], "warnings": severities["warning"]}
    return {"target": target, "name": session.name(target), "state": state, **counts}


async def send_report(request: Request) -> Response:
    """The one-file report of a target, as a download; it is made anew, which takes as long as a check and some maps."""
    session, target = session_of(request), number(request, "target", 0)
    job = await while_connected(request, session.readers, partial(session.report, target))
    while not await is_soon(job.over, 0.1):
        if await request.is_disconnected():
            job.cancel()
    if job.result is None:
        raise Refused(422, job.message or "the report was cancelled", hint=job.hint)
    headers = {"Content-Disposition": 'attachment; filename="classlens-report.html"'}
    return Response(job.result.parts[0], media_type="text/html", headers=headers)
