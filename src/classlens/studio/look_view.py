"""The look view: layers, methods and classes of a network, pictures that are uploaded, and maps of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from math import prod
from time import monotonic
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from classlens.dataset.conventions import letters_of, numbers_by_name
from classlens.errors import ClasslensError
from classlens.studio.guard import Refused
from classlens.studio.replies import (
    answer,
    describe_job,
    is_soon,
    number,
    ready,
    send_image,
    session_of,
    split_of,
    while_connected,
)
from classlens.words import say

if TYPE_CHECKING:
    from classlens.image import Image
    from classlens.studio.jobs import Job
    from classlens.studio.session import Session

UPLOADED_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
UPLOADED_PIXELS = 50_000_000
PACE = 0.15  # seconds between two answers about a job that goes on
MOST_MAPS = 64  # of one request
LOOKED_THROUGH = 300  # samples, for one whose label the network knows
LONGEST_WORD = 200


async def show_network(request: Request) -> Response:
    """What is known of the network of a target, which is loaded in the background from the first time on.

    After loading was cancelled, or has failed, it is begun anew with `again=1`.
    """
    session, (target, split), again = session_of(request), split_of(request), number(request, "again", 0, 0, 1)
    job = await while_connected(request, session.readers, partial(session.look, target, again=bool(again)))
    facts = describe_job(job, waiting="loading", running="loading", done="ready", cancelled="failed")
    choices = await while_connected(request, session.readers, describe_choices)
    if job.result is None:
        return answer(facts | choices)
    begin = partial(find_first, session, target, split, job.result.facts["classes"] or ())
    facts["begin"] = await while_connected(request, session.readers, begin)
    return answer(facts | choices | job.result.facts)


def find_first(session: Session, target: int, split: str, classes: Sequence[str]) -> int:
    """The first sample whose label is a class of the network, of those that are listed already; 0 without one."""
    listed = session.opened.things.get(("first", target, split))
    if listed is None or not listed.done() or listed.exception():
        return 0
    dataset, numbers = listed.result(), numbers_by_name(classes)
    with suppress(ClasslensError):  # of a bad sample its own page says what is wrong
        for index in range(min(dataset.length, LOOKED_THROUGH)):
            if letters_of(", ".join(dataset.class_names(index))) in numbers:
                return index
    return 0


@cache
def describe_choices() -> dict[str, Any]:
    """Methods with what they cost, and colour scales: the same for every network."""
    from classlens.cam.methods import METHODS
    from classlens.figures.overlay import COLORMAPS, DEFAULT, OverlayStyle, color_table

    costs = {"activations": "quick", "gradients": "quick", "attention": "quick", "scores": "slow"}
    methods = [
        {"name": one.name, "cost": costs[one.needs], "needs": one.needs, "at": one.at, "paper": one.paper}
        for one in METHODS.values()
    ]
    scales = {name: color_table(OverlayStyle(name)).tolist() for name in COLORMAPS}
    return {"methods": methods, "colour_maps": scales, "default_colour_map": DEFAULT}


async def take_upload(request: Request) -> Response:
    """Decode a picture that the page has sent; what is kept, and shown, are its pixels alone."""
    session, data = session_of(request), await request.body()
    image = await while_connected(request, session.drawers, partial(decode_upload, data))
    place = next(session.numbers)
    session.uploads.once(place, lambda: image)
    height, width = image.size
    return answer({"upload": place, "width": width, "height": height, "picture": f"/upload/{place}.webp"})


def decode_upload(data: bytes) -> Image:
    """The pixels of a picture of a usual format; refused if it has another, a `DataError` if it is damaged or too large."""
    from classlens.dataset.decode import decode_image, read_header

    header = read_header(data, "the picture", UPLOADED_PIXELS) if data else None
    if header is None or header.format not in UPLOADED_FORMATS:
        raise Refused(415, say("refused.kind", kinds=", ".join(UPLOADED_FORMATS)))
    return decode_image(data, "the picture", UPLOADED_PIXELS)


async def show_upload(request: Request) -> Response:
    """A picture that was uploaded, encoded anew."""
    return await send_image(request, session_of(request).uploaded(int(request.path_params["number"])), 512)


async def begin_map(request: Request) -> Response:
    """Begin to explain a picture; the page asks for the job until it has ended."""
    from classlens.studio.tasks import LookOrder, explain_picture

    session, words = session_of(request), await read_order(request)
    target, _ = split_of(request, words)
    chosen = {name: tuple(words.get(name) or ()) for name in SEVERAL}
    if prod(max(1, len(several)) for several in chosen.values()) > MOST_MAPS:
        raise Refused(400, say("refused.maps", most=MOST_MAPS))
    image, original, path = await find_picture(request, words)
    order = LookOrder(image, **chosen, whole=bool(words.get("whole")), evaluate=bool(words.get("evaluate")))
    model = await while_connected(request, session.readers, partial(session.model, target))
    job = session.submit(session.looks, explain_picture, model, order)
    job.asked = monotonic()
    options = {"--method": "methods", "--target-layers": "layers", "--target-category": "classes"}
    said = [word for option, name in options.items() if chosen[name] for word in (option, *chosen[name])]
    said += ["--each-layer"] if len(chosen["layers"]) > 1 else []
    said += [f"--{name}" for name in ("whole", "evaluate") if words.get(name)]
    weights = [model.checkpoints[place] for place in chosen["checkpoints"] or (0,) if place < len(model.checkpoints)]
    command = session.command("cam", path, model.target, *(["--checkpoint", *weights] if weights else []), *said)
    named = {"methods": "methods", "layers": "layers", "classes": "targets"}
    asked = "".join(f", {word}={list(chosen[name])!r}" for name, word in named.items() if chosen[name])
    weight = repr(weights[0]) if weights else ""
    classifier = f"classlens.open_source({model.target!r}).classifier({weight})"
    python = f"classlens.explain({classifier}, {path!r}{asked}).save('map.png')"
    job.about |= {"original": original, "command": command, "python": python}
    return answer({"job": job.number})


async def find_picture(request: Request, words: Mapping[str, Any]) -> tuple[Image, str, str]:
    """The picture of an order as read, where the page finds it, and what a command calls it."""
    session, upload, index = session_of(request), words.get("upload"), words.get("index") or 0
    if upload is not None:
        return session.uploaded(upload), f"/upload/{upload}.webp", "PICTURE"
    target, split = split_of(request, words)
    dataset = await ready(session.dataset(target, split))
    if not 0 <= index < dataset.length:
        raise Refused(404, say("refused.sample", index=str(index)))

    def load() -> Image:
        from classlens.dataset.trace import trace

        with session.decoding(target, split, index):
            return trace(dataset, index, keep="first").original.image

    image = await while_connected(request, session.drawers, load)
    return image, f"/picture/{target}/{split}/{index}.webp", dataset.sample(index).path or "PICTURE"


ALONE: Mapping[str, type] = {
    **dict.fromkeys(("target", "index", "upload"), int),
    **dict.fromkeys(("whole", "evaluate"), bool),
    "split": str,
}
SEVERAL = dict[str, tuple[type, ...]](checkpoints=(int,), methods=(str,), layers=(str,), classes=(int, str))
"""The words of an order by what is in them: one thing, or a list."""


async def read_order(request: Request) -> dict[str, Any]:
    """The words of an order, each of its kind; it is refused if it is no JSON, or holds anything else."""
    try:
        words = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the order is no JSON") from error
    if not isinstance(words, dict) or not words.keys() <= ALONE.keys() | SEVERAL.keys():
        raise Refused(400, f"an order has {', '.join((*ALONE, *SEVERAL))}")
    for name, value in words.items():
        kinds = SEVERAL.get(name) or (ALONE[name],)
        fits = [
            type(one) in kinds and len(str(one)) <= LONGEST_WORD
            for one in (value if isinstance(value, list) else [value])
        ]
        if value is not None and not (all(fits) and isinstance(value, list) == (name in SEVERAL)):
            raise Refused(400, f"{name} is of another kind")
    return words


def job_of(request: Request) -> Job:
    session, place = session_of(request), int(request.path_params["number"])
    job = session.jobs.get(place)
    if job is None:
        raise Refused(404, f"there is no job {place}")
    return job


async def show_job(request: Request) -> Response:
    """How far a job is, and what came of it: at once when it has ended, else after `PACE`, so it can be asked for anew."""
    job = job_of(request)
    if job.asked is not None:
        job.asked = monotonic()
    await is_soon(job.over, PACE)
    return answer(describe_job(job) | {"result": job.result.facts | job.about if job.result else None})


async def cancel_job(request: Request) -> Response:
    job = job_of(request)
    job.cancel()
    return answer({"state": job.state})


async def show_part(request: Request) -> Response:
    """Bytes that a job has made: a picture, or a map with a byte for each pixel of the picture as fed, row by row."""
    job, place = job_of(request), int(request.path_params["place"])
    parts = job.result.parts if job.result else []
    if place >= len(parts):
        raise Refused(404, f"there is nothing {place} of job {job.number}")
    kind = "image/webp" if request.url.path.endswith("webp") else "application/octet-stream"
    return Response(parts[place], media_type=kind)
