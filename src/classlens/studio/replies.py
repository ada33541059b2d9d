"""How an answer of the studio is made: from numbers to JSON, a picture, or one error.

What takes time is done by threads, and is left out where the browser has gone away before it was its turn. An error is
one line and a hint, as everywhere; files in it are named without their folders.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from classlens.dataset.conventions import SPLITS
from classlens.errors import NotFound, NotOffered, WrongIndex, WrongValue
from classlens.printed import ONE_LINE, json_text, print_aside
from classlens.studio.guard import LOOK, Refused, refusal, without_folders
from classlens.words import say

if TYPE_CHECKING:
    from classlens.image import Image
    from classlens.studio.jobs import Job
    from classlens.studio.session import Session

Thing = TypeVar("Thing")

GLANCE = 0.005  # seconds between two looks at whether a thread is done
LARGEST_EDGE = 2048  # pixels of a picture's longer side
PATIENCE = 1.0  # seconds until an answer says that something is on its way


def answer(data: object, status: int = 200) -> Response:
    return Response(json_text(data), status, media_type="application/json")


def session_of(request: Request) -> Session:
    session: Session = request.app.state.session
    return session


async def on_error(request: Request, error: Exception) -> Response:
    """The message and the hint of an error, under the status that says whose it is."""
    if isinstance(error, HTTPException):
        hint = "the studio begins at /" if error.status_code == 404 else ""
        return refusal(request.scope, {"error": error.detail.lower(), "hint": hint}, error.status_code, look=LOOK)
    missing = isinstance(error, NotFound | NotOffered | WrongIndex | WrongValue)
    status = error.status if isinstance(error, Refused) else 404 if missing else 422
    absent = {"offered": False} if isinstance(error, NotOffered) else {}  # a state of the target: nobody failed
    return refusal(request.scope, words_of(error) | absent, status, look=LOOK)


def words_of(error: Exception) -> dict[str, Any]:
    facts = error.facts() if isinstance(error, Refused) else {}
    return {"error": without_folders(str(error)), "hint": without_folders(getattr(error, "hint", "")), **facts}


async def on_mistake(request: Request, error: Exception) -> Response:
    """A mistake of ours: the terminal says what, the page only that."""
    print_aside(f"error: the studio failed, which is a mistake in it: {type(error).__name__}: {error}"[:300])
    return answer({"error": "the studio failed, which is a mistake in it", "hint": "its terminal says more"}, 500)


def number(request: Request, name: str, usual: int, least: int = 0, most: int = 2**53) -> int:
    """A whole number of the query; refused if it is none, or out of range."""
    text = request.query_params.get(name, "")
    if not text:
        return usual
    if not re.fullmatch(r"-?[0-9]{1,16}", text) or not least <= int(text) <= most:
        raise Refused(400, say("refused.number", name=name, least=str(least), most=str(most)))
    return int(text)


async def while_connected(request: Request, pool: Executor, work: Callable[[], Thing]) -> Thing:
    """What `work` returns, from a thread; it is not begun where the browser has gone away before its turn."""
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(pool, work)
    gone = asyncio.ensure_future(left(request))
    waiting: set[asyncio.Future[Any]] = {future, gone}
    asked = session_of(request).asked
    asked.add(future)
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise Refused(499, "nobody waits for it any more")
        return future.result()
    finally:
        asked.discard(future)
        future.cancel()
        gone.cancel()


async def left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def split_of(request: Request, words: Mapping[str, Any] | None = None) -> tuple[int, str]:
    """The target and the split that a request is about, in its path, its query, or the words of an order."""
    named = words or request.path_params or {"target": number(request, "target", 0), **request.query_params}
    target, split = int(named.get("target") or 0), str(named.get("split") or "train")
    if split not in SPLITS:
        raise Refused(404, f"a split is {', '.join(SPLITS)}")
    return target, split


async def ready(future: Future[Thing]) -> Thing:
    """What a thread makes; who goes away does not end its work."""
    return await asyncio.shield(asyncio.wrap_future(future))


async def is_soon(future: Future[Any], patience: float) -> bool:
    """Whether a thread has made something after so many seconds at most."""
    latest = monotonic() + patience
    while not future.done() and monotonic() < latest:
        await asyncio.sleep(GLANCE)
    return future.done()


async def soon(future: Future[Thing]) -> Thing | None:
    """What a thread makes, or None if it is not there after a moment."""
    return future.result() if await is_soon(future, PATIENCE) else None


def describe_job(job: Job, **states: str) -> dict[str, Any]:
    """How far a job is, or the one `ahead` for which it waits, and what it has come to; `states` are other words for its states."""
    before = job.ahead() if job.state == "waiting" else None
    shown = job if before is None or before.over.done() else before
    facts = {"job": job.number, "state": states.get(job.state, job.state), "done": shown.done, "total": shown.total}
    words = {"message": without_folders(shown.message), "hint": without_folders(job.hint)}
    return facts | words | {"ahead": shown is not job}


def picture(data: bytes, error: str = "") -> Response:
    """An encoded picture; one that marks a bad sample says so in a header, too."""
    line = without_folders(error).translate(ONE_LINE).encode("ascii", "backslashreplace").decode()
    headers = {"X-Error": line[:300]} if error else {}
    return Response(data, media_type="image/webp", headers=headers)


async def send_image(request: Request, image: Image, usual: int) -> Response:
    """A picture no longer than the `edge` of the query, or than is usual."""
    from classlens.figures.page import webp_of

    edge = number(request, "edge", usual, 16, LARGEST_EDGE)
    encode = partial(webp_of, image, edge, smallest=edge // 2)
    return picture(await while_connected(request, session_of(request).drawers, encode))
