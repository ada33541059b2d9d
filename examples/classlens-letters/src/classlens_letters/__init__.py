"""`letters:WORD`: a dataset of drawn letters, as small as an adapter can be.

The state that flows through the pipeline is a Pillow picture; only `to_image` turns it into what classlens shows.
"""

from functools import partial

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from classlens import Dataset, Source, Stage
from classlens.adapters import Options
from classlens.dataset.dataset import Outcome, Sample
from classlens.errors import ConfigError
from classlens.image import Image

SIDE = 96


def open_letters(rest: str, options: Options) -> Source:
    """Offer a dataset of the letters of a word.

    Raises:
        ConfigError: the word is empty.
    """
    if not rest.isalpha():
        raise ConfigError(f"{rest!r} is not a word", hint="write e.g. letters:hello")
    return Source(f"letters:{rest}", open_dataset=partial(letters, rest))


def letters(word: str, split: str) -> Dataset:
    """One picture per letter; turned and inverted at random."""
    classes = tuple(sorted(set(word)))
    return Dataset(
        name=f"{word} {split}",
        length=len(word),
        load=lambda index: params(word[index]),
        stages=(
            Stage("Turn", turn, {"degrees": 30}, draws_globally=False),
            Stage("Invert", invert, {"p": 0.5}, draws_globally=False),
        ),
        to_image=lambda picture: Image(np.asarray(picture.convert("RGB"))),
        sample=lambda index: Sample(labels=(classes.index(word[index]),)),
        classes=classes,
        loader="draw",
    )


def params(letter: str) -> Pillow.Image:
    """A black letter on white."""
    picture = Pillow.new("L", (SIDE, SIDE), 255)
    ImageDraw.Draw(picture).text((SIDE / 2, SIDE / 2), letter, 0, ImageFont.load_default(SIDE * 0.7), anchor="mm")
    return picture


def turn(picture: Pillow.Image, chance: np.random.Generator) -> Outcome:
    """Turn by up to 30 degrees."""
    angle = round(float(chance.uniform(-30, 30)), 1)
    return Outcome(picture.rotate(angle, Pillow.Resampling.BICUBIC, fillcolor=255), {"angle": angle})


def invert(picture: Pillow.Image, chance: np.random.Generator) -> Outcome:
    """Swap black and white, every second time."""
    if chance.random() >= 0.5:
        return Outcome(picture, {"applied": "no"}, "not drawn (p = 0.5)")
    return Outcome(picture.point(lambda value: 255 - value), {"applied": "yes"})
