"""Pictures made of anything: decoded by both loaders, or refused with a ClasslensError."""

import io

import atheris

with atheris.instrument_imports(include=["PIL"]):
    from PIL import Image

import contextlib

import campaign

from classlens.dataset.decode import salvage
from classlens.dataset.listing import LoadImageFromFile
from classlens.errors import ClasslensError

KINDS = ("BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP")


def one_input(data: bytes) -> None:
    """Load a picture in every way in which a run does."""
    for backend in ("cv2", "pillow"):
        with contextlib.suppress(ClasslensError):
            LoadImageFromFile(imdecode_backend=backend).state(data, "x")
    with contextlib.suppress(ClasslensError):
        salvage(data)


def seeds() -> list[bytes]:
    """A small picture in every format that Pillow writes."""
    contents = []
    Image.init()
    for kind in filter(Image.SAVE.__contains__, KINDS):
        content = io.BytesIO()
        Image.radial_gradient("L").resize((16, 16)).convert("RGB").save(content, kind)
        contents.append(content.getvalue())
    return contents


if __name__ == "__main__":
    campaign.run("pictures", one_input, seeds())
