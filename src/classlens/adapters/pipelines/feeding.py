"""How a classifier is fed, read off its test pipeline: the picture as fed, its size, and the encoding after that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from PIL import Image as Pillow

from classlens.adapters.pipelines import lay_open
from classlens.adapters.pipelines.carried import Carried, Foreign, array_of, look, picture_in
from classlens.dataset.dataset import Stage
from classlens.image import Encoding, Image

IMAGENET = Encoding("RGB", "CHW", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What nearly every classifier is trained with, where nothing says otherwise."""

PROBE = 640
"""Side of the picture that is sent through a test pipeline to see what it makes of one."""


@dataclass(frozen=True)
class Feeding:
    """The test pipeline of a classifier, in the words of `cam.classifier.Classifier`."""

    prepare: Callable[[Image], Image]
    encoding: Encoding
    size: tuple[int, int]


def feeding(transform: Foreign) -> Feeding:
    """Take a test pipeline apart into what can be seen (resizing, cropping) and the encoding of the result."""
    stages = lay_open(transform)
    noise = np.random.default_rng(0).integers(0, 256, (PROBE, PROBE, 3), dtype=np.uint8)
    carried = followed(stages, Image(noise))
    array, _ = array_of(picture_in(carried.value))
    white = carried.encoding.white if array.dtype.kind == "f" else 255.0
    encoding = replace(carried.encoding, layout="CHW", white=white)
    return Feeding(partial(prepared, stages), encoding, look(carried).size)


def prepared(stages: Sequence[Stage], image: Image) -> Image:
    """The picture as fed, with the normalisation undone."""
    return look(followed(stages, image))


def followed(stages: Sequence[Stage], image: Image) -> Carried:
    """A picture sent through every stage."""
    carried = Carried(Pillow.fromarray(image.pixels))
    chance = np.random.default_rng(0)
    for stage in stages:
        carried = stage.apply(carried, chance).state
    return carried


def square(size: int, resample: Pillow.Resampling = Pillow.Resampling.BICUBIC) -> Callable[[Image], Image]:
    """Scale the short side to 8/7 of `size` and cut out the centre: the usual test pipeline of ImageNet."""

    def prepare(image: Image) -> Image:
        height, width = image.size
        scale = size * 8 / 7 / min(height, width)
        scaled = max(size, round(width * scale)), max(size, round(height * scale))
        picture = Pillow.fromarray(image.pixels).resize(scaled, resample)
        left, top = (scaled[0] - size) // 2, (scaled[1] - size) // 2
        return Image(np.asarray(picture.crop((left, top, left + size, top + size))))

    return prepare
