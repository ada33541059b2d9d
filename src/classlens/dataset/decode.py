"""Picture files: what their headers say, what loaders disagree about, and how OpenCV or Pillow decode them.

Reading a header costs some 30 microseconds; a file that claims more pixels than the limit is refused before any decoder
allocates memory for it. libjpeg and libpng repair what they can, return a wrong picture without an error, and only
mention it on the process's standard error; here that text is caught and becomes a remark on the file.
"""

import os
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from math import inf
from typing import Any, TypeAlias

import cv2
import numpy as np
from PIL import ExifTags, ImageFile, ImageOps, UnidentifiedImageError
from PIL import Image as Pillow

from classlens.dataset.storage import read_bytes
from classlens.errors import ClasslensError, DataError
from classlens.files import limit
from classlens.image import Image
from classlens.sharing import ALONE, unwarned

Pixels: TypeAlias = np.ndarray[Any, np.dtype[Any]]

STEPS, STEPS_OF_PIXELS = 100_000, 1_000_000
"""In so many steps Pillow reads a header, and the pixels of the formats that it unpacks byte by byte."""

BYTE_BY_BYTE = ("BMP", "QOI")
MOST_CHUNKS = 100_000  # of a PNG file: those with pixels are usually of 8 KB
MOST_LETTERS = 10_000_000  # of a picture that is written as text, by whose numbers Pillow goes one by one
MANY_SCANS, SCANNED_PIXELS = 30, 1e9  # a progressive JPEG has about ten scans, each of which takes time for every pixel

PILLOW_TROUBLE = (
    *(OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError, RuntimeError, LookupError, TypeError),
    *(AttributeError, struct.error, zlib.error, Pillow.DecompressionBombError),
)
"""What Pillow's readers raise on broken files."""

BAD_SAMPLE = (ClasslensError, cv2.error, ValueError, TypeError, ArithmeticError, LookupError, MemoryError)
"""What decoders and transforms raise over one sample, which must not end a run."""

CV2_FLAGS = {
    "color": cv2.IMREAD_COLOR,
    "grayscale": cv2.IMREAD_GRAYSCALE,
    "unchanged": cv2.IMREAD_UNCHANGED,
    "color_ignore_orientation": cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    "grayscale_ignore_orientation": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
}
SHRINKING = {2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}
"""The flags that make libjpeg decode at a fraction of the size."""

ALPHA_BACKGROUND = (124, 117, 104)
"""What OpenMMLab's Pillow loader puts behind a grey picture with alpha: the mean colour of ImageNet."""

COMMON_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PPM", "PNG")  # those that Pillow's own first look knows
OTHER_FORMATS = (
    *("AVIF", "BLP", "CUR", "DCX", "DDS", "FLI", "FTEX", "GBR", "ICNS", "ICO", "IM", "JPEG2000", "MSP", "PCD", "PCX"),
    *("PIXAR", "PSD", "QOI", "SGI", "SPIDER", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM", "XVTHUMB"),
)
"""What else Pillow decodes by itself. For PostScript (EPS) it starts Ghostscript, and a WMF is drawn by the system."""

MAGIC = {b"\xff\xd8": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"RIFF": "WebP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
NO_PICTURES = {
    b"%PDF": "a PDF document",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"PK\x03\x04": "an archive",
}
"""How files begin that no reader of headers understands, and what they are."""

COMPLAINTS = ("corrupt", "premature end", "extraneous bytes", "invalid", "crc", "inconsistent", "warning", "error")
HARMLESS = re.compile(r"libpng warning: (iCCP|sRGB|cHRM|gAMA|eXIf|[tzi]TXt|tIME|pHYs|sPLT|hIST|bKGD): ")
"""About what stands beside the pixels, which no loader reads: a profile of another program. Damage fails its checksum."""
DAMAGED, STOPS = "damaged data, shown as decoded: ", "training stops here: "
"""How the remarks begin on a file that is not what was saved, and on a sample that never reaches the network."""


@dataclass(frozen=True)
class Header:
    """What a file claims: (height, width) before any rotation by EXIF, and what other loaders see differently."""

    size: tuple[int, int]
    format: str
    mode: str
    orientation: int
    oddities: tuple[str, ...]


class Steps(BytesIO):
    """Bytes that end a reader who takes too many steps: one of comments, chunks or pages without end."""

    left = STEPS

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes; every call is a step."""
        self.left -= 1
        if self.left < 0:
            raise OSError("it takes too many steps to read")
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line."""
        self.read(0)  # counts it
        return super().readline(size)


def read_header(data: bytes, where: str = "", max_pixels: float | None = None) -> Header | None:
    """The header as Pillow reads it, or None where it knows no such format; refused if it claims too many pixels."""
    max_pixels = max_pixels or limit("pixels")
    with unwarned():
        before, Pillow.MAX_IMAGE_PIXELS = Pillow.MAX_IMAGE_PIXELS, None  # nothing is decoded here
        try:
            with open_with_pillow(data) as picture:
                mode, info, (width, height) = picture.mode, picture.info, picture.size
                has_tags = "exif" in info or picture.format in ("TIFF", "MPO")
                orientation = int(picture.getexif().get(ExifTags.Base.Orientation, 1) or 1) if has_tags else 1
                tiles = "".join(str(tile[3]) for tile in picture.tile or ())  # an ICO of Pillow 10 has none
                profile = info.get("icc_profile") or b"sRGB"
                is_srgb = b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile
                try:  # to count those of some formats takes a step for each
                    frames = getattr(picture, "n_frames", 1) if getattr(picture, "is_animated", False) else 1
                except (OSError, SyntaxError):
                    frames = "very many"
        except PILLOW_TROUBLE:
            return None
        finally:
            Pillow.MAX_IMAGE_PIXELS = before
    if width * height > max_pixels:
        raise DataError(
            f"{where}: claims {width} x {height} pixels, the limit is {max_pixels / 1e6:g} million",
            hint="a small file with such a header is a decompression bomb; "
            f"shrink the picture if it is meant to be that large, or raise the limit: --limit pixels={width * height}",
        )
    scans = data.count(b"\xff\xda") if picture.format in ("JPEG", "MPO") else 0
    if scans > MANY_SCANS and scans * width * height > SCANNED_PIXELS:
        raise DataError(f"{where}: {scans:,} scans of {width} x {height} pixels, which would take too long to decode")
    has_alpha = mode in ("RGBA", "LA", "PA", "La", "RGBa")
    deep = "torchvision.io keeps 16, others" if mode == "RGB" else "Pillow clips at 255, cv2 keeps"
    oddities = {
        f"more than 8 bits: {deep} the high byte": mode.startswith(("I", "F")) or "16" in tiles,
        "alpha: dropped by most loaders, blended by some": has_alpha,
        "a transparent colour: ignored by most loaders": "transparency" in info and not has_alpha,
        "CMYK: every loader converts it in its own way": mode == "CMYK",
        "Lab colours: few loaders convert them": mode == "LAB",
        "colour profile other than sRGB: ignored by cv2, Pillow and torchvision": not is_srgb,
        f"{frames} frames: only the first is used": frames != 1,
    }
    remarks = tuple(remark for remark, applies in oddities.items() if applies)
    orientation = orientation if 1 <= orientation <= 8 else 1
    return Header((height, width), picture.format or "?", mode, orientation, remarks)


def open_with_pillow(data: bytes, *, to_decode: bool = False) -> ImageFile.ImageFile:
    """The picture as Pillow reads it, in the formats for which no other program is started."""
    file = Steps(data)
    try:
        picture = Pillow.open(file, formats=COMMON_FORMATS)
    except UnidentifiedImageError:
        Pillow.init()
        file = Steps(data)
        picture = Pillow.open(file, formats=[name for name in OTHER_FORMATS if name in Pillow.OPEN])
    if to_decode and data[:2] in (b"P1", b"P2", b"P3") and len(data) > MOST_LETTERS:
        raise OSError("too long for a picture that is written as text")
    file.left += STEPS_OF_PIXELS if to_decode and picture.format in BYTE_BY_BYTE else 0
    return picture


def read_image(path: str | os.PathLike[str], *, max_pixels: int | None = None) -> Image:
    """Read a picture of any common kind: upright by EXIF, 8 bits, RGB, the first frame of several.

    Raises:
        DataError: the file is missing, unreadable, damaged, not a picture, or larger than `max_pixels`.
    """
    where = os.fspath(path)
    return decode_image(read_bytes(where), where, max_pixels)


def decode_image(data: bytes, where: str, max_pixels: float | None = None) -> Image:
    """The picture in the bytes of a file, as `read_image` reads it."""
    header = read_header(data, where, max_pixels)
    try:
        pixels = decode(data, where=where)
    except DataError:
        if header is None:
            raise
        pixels = decode(data, backend="pillow", where=where)
    return Image(np.ascontiguousarray(pixels[..., ::-1]), name=where)


def decode(
    data: bytes, *, backend: str = "cv2", color: str = "color", where: str = "picture", shrink: int = 1
) -> Pixels:
    """Decode as mmcv's loaders do, to BGR or grey; cv2 can shrink a JPEG by 2, 4 or 8, which is for looking at only."""
    if backend == "pillow":
        try:
            with unwarned(), open_with_pillow(data, to_decode=True) as picture:
                return convert_as_mmcv(picture, color)
        except PILLOW_TROUBLE as error:
            raise DataError(f"{where}: {why_not_decoded(data)}") from error
    if large := damaged_chunk(data):
        raise DataError(f"{where}: damaged PNG: {large}")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), CV2_FLAGS[color] | SHRINKING.get(shrink, 0))
    except cv2.error as error:
        raise DataError(f"{where}: OpenCV refuses it ({error.err})") from error
    if pixels is None:  # OpenCV gives no reason
        raise DataError(f"{where}: {why_not_decoded(data)}")
    return np.asarray(pixels)


def convert_as_mmcv(stored: Pillow.Image, color: str) -> Pixels:
    """A picture as OpenMMLab's `imdecode_backend='pillow'` gives it for `color`."""
    if color == "unchanged":
        array = np.array(stored)
        if array.ndim >= 3 and array.shape[2] >= 3:
            array[:, :, :3] = array[:, :, (2, 1, 0)]
        return array
    picture = stored if color.endswith("orientation") else ImageOps.exif_transpose(stored)
    if picture.mode == "LA":
        with_alpha = picture.convert("RGBA")
        picture = Pillow.new("RGB", picture.size, ALPHA_BACKGROUND)
        picture.paste(with_alpha, mask=with_alpha.getchannel("A"))
    elif picture.mode != "RGB":
        picture = picture.convert("RGB")
    return np.array(picture.convert("L")) if color.startswith("grayscale") else np.array(picture)[:, :, ::-1]


def why_not_decoded(data: bytes) -> str:
    """What can be said of bytes that a decoder gave up on."""
    header = read_header(data, max_pixels=inf)
    if header is None:
        checksum = damaged_chunk(data, sums=True)
        return f"damaged PNG: {checksum}" if checksum else describe_beginning(data)
    height, width = header.size
    kind = f"{header.format} {header.mode} {width} x {height}"
    if height * width > 2 * (Pillow.MAX_IMAGE_PIXELS or height * width):
        return f"Pillow refuses this {kind} as too large"
    try:
        with unwarned(), open_with_pillow(data, to_decode=True) as picture:
            picture.load()
    except PILLOW_TROUBLE as error:
        reason = str(error).split("\n")[0].rstrip(".").lower()
        if any(word in reason for word in ("truncated", "premature", "not processed")):
            return f"truncated {kind}"
        return f"damaged {kind}: {reason or type(error).__name__}"
    return f"OpenCV cannot decode this {kind}, Pillow can"


def describe_beginning(data: bytes) -> str:
    """What can be said of a file without a readable header, from its first bytes."""
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return "a HEIC picture, which neither OpenCV nor Pillow decodes"
    for beginning, kind in {**MAGIC, **NO_PICTURES}.items():
        if data.startswith(beginning):
            return f"damaged {kind}: its header cannot be read" if beginning in MAGIC else f"{kind}, not a picture"
    is_text = b"\x00" not in data and data.isascii()
    return "text, not a picture" if is_text else "not a picture of a known kind, or its header is damaged"


def salvage(data: bytes) -> Image | None:
    """What there is of a truncated picture, for looking at only: training gets nothing of it. Black is nothing."""
    read_header(data)  # which refuses what takes too much
    with unwarned():
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            with open_with_pillow(data, to_decode=True) as picture:
                pixels = np.array(ImageOps.exif_transpose(picture).convert("RGB"))
                return Image(pixels) if pixels.any() else None
        except PILLOW_TROUBLE:
            return None
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextmanager
def capture_damage() -> Iterator[list[str]]:
    """Collect what native code says of damage on file descriptor 2 inside the block; the list is filled at its end.

    One thread at a time: the descriptor belongs to the whole process. Where there is none to redirect (some services
    have no standard error), nothing is collected.
    """
    complaints: list[str] = []
    with ALONE:
        try:
            stderr = os.dup(2)
        except OSError:
            yield complaints
            return
        sink = open_sink(os.getpid())
        os.dup2(sink, 2)
        try:
            yield complaints
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            if size := os.fstat(sink).st_size:
                os.lseek(sink, 0, os.SEEK_SET)
                lines = os.read(sink, size).decode("utf-8", "replace").splitlines()
                os.ftruncate(sink, 0)
                os.lseek(sink, 0, os.SEEK_SET)
                harmful = [line.strip() for line in lines if not HARMLESS.match(line)]
                complaints += [line for line in harmful if any(word in line.lower() for word in COMPLAINTS)]


@cache
def open_sink(process: int) -> int:
    """A nameless file for what native code prints in one process: a forked copy writes into one of its own."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def damaged_chunk(png: bytes, *, sums: bool = False) -> str:
    """What is wrong with the sizes that the chunks of a PNG file claim, or with their check `sums`.

    OpenCV takes memory for a chunk before it reads it. Nothing is wrong with another kind of file.
    """
    start, count, most = 8 if png.startswith(b"\x89PNG") else len(png), 0, limit("picture")
    while start + 8 <= len(png):
        count, size = count + 1, int.from_bytes(png[start : start + 4], "big")
        end = start + 8 + size
        if count > MOST_CHUNKS:
            return f"more than {MOST_CHUNKS:,} chunks"
        if not sums and size > most:
            return f"a chunk of {size:,} bytes"
        is_whole = start + 12 <= len(png)
        if sums and is_whole and zlib.crc32(png[start + 4 : end]) != int.from_bytes(png[end : end + 4], "big"):
            return f"wrong checksum of chunk {png[start + 4 : start + 8].decode('ascii', 'replace')}"
        start = end + 4
    return ""


def damage_in(remarks: Sequence[str]) -> str:
    return next((remark for remark in remarks if remark.startswith((DAMAGED, STOPS))), "")
