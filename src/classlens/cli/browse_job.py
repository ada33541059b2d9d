"""One sample of a browse run: traced and drawn, then encoded and written; the same in this process and in a worker."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow

from classlens.cli.browse_files import encoded, place_of, write_picture
from classlens.cli.browse_workers import WorkerCrash
from classlens.dataset.dataset import Dataset
from classlens.dataset.decode import salvage
from classlens.dataset.decoder_warnings import damage_in
from classlens.dataset.storage import read_bytes
from classlens.dataset.trace import Extent, Trace, trace
from classlens.errors import ClasslensError
from classlens.figures.filmstrip import DOT, LARGEST, Mode, bad_picture, bad_tile, draw_trace, rescaled, tile_factor
from classlens.image import Image

EXTENTS: Mapping[str, Extent] = {"original": "first", "transformed": "last", "concat": "ends", "pipeline": "all"}
BAD_SAMPLE = (ClasslensError, cv2.error, ValueError, TypeError, ArithmeticError, LookupError, MemoryError)
"""What decoders and transforms raise over one sample, which must not end a run."""

TILE = 160
"""Longest side of a single picture on a page; strips keep their size."""


@dataclass(frozen=True)
class RenderOptions:
    """What to make of every sample.

    `folder` is None where nothing is written. `wanted` asks for the drawn picture back, `contact` for one that fits on
    a contact sheet, `tiles` for a cell of a page, `drawn` for what every stage drew. Files are named with `digits` for
    the index, and with the seed if `seeded`; `again` may replace those of an earlier run.
    """

    mode: Mode
    rescale: float | None = None
    flipped: bool = False
    folder: str | None = None
    wanted: bool = False
    contact: bool = False
    tiles: bool = False
    params: bool = False
    digits: int = 1
    seeded: bool = False
    again: bool = False

    @property
    def headed(self) -> bool:
        return self.wanted or self.folder is not None

    @property
    def strip(self) -> bool:
        return self.mode in ("concat", "pipeline")

    def factor(self, size: tuple[int, int]) -> float:
        """By how much the only picture of a sample, of this (height, width), is enlarged or shrunk."""
        height, width = size
        return self.rescale or (tile_factor(width, height) if self.contact else 1.0)

    def max_side(self, longest: int) -> float:
        """How many pixels of a picture's longer side are drawn."""
        if self.strip and self.rescale is None:
            return LARGEST
        params = self.factor((longest, longest)) * longest
        return params if self.headed else min(params, TILE)


@dataclass(frozen=True)
class PageTile:
    """A picture of a page: WebP, and its (height, width)."""

    webp: bytes = field(repr=False)
    size: tuple[int, int]


@dataclass(frozen=True)
class SampleResult:
    """What became of one sample: `error` is empty for a good one.

    `jpeg` is the drawn picture and `tile` the cell of a page, where they were wanted.
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
    tile: PageTile | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Rendered:
    """A sample as it was drawn and not yet encoded: as a file or a window shows it, and as a page does."""

    row: SampleResult
    sheet: Image | None
    cell: Image | None


def render_sample(dataset: Dataset, index: int, seed: int, look: RenderOptions) -> Rendered:
    """Trace and draw one sample; whatever is wrong with it is told in the row."""
    try:
        result = trace(dataset, index, seed, keep=EXTENTS[look.mode], max_side=look.max_side)
        result = flipped(result) if look.flipped else result
        sheet = sheet_of(result, look) if look.headed else None
        return Rendered(described(result, look), sheet, cell_of(result, sheet, look) if look.tiles else None)
    except BAD_SAMPLE as error:
        row = failed(dataset, index, seed, error)
        return marked_sketch(row, look, rescue=True)


def marked_sketch(row: SampleResult, look: RenderOptions, *, rescue: bool) -> Rendered:
    """A bad sample where pictures are wanted; `rescue` shows what can still be seen of it."""
    seen = rescued(row.path) if rescue and (look.headed or look.tiles) else None
    return Rendered(row, marked(row, seen) if look.headed else None, bad_picture(seen, TILE) if look.tiles else None)


def sheet_of(result: Trace, look: RenderOptions) -> Image:
    """A sample with its heading."""
    factor = look.rescale if look.strip else look.factor(result.snapshots[-1].size)
    return draw_trace(result, mode=look.mode, rescale=factor)


def cell_of(result: Trace, sheet: Image | None, look: RenderOptions) -> Image:
    """A sample on a page: its one picture without a heading, or the strip."""
    if look.strip:
        return sheet or sheet_of(result, look)
    shown = result.original if look.mode == "original" else result.transformed
    height, width = shown.size
    fitting = TILE / max(shown.size)
    factor = tile_factor(width, height, TILE) if look.rescale is None else min(look.rescale, fitting)
    return Image(rescaled(shown, factor))


def encode_and_write(made: Rendered, look: RenderOptions) -> SampleResult:
    """Encode and write what was drawn of a sample."""
    row, sheet = made.row, made.sheet
    jpeg = None if sheet is None else encoded(sheet)
    file = None if look.folder is None or jpeg is None else written(jpeg, look, row)
    tile = None if made.cell is None else PageTile(webp(made.cell), made.cell.size)
    return replace(row, file=file, jpeg=jpeg if look.wanted else None, tile=tile)


def written(jpeg: bytes, look: RenderOptions, row: SampleResult) -> str:
    """Write the picture and say where."""
    number = f"{row.index:0{look.digits}d}"
    place = place_of(look.folder or "", row.class_names, number, row.path, row.seed if look.seeded else None)
    write_picture(place, jpeg, again=look.again)
    return place


def webp(image: Image) -> bytes:
    """The picture in the fewest bytes that are made quickly."""
    content = io.BytesIO()
    Pillow.fromarray(image.pixels).save(content, "WEBP", quality=70, method=0)
    return content.getvalue()


def failed(dataset: Dataset, index: int, seed: int, error: Exception) -> SampleResult:
    """The row of a bad sample."""
    reason = str(error) if isinstance(error, ClasslensError) else f"{type(error).__name__}: {error}".split("\n")[0]
    return SampleResult(index, seed, dataset.sample(index).path, dataset.class_names(index), error=reason)


def report_crash(casualty: WorkerCrash, look: RenderOptions) -> SampleResult:
    """The row of a sample whose decoder killed its process: its file is not opened again."""
    row = SampleResult(casualty.index, casualty.seed, casualty.path, casualty.class_names, error=casualty.reason)
    return encode_and_write(marked_sketch(row, look, rescue=False), look)


def marked(row: SampleResult, seen: Image | None) -> Image:
    return bad_tile(row.error, f"{', '.join(row.class_names) or 'no label'}{DOT}#{row.index}", rescue=seen)


def rescued(path: str | None) -> Image | None:
    """What can still be seen of a broken file."""
    if path is None:
        return None
    try:
        return salvage(read_bytes(path))
    except ClasslensError:
        return None


def described(result: Trace, look: RenderOptions) -> SampleResult:
    """The row of a sample that decodes; damaged data that decodes all the same is an error too."""
    stages = tuple(
        {"stage": one.stage, "size": one.size, "drawn": plain(one.params), "changed": one.changed}
        for one in (result.snapshots if look.params else ())
    )
    size, damage = result.snapshots[0].size, damage_in(result.remarks)
    error = f"{result.path}: {damage}" if damage and result.path else damage
    return SampleResult(
        result.index, result.seed, result.path, result.class_names, size, None, result.remarks, stages, error
    )


def plain(value: object) -> Any:  # noqa: ANN401 - what JSON can hold
    """Drawn values as JSON can hold them; noise is left out."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items() if key != "at"}
    if isinstance(value, np.ndarray):
        return "noise" if value.size > 16 else value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def flipped(result: Trace) -> Trace:
    """The trace with red and blue exchanged."""
    shots = (replace(one, image=Image(np.ascontiguousarray(one.image.pixels[..., ::-1]))) for one in result.snapshots)
    return replace(result, snapshots=tuple(shots))
