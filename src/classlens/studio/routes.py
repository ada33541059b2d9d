"""The table of what the studio answers.

No address holds a path, a name of a file or another address: pictures are asked for by the numbers of target, split and
sample, and the files of the page itself stand in a table of their own. A view is an address without an ending, whose
page is always the same; what it shows is at the same address with `.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from sys import version_info
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from classlens import __version__
from classlens.dataset.conventions import SPLITS
from classlens.errors import ClasslensError
from classlens.studio import audit_view, data_view, findings_view, look_view, schedule_view
from classlens.studio.guard import Refused, without_folders
from classlens.studio.replies import answer, on_error, on_mistake, session_of, while_connected
from classlens.studio.session import TRAINING

if TYPE_CHECKING:
    from classlens.studio.session import Session

STATIC = Path(__file__).parent / "static"
VIEWS = ("data", "schedule", "look", "findings", "audit")
KINDS: Mapping[str, str] = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""Which files of the page are served, by how they end, and as what."""


@cache
def static_files() -> Mapping[str, Path]:
    """The files of the page, by the address of each."""
    files = (path for path in sorted(STATIC.rglob("*")) if path.suffix in KINDS and path.is_file())
    return {f"/static/{path.relative_to(STATIC).as_posix()}": path for path in files}


async def shell(request: Request) -> Response:
    return await static(request, "/static/index.html")


async def static(request: Request, address: str = "") -> Response:
    """A file of the page."""
    path = static_files().get(address or request.url.path)
    if path is None:
        raise Refused(404, "there is no such file of the page")
    return Response(path.read_bytes(), media_type=KINDS[path.suffix])


async def describe_session(request: Request) -> Response:
    """What the studio was started with, and which views there are for it."""
    session = session_of(request)

    def describe() -> dict[str, object]:
        targets: list[dict[str, object]] = []
        notes: list[str] = []
        for number, name in enumerate(session.request.targets):
            one: dict[str, object] = {"id": number, "name": name, "parts": [], "error": ""}
            try:
                source = session.source(number)
                one["parts"], notes = list(source.parts), [*notes, *source.notes]
            except ClasslensError as error:
                one["error"] = without_folders(str(error))
            targets.append(one)
        checkpoints = [{"id": place, "name": Path(one).name} for place, one in enumerate(session.request.checkpoints)]
        training: dict[str, Any] = {one: getattr(session.request, one) for one in TRAINING}
        training["log"] = training["log"] and str(training["log"])
        return {
            "version": __version__,
            "python_version": ".".join(map(str, version_info[:3])),
            "command": session.command("studio", *session.request.targets, **training, audit=session.request.audit),
            "python": f"classlens.studio({', '.join(map(repr, session.request.targets))})",
            "targets": targets,
            "checkpoints": checkpoints,
            "splits": list(SPLITS),
            "views": [one for one in VIEWS if one != "audit" or session.request.audit],
            **training,
            "notes": notes,
        }

    return answer(await while_connected(request, session.openers, describe))


def make_application(session: Session) -> Starlette:
    """The application behind the guard."""
    pages = [Route(address, shell) for address in ("/", *(f"/{view}" for view in VIEWS))]
    icon = partial(static, address="/static/icon.svg")  # asked for when a page is left early
    sample, batch = "/{target:int}/{split}/{index:int}", "/batch/{target:int}/{split}/{number:int}"
    routes = [
        *pages,
        Route("/favicon.ico", icon),
        Route("/static/{rest:path}", static),
        Route("/session.json", describe_session),
        Route("/data.json", data_view.show_rows),
        Route("/classes.json", data_view.show_classes),
        Route(f"/picture{sample}.webp", data_view.show_picture),
        Route(f"/sample{sample}.json", data_view.show_sample),
        Route(f"/stage{sample}/{{stage:int}}.webp", data_view.show_stage),
        Route(f"{batch}.json", data_view.show_batch),
        Route(f"{batch}/{{place:int}}.webp", data_view.show_batch_picture),
        Route("/schedule.json", schedule_view.show_schedules),
        Route("/curve/{run:int}/{curve:int}.bin", schedule_view.show_curve),
        Route("/curve/{run:int}/{curve:int}.{kind}.bin", schedule_view.show_curve),
        Route("/look.json", look_view.show_network),
        Route("/upload", look_view.take_upload, methods=["POST"]),
        Route("/upload/{number:int}.webp", look_view.show_upload),
        Route("/explain", look_view.begin_map, methods=["POST"]),
        Route("/jobs/{number:int}.json", look_view.show_job),
        Route("/jobs/{number:int}/cancel", look_view.cancel_job, methods=["POST"]),
        Route("/part/{number:int}/{place:int}.bin", look_view.show_part),
        Route("/part/{number:int}/{place:int}.webp", look_view.show_part),
        Route("/report.html", findings_view.send_report),
        Route("/findings.json", findings_view.show_findings),
        Route("/audit.json", audit_view.show_audit),
        Route("/audit/{kind}/{number:int}.webp", audit_view.show_map),
    ]
    handlers = {ClasslensError: on_error, HTTPException: on_error, Exception: on_mistake}
    application = Starlette(routes=routes, exception_handlers=handlers)
    application.state.session = session
    return application
