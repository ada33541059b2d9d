"""The findings view, what `classlens check` finds in a target, and the report of a whole target in one file."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from classlens.studio.guard import Refused
from classlens.studio.jobs import ENDED
from classlens.studio.replies import answer, number, session_of, while_connected


async def show_findings(request: Request) -> Response:
    """The findings, or how far the check is: it begins when they are first asked for, and anew with `again=1`."""
    session, target, again = session_of(request), number(request, "target", 0), number(request, "again", 0, 0, 1)
    job = await while_connected(request, session.readers, partial(session.check, target, again=bool(again)))
    facts = job.as_data(waiting="running", done="ready", cancelled="failed")
    name = session.name(target)
    facts["command"], facts["python"] = (
        session.command("check", name),
        f"classlens.check(classlens.open_source({name!r}))",
    )
    return answer(facts | (job.result.facts if job.result else {"findings": [], "skipped": []}))


async def send_report(request: Request) -> Response:
    """The one-file report of a target, as a download; it is made anew, which takes as long as a check and some maps."""
    session, target = session_of(request), number(request, "target", 0)
    job = await while_connected(request, session.readers, partial(session.report, target))
    while job.state not in ENDED:
        if await request.is_disconnected():
            job.cancel()
        await asyncio.sleep(0.1)
    if job.result is None:
        raise Refused(422, job.message or "the report was cancelled", hint=job.hint)
    headers = {"Content-Disposition": 'attachment; filename="classlens-report.html"'}
    return Response(job.result.parts[0], media_type="text/html", headers=headers)
