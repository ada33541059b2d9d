"""What a picture file says about itself before it is decoded: size, kind, and what loaders disagree about.

Reading a header costs some 30 microseconds; a file that claims more pixels than the limit is refused here, before
any decoder allocates memory for it.
"""

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from PIL import ExifTags, ImageFile, ImageOps
from PIL import Image as Pillow

from classlens.dataset.addresses import is_remote, read_remote
from classlens.dataset.archives import SEPARATOR, is_archive, read_member
from classlens.dataset.decoder_warnings import wrong_checksum
from classlens.errors import DataError
from classlens.image import Image
from classlens.sharing import unwarned

MAX_PIXELS = 200_000_000
"""Larger pictures are refused; 14,000 x 14,000 take 0.6 GB once decoded."""

PILLOW_TROUBLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
    zlib.error,
    Pillow.DecompressionBombError,
)
"""What Pillow's readers raise on broken files."""

ORIENTATION = ExifTags.Base.Orientation
EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
}


BEGINNINGS = {
    b"\xff\xd8": "damaged JPEG: its header cannot be read",
    b"\x89PNG": "damaged PNG: its header cannot be read",
    b"GIF8": "damaged GIF: its header cannot be read",
    b"RIFF": "damaged WebP: its header cannot be read",
    b"II*\x00": "damaged TIFF: its header cannot be read",
    b"MM\x00*": "damaged TIFF: its header cannot be read",
    b"%PDF": "a PDF document, not a picture",
    b"PK\x03\x04": "an archive, not a picture",
}
"""How files begin that no reader of headers understands, and what is said of them."""


@dataclass(frozen=True)
class Header:
    """What the file claims. `size` is (height, width) as stored, before any EXIF rotation; `deep` is above 8 bits."""

    size: tuple[int, int]
    format: str
    mode: str
    orientation: int = 1
    frames: int = 1
    profile: bool = False
    transparent: bool = False
    deep: bool = False

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]


def read_header(data: bytes) -> Header | None:
    """The header as Pillow reads it, or None where Pillow knows no such format."""
    with unwarned(), any_size():
        try:
            with Pillow.open(BytesIO(data)) as picture:
                return header_of(picture)
        except PILLOW_TROUBLE:
            return None


def guessed(data: bytes) -> str:
    """What can be said of a file without a readable header, from its first bytes."""
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return "a HEIC picture, which neither OpenCV nor Pillow decodes"
    found = (reason for beginning, reason in BEGINNINGS.items() if data.startswith(beginning))
    if (reason := next(found, "")) or b"\x00" in data or not data.isascii():
        return reason or "not a picture of a known kind, or its header is damaged"
    return "text, not a picture"


@contextmanager
def any_size() -> Iterator[None]:
    """Let Pillow read headers of any size; nothing is decoded inside. To be called where `unwarned` is."""
    limit = Pillow.MAX_IMAGE_PIXELS
    Pillow.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Pillow.MAX_IMAGE_PIXELS = limit


def header_of(picture: ImageFile.ImageFile) -> Header:
    """The header of an opened, not yet decoded picture."""
    width, height = picture.size
    orientation = int(picture.getexif().get(ORIENTATION, 1) or 1) if "exif" in picture.info or has_tags(picture) else 1
    return Header(
        size=(height, width),
        format=picture.format or "?",
        mode=picture.mode,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        frames=int(getattr(picture, "n_frames", 1)) if getattr(picture, "is_animated", False) else 1,
        profile=bool(picture.info.get("icc_profile")) and not is_srgb(picture.info["icc_profile"]),
        transparent="transparency" in picture.info,
        deep=picture.mode.startswith(("I", "F")) or "16" in "".join(str(tile[3]) for tile in picture.tile),
    )


def has_tags(picture: ImageFile.ImageFile) -> bool:
    return picture.format in ("TIFF", "MPO")


def is_srgb(profile: bytes) -> bool:
    return b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile


def remarks_on(header: Header, path: str | None, *, turned: bool = True) -> tuple[str, ...]:
    """What makes the same file another picture under another common loader (cv2, Pillow, torchvision).

    `turned` says that this loader turned the picture upright, where EXIF asks for it.
    """
    found: list[str] = []
    if header.orientation != 1:
        what = "rotated here, not by Pillow or torchvision loaders" if turned else "not rotated here, as it is by cv2"
        found.append(f"EXIF orientation {header.orientation}: {what}")
    if header.deep:
        grey = header.mode != "RGB"
        kept = (
            "cv2 keeps the high byte, Pillow clips at 255" if grey else "torchvision.io keeps 16, others the high byte"
        )
        found.append(f"more than 8 bits: {kept}")
    if header.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        found.append("alpha: dropped by most loaders, blended by some")
    elif header.transparent:
        found.append("a transparent colour: ignored by most loaders")
    if header.mode == "CMYK":
        found.append("CMYK: every loader converts it in its own way")
    if header.mode == "LAB":
        found.append("Lab colours: few loaders convert them")
    if header.profile:
        found.append("colour profile other than sRGB: ignored by cv2, Pillow and torchvision")
    if header.frames > 1:
        found.append(f"{header.frames} frames: only the first is used")
    expected = EXTENSIONS.get(header.format)
    if path and expected and not path.lower().endswith(expected):
        found.append(f"{header.format} data under another extension")
    return tuple(found)


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
