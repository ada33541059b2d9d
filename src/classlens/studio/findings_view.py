"""The findings view: what `classlens check` finds in a target, with the pictures that show it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from starlette.responses import Response

from classlens.studio.guard import Refused
from classlens.studio.jobs import ENDED
from classlens.studio.replies import FOLDERS, answer, number, picture, session_of, while_connected

if TYPE_CHECKING:
    from starlette.requests import Request

    from classlens.studio.jobs import Job


async def find_job(request: Request, target: int) -> Job:
    """The job that checks a target; one that was cancelled, or has failed, is begun anew with `again=1`."""
    session = session_of(request)
    again = bool(number(request, "again", 0, 0, 1))
    return await while_connected(request, session.readers, partial(session.check, target, again=again))


async def show_findings(request: Request) -> Response:
    """The findings, or how far the check is: it begins when they are first asked for."""
    session, target = session_of(request), number(request, "target", 0)
    job = await find_job(request, target)
    states = {"waiting": "running", "done": "ready", "cancelled": "failed"}
    facts = {**job.as_data(), "job": job.number, "state": states.get(job.state, job.state)}
    facts |= {"message": FOLDERS.sub("", job.message), "hint": FOLDERS.sub("", job.hint)}
    facts["command"] = session.command("check", session.name(target))
    facts["python"] = f"classlens.check(classlens.open_source({session.name(target)!r}))"
    if job.state != "done":
        return answer(facts | {"findings": [], "skipped": []})
    findings = [
        one | {"pictures": [{"url": f"/finding/{target}/{place}/{at}.webp", "caption": caption}
                            for at, (_, caption) in enumerate(pictures)]}
        for place, (one, pictures) in enumerate(zip(job.result["findings"], job.result["pictures"], strict=True))
    ]  # fmt: skip
    said = {name: job.result[name] for name in ("skipped", "summary", "ran", "notes")}
    return answer(facts | said | {"findings": findings})


async def send_report(request: Request) -> Response:
    """The one-file report of a target, as a download; it is made anew, which takes as long as a check and some maps."""
    session, target = session_of(request), number(request, "target", 0)
    job = await while_connected(request, session.readers, partial(session.report, target))
    while job.state not in ENDED:
        if await request.is_disconnected():
            job.cancel()
        await asyncio.sleep(0.1)
    if job.state != "done":
        raise Refused(422, job.message or "the report was cancelled", hint=job.hint)
    headers = {"Content-Disposition": 'attachment; filename="classlens-report.html"'}
    return Response(job.result, media_type="text/html", headers=headers)


async def show_exhibit(request: Request) -> Response:
    """A picture that shows a finding."""
    target, place, at = (int(request.path_params[name]) for name in ("target", "finding", "place"))
    job = await find_job(request, target)
    pictures = job.result["pictures"] if job.state in ENDED and job.result else []
    if place >= len(pictures) or at >= len(pictures[place]):
        raise Refused(404, "there is no such picture")
    return picture(pictures[place][at][0])
