"""What a picture file says about itself before it is decoded: size, kind, and what loaders disagree about.

Reading a header costs some 30 microseconds; a file that claims more pixels than the limit is refused here, before
any decoder allocates memory for it.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

from PIL import ExifTags, ImageFile
from PIL import Image as Pillow

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
        """How many pixels a decoder would have to hold."""
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
    """TIFF keeps the orientation among its own tags."""
    return picture.format in ("TIFF", "MPO")


def is_srgb(profile: bytes) -> bool:
    """Whether a colour profile names itself sRGB; such a profile changes nothing."""
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
