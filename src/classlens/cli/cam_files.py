"""Pictures and numbers on disk. A file is written beside its place and moved there whole, or not at all."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

import numpy as np
from PIL import Image as Pillow

from classlens.cam.saliency import Fused, Saliency
from classlens.cli.cam_request import Request
from classlens.cli.cam_text import facts
from classlens.errors import DataError
from classlens.figures.overlay import figure_of, overlay

FIGURES = {".pdf", ".svg"}
"""Formats that hold drawings, for which a single map, too, is drawn with its titles."""


def save_pictures(shown: Sequence[Saliency | Fused], request: Request) -> list[Path]:
    """One file, or in a folder one for each picture; what was written.

    Raises:
        DataError: a file cannot be written.
    """
    path: Path = request.arguments.save_path
    if path.suffix and not path.is_dir():
        save_picture(shown, request, path)
        return [path]
    names = unique_names([picture.stem for picture in request.pictures])
    written = []
    for index, name in enumerate(names):
        target = path / f"{name}.png"
        save_picture([found for found in shown if found.index == index], request, target)
        written.append(target)
    return written


def unique_names(stems: Sequence[str]) -> list[str]:
    """The same names, those that come again with a number: a, b, a_2."""
    names: list[str] = []
    for stem in stems:
        name, count = stem, 1
        while name in names:
            count += 1
            name = f"{stem}_{count}"
        names.append(name)
    return names


def save_picture(shown: Sequence[Saliency | Fused], request: Request, path: Path) -> None:
    """A single map as the plain overlay, of the size of the picture as fed; several, or with titles, as a figure.

    Raises:
        DataError: the file cannot be written.
    """
    kind = path.suffix.casefold()
    if len(shown) == 1 and not request.arguments.titled and kind not in FIGURES:
        picture = Pillow.fromarray(overlay(shown[0].image, shown[0].heatmap(), request.style).pixels)
        settings = {"quality": 95, "subsampling": 0} if kind in (".jpg", ".jpeg") else {}
        write(path, lambda file: picture.save(file, Pillow.registered_extensions()[kind], **settings))
        return
    figure = figure_of(list(shown), request.style)
    write(path, lambda file: figure.savefig(file, format=kind.removeprefix(".")))


def save_numbers(shown: Sequence[Saliency | Fused], request: Request) -> Path:
    """All maps of a call in one NPZ file: `heatmap` and `saliency` if there is one map, else `heatmap_0`, ...

    `heatmap` is float32 in 0..1 at the size of the picture as fed, `saliency` the raw map at the layer's size (of
    several layers `saliency_0_0`, ...), `meta` is JSON text that says what is what, in the same order.

    Raises:
        DataError: the file cannot be written.
    """
    path: Path = request.arguments.npz
    arrays: dict[str, np.ndarray] = {"meta": np.array(json.dumps(facts(shown, request.pictures)))}
    for number, found in enumerate(shown):
        of_map = "" if len(shown) == 1 else f"_{number}"
        arrays[f"heatmap{of_map}"] = found.heatmap().values
        parts = found.parts if isinstance(found, Fused) else (found,)
        for place, part in enumerate(parts):
            of_layer = "" if len(parts) == 1 else f"_{place}"
            arrays[f"saliency{of_map}{of_layer}"] = part.values
    write(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))
    return path


def write(path: Path, put: Callable[[BinaryIO], object]) -> None:
    """Put a file in its place, whole; folders on the way are made.

    Raises:
        DataError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                put(file)  # type: ignore[arg-type]
            except BaseException:
                Path(file.name).unlink()
                raise
        Path(file.name).chmod(0o666 & ~current_umask())
        Path(file.name).replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def current_umask() -> int:
    """What the user's other new files are not allowed; a temporary file is private."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
