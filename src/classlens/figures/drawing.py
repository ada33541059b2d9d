"""What `draw` returns for every kind of result: a `Drawing`, which saves itself and shows itself in a notebook.

Nothing heavy is imported here: a drawing of text needs no numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from classlens.errors import DataError
from classlens.files import check_place, write_whole
from classlens.printed import json_text
from classlens.results import Array

if TYPE_CHECKING:
    import numpy as np

    from classlens.arrays import UInt8
    from classlens.image import Image

PIXELS: Mapping[str, str] = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP",
    ".gif": "GIF",
}  # fmt: skip
"""Formats of pixels, by Pillow's names; asking Pillow for them would import every format that it knows."""

VECTORS = (".pdf", ".eps", ".svg")
"""Formats for print, which figures/painting.py makes."""

PAGES = (".html", ".htm")

BEST: Mapping[str, Mapping[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 3},
    "TIFF": {"compression": "tiff_lzw"},
}
"""Settings of the formats by which thin lines stay clean; PNG is about as small at half the time."""


@dataclass(frozen=True, eq=False, repr=False)
class Drawing(Array):
    """A result as a picture, or, if it is a table, as text; the ending of a file name chooses the format.

    `rasterise` makes the pixels, once, when they are first needed; None for a drawing without pixels. `encoders` make
    the content of a file with a certain ending, e.g. ".svg"; every format of pixels comes from `rasterise`, saved by
    Pillow with `settings`. `text` is what `print` shows, `html` what a notebook does.
    """

    rasterise: Callable[[], Image] | None = None
    encoders: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    html: str = ""
    numbers: ClassVar[str] = "pixels"

    def __repr__(self) -> str:
        return f"<Drawing: {' '.join(self.endings)}>"

    def __str__(self) -> str:
        return self.text or repr(self)

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of the files that `save` can write."""
        own = [".txt"] if self.rasterise is None else PIXELS
        return tuple(sorted([*self.encoders, *own]))

    @cached_property
    def image(self) -> Image:
        """The picture as pixels; a drawing of text has none, which is a ValueError."""
        if self.rasterise is None:
            raise ValueError(f"{self!r} has no pixels")
        return self.rasterise()

    @property
    def pixels(self) -> UInt8[np.ndarray, "height width 3"]:
        """The picture as an RGB array."""
        return self.image.pixels

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.size

    def encode(self, ending: str) -> bytes:
        """The content of a file with this ending, one of `endings`."""
        kind = ending.casefold()
        if kind in self.encoders:
            return self.encoders[kind]()
        if self.rasterise is None:
            return f"{self.text}\n".encode()
        from PIL import Image as Pillow

        content, name = BytesIO(), PIXELS[kind]
        Pillow.fromarray(self.image.pixels).save(content, name, **{**BEST.get(name, {}), **self.settings})
        return content.getvalue()

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a file, and the folders on the way; the ending says the format. Returns the place.

        Raises:
            DataError: this drawing has no such format, or the file cannot be written.
        """
        place = Path(path)
        check_ending(place, self.endings)
        write_whole(place, self.encode(place.suffix))
        return place

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str | bytes]:
        """What a notebook shows."""
        if self.rasterise is None:
            return {"text/plain": self.text, "text/html": self.html or f"<pre>{escape(self.text)}</pre>"}
        return {"text/plain": repr(self), "image/png": self.encode(".png")}


def check_ending(path: Path, endings: Collection[str]) -> None:
    """Find out, if need be before any work, whether a drawing can be written into this file."""
    check_place(path)
    if path.suffix.casefold() not in endings:
        kind = "a page" if ".html" in endings and len(endings) == 2 else "a picture"
        what = f"with the ending {path.suffix!r}" if path.suffix else "under a name without ending"
        raise DataError(f"{path}: cannot write {kind} {what}", hint=f"use one of {' '.join(sorted(endings))}")


def draw_text(result: Any) -> Drawing:  # noqa: ANN401 - whatever has a `text()`
    """A table as text, and as JSON if it can be had as data."""
    encoders = {".json": lambda: json_text(result.as_data(), indent=1).encode()} if hasattr(result, "as_data") else {}
    return Drawing(encoders=encoders, text=result.text())


def draw_image(result: Any) -> Drawing:  # noqa: ANN401 - an `Image`, or what has one
    """A picture as it is."""
    return Drawing(lambda: getattr(result, "image", result))
