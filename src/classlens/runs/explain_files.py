"""Class activation maps of many picture files: what `classlens cam` does, from Python.

    run = classlens.explain_files(classlens.MapRequest(["photos"], classlens.ModelRequest("timm:resnet50")))
    print(classlens.draw(run))

The request is checked before torch is imported; pictures are read a few at a time, files are written as it goes, and a
picture that cannot be read becomes a row of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from classlens.cam.saliency import ExplainedClass
from classlens.figures.overlay import caption
from classlens.runs.map_request import MapRequest, plan_maps
from classlens.runs.own_process import Progress, collecting_later

if TYPE_CHECKING:
    from classlens.cam.layers import Preview
    from classlens.runs.map_scores import MapScores

Notify = Callable[[Literal["note", "warning"], str], object]
"""Called with what the user should know: the kind of a message, and its text."""


@dataclass(frozen=True)
class MapRow:
    """One map: its picture, the class it is about, and everything about it but its pixels, as JSON can hold it."""

    picture: Path
    subject: ExplainedClass | None
    values: dict[str, Any] = field(repr=False)

    def facts(self) -> dict[str, Any]:
        """The map as JSON can hold it."""
        return {"picture": str(self.picture)} | self.values

    def __str__(self) -> str:
        """Picture, class, method, layer, and where the map is hottest."""
        subject, values = self.subject, self.values
        number = "" if subject is None else f"{subject.as_target} "
        apart = "" if subject is None or subject.against is None else f", logits {subject.logit:+.2f} apart"
        where = "empty" if values["empty"] else "hottest at row {}, column {}".format(*values["hottest"])
        method = f"{values['method']} at {' + '.join(values['layers'])}"
        return f"{self.picture}: {number}{caption(subject)}{apart}, {method}, {where}"


@dataclass(frozen=True)
class BadPicture:
    """A picture that could not be read, or was damaged and could be read all the same."""

    picture: Path
    reason: str
    readable: bool = False


@dataclass(frozen=True)
class MapRun:
    """The maps of `pictures`, the files that were written, the pictures that are bad, and scores if there are any."""

    pictures: tuple[Path, ...]
    maps: tuple[MapRow, ...]
    written: tuple[Path, ...]
    bad: tuple[BadPicture, ...]
    scores: MapScores | None = None

    def facts(self) -> dict[str, Any]:
        """The result as JSON can hold it."""
        means = {} if self.scores is None else {"means": self.scores.means()}
        return {"maps": [one.facts() for one in self.maps], "written": [str(path) for path in self.written]} | means

    def text(self) -> str:
        """A line for every map and every bad picture."""
        return "\n".join([*map(str, self.maps), *(f"bad: {one.reason}" for one in self.bad)])


def explain_files(
    request: MapRequest,
    *,
    on_map: Callable[[MapRow], object] | None = None,
    on_note: Notify | None = None,
    progress: Progress | None = None,
) -> MapRun:
    """Explain pictures by their names, and write what the request asks for.

    `on_map` is called with every map as soon as it is written, `on_note` with what is noteworthy about the source, the
    model and the maps, `progress` with what is counted, how many of it are done, and of how many.

    Raises:
        DataError: no picture can be read, or a file cannot be written.
        NotFound: there is no such method, layer or class.
        MissingDependency: a package is not installed.
        ModelError: the model cannot be explained in this way.
    """
    plan = plan_maps(request)
    with collecting_later("torch"):
        from classlens.runs.map_pictures import map_pictures

    return map_pictures(plan, on_map or ignore, on_note or ignore, progress)


def preview_model(request: MapRequest, *, on_note: Notify | None = None) -> Preview:
    """Every layer of the model, and no map; at the size of the first picture, if one is named.

    Raises:
        DataError: the picture cannot be read.
        MissingDependency: a package is not installed.
    """
    model = replace(request.model, options=replace(request.model.options, untrained=True))
    plan = plan_maps(replace(request, model=model), need_pictures=False)
    with collecting_later("torch"):
        from classlens.runs.map_pictures import preview_layers

    return preview_layers(plan, on_note or ignore)


def ignore(*_: object) -> None:
    """Take no notice."""
