"""Class activation maps of many picture files: what `classlens cam` does, from Python.

    run = classlens.explain_files(classlens.MapRequest(["photos"], classlens.ModelRequest("timm:resnet50")))
    print(classlens.draw(run))

Everything that can be checked about a request is checked before torch is imported: a slip in the name of a picture, a
method or a file must not cost that. Pictures are read a few at a time, files are written as it goes, and a picture that
cannot be read becomes a row of the result.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from classlens.adapters import Options, extra_of, open_source, split_address
from classlens.cam.methods import METHODS, find_method
from classlens.cam.saliency import ExplainedClass
from classlens.cam.targets import check_targets
from classlens.checkpoints.class_names import read_names
from classlens.checkpoints.download import check_checkpoints
from classlens.errors import DataError, MissingDependency, count_of, join_first
from classlens.figures.drawing import check_ending
from classlens.figures.overlay import ENDINGS, PLAIN, OverlayStyle, caption
from classlens.files import check_place, read_regular
from classlens.printed import ONE_LINE, join_lines
from classlens.results import Drawable
from classlens.runs.own_process import Notify, Progress, collecting_later, silent
from classlens.runs.picture_origins import Origin, list_pictures, places_in
from classlens.source import Source

if TYPE_CHECKING:
    from classlens.cam.layers import Preview
    from classlens.runs.map_scores import MapScores

BATCHES = 4  # how many batches of pictures are read at once

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of a picture as read; the last two are outside
BOX_HINT = (
    "--box LEFT TOP RIGHT BOTTOM, or a CSV file of lines NAME,LEFT,TOP,RIGHT,BOTTOM, in pixels of the picture as read"
)


@dataclass(frozen=True)
class ModelRequest:
    """A classifier, and what the user knows better about it than its source.

    `target` is an address, such as the path of a config; `checkpoint` the path or URL of weights, or several to compare,
    None for the source's own. `class_names` is a file, or names with commas between. `output` makes probabilities of the logits.
    """

    target: str
    checkpoint: str | Sequence[str] | None = None
    options: Options = field(default_factory=Options)
    class_names: str | None = None
    extra_tokens: int | None = None
    output: Literal["softmax", "sigmoid"] | None = None
    device: str = "cpu"

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The weights that are named."""
        named = self.checkpoint
        return () if named is None else (named,) if isinstance(named, str) else tuple(map(str, named))


@dataclass(frozen=True)
class MapOptions:
    """Which maps are computed of every picture, and how; the words are those of `explain`.

    `whole` feeds pictures uncropped. `methods` may hold "all", the methods that share one pass, and "every", the slow
    ones too. `each_layer` gives a map for each layer instead of one of all. `evaluate` scores every map; `boxes` says
    where the objects are, for the scores that need it: four numbers for a single picture, or the name of a CSV file.
    """

    methods: Sequence[str] = ("GradCAM",)
    layers: Sequence[str] | None = None
    targets: Sequence[int | str] | None = None
    each_layer: bool = False
    whole: bool = False
    eigen_smooth: bool = False
    aug_smooth: bool = False
    precision: str = "float32"
    batch_size: int = 16
    samples: int | None = None
    memory_budget: float | None = None
    evaluate: bool = False
    boxes: Sequence[str] | None = None


@dataclass(frozen=True)
class MapFiles:
    """Where maps are written, and how they are drawn.

    `pictures` is a picture file, which becomes several pages if there are many maps, or a folder for one file of each
    picture, in the folders it comes from, and a page, `index.html`. `numbers` is an NPZ file, `table` a CSV file with a
    row for every map, `page` an HTML file that holds every map. `original_size` feeds the whole picture, and lays the map over it as it was read.
    """

    pictures: Path | None = None
    numbers: Path | None = None
    table: Path | None = None
    style: OverlayStyle = PLAIN
    titled: bool = False
    original_size: bool = False
    page: Path | None = None


@dataclass(frozen=True)
class MapRequest:
    """Maps of many pictures: files, folders, and patterns such as `photos/*.jpg`."""

    pictures: Sequence[str | Path]
    model: ModelRequest
    maps: MapOptions = MapOptions()
    files: MapFiles = MapFiles()


@dataclass(frozen=True)
class MapRow:
    """One map: its picture, the class it is about, and everything about it but its pixels, as JSON can hold it."""

    picture: Path
    subject: ExplainedClass | None
    values: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        """Picture, class, true class where it is known, method, layer, raw values, and where the map is hottest, as read."""
        subject, values = self.subject, self.values
        is_named = subject is None or subject.class_name != str(subject.as_target)
        number = f"{subject.as_target} " if subject and is_named else "" if is_named else "class "
        apart = "" if subject is None or subject.against is None else f", logits {subject.logit:+.2f} apart"
        where = "empty"
        if not values["empty"]:
            ranges = " + ".join(f"{low:.3g} to {high:.3g}" for low, high in values["ranges"])
            where = "values {}, hottest at x {}, y {}".format(ranges, *values["hottest_in_picture"])
        method = f"{values['method']} at {' + '.join(values['layers'])}"
        by = f"{values['checkpoint']}: " if values.get("checkpoint") else ""
        labelled = f", labelled {values['label']}" if values.get("label") else ""
        text = f"{self.picture}: {by}{number}{caption(subject)}{apart}{labelled}, {method}, {where}"
        return text.translate(ONE_LINE)


@dataclass(frozen=True)
class BadPicture:
    """A picture that could not be read, or was damaged and could be read all the same."""

    picture: Path
    reason: str
    readable: bool = False


@dataclass(frozen=True)
class MapRun(Drawable):
    """The maps of `pictures`, the files that were written, the pictures that are bad, and scores if there are any.

    `page` is the index of a folder. A run that was stopped has come as far as `done` pictures.
    """

    pictures: tuple[Path, ...]
    maps: tuple[MapRow, ...]
    written: tuple[Path, ...]
    bad: tuple[BadPicture, ...]
    scores: MapScores | None = None
    page: Path | None = None
    done: int = 0

    def as_data(self) -> dict[str, Any]:
        """The result as JSON can hold it."""
        means = {} if self.scores is None else {"means": self.scores.means()}
        maps = [{"picture": str(one.picture)} | one.values for one in self.maps]
        page = {} if self.page is None else {"page": str(self.page)}
        stopped = {} if self.done == len(self.pictures) else {"stopped": {"done": self.done, "of": len(self.pictures)}}
        return {"maps": maps, "written": list(map(str, self.written))} | page | means | stopped

    def summary(self) -> str:
        """One line: how many pictures, what they are predicted as, and how many of the known ones rightly."""
        by_picture: dict[Path, dict[str, dict[str, Any]]] = {}
        for one in self.maps:
            by_picture.setdefault(one.picture, {})[one.values.get("checkpoint") or ""] = one.values
        words = [f"{len(by_picture)} of {len(self.pictures)} pictures"]
        for checkpoint in dict.fromkeys(name for of_picture in by_picture.values() for name in of_picture):
            those = [of_picture[checkpoint] for of_picture in by_picture.values() if checkpoint in of_picture]
            names = Counter(str(one["predicted_name"]).split(",")[0] for one in those if one["predicted_name"])
            counts = [f"{name} {count}" for name, count in names.most_common()]
            right = [one["correct"] for one in those if one.get("correct") is not None]
            rate = f"{sum(right)} of {len(right)} labelled right" if right else ""
            said = "; ".join(filter(None, (join_first(counts, 3), rate)))
            words.append(f"{checkpoint}: {said}" if checkpoint else said)
        if by_picture and max(map(len, by_picture.values())) > 1:
            apart = sum(
                len({one["predicted"] for one in of_picture.values()}) > 1 for of_picture in by_picture.values()
            )
            words.append(f"predictions differ for {apart}")
        return "; ".join(filter(None, words))

    def text(self) -> str:
        """A line for every map and every bad picture."""
        return join_lines([*map(str, self.maps), *(f"bad: {one.reason}" for one in self.bad)])


def explain_files(
    request: MapRequest,
    *,
    on_map: Callable[[MapRow], object] = silent,
    on_note: Notify = silent,
    on_stop: Callable[[MapRun], object] = silent,
    progress: Progress = silent,
) -> MapRun:
    """Explain pictures by their names, and write what the request asks for.

    `on_map` is called with every map as soon as it is written (those of a page of many: as soon as they are there),
    `on_note` with what is noteworthy about the source, the model and the maps, `progress` with what is counted, how
    many of it are done, and of how many. A run that is stopped, by Ctrl-C or a signal, writes its tables and pages as far
    as it came, calls `on_stop` with that, and raises KeyboardInterrupt.

    Raises:
        DataError: no picture can be read, or a file cannot be written.
        NotFound: there is no such method, layer or class.
        MissingDependency: a package is not installed.
        ModelError: the model cannot be explained in this way.
    """
    if not request.pictures:
        hint = "name a file, a folder or a pattern"
        raise DataError(f"no picture is named in front of {request.model.target}", hint=hint)
    plan = plan_maps(request)
    with collecting_later("torch"):
        from classlens.runs.map_pictures import map_pictures

    return map_pictures(plan, on_map=on_map, on_note=on_note, on_stop=on_stop, progress=progress)


def preview_model(request: MapRequest, *, on_note: Notify = silent) -> Preview:
    """Every layer of the model, and no map; at the size of the first picture, if one is named.

    Raises:
        DataError: the picture cannot be read.
        MissingDependency: a package is not installed.
    """
    model = replace(request.model, options=replace(request.model.options, untrained=True))
    plan = plan_maps(replace(request, model=model))
    with collecting_later("torch"):
        from classlens.runs.map_pictures import preview_layers

    return preview_layers(plan, on_note)


@dataclass(frozen=True)
class MapPlan:
    """A request that was checked: the picture files and what their places tell, the source, the methods by name, and what is written where.

    `outputs` is the file of every picture; empty if all go into one, or none. `at_once` pictures are read before the
    first of them is explained: all, if their numbers share a file; else a few, as thousands need not fit into memory.
    """

    request: MapRequest
    origins: Mapping[Path, Origin]
    source: Source
    methods: tuple[str, ...]
    boxes: Mapping[Path, Box]
    class_names: tuple[str, ...] | None
    outputs: Mapping[Path, Path]
    at_once: int


def plan_maps(request: MapRequest) -> MapPlan:
    """Find the pictures, open the source, check names and files; torch is looked for, not imported."""
    model, files = request.model, request.files
    maps = replace(request.maps, whole=request.maps.whole or files.original_size)
    origins = list_pictures(request.pictures)
    if model.checkpoints:
        check_checkpoints(model.checkpoints)
    methods: dict[str, None] = {}
    for name in filter(None, map(str.strip, ",".join(maps.methods).split(","))):
        if (kind := name.casefold()) in ("all", "every"):
            several = (one for one in METHODS.values() if one.quick or (kind == "every" and one.needs == "scores"))
            methods |= dict.fromkeys(one.name for one in several)
        else:
            methods[find_method(name).name] = None
    if maps.boxes is not None and not maps.evaluate:
        raise DataError("--box without --evaluate says nothing", hint="add --evaluate, or leave out --box")
    outputs = check_files(files, origins)
    boxes = read_boxes(maps.boxes, tuple(origins)) if maps.boxes else {}
    names = read_names(model.class_names) if model.class_names is not None else None
    if find_spec("torch") is None:
        raise MissingDependency("torch", extra=extra_of(*split_address(model.target)))
    source = open_source(model.target, options=model.options)
    if maps.targets and (known := names or (source.class_names and not model.checkpoints and source.class_names())):
        check_targets(maps.targets, known)
    at_once = maps.batch_size if maps.evaluate else BATCHES * maps.batch_size
    at_once = max(1, len(origins)) if files.numbers else at_once
    return MapPlan(replace(request, maps=maps), origins, source, tuple(methods), boxes, names, outputs, at_once)


def check_files(files: MapFiles, origins: Mapping[Path, Origin]) -> dict[Path, Path]:
    """Refuse at once what could not be written at the end; the file of every picture, if they go into a folder."""
    target, outputs = files.pictures, dict[Path, Path]()
    if target is not None and (target.is_dir() or not target.suffix):
        outputs = places_in(target, origins)
    elif target is not None:
        check_ending(target, ENDINGS)
    if outputs:
        check_place(min(outputs.values()))
    others = {".npz": files.numbers, ".csv": files.table, ".html": files.page}
    for ending, place in others.items():
        if place is not None:
            if place.suffix.lower() != ending:
                hint = f"end the name in {ending}"
                raise DataError(f"--{ending[1:]} writes {ending} files, not {place}", hint=hint)
            check_place(place)
    read = {path.resolve() for path in origins}
    for place in filter(None, (target, *outputs.values(), *others.values())):
        if place.resolve() in read:
            what = f"{place} is one of the pictures to look at, and would be lost"
            raise DataError(what, hint="another --save-path keeps it")
    return outputs


def read_boxes(words: Sequence[str], pictures: Sequence[Path]) -> Mapping[Path, Box]:
    """The box of every picture that has one; in a table, pictures go by their paths or by their file names alone."""
    if len(words) > 1:
        if len(pictures) > 1:
            hint = "--box FILE.csv, with a line for every picture"
            raise DataError(f"one box for {count_of(len(pictures), 'picture')}", hint=hint)
        return dict.fromkeys(pictures, as_box(words, where="--box"))
    path = Path(words[0]).expanduser()
    try:
        table = StringIO(read_regular(path, "list").decode("utf-8-sig"), newline="")
        lines = [line for line in csv.reader(table) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"no table of boxes can be read from {path}: {error}", hint=BOX_HINT) from error
    if lines and not lines[0][-1].strip().isdecimal():
        lines = lines[1:]
    by_name = {line[0].strip(): as_box(line[1:], where=f"{path}: {line[0]}") for line in lines}
    boxes = {picture: by_name[name] for picture in pictures for name in (str(picture), picture.name) if name in by_name}
    if not boxes:
        raise DataError(f"{path} has a box for none of the pictures", hint=BOX_HINT)
    return boxes


def as_box(words: Sequence[str], *, where: str) -> Box:
    numbers = [int(word) for word in words if word.strip().isdecimal()]
    if len(numbers) != 4 or len(words) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise DataError(f"{where}: {' '.join(words)} is no box", hint=BOX_HINT)
    left, top, right, bottom = numbers
    return left, top, right, bottom
