"""The data view: rows of samples, their pictures in four modes, one sample stage by stage, and whole batches.

What is drawn comes from the same functions as `classlens browse`; here its pictures are asked for one by one.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from classlens.errors import DataError
from classlens.studio.guard import Refused, without_folders
from classlens.studio.replies import (
    LARGEST_EDGE,
    answer,
    number,
    picture,
    ready,
    send_image,
    session_of,
    soon,
    split_of,
    while_connected,
)
from classlens.words import say

if TYPE_CHECKING:
    from classlens.dataset.dataset import Dataset
    from classlens.dataset.trace import Snapshot, Trace
    from classlens.runs.browse_run import BatchResult
    from classlens.runs.browse_samples import SampleResult
    from classlens.studio.row_index import RowIndex

MODES = ("original", "transformed", "concat", "pipeline")
EDGE = 160  # pixels of a picture's longer side where nothing says how many
MOST_ROWS = 1000
LONGEST_SEARCH = 200
BATCH = 16  # samples of a batch where nothing says how many


async def show_rows(request: Request) -> Response:
    """A page of samples: of all, of a class, of a search, or of the bad ones that were drawn or checked by now."""
    session, (target, split) = session_of(request), split_of(request)
    start, count = number(request, "start", 0), number(request, "count", 60, 1, MOST_ROWS)
    words, place = request.query_params.get("q", "").strip(), number(request, "class", -1, -1)
    if len(words) > LONGEST_SEARCH:
        raise Refused(400, say("refused.search", most=LONGEST_SEARCH))
    is_bad, chooses = number(request, "bad", 0, 0, 1), bool(words or place >= 0)
    dataset = await soon(session.first_samples(target, split))
    every = session.dataset(target, split)
    if chooses or every.done() or (dataset is not None and start + count > dataset.length):
        dataset = await soon(every)
    index: RowIndex | None = None
    if chooses and dataset is not None:
        index = await soon(session.row_index(target, split))
    if dataset is None or (chooses and index is None):
        length = dataset.length if dataset else 0
        return answer({"state": "counting", "length": length, "total": 0, "start": start, "rows": []})

    def list_rows() -> dict[str, Any]:
        import numpy as np

        bad = session.bad_of(target, split)
        which: Any = sorted(one for one in bad if one < dataset.length) if is_bad else range(dataset.length)
        if index is not None:
            key = ("filter", target, split, words, place)
            filtered = session.filters.once(key, partial(index.filter, words, place))
            which = np.intersect1d(which, filtered) if is_bad else filtered
        rows = [describe_row(dataset, int(one), bad.get(int(one), "")) for one in which[start : start + count]]
        return {"total": len(which), "rows": rows}

    facts = await while_connected(request, session.readers, list_rows)
    name = index.names[place] if index and 0 <= place < len(index.names) else ""
    command = session.command("browse", session.name(target), *split_words(split, name))
    says = {"warnings": list(dataset.warnings), "stages": [one.name for one in dataset.stages], "command": command}
    is_whole = every.done() and dataset is every.result()  # it may have been done while the rows were being read
    state = "ready" if dataset.length == 0 or is_whole else "counting"
    return answer({"state": state, "length": dataset.length, "start": start, **facts, **says})


def split_words(split: str, class_name: str = "") -> list[str]:
    """The options of `classlens browse` for a split and a class."""
    phase = [] if split == "train" else ["--phase", split]
    return [*phase, *(["--class", class_name] if class_name else [])]


def describe_row(dataset: Dataset, index: int, error: str) -> dict[str, Any]:
    path = dataset.sample(index).path
    facts = {"index": index, "name": os.path.basename(path or ""), "path": path}  # noqa: PTH119
    return facts | {"classes": list(dataset.class_names(index)), "error": without_folders(error)}


async def open_sample(request: Request) -> tuple[Dataset, tuple[int, str, int, int]]:
    """The dataset of a sample, opened as far as that needs; target, split, index and seed."""
    session, (target, split), index = session_of(request), split_of(request), int(request.path_params["index"])
    dataset, every = await ready(session.first_samples(target, split)), session.dataset(target, split)
    if every.done() or index >= dataset.length:
        dataset = await ready(every)
    if index >= dataset.length:
        raise Refused(404, say("refused.sample", index=str(index)))
    return dataset, (target, split, index, number(request, "seed", 0))


async def show_classes(request: Request) -> Response:
    """The classes of a split, and how many samples each has; none as long as they are being counted."""
    session, (target, split) = session_of(request), split_of(request)
    index = await soon(session.row_index(target, split))
    if index is None:
        return answer({"state": "counting", "names": [], "counts": []})
    return answer({"state": "ready", "names": list(index.names), "counts": index.counts})


async def show_picture(request: Request) -> Response:
    """A sample in one of four modes; a bad one as a marked tile."""
    session, (dataset, where) = session_of(request), await open_sample(request)
    target, split, index, seed = where
    mode, edge = request.query_params.get("mode", "original"), number(request, "edge", EDGE, 16, LARGEST_EDGE)
    if mode not in MODES:
        raise Refused(400, f"a mode is {', '.join(MODES)}")

    def draw() -> SampleResult:
        from classlens.runs.browse_samples import BrowseRequest, describe_failure, render_sample

        wanted = BrowseRequest(mode=mode, tile=edge)  # type: ignore[arg-type]
        render = partial(render_sample, dataset, index, seed, request=wanted, replaces=False)
        try:
            with session.decoding(target, split, index):
                finish = render(None)
        except DataError as error:  # it is not decoded again
            finish = render(describe_failure(dataset, index, seed, error))
        row = finish()
        if row.error:
            session.bad.setdefault((target, split), {})[index] = row.reason
        return row

    make = partial(session.pictures.once, (where, mode, edge), draw)
    row = await while_connected(request, session.drawers, make)
    return picture(row.tile or b"", row.reason)


async def trace_sample(request: Request) -> Trace:
    """A sample with the picture after every stage; the last few are kept, for these are asked for one by one."""
    session, (dataset, where) = session_of(request), await open_sample(request)
    target, split, index, seed = where

    def follow() -> Trace:
        from classlens.dataset.trace import trace

        with session.decoding(target, split, index):
            return trace(dataset, index, seed)

    return await while_connected(request, session.drawers, partial(session.traces.once, where, follow))


async def show_sample(request: Request) -> Response:
    """One sample stage by stage, with the parameters that each sampled."""
    session, (dataset, (target, split, index, seed)) = session_of(request), await open_sample(request)
    name, words = session.name(target), split_words(split)
    command = session.command("browse", name, "--mode", "pipeline", "--index", index, *words, "--seed", seed)
    python = (
        f"strip = classlens.draw(classlens.trace(classlens.open_source({name!r}).dataset({split!r}), {index}, {seed}))"
    )
    python += f"\nstrip.save('sample-{index}.png')"
    facts: dict[str, Any] = {"index": index, "seed": seed, "command": command, "python": python}
    from classlens.dataset.decode import BAD_SAMPLE, damage_in
    from classlens.runs.browse_samples import describe_failure

    try:
        result = await trace_sample(request)
    except BAD_SAMPLE as error:
        if isinstance(error, Refused):
            raise
        row = describe_failure(dataset, index, seed, error)
        facts |= {"path": row.path, "classes": list(row.class_names), "size": None, "remarks": [], "stages": []}
        return answer(facts | {"error": without_folders(row.reason)})
    where = f"/stage/{target}/{split}/{index}"
    stages = [
        {**describe_stage(one), "picture": f"{where}/{place}.webp?seed={seed}"}
        for place, one in enumerate(result.snapshots)
    ]
    facts |= {"path": result.path, "classes": list(result.class_names), "size": list(result.original.size)}
    damage = damage_in(result.remarks)
    return answer(facts | {"remarks": list(result.remarks), "error": damage or None, "stages": stages})


def describe_stage(shot: Snapshot) -> dict[str, Any]:
    """A stage as JSON has it: its parameters, and the same in words."""
    from classlens.figures.filmstrip import describe_params
    from classlens.runs.browse_samples import as_plain

    facts = {"name": shot.stage, "params": as_plain(shot.params), "words": describe_params(shot.params)}
    return facts | {"size": list(shot.size), "changed": shot.changed, "note": shot.note}


async def show_stage(request: Request) -> Response:
    """The picture after one stage."""
    result = await trace_sample(request)
    place = int(request.path_params["stage"])
    if place >= len(result.snapshots):
        raise Refused(404, f"there is no stage {place}")
    return await send_image(request, result.snapshots[place].image, 512)


async def make_batch(request: Request) -> BatchResult:
    """A training batch, as `classlens browse --batch` makes it; the last few are kept."""
    session, (target, split) = session_of(request), split_of(request)
    dataset = await ready(session.dataset(target, split))
    place, seed = int(request.path_params["number"]), number(request, "seed", 0)
    size = number(request, "size", dataset.batch.size if dataset.batch else BATCH, 1, 256)
    if (place + 1) * size > max(dataset.length, size):
        raise Refused(404, say("refused.batch", number=str(place)))

    def make() -> BatchResult:
        from classlens.dataset.batch import mix
        from classlens.dataset.dataset import BatchPlan
        from classlens.dataset.decode import BAD_SAMPLE
        from classlens.dataset.selection import shuffle
        from classlens.dataset.trace import trace
        from classlens.runs.browse_run import BatchResult
        from classlens.runs.browse_samples import describe_failure

        order = session.orders.once((target, split, seed), lambda: shuffle(dataset, dataset.length, seed))
        traced, bad = [], []
        for index in order[place * size : (place + 1) * size]:
            try:
                with session.decoding(target, split, index):
                    traced.append(trace(dataset, index, seed + place, keep="last"))
            except BAD_SAMPLE as error:
                bad.append(describe_failure(dataset, index, seed + place, error))
        plan = replace(dataset.batch or BatchPlan(size), size=size)
        return BatchResult(place + 1, mix(traced, plan, seed + place, name=dataset.name), tuple(bad))

    once = partial(session.batches.once, (target, split, place, seed, size), make)
    return await while_connected(request, session.drawers, once)


async def show_batch(request: Request) -> Response:
    """The samples of a batch, the share of every class in each, and how they are mixed."""
    session, (target, split) = session_of(request), split_of(request)
    result, place, query = await make_batch(request), int(request.path_params["number"]), request.url.query
    batch = result.batch
    rows = [
        {
            "index": index,
            "partner": partner,
            "classes": list(shares),
            "weights": list(shares.values()),
            "picture": f"/batch/{target}/{split}/{place}/{at}.webp?{query}",
        }
        for at, (index, partner, shares) in enumerate(zip(batch.indices, batch.partners, batch.shares, strict=True))
    ]
    bad = [{"index": one.index, "error": without_folders(one.error)} for one in result.left_out]
    seed, name = number(request, "seed", 0), session.name(target)
    words = ["--batch", len(rows) + len(bad), "--number", place + 1, "--seed", seed, *split_words(split)]
    facts = result.as_data() | {"text": result.text(), "command": session.command("browse", name, *words)}
    return answer({"rows": rows, "bad": bad, **facts})


async def show_batch_picture(request: Request) -> Response:
    """One mixed picture of a batch."""
    result, place = await make_batch(request), int(request.path_params["place"])
    if place >= len(result.batch.images):
        raise Refused(404, f"there is no picture {place}")
    return await send_image(request, result.batch.images[place], EDGE)
