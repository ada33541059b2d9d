"""Real pictures that have nothing in common, and the ways in which one becomes a near duplicate of itself."""

import io

import numpy as np
from PIL import Image as Pillow
from PIL import ImageEnhance, ImageFilter, ImageOps

from classlens.files import PHOTOS

SIDE = 160


def tiles(side=SIDE):
    """Pieces of the shipped photos that do not overlap: brick, grass, a cat, a rocket, ..."""
    pieces = []
    for path in sorted(PHOTOS.glob("*.*g")):
        photo = Pillow.open(path).convert("RGB")
        for top in range(0, photo.height - side + 1, side):
            pieces += [
                photo.crop((left, top, left + side, top + side)) for left in range(0, photo.width - side + 1, side)
            ]
    return pieces


def recompress(picture, quality=40):
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return Pillow.open(io.BytesIO(content.getvalue())).convert("RGB")


def crop(picture, seed=0, part=0.1):
    """Half of `part` to all of it taken off at each side."""
    random = np.random.default_rng(seed)
    left, top, right, bottom = (random.uniform(part / 2, part, 4) * picture.width).astype(int)
    return picture.crop((left, top, picture.width - right, picture.height - bottom))


KINDS = {
    "the same": lambda picture: picture,
    "recompressed, quality 40": recompress,
    "resized to 60 %": lambda picture: picture.resize((picture.width * 3 // 5, picture.height * 3 // 5)),
    "35 % brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.35),
    "in grey": lambda picture: picture.convert("L").convert("RGB"),
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(1)),
    "mirrored": ImageOps.mirror,
    "cropped by 5 to 10 % a side": crop,
}
