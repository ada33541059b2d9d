"""Pictures of every trouble, made on the spot: what is asked of a reader, and what it should say."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import TiffImagePlugin

HEIGHT, WIDTH = 48, 64


def photo() -> Pillow.Image:
    """A gradient with a red corner, so that turning and channel order can be seen."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([x * 3, y * 4, (x + y) * 2], axis=-1).astype(np.uint8)
    pixels[:16, :16] = (255, 0, 0)
    return Pillow.fromarray(pixels)


def saved(picture: Pillow.Image, kind: str, **options: object) -> bytes:
    """The bytes of a picture file."""
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def turned(orientation: int) -> bytes:
    """A JPEG with an EXIF orientation."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return saved(photo(), "JPEG", exif=exif, quality=95)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 64)) + chunk(b"IEND", b"")
    )


def noisy() -> bytes:
    """A JPEG of 200 x 200 that is mostly data."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    return saved(Pillow.fromarray(noise), "JPEG", quality=90)


def flipped_bytes() -> bytes:
    """A JPEG with damage in the middle that decoders do not report as an error."""
    data = bytearray(noisy())
    for place in range(len(data) // 2, len(data) // 2 + 60):
        data[place] ^= 0xFF
    return bytes(data)


def sixteen_bits() -> bytes:
    """A grey PNG of 16 bits."""
    values = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    return cv2.imencode(".png", values)[1].tobytes()


def animated() -> bytes:
    """A GIF of three frames."""
    frames = [photo().convert("P"), *(Pillow.new("P", (WIDTH, HEIGHT), number) for number in (1, 2))]
    content = io.BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    return content.getvalue()


def profiled() -> bytes:
    """A JPEG with a colour profile that is not sRGB."""
    return saved(photo(), "JPEG", icc_profile=b"\x00" * 128 + b"Display P3")


def named_profile() -> bytes:
    """A TIFF with a text where its colour profile should be."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[34675], tags.tagtype[34675] = "sRGB", 2
    return saved(photo(), "TIFF", tiffinfo=tags)


def several(kind: str, **options: object) -> bytes:
    """A file of two pictures."""
    return saved(photo(), kind, save_all=True, append_images=[photo().rotate(180)], **options)


def see_through() -> Pillow.Image:
    """A picture with a transparent corner."""
    picture = photo().convert("RGBA")
    picture.paste((0, 0, 255, 0), (0, 0, 9, 9))
    return picture


def wrong_checksum() -> bytes:
    """A PNG whose comment was changed after it was written."""
    text = bytearray(chunk(b"tEXt", b"Comment\x00as saved"))
    text[20] ^= 1
    return PNG[:33] + bytes(text) + PNG[33:]


def zeroed(data: bytes) -> bytes:
    """A file with a hole of zeros, as broken disks and downloads leave."""
    middle = len(data) // 2
    return data[:middle] + bytes(2000) + data[middle + 2000 :]


def half(kind: str, **options: object) -> bytes:
    """The first half of a file of noise."""
    noise = np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    data = saved(Pillow.fromarray(noise), kind, **options)
    return data[: len(data) // 2]


def gif_bomb() -> bytes:
    """A GIF of some thirty bytes that claims to be huge."""
    header = b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0)
    return header + b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x08\x00\x3b"


def bmp_bomb() -> bytes:
    """A BMP that claims 40000 x 40000."""
    header = struct.pack("<IiiHHIIiiII", 40, 40_000, 40_000, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + header + bytes(100)


def deep_colour() -> bytes:
    """A colour PNG of 16 bits."""
    pixels = np.asarray(photo()).astype(np.uint16) * 257
    return cv2.imencode(".png", pixels)[1].tobytes()


JPEG = saved(photo(), "JPEG", quality=95)
PNG = saved(photo(), "PNG")
EXIF = Pillow.Exif()
EXIF[0x0112] = 6
DAMAGE = "damaged data, shown as decoded"


@dataclass(frozen=True)
class Case:
    """One file: readable ones have a `size` and perhaps a `remark`, bad ones a `reason`, and damaged ones both."""

    name: str
    content: bytes | Callable[[Path], None]
    size: tuple[int, int] | None = None
    reason: str = ""
    remark: str = ""
    file: str = ""


SIZE = (HEIGHT, WIDTH)
TURNED = (WIDTH, HEIGHT)
CASES = [
    Case("jpeg", JPEG, SIZE),
    Case("png", PNG, SIZE, file="a.png"),
    Case("progressive jpeg", saved(photo(), "JPEG", progressive=True), SIZE),
    Case("bmp", saved(photo(), "BMP"), SIZE, file="a.bmp"),
    Case("tiff", saved(photo(), "TIFF"), SIZE, file="a.tif"),
    Case("webp", saved(photo(), "WEBP"), SIZE, file="a.webp"),
    Case("ppm", saved(photo(), "PPM"), SIZE, file="a.ppm"),
    Case("grey jpeg", saved(photo().convert("L"), "JPEG"), SIZE),
    Case("grey png", saved(photo().convert("L"), "PNG"), SIZE, file="a.png"),
    Case("one bit", saved(photo().convert("1"), "PNG"), SIZE, file="a.png"),
    Case("palette", saved(photo().convert("P"), "PNG"), SIZE, file="a.png"),
    Case("alpha", saved(photo().convert("RGBA"), "PNG"), SIZE, remark="alpha", file="a.png"),
    Case("grey with alpha", saved(photo().convert("LA"), "PNG"), SIZE, remark="alpha", file="a.png"),
    Case("transparent", saved(photo().convert("P"), "PNG", transparency=0), SIZE, remark="transparent", file="a.png"),
    Case("sixteen bits", sixteen_bits(), SIZE, remark="8 bits", file="a.png"),
    Case("cmyk", saved(photo().convert("CMYK"), "JPEG"), SIZE, remark="CMYK"),
    Case("animated", animated(), SIZE, remark="frames", file="a.gif"),
    Case("profile", profiled(), SIZE, remark="profile"),
    *(Case(f"exif {n}", turned(n), TURNED if n > 4 else SIZE, remark="EXIF") for n in range(2, 9)),
    Case("png called jpg", PNG, SIZE, remark="another extension"),
    Case("one pixel", saved(Pillow.new("RGB", (1, 1)), "PNG"), (1, 1), file="a.png"),
    Case("a line", saved(Pillow.new("RGB", (3000, 2)), "PNG"), (2, 3000), file="a.png"),
    Case("sixteen bits of colour", deep_colour(), SIZE, remark="8 bits", file="a.png"),
    Case("transparent webp", saved(see_through(), "WEBP"), SIZE, remark="alpha", file="a.webp"),
    Case("transparent gif", saved(see_through(), "GIF"), SIZE, remark="transparent", file="a.gif"),
    Case("cmyk tiff", saved(photo().convert("CMYK"), "TIFF"), SIZE, remark="CMYK", file="a.tif"),
    Case("lab tiff", saved(photo().convert("LAB"), "TIFF"), SIZE, remark="Lab", file="a.tif"),
    Case("turned png", saved(photo(), "PNG", exif=EXIF), TURNED, remark="EXIF", file="a.png"),
    Case("turned tiff", saved(photo(), "TIFF", exif=EXIF), TURNED, remark="EXIF", file="a.tif"),
    Case("animated png", several("PNG"), SIZE, remark="2 frames", file="a.png"),
    Case("animated webp", several("WEBP"), SIZE, remark="2 frames", file="a.webp"),
    Case("tiff of two pages", several("TIFF"), SIZE, remark="2 frames", file="a.tif"),
    Case("two pictures of a stereo camera", several("MPO"), SIZE, remark="2 frames"),
    Case("exif of nonsense", saved(photo(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xffgarbage"), SIZE),
    Case("a text for a profile", named_profile(), SIZE, file="a.tif"),
    Case("more behind the end", JPEG + b"and then some" * 50, SIZE),
    Case("flipped bytes", flipped_bytes(), (200, 200), reason="Corrupt JPEG data", remark=DAMAGE),
    Case("a hole of zeros", zeroed(noisy()), (200, 200), reason="Corrupt JPEG data", remark=DAMAGE),
    Case("wrong checksum", wrong_checksum(), SIZE, reason="CRC error", remark=DAMAGE, file="a.png"),
    Case("name with blanks", JPEG, SIZE, file="a picture of mine.jpg"),
    Case("name with emoji", JPEG, SIZE, file="\N{CAT FACE}.jpg"),
    Case("name with a newline", JPEG, SIZE, file="a\nb.jpg"),
    Case("long name", JPEG, SIZE, file="x" * 240 + ".jpg"),
    Case("long path", JPEG, SIZE, file="/".join(["deep" * 20] * 12) + "/a.jpg"),
    Case("name with quotes and signs", JPEG, SIZE, file="a'b\"c%20$d#e&f[1].jpg"),
    Case("name that is no text", JPEG, SIZE, file=os.fsdecode(b"caf\xe9.jpg")),
    Case("name like an option", JPEG, SIZE, file="--help.jpg"),
    Case("half a jpeg", noisy()[: len(noisy()) // 2], reason="truncated"),
    Case("header only", JPEG[:200], reason="damaged JPEG: its header"),
    Case("half a png", PNG[: len(PNG) // 2], reason="truncated", file="a.png"),
    Case("half a bmp", half("BMP"), reason="truncated", file="a.bmp"),
    Case("half a gif", half("GIF"), reason="truncated|damaged", file="a.gif"),
    Case("half a webp", half("WEBP"), reason="damaged WebP", file="a.webp"),
    Case("half a tiff", half("TIFF", compression="tiff_lzw"), reason="damaged TIFF", file="a.tif"),
    Case("half a ppm", half("PPM"), reason="truncated", file="a.ppm"),
    Case("drawing", b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', reason="text, not a picture", file="a.jpg"),
    Case("heic", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(400), reason="a HEIC picture"),
    Case("postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", reason="PostScript, not"),
    Case("pdf", b"%PDF-1.7\n\xe2\xe3\xcf\xd3" + bytes(200), reason="a PDF document"),
    Case("targa", saved(photo(), "TGA"), reason="OpenCV cannot decode this TGA", file="a.png"),
    Case("icon", saved(photo(), "ICO"), reason="OpenCV cannot decode this ICO", file="a.png"),
    Case("two bytes", b"\xff\xd8", reason="damaged JPEG: its header"),
    Case("empty", b"", reason="0 bytes"),
    Case("text", b"this is no picture\n", reason="text, not a picture"),
    Case("html", b"<html><body>404</body></html>", reason="text, not a picture"),
    Case("zeros", b"\x00" * 1000, reason="not a picture"),
    Case("noise", bytes(range(256)) * 4, reason="not a picture"),
    Case("bomb", claiming(60_000, 60_000), reason="claims 60000 x 60000 pixels", file="a.png"),
    Case("bomb of a gif", gif_bomb(), reason="claims 60000 x 60000 pixels", file="a.gif"),
    Case("bomb of a bmp", bmp_bomb(), reason="claims 40000 x 40000 pixels", file="a.bmp"),
    Case("lying header", claiming(5_000, 5_000), reason="truncated|damaged|cannot decode", file="a.png"),
    Case("missing", lambda path: None, reason="no such file"),
    Case("folder", lambda path: path.mkdir(), reason="a folder, not a file"),
    Case("broken link", lambda path: path.symlink_to(path.parent / "nowhere"), reason="broken link"),
    Case("looping link", lambda path: path.symlink_to(path), reason="too many levels"),
    Case("fifo without a writer", lambda path: os.mkfifo(path), reason="not a regular file"),
]


def make(case: Case, folder: Path) -> Path:
    """Put the file of a case into a folder."""
    path = folder / (case.file or "picture.jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(case.content):
        case.content(path)
    else:
        path.write_bytes(case.content)
    return path
