"""One sample of a browse run: traced, drawn, encoded, and written; the same in this process and in a worker.

One folder holds the pictures of one run: a small file in it says what they were made of. What is the same makes the
same pictures, so they may come again, or more of them; anything else would mix with them. Contents count, not names: a
config that was edited is another one, and a folder by another path is the same.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

import cv2
import numpy as np

from classlens.adapters import DEFAULT, Options, split_address
from classlens.config.values import Budget
from classlens.config.writing import ABSENT, Difference, as_data, differences
from classlens.dataset.dataset import Dataset
from classlens.dataset.decode import BAD_SAMPLE, damage_in, salvage
from classlens.dataset.storage import read_bytes
from classlens.dataset.trace import Extent, trace
from classlens.errors import ClasslensError, DataError, WrongValue, describe_error
from classlens.figures.filmstrip import (
    DOT,
    LARGEST,
    TIMES,
    Mode,
    bad_picture,
    bad_tile,
    describe_params,
    draw_trace,
    name_of,
    resize,
    tile_factor,
)
from classlens.figures.page import webp_of
from classlens.figures.terminal import preview_tiles
from classlens.files import read_regular, write_whole, writing
from classlens.image import Image

KEPT_SNAPSHOTS: Mapping[str, Extent] = {"original": "first", "transformed": "last", "concat": "ends", "pipeline": "all"}

ENDS = ("original", "transformed")
TILE = 160  # longest side of a single picture on a page; strips keep their size

JPEG_QUALITY = 90
LONGEST_JPEG = 65_500
LONGEST_NAME, UNLABELLED = 80, "unlabelled"


RECORD = "browse.json"
NAMED, LONGEST = 3, 60  # so many differences are named, each value in so many letters
LARGE = 100_000_000  # bytes of a file that is not read to see whether it has changed
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # where in memory an object lies, which is another place in every run

ALWAYS = {"phase": "phase", "seed": "seed", "rescale_factor": "rescale", "bgr2rgb": "swap_channels"}
ON_SHEETS = {name: name for name in ("in_order", "shuffle", "repeat", "grid", "batch")} | {
    "index": "indices",
    "show_number": "number",
}
"""Options, as the command calls them, that decide the pixels of a sample, and which samples share a sheet."""


@dataclass(frozen=True)
class BrowseRequest:
    """What to show of a dataset, how, and where it goes.

    A split of an address is opened by `phase` and `options`. `number` samples are shown (of batches, so many), spread
    over the classes unless they are wanted `in_order` or with `shuffle`; or those of `indices`; of `classes` only; each one
    `repeat` times. `rescale` enlarges or shrinks what is shown, or as far as its `edges` (least, most) ask; `swap_channels` exchanges red and blue.

    Pictures go to `output_dir`, one by one, as contact sheets of `grid` (rows, columns), or as training batches of
    `batch` samples (0: of the config's size); or to one page, `html`; with `statistics` there are numbers instead.
    A page has small pictures, `tile` pixels along the longer side; without a page that number asks for them alone.
    `keep_pictures` asks for the drawn picture in every row, `terminal` (columns, lines) for one as text. `workers` are processes; None takes some if there is much
    to do, which runs the main script again in each, as ever with `multiprocessing`.
    """

    phase: Literal["train", "val", "test"] = "train"
    options: Options = field(default_factory=Options)
    mode: Mode = "transformed"
    number: int | None = None
    indices: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    in_order: bool = False
    shuffle: bool = False
    seed: int = 0
    repeat: int = 1
    rescale: float | None = None
    edges: tuple[int, int] | None = None
    swap_channels: bool = False
    output_dir: str = ""
    html: str = ""
    tile: int | None = None
    grid: tuple[int, int] | None = None
    batch: int | None = None
    statistics: bool = False
    keep_pictures: bool = False
    terminal: tuple[int, int] | None = None
    workers: int | None = 0

    def __post_init__(self) -> None:
        if self.mode not in KEPT_SNAPSHOTS:
            raise WrongValue(f"the mode is {', '.join(KEPT_SNAPSHOTS)}, not {self.mode!r}")
        if sum([self.grid is not None, self.batch is not None, bool(self.html), self.statistics]) > 1:
            raise WrongValue("grid, batch, html and statistics are kinds of results: a run has one of them")

    @property
    def has_pictures(self) -> bool:
        """Whether samples are drawn with their heading."""
        return self.keep_pictures or bool(self.output_dir)

    def pixels_needed(self, longest: int) -> float:
        """How many pixels of a picture's longer side are drawn."""
        if self.mode in ("concat", "pipeline") and self.rescale is None:
            return LARGEST
        if self.edges:
            return max(self.edges[1], longest)
        pixels = longest * (self.rescale or (tile_factor(longest) if self.grid else 1.0))
        return pixels if self.has_pictures else min(pixels, self.cell or TILE)

    @property
    def cell(self) -> int:
        """Pixels of the longer side of a single picture on a page; 0 if none is wanted."""
        return self.tile or (TILE if self.html else 0)


@dataclass(frozen=True)
class SampleResult:
    """What became of one sample: `error` is empty for a good one, `file` is None where nothing is written.

    `jpeg` is the drawn picture, `tile` the cell of a page, as WebP, and `preview` a picture for a terminal, where they
    are wanted.
    """

    index: int
    seed: int
    path: str | None = None
    class_names: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    file: str | None = None
    remarks: tuple[str, ...] = ()
    stages: tuple[Mapping[str, Any], ...] = ()
    error: str = ""
    jpeg: bytes | None = field(default=None, repr=False)
    tile: bytes | None = field(default=None, repr=False)
    preview: str = field(default="", repr=False)

    @property
    def title(self) -> str:
        return f"#{self.index}  {', '.join(self.class_names)}  {self.error or self.path or ''}"

    def _repr_jpeg_(self) -> bytes | None:
        return self.jpeg

    def as_data(self) -> dict[str, Any]:
        """The facts, as JSON can hold them."""
        path = self.path and os.fsencode(self.path).decode("utf-8", "backslashreplace")
        size, remarks, stages = self.size and list(self.size), list(self.remarks), list(self.stages)
        facts = {"index": self.index, "seed": self.seed, "path": path, "classes": list(self.class_names), "size": size}
        return facts | {"file": self.file, "remarks": remarks, "stages": stages, "error": self.error or None}


def render_sample(
    dataset: Dataset, index: int, seed: int, crash: SampleResult | None, *, request: BrowseRequest, replaces: bool
) -> Callable[[], SampleResult]:
    """Trace and draw one sample; what is returned encodes and writes it. Whatever is wrong with it is in its row.

    `crash` is the row of a sample whose decoder killed its process: its file is not opened again. `replaces` allows a
    picture of an earlier run to be replaced.
    """
    sheet, cell, picture, bad = None, None, None, crash
    if bad is None:
        try:
            row, sheet, cell = draw_sample(dataset, index, seed, request)
        except BAD_SAMPLE as error:
            bad = describe_failure(dataset, index, seed, error)
            picture = rescue_picture(bad.path) if request.has_pictures or request.cell else None
    if bad is not None:
        row, sheet = bad, draw_marked(bad, picture) if request.has_pictures else None
        cell = bad_picture(picture, request.cell) if request.cell else None

    def encode_and_write() -> SampleResult:
        jpeg, tile, place = None, None, None
        if sheet is not None and request.has_pictures:
            jpeg = encode_jpeg(sheet)
        if jpeg and request.output_dir and not request.grid:
            stem = safe_name(os.path.splitext(os.path.basename(row.path))[0]) if row.path else ""  # noqa: PTH119, PTH122
            number = f"{index:0{len(str(dataset.length - 1))}d}"  # keeps equal names apart
            name = "_".join(filter(None, (number, stem, f"seed{seed}" if request.repeat > 1 else "")))
            group = safe_name(" + ".join(row.class_names[:3])) or UNLABELLED
            # a path object costs as much as the file
            place = os.path.join(request.output_dir, group, f"{name}.jpg")  # noqa: PTH118
            with writing(place):
                before = Path(place).read_bytes() if os.path.exists(place) else None  # noqa: PTH110 - quicker
            if before is not None and before != jpeg and not replaces:
                raise DataError(f"{place} is there already, and not of this run", hint="choose another --output-dir")
            if before != jpeg:
                write_whole(place, jpeg)
        if cell is not None:
            tile = webp_of(cell, max(cell.size))
        return replace(row, file=place, jpeg=jpeg if request.keep_pictures or request.grid else None, tile=tile)

    return encode_and_write


def draw_sample(
    dataset: Dataset, index: int, seed: int, request: BrowseRequest
) -> tuple[SampleResult, Image | None, Image | None]:
    """The row of a sample that decodes, and, where they are wanted, its sheet and its cell of a page.

    Damaged data that decodes all the same is an error too.
    """
    result = trace(dataset, index, seed, keep=KEPT_SNAPSHOTS[request.mode], max_side=request.pixels_needed)
    if request.swap_channels:
        shots = [replace(one, image=Image(one.image.pixels[..., ::-1].copy())) for one in result.snapshots]
        result = replace(result, snapshots=tuple(shots))
    sheet, cell, last = None, None, result.snapshots[-1]
    is_strip, longest, rescale = request.mode in ("concat", "pipeline"), max(last.size), request.rescale
    if request.edges:
        least, most = request.edges
        rescale = min(max(least / min(last.size), 1.0), most / longest)
    if request.has_pictures or (request.cell and is_strip):
        # a large picture that stands alone is shrunk on a contact sheet only
        fits = tile_factor(longest) if rescale is None and request.grid and not is_strip else rescale
        sheet = draw_trace(result, mode=request.mode, rescale=fits).image
    if request.cell:  # without a heading, unless it is a strip
        most = request.cell
        factor = tile_factor(longest, most) if rescale is None else min(rescale, most / longest)
        cell = sheet if is_strip else Image(resize(last.image, factor, last.size))
    damage = damage_in(result.remarks)
    error = f"{result.path}: {damage}" if damage and result.path else damage
    stages = tuple(
        {"stage": one.stage, "size": one.size, "drawn": as_plain(one.params), "changed": one.changed}
        for one in result.snapshots
    )
    size, remarks = result.snapshots[0].size, result.remarks
    row = SampleResult(index, seed, result.path, result.class_names, size, remarks=remarks, stages=stages, error=error)
    if request.terminal:
        tiles = [
            (one.image, (one.stage, f"{one.size[1]} {TIMES} {one.size[0]}", *describe_params(one.params)))
            for one in result.snapshots
        ]
        if request.mode == "concat":
            tiles = [(one.image, (name,)) for one, name in zip(result.snapshots, ENDS, strict=True)]
        row = replace(row, preview=preview_tiles(tiles if is_strip else [(last.image, ())], *request.terminal))
    return row, sheet, cell


def draw_marked(row: SampleResult, picture: Image | None) -> Image:
    return bad_tile(row.error, f"{name_of(row.class_names, row.path)}{DOT}#{row.index}", rescue=picture)


def rescue_picture(path: str | None) -> Image | None:
    try:
        return None if path is None else salvage(read_bytes(path))
    except (ClasslensError, MemoryError):
        return None


def describe_failure(dataset: Dataset, index: int, seed: int, error: Exception) -> SampleResult:
    return SampleResult(
        index, seed, dataset.sample(index).path, dataset.class_names(index), error=describe_error(error)
    )


def as_plain(value: object) -> Any:  # noqa: ANN401 - what JSON can hold
    """Random parameters as JSON can hold them; noise is left out."""
    if isinstance(value, Mapping):
        return {key: as_plain(part) for key, part in value.items() if key != "at"}
    if isinstance(value, np.ndarray):
        return "noise" if value.size > 16 else value.tolist()
    if isinstance(value, (tuple, list)):
        return [as_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def encode_jpeg(image: Image) -> bytes:
    """The picture as JPEG; one longer than JPEG allows is shrunk."""
    pixels = image.pixels
    longest = max(pixels.shape[:2])
    if longest > LONGEST_JPEG:
        factor = LONGEST_JPEG / longest
        pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def decode_jpeg(picture: bytes) -> Image:
    pixels = np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR))
    return Image(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8))


@lru_cache(maxsize=4096)
def safe_name(name: str) -> str:
    """A name that every file system takes, not longer than its limits allow."""
    printable = "".join("_" if one in '/\\:*?"<>|' or not one.isprintable() else one for one in name)
    short = printable.encode("utf-8", "replace")[:LONGEST_NAME].decode("utf-8", "ignore")
    return short.strip(" .")


def claim_folder(target: str | None, dataset: Dataset, request: BrowseRequest) -> bool:
    """Note in the output folder what makes its pictures; whether an earlier run of the same has been there."""
    place = Path(request.output_dir) / RECORD
    contents = as_data(describe_contents(target, dataset, request), Budget(sys.maxsize))
    now: dict[str, Any] = json.loads(ADDRESS.sub("", json.dumps(contents)))
    try:
        before = json.loads(place.read_bytes())
    except (OSError, ValueError):
        before = None
    if not isinstance(before, dict):
        write_whole(place, json.dumps(now, indent=1).encode())
        return False
    if before != now:
        changed = list(differences(before, now, Budget(sys.maxsize)))
        listed = ", ".join(map(describe_difference, changed[:NAMED]))
        listed += f", and {len(changed) - NAMED} more differences" if len(changed) > NAMED else ""
        hint = "another --output-dir keeps both; delete that folder to have only the new ones"
        raise DataError(f"{request.output_dir} holds pictures of another run: made with {listed}", hint=hint)
    return True


def describe_contents(target: str | None, dataset: Dataset, request: BrowseRequest) -> dict[str, Any]:
    """What decides the pixels drawn for an index: options, settings, stages, the content of lists and code."""
    is_sheet = request.grid is not None or request.batch is not None
    words = ALWAYS | (ON_SHEETS if is_sheet else {}) | ({"mode": "mode"} if request.batch is None else {})
    contents = {word: getattr(request, name) for word, name in words.items()}
    contents |= {"epoch": request.options.epoch, "loader": dataset.loader}
    contents |= {"skip_type": request.options.skipped} if request.options.skipped else {}
    contents |= {"adaptive": request.edges} if request.edges else {}
    contents["samples"] = dataset.length  # where this changes, other pictures have the numbers
    contents |= {"classes": dataset.classes, "stages": [{"type": one.name, **one.settings} for one in dataset.stages]}
    if dataset.settings:  # these describe the stages, too
        contents |= {"dataset": dataset.settings, "stages": None}
    if request.batch is not None:
        contents["batches"] = repr(dataset.batch)
    if is_sheet and request.classes:
        contents["class"] = request.classes
    scheme, rest = (DEFAULT, "") if target is None else split_address(target)
    files = list(annotation_lists(dataset.settings))
    if scheme != DEFAULT:
        path = rest.partition(".py:")[0] + ".py" if scheme == "py" and ".py:" in rest else rest
        files += [Path(path)] if path else []
        is_there = os.path.exists(path)  # noqa: PTH110
        contents["source"] = f"{scheme}:{rest.replace(path, os.path.realpath(path), 1) if is_there else rest}"
    contents["files"] = {str(file.resolve()): digest(file) for file in files}
    return contents


def annotation_lists(settings: object) -> Iterator[Path]:
    """The annotation lists that a dataset's settings name, also inside wrappers."""
    if isinstance(settings, Mapping):
        if settings.get("ann_file") and isinstance(settings["ann_file"], str):
            yield Path(str(settings.get("data_root") or ""), settings["ann_file"])
        settings = tuple(settings.values())
    if isinstance(settings, list | tuple):
        for value in settings:
            yield from annotation_lists(value)


def digest(path: Path) -> str:
    """What is in a file; of a large one, its size."""
    try:
        size = path.stat().st_size
        return f"{size} bytes" if size > LARGE else sha256(read_regular(path, "list")).hexdigest()[:16]
    except (OSError, DataError):
        return ""


def describe_difference(row: Difference) -> str:
    head, _, file = row.key.partition(".")
    values = []
    for value in (row.first, row.second):
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        is_given = value != [] and not any(value is nothing for nothing in (None, False, ABSENT))
        values.append(shorten(text, LONGEST, placeholder=" ...") if is_given else "not given")
    if head == "files" and ABSENT not in (row.first, row.second):
        return f"another content of {file}"
    return f"{row.key if file else row.key.replace('_', '-')} {values[0]} (now {values[1]})"
