"""The audit view: what `classlens audit` has written into a folder about a split, with the pictures of a target beside it.

The numbers are those of the summary, the classes and the answers in that folder. A picture is asked for by its number in
the split, a mean map by that of its class or cluster.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from classlens.errors import DataError, NotOffered, first_line
from classlens.printed import json_text
from classlens.studio.guard import Refused, without_folders
from classlens.studio.replies import answer, picture, session_of, while_connected

if TYPE_CHECKING:
    from classlens.audit.manifest import Manifest
    from classlens.audit.place import Place
    from classlens.studio.session import Session

FIGURES = ("pictures", "good", "labelled", "accuracy", "top5_accuracy", "loss", "calibration_error")
OF_CLASS = ("class", "name", "labelled", "right", "predicted", "border", "centre")


async def show_audit(request: Request) -> Response:
    """Everything that the page shows but pictures and maps."""
    session = session_of(request)
    return answer(await while_connected(request, session.readers, partial(describe_audit, session)))


async def show_map(request: Request) -> Response:
    """A map in colours: of a picture, or the mean one of a class or a cluster."""
    session, words = session_of(request), request.path_params
    draw = partial(draw_map, session, str(words["kind"]), int(words["number"]))
    return picture(await while_connected(request, session.drawers, draw))


@contextmanager
def audited(session: Session) -> Iterator[tuple[Place, Manifest, dict[str, Any]]]:
    """The folder of the audit, what it was made of, and its summary, for as long as they are read.

    Raises:
        NotOffered: the studio was started without an audit.
        DataError: it has not come to its end, or cannot be read.
    """
    from classlens.audit.carry_out import SUMMARY
    from classlens.audit.manifest import read_manifest
    from classlens.audit.place import Place

    if session.request.audit is None:
        raise NotOffered("this studio has no audit", hint="classlens studio TARGET --audit DIR")
    place = Place(session.request.audit)
    manifest, content = read_manifest(place), place.read(SUMMARY)
    again = "run the same `classlens audit` again"
    if content is None:
        raise DataError(f"the audit in {place.address} has not come to its end", hint=again)
    try:
        yield place, manifest, json.loads(content)
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"cannot read the audit in {place.address}: {first_line(error)}", hint=again) from error


def describe_audit(session: Session) -> dict[str, Any]:
    """The summary with names for numbers of classes, the classes, the answers, and where the pictures are to be seen.

    `target` is the number of the target whose pictures were audited, None where it is not open.
    """
    from classlens.audit.answers import NAME as ANSWERS
    from classlens.audit.summary import read_classes

    with audited(session) as (place, manifest, summary):
        name, answers = manifest.class_name, place.read(ANSWERS)
        facts = {
            **{key: summary[key] for key in (*FIGURES, "bins", "bad", "notes")},
            "classes": [
                {key: one.get(key) for key in OF_CLASS}
                for one in read_classes(place)
                if one["labelled"] or one["predicted"]
            ],
            "confusions": [(name(label), name(predicted), times) for label, predicted, times in summary["confusions"]],
            "mistakes": [{**one, "names": [name(one["predicted"]), name(one["label"])]} for one in summary["mistakes"]],
            "clusters": [
                {**one, "classes": [[name(at), n] for at, n in one["classes"]]} for one in summary["clusters"]
            ],
            "answers": json.loads(answers) if answers else [],
        }
        for one in facts["clusters"]:
            del one["map"]
        data = manifest.data or manifest.target
        shown: dict[str, Any] = json.loads(without_folders(json_text(facts)))
        return shown | {
            "has_maps": bool(manifest.maps),
            "split": manifest.phase,
            "data": without_folders(data),
            "network": without_folders(f"{manifest.target} {manifest.checkpoint or ''}".strip()),
            "target": next((at for at, one in enumerate(session.request.targets) if one == data), None),
            "command": shlex.join(["classlens", "verify", place.address]),
            "python": f"rows = next(classlens.read_rows({place.address!r}))\nprint(rows)",
        }


def draw_map(session: Session, kind: str, number: int) -> bytes:
    """A map by what it is of, and the number of that.

    Raises:
        Refused: there is none.
    """
    import numpy as np

    from classlens.audit.rows import rows_by_index
    from classlens.audit.summary import read_classes
    from classlens.figures.audit_report import mean_map

    with audited(session) as (place, manifest, summary):
        values: Any = None
        if kind == "picture" and number < manifest.length:
            row = rows_by_index(place, manifest, [number]).get(number, {})
            values = row.get("map_0") and np.reshape(row["map_0"], (row["map_0_height"], row["map_0_width"]))
        elif kind == "class" and number < manifest.class_count:
            values = read_classes(place)[number].get("mean_map")
            values = values and np.reshape(values, (manifest.maps[0].height, manifest.maps[0].width))
        elif kind == "cluster" and number < len(summary["clusters"]):
            values = summary["clusters"][number]["map"]
        if values is None:
            raise Refused(404, "there is no such map")
        return mean_map(np.maximum(values, 0))
