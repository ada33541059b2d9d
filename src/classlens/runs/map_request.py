"""What `explain_files` is asked for, and everything that can be checked about it without torch.

A slip in the name of a picture, a method or a file must not cost the import of a framework.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from classlens.adapters import Options, extra_of, open_source, split_address
from classlens.cam.methods import METHODS, find_method
from classlens.checkpoints.class_names import read_names
from classlens.checkpoints.download import has_scheme
from classlens.dataset.conventions import is_picture_name
from classlens.errors import DataError, MissingDependency
from classlens.figures.drawing import check_ending
from classlens.figures.overlay import ENDINGS, PLAIN, OverlayStyle
from classlens.source import Source

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of a picture as read; right and bottom are not inside."""

BOX_HINT = (
    "--box LEFT TOP RIGHT BOTTOM, or a CSV file of lines NAME,LEFT,TOP,RIGHT,BOTTOM, in pixels of the picture as read"
)


@dataclass(frozen=True)
class ModelRequest:
    """A classifier, and what the user knows better about it than its source.

    `target` is an address, such as the path of a config; `checkpoint` the path or URL of weights, None for the source's
    own. `class_names` is a file, or names with commas between. `output` makes probabilities of the logits.
    """

    target: str
    checkpoint: str | None = None
    options: Options = field(default_factory=Options)
    class_names: str | None = None
    extra_tokens: int | None = None
    output: Literal["softmax", "sigmoid"] | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class MapOptions:
    """Which maps are computed of every picture, and how; the words are those of `explain`.

    `whole` feeds pictures uncropped. `methods` may hold "all", the methods that share one pass, and "every", the slow ones too. `each_layer` gives a map
    for each layer instead of one of all. `evaluate` scores every map; `boxes` says where the objects are, for the
    scores that need it: four numbers for a single picture, or the name of a CSV file.
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

    `pictures` is a picture file, or a folder for one file of each picture; `numbers` an NPZ file. `original_size` feeds
    the whole picture, and lays the map over it as it was read.
    """

    pictures: Path | None = None
    numbers: Path | None = None
    style: OverlayStyle = PLAIN
    titled: bool = False
    original_size: bool = False


@dataclass(frozen=True)
class MapRequest:
    """Maps of many pictures: files, folders, and patterns such as "photos/*.jpg"."""

    pictures: Sequence[str | Path]
    model: ModelRequest
    maps: MapOptions = MapOptions()
    files: MapFiles = MapFiles()


@dataclass(frozen=True)
class MapPlan:
    """A request that was checked: the picture files, the source, the methods by name, and what is written where.

    `outputs` is the file of every picture; empty if all go into one, or none. `at_once` pictures are read before the
    first of them is explained: all, if they share a file or a table; else a few, as a folder of thousands need not fit
    into memory.
    """

    request: MapRequest
    pictures: tuple[Path, ...]
    source: Source
    methods: tuple[str, ...]
    boxes: Mapping[Path, Box]
    class_names: tuple[str, ...] | None
    outputs: Mapping[Path, Path]
    at_once: int


BATCHES = 4
"""How many batches of pictures are read at once."""


def plan_maps(request: MapRequest, *, need_pictures: bool = True) -> MapPlan:
    """Find the pictures, open the source, check names and files; torch is looked for, not imported.

    Raises:
        DataError: a picture or the checkpoint is missing, class names cannot be read, or a file could not be written
            where it is wanted.
        NotFound: there is no such method.
        MissingDependency: torch is not installed.
    """
    model, files = request.model, request.files
    maps = replace(request.maps, whole=request.maps.whole or files.original_size)
    pictures = find_pictures(request.pictures)
    if need_pictures and not pictures:
        raise DataError(f"no picture is named in front of {model.target}", hint="name a file, a folder or a pattern")
    weights = model.checkpoint
    if weights is not None and not has_scheme(weights) and not Path(weights).expanduser().is_file():
        raise DataError(f"no such checkpoint: {weights}", hint="a checkpoint is a path or a URL")
    methods = choose_methods(maps.methods)
    if maps.boxes is not None and not maps.evaluate:
        raise DataError("--box without --evaluate says nothing", hint="add --evaluate, or leave out --box")
    outputs = check_files(files, pictures)
    boxes = read_boxes(maps.boxes, pictures) if maps.boxes else {}
    class_names = read_names(model.class_names) if model.class_names is not None else None
    if find_spec("torch") is None:
        raise MissingDependency("torch", extra=extra_of(*split_address(model.target)))
    source = open_source(model.target, options=model.options)
    together = files.numbers or maps.evaluate or (files.pictures and not outputs)
    at_once = max(1, len(pictures)) if together else BATCHES * maps.batch_size
    return MapPlan(replace(request, maps=maps), pictures, source, methods, boxes, class_names, outputs, at_once)


def find_pictures(words: Iterable[str | Path]) -> tuple[Path, ...]:
    """Every picture that the words name, each once, in their order; the pictures of a folder by name.

    Raises:
        DataError: a word names nothing, or a folder without pictures.
    """
    pictures: dict[Path, None] = {}
    for word in map(str, words):
        path = Path(word).expanduser()
        if path.is_file():
            pictures[path] = None
            continue
        inside = path.rglob("*") if path.is_dir() else map(Path, glob(word, recursive=True))  # noqa: PTH207 - may be absolute
        several = sorted(one for one in inside if is_picture(one))
        if not several:
            raise DataError(
                f"no picture in folder {word}" if path.is_dir() else f"no such picture: {word}",
                hint="name picture files, folders, or patterns such as 'photos/*.jpg'",
            )
        pictures |= dict.fromkeys(several)
    return tuple(pictures)


def is_picture(path: Path) -> bool:
    return is_picture_name(path.name) and not path.name.startswith(".") and path.is_file()


def choose_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The methods by their own names, each once.

    Raises:
        NotFound: there is no such method.
    """
    chosen: dict[str, None] = {}
    for name in ",".join(names).split(","):
        if (kind := name.casefold()) in ("all", "every"):
            several = (one for one in METHODS.values() if one.quick or (kind == "every" and one.needs == "scores"))
            chosen |= dict.fromkeys(one.name for one in several)
        else:
            chosen[find_method(name).name] = None
    return tuple(chosen)


def check_files(files: MapFiles, pictures: Sequence[Path]) -> dict[Path, Path]:
    """Refuse at once what could not be written at the end; the file of every picture, if they go into a folder.

    Pictures of one name get numbers: a.png, b.png, a_2.png.

    Raises:
        DataError: a file cannot be written, or is one of the pictures.
    """
    outputs: dict[Path, Path] = {}
    target = files.pictures
    if target is not None and (target.is_dir() or not target.suffix):
        names: set[str] = set()
        for picture in pictures:
            name, count = picture.stem, 1
            while name in names:
                count += 1
                name = f"{picture.stem}_{count}"
            names.add(name)
            outputs[picture] = target / f"{name}.png"
    elif target is not None:
        check_ending(target, ENDINGS)
    if files.numbers is not None and files.numbers.suffix != ".npz":
        raise DataError(f"--npz writes .npz files, not {files.numbers}", hint="end the name in .npz")
    read = {path.resolve() for path in pictures}
    for place in outputs.values() or filter(None, [target]):
        if place.resolve() in read:
            raise DataError(
                f"{place} is one of the pictures to look at, and would be lost", hint="another --save-path keeps it"
            )
    return outputs


def read_boxes(words: Sequence[str], pictures: Sequence[Path]) -> Mapping[Path, Box]:
    """The box of every picture that has one; in a table, pictures go by their paths or by their file names alone.

    Raises:
        DataError: there are not four numbers in order, several pictures share one box, or no table can be read.
    """
    if len(words) > 1:
        if len(pictures) > 1:
            raise DataError(
                f"one box for {len(pictures)} pictures", hint="--box FILE.csv, with a line for every picture"
            )
        return dict.fromkeys(pictures, as_box(words, where="--box"))
    path = Path(words[0]).expanduser()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"no table of boxes can be read from {path}: {error}", hint=BOX_HINT) from error
    if lines and not lines[0][-1].strip().isdecimal():
        lines = lines[1:]
    table = {line[0].strip(): as_box(line[1:], where=f"{path}: {line[0]}") for line in lines}
    boxes = {picture: table[name] for picture in pictures for name in (str(picture), picture.name) if name in table}
    if not boxes:
        raise DataError(f"{path} has a box for none of the pictures", hint=BOX_HINT)
    return boxes


def as_box(words: Sequence[str], *, where: str) -> Box:
    """Four numbers as a box.

    Raises:
        DataError: there are not four, or they are not in order.
    """
    numbers = [int(word) for word in words if word.strip().isdecimal()]
    if len(numbers) != 4 or len(words) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise DataError(f"{where}: {' '.join(words)} is no box", hint=BOX_HINT)
    left, top, right, bottom = numbers
    return left, top, right, bottom
