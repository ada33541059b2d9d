"""Pictures from files, as training reads them, and an honest reason where that is impossible.

Every failure is a `DataError` that names the file and says why; no decoder is asked for more pixels than the limit.
`decode` gives what OpenMMLab's loaders give: BGR (or grey), turned upright by EXIF unless told otherwise.
"""

import os
import stat
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageFile, ImageOps

from classlens.arrays import UInt8
from classlens.dataset.archive import SEPARATOR, is_archive, read_member
from classlens.dataset.complaints import wrong_checksum
from classlens.dataset.headers import MAX_PIXELS, PILLOW_TROUBLE, Header, guessed, read_header
from classlens.dataset.remote import is_remote, read_remote
from classlens.errors import DataError
from classlens.image import Image
from classlens.sharing import unwarned

Backend = Literal["cv2", "pillow"]
Pixels: TypeAlias = np.ndarray[Any, np.dtype[Any]]

CV2_FLAGS = {
    "color": cv2.IMREAD_COLOR,
    "grayscale": cv2.IMREAD_GRAYSCALE,
    "unchanged": cv2.IMREAD_UNCHANGED,
    "color_ignore_orientation": cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    "grayscale_ignore_orientation": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
}
SHRUNK = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
"""What libjpeg is told besides the colours to decode at a fraction of the size."""

ALPHA_BACKGROUND = (124, 117, 104)
"""What OpenMMLab's Pillow loader puts behind a grey picture with alpha: the mean colour of ImageNet."""


def read_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read a picture of any common kind: upright by EXIF, 8 bits, RGB, the first frame of several.

    Raises:
        DataError: the file is missing, unreadable, damaged, not a picture, or larger than `max_pixels`.
    """
    where = os.fspath(path)
    data = read_bytes(where)
    header = checked_header(data, where, max_pixels)
    try:
        pixels = decode(data, where=where)
    except DataError:
        if header is None:
            raise
        pixels = decode(data, backend="pillow", where=where)
    return Image(np.ascontiguousarray(pixels[..., ::-1]))


def read_bytes(path: str) -> bytes:
    """The content of a file.

    Raises:
        DataError: there is no such file, or it cannot be read, or it is empty.
    """
    data = content_of(path)
    if not data:
        raise DataError(f"{path}: the file is empty (0 bytes)")
    return data


def content_of(path: str) -> bytes:
    """The content of a file: here, behind an address, or in an archive.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    if SEPARATOR in path and is_archive(path.partition(SEPARATOR)[0]):
        return read_member(path)
    if is_remote(path):
        return read_remote(path)
    try:
        with open(path, "rb", opener=without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DataError(f"{path}: not a regular file")
            return file.read()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {why_unreadable(path, error)}") from error


def without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to must not hold up the run."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def why_unreadable(path: str, error: Exception) -> str:
    """The reason in the words of a user."""
    if isinstance(error, FileNotFoundError):
        return "broken link" if Path(path).is_symlink() else "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder, not a file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


def checked_header(data: bytes, where: str, max_pixels: int = MAX_PIXELS) -> Header | None:
    """The header, refused if it claims too many pixels; None where only a decoder can tell.

    Raises:
        DataError: the file claims more than `max_pixels` pixels.
    """
    header = read_header(data)
    if header is not None and header.pixels > max_pixels:
        height, width = header.size
        raise DataError(
            f"{where}: claims {width} x {height} pixels, the limit is {max_pixels / 1e6:g} million",
            hint="a small file with such a header is a decompression bomb; shrink the picture if it is meant to be that large",
        )
    return header


def decode(
    data: bytes, *, backend: Backend = "cv2", color: str = "color", where: str = "picture", shrink: int = 1
) -> Pixels:
    """Decode as mmcv's loaders do: BGR height x width x 3, or height x width for grey kinds of `color`.

    `shrink` (1, 2, 4 or 8, for cv2 only) makes a smaller copy of a JPEG, for looking at only, in less time.

    Raises:
        DataError: the loader that training would use cannot decode it.
    """
    if color not in CV2_FLAGS:
        raise ValueError(f"color is one of {', '.join(CV2_FLAGS)}, not {color!r}")
    return decode_cv2(data, color, where, shrink) if backend == "cv2" else decode_pillow(data, color, where)


def decode_cv2(data: bytes, color: str, where: str, shrink: int = 1) -> Pixels:
    """OpenCV's decoder, which returns None instead of a reason."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), CV2_FLAGS[color] | SHRUNK[shrink])
    except cv2.error as error:
        raise DataError(f"{where}: OpenCV refuses it ({error.err})") from error
    if pixels is None:
        raise DataError(f"{where}: {why_not_decoded(data)}")
    return np.asarray(pixels)


def decode_pillow(data: bytes, color: str, where: str) -> Pixels:
    """Pillow's decoder, with the conversions of OpenMMLab's `imdecode_backend='pillow'`."""
    with unwarned():
        try:
            with Pillow.open(BytesIO(data)) as opened:
                return converted(opened, color)
        except PILLOW_TROUBLE as error:
            raise DataError(f"{where}: {why_not_decoded(data)}") from error


def converted(opened: Pillow.Image, color: str) -> Pixels:
    """An opened picture as the array that the loader gives for `color`."""
    if color == "unchanged":
        array = np.array(opened)
        if array.ndim >= 3 and array.shape[2] >= 3:
            array[:, :, :3] = array[:, :, (2, 1, 0)]
        return array
    picture = opened if color.endswith("orientation") else ImageOps.exif_transpose(opened)
    if picture.mode == "LA":
        blended = Pillow.new("RGB", picture.size, ALPHA_BACKGROUND)
        with_alpha = picture.convert("RGBA")
        blended.paste(with_alpha, mask=with_alpha.split()[3])
        picture = blended
    elif picture.mode != "RGB":
        picture = picture.convert("RGB")
    if color.startswith("grayscale"):
        return np.array(picture.convert("L"))
    return np.array(picture)[:, :, ::-1]


def why_not_decoded(data: bytes) -> str:
    """What can be said of bytes that a decoder gave up on."""
    header = read_header(data)
    if header is None:
        checksum = wrong_checksum(data)
        return f"damaged PNG: {checksum}" if checksum else guessed(data)
    height, width = header.size
    kind = f"{header.format} {header.mode} {width} x {height}"
    if header.pixels > 2 * (Pillow.MAX_IMAGE_PIXELS or header.pixels):
        return f"Pillow refuses this {kind} as too large"
    with unwarned():
        try:
            with Pillow.open(BytesIO(data)) as opened:
                opened.load()
        except PILLOW_TROUBLE as error:
            reason = str(error).split("\n")[0].rstrip(".").lower()
            if "truncated" in reason or "premature" in reason or "not processed" in reason:
                return f"truncated {kind}"
            return f"damaged {kind}: {reason or type(error).__name__}"
    return f"OpenCV cannot decode this {kind}, Pillow can"


def salvage(data: bytes) -> Image | None:
    """As much of a truncated picture as there is, for looking at only: training gets nothing of it. Black is nothing."""
    with unwarned():
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            with Pillow.open(BytesIO(data)) as opened:
                pixels = np.array(ImageOps.exif_transpose(opened).convert("RGB"))
                return Image(pixels) if pixels.any() else None
        except PILLOW_TROUBLE:
            return None
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def displayable(pixels: Pixels) -> UInt8[np.ndarray, "height width 3"]:
    """Any decoded array as BGR, three channels, 8 bits: what a viewer shows of `unchanged` and grey pictures."""
    shown = pixels if pixels.dtype != np.uint16 else (pixels >> 8)
    shown = shown.clip(0, 255).astype(np.uint8)
    if shown.ndim == 2:
        return cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR)
    if shown.shape[2] == 1:
        return cv2.cvtColor(shown[:, :, 0], cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(shown[:, :, :3])
