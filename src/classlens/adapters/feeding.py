"""How a classifier is fed: with exactly the numbers that its test pipeline gives, which are undone for the eye only.

Everything in classlens is fed as three channels; networks for grey pictures get their mean, through which gradients
flow back to all three.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
from PIL import Image as Pillow
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.classifier import as_it_is
from classlens.dataset.dataset import Stage
from classlens.dataset.rng import seeded_globals
from classlens.dataset.state import PLAIN, Foreign, State, array_of, arrays_of, numbers_of, picture_in, to_image
from classlens.errors import DataError
from classlens.image import Encoding, Image
from classlens.pipelines.lay_open import lay_open

IMAGENET = Encoding("RGB", "CHW", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What nearly every classifier is trained with, where nothing says otherwise."""

Entry: TypeAlias = Callable[[Image], Foreign]  # makes of a picture what the first transform takes


@dataclass(frozen=True)
class Feeding:
    """The test pipeline of a classifier, in the words of `cam.classifier.Classifier`."""

    prepare: Callable[[Image], Image]
    encoding: Encoding
    size: tuple[int, int]
    prepare_whole: Callable[[Image], Image] = as_it_is
    notes: tuple[str, ...] = ()


def as_colour(image: Image) -> Pillow.Image:
    return Pillow.fromarray(image.pixels)


def as_grey(image: Image) -> Pillow.Image:
    return as_colour(image).convert("L")


def as_grey_colours(image: Image) -> Pillow.Image:
    return as_grey(image).convert("RGB")


def read_grey(image: Image) -> Image:
    return Image(np.array(as_grey_colours(image)))


def noise_image() -> Image:
    return Image(np.random.default_rng(0).integers(0, 256, (640, 640, 3), dtype=np.uint8))


def read_feeding(transform: Foreign, *, grey: bool = False) -> Feeding:
    return feed_through(lay_open(transform), as_colour, grey=grey)


def feed_through(stages: Sequence[Stage], entry: Entry, *, grey: bool = False) -> Feeding:
    """How a network is fed through stages that were laid open, the first of which takes what `entry` makes.

    The encoding and the size are what comes out for a picture of noise: pictures carry their own numbers. Where a grey
    network would get colours, its pictures are read as grey in the first place, as its dataset must have done.
    """
    state = run_stages(stages, entry(noise_image()))
    shape = numbers_of(picture_in(state.value)).shape
    if grey and len(shape) > 2 and 1 not in (shape[-3], shape[-1]):
        entry = as_grey
        try:
            state = run_stages(stages, entry(noise_image()))
        except DataError:  # e.g. three means: then the network gets the mean of three equal channels
            entry = as_grey_colours
            state = run_stages(stages, entry(noise_image()))
    if (views := len(list(arrays_of(state.value)))) > 1:
        hint = "leave out the transform that takes several crops"
        raise DataError(f"the test pipeline makes {views} views of a picture, and a map is that of one", hint=hint)
    white = state.encoding.white if array_of(picture_in(state.value))[0].dtype.kind == "f" else 255.0
    encoding = replace(state.encoding, layout="CHW", white=white)
    prepare, whole = (partial(prepare_image, stages, entry, whole=whole) for whole in (False, True))
    return Feeding(prepare, encoding, size_of(state), whole)


def prepare_image(stages: Sequence[Stage], entry: Entry, image: Image, *, whole: bool) -> Image:
    """The numbers that come out of the pipeline, and what they look like with the normalisation undone."""
    state = run_stages(stages, entry(image), whole=whole)
    array, layout = array_of(picture_in(state.value))
    numbers = np.array(array.transpose(2, 0, 1) if layout == "HWC" else array, np.float32, order="C")
    if array.dtype.kind != "f" or state.encoding.std != PLAIN.std or numbers.min() >= 0:
        return Image(to_image(state).pixels, numbers)
    # Of an unknown normalisation the smallest number is shown black, and the largest white.
    span = max(float(np.ptp(numbers)), 1e-6)
    return Image(Encoding("RGB", "CHW", span, (-float(numbers.min()),) * 3).decode(numbers).pixels, numbers)


def is_random(stages: Sequence[Stage], entry: Entry) -> bool:
    """Whether stages make different things of one picture in eight runs, as those for training do."""
    value = entry(noise_image())
    first, *others = (array_of(picture_in(run_stages(stages, value, seed=seed).value))[0] for seed in range(8))
    return not all(np.array_equal(first, other) for other in others)


def run_stages(stages: Sequence[Stage], value: Foreign, *, whole: bool = False, seed: int = 0) -> State:
    """A picture sent through every stage, chance being the same every time; of a `whole` one none may change its size."""
    state, chance = State(value), np.random.default_rng(seed)
    with seeded_globals(seed):
        for stage in stages:
            after = stage.apply(state, chance).state
            if not whole or size_of(after) == size_of(state):
                state = after
            elif encoding_of(after) != encoding_of(state):
                hint = "leave out --whole, or split the transform into one that resizes and one that encodes"
                raise DataError(f"{stage.name} resizes and encodes in one step: no picture can be fed whole", hint=hint)
    return state


def size_of(state: State) -> tuple[int, int]:
    array, layout = array_of(picture_in(state.value))
    height, width = array.shape[1:] if layout == "CHW" else array.shape[:2]
    return height, width


def encoding_of(state: State) -> tuple[str, Encoding]:
    """The kind of numbers that a picture is held in, and how they are encoded in whatever layout."""
    return array_of(picture_in(state.value))[0].dtype.kind, replace(state.encoding, layout="CHW")


def usual_feeding(size: int | Sequence[int], reason: str, *, grey: bool = False) -> Feeding:
    """How most networks are fed, for one that does not say how; `reason` says why it does not, in a note."""
    height, width = (size, size) if isinstance(size, int) else size
    whole = read_grey if grey else as_it_is
    note = f"{reason}: pictures are fed as ImageNet models get them, {height} x {width}, mean and std of ImageNet"
    return Feeding(partial(resize_and_crop, (height, width), whole), IMAGENET, (height, width), whole, (note,))


def resize_and_crop(size: tuple[int, int], finish: Callable[[Image], Image], image: Image) -> Image:
    """Scale to 8/7 of what just covers `size`, and cut out the centre: the usual test pipeline of ImageNet."""
    scale = max(wanted / side for wanted, side in zip(size, image.size, strict=True)) * 8 / 7
    height, width = (max(wanted, round(side * scale)) for wanted, side in zip(size, image.size, strict=True))
    picture = as_colour(image).resize((width, height), Pillow.Resampling.BICUBIC)
    left, top = (width - size[1]) // 2, (height - size[0]) // 2
    return finish(Image(np.asarray(picture.crop((left, top, left + size[1], top + size[0])))))


def takes_grey(module: nn.Module, channels: object = None, where: str = "") -> bool:
    """Whether a network takes grey pictures; `channels` are those that its settings name."""
    if isinstance(channels, int) and channels not in (1, 3):
        raise DataError(f"{where} takes {channels} channels: pictures have three, or one where they are grey")
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return first is not None and first.in_channels == 1


def grey_scores(
    network: Callable[[Tensor], Tensor], batch: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch classes"]:
    return network(batch.mean(dim=1, keepdim=True))
