"""How a classifier is fed: with exactly the numbers that its test pipeline gives, which are undone for the eye only.

Everything in classlens is fed as three channels; networks for grey pictures get their mean, through which gradients
flow back to all three.
"""

import pickle
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from classlens.arrays import Float, Float32
from classlens.cam.classifier import as_it_is
from classlens.dataset.dataset import Stage
from classlens.dataset.rng import seeded_globals
from classlens.dataset.state import PLAIN, Foreign, State, array_of, picture_in, to_image
from classlens.errors import DataError
from classlens.image import Encoding, Image
from classlens.pipelines.lay_open import lay_open

IMAGENET = Encoding("RGB", "CHW", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What nearly every classifier is trained with, where nothing says otherwise."""

PROBE = 640
"""Side of the picture that is sent through a test pipeline to see what it makes of one."""

DICE = 8
"""How often a pipeline is run to see whether it draws."""

Entry: TypeAlias = Callable[[Image], Foreign]
"""Makes of a picture what the first transform takes."""


@dataclass(frozen=True)
class Feeding:
    """The test pipeline of a classifier, in the words of `cam.classifier.Classifier`."""

    prepare: Callable[[Image], Image]
    encoding: Encoding
    size: tuple[int, int]
    prepare_whole: Callable[[Image], Image] = as_it_is
    notes: tuple[str, ...] = ()


def read_feeding(transform: Foreign, *, grey: bool = False) -> Feeding:
    return feed_through(lay_open(transform), as_colour, grey=grey)


def feed_through(stages: Sequence[Stage], entry: Entry, *, grey: bool = False) -> Feeding:
    """How a network is fed through stages that were laid open, the first of which takes what `entry` makes.

    The encoding and the size are what comes out for a picture of noise: pictures carry their own numbers. Where a grey
    network would get colours, its pictures are read as grey in the first place, as its dataset must have done.
    """
    noise = Image(np.random.default_rng(0).integers(0, 256, (PROBE, PROBE, 3), dtype=np.uint8))
    with seeded_globals(0):
        before = chance_state()
        carried = run_stages(stages, entry(noise))
        lucky = chance_state() != before
    if grey and not is_grey(picture_in(carried.value)):
        entry = as_grey
        try:
            carried = run_stages(stages, entry(noise))
        except DataError:  # e.g. three means: then the network gets the mean of three equal channels
            entry = as_grey_colours
            carried = run_stages(stages, entry(noise))
    if (views := count_views(carried.value)) > 1:
        raise DataError(
            f"the test pipeline makes {views} views of a picture, and a map is that of one",
            hint="leave out the transform that takes several crops",
        )
    array, _ = array_of(picture_in(carried.value))
    white = carried.encoding.white if array.dtype.kind == "f" else 255.0
    encoding = replace(carried.encoding, layout="CHW", white=white)
    prepare, whole = (partial(prepare_image, stages, entry, lucky=lucky, whole=whole) for whole in (False, True))
    return Feeding(prepare, encoding, size_of(carried), whole)


def chance_state() -> bytes:
    return pickle.dumps((random.getstate(), np.random.get_state(), torch.get_rng_state().numpy()))


def as_colour(image: Image) -> Pillow.Image:
    return Pillow.fromarray(image.pixels)


def as_grey(image: Image) -> Pillow.Image:
    return as_colour(image).convert("L")


def as_grey_colours(image: Image) -> Pillow.Image:
    return as_grey(image).convert("RGB")


def is_grey(picture: Foreign) -> bool:
    if isinstance(picture, Pillow.Image):
        return len(picture.getbands()) == 1
    return picture.ndim == 2 or 1 in (picture.shape[-3], picture.shape[-1])


def prepare_image(stages: Sequence[Stage], entry: Entry, image: Image, *, lucky: bool, whole: bool) -> Image:
    """The numbers that come out of the pipeline, and what they look like with the normalisation undone.

    A `lucky` pipeline draws from the global generators: it is seeded, and always draws the same.
    """
    with seeded_globals(0) if lucky else nullcontext():
        carried = run_stages(stages, entry(image), whole=whole)
    array, layout = array_of(picture_in(carried.value))
    numbers = np.array(array.transpose(2, 0, 1) if layout == "HWC" else array, np.float32, order="C")
    unknown = array.dtype.kind == "f" and carried.encoding.std == PLAIN.std and numbers.min() < 0
    return Image((stretch_numbers(numbers) if unknown else to_image(carried)).pixels, numbers)


def stretch_numbers(numbers: Float32[np.ndarray, "3 height width"]) -> Image:
    """Numbers of an unknown normalisation as a picture, the smallest black and the largest white."""
    span = max(float(np.ptp(numbers)), 1e-6)
    return Encoding("RGB", "CHW", span, (-float(numbers.min()),) * 3).decode(numbers)


def is_random(stages: Sequence[Stage], entry: Entry) -> bool:
    """Whether stages make different things of one picture, as those for training do."""
    noise = entry(Image(np.random.default_rng(0).integers(0, 256, (PROBE, PROBE, 3), dtype=np.uint8)))
    with seeded_globals(0):
        runs = (run_stages(stages, noise, seed=seed) for seed in range(DICE))
        first, *others = (array_of(picture_in(run.value))[0] for run in runs)
    return not all(np.array_equal(first, other) for other in others)


def run_stages(stages: Sequence[Stage], value: Foreign, *, whole: bool = False, seed: int = 0) -> State:
    """A picture sent through every stage; of a `whole` one those are left out that change its size.

    Raises:
        DataError: a stage fails, or it changes the size and the numbers of a whole picture at once.
    """
    carried = State(value)
    chance = np.random.default_rng(seed)
    for stage in stages:
        after = stage.apply(carried, chance).state
        if not whole or size_of(after) == size_of(carried):
            carried = after
        elif numbers_of(after) != numbers_of(carried):
            raise DataError(
                f"{stage.name} resizes and encodes in one step, so no picture can be fed whole",
                hint="leave out --whole, or split the transform into one that resizes and one that encodes",
            )
    return carried


def count_views(value: Foreign) -> int:
    """How many pictures are in a sample: a batch of them, or several in a row."""
    if isinstance(value, (list, tuple)):
        return sum(isinstance(part, Pillow.Image) or getattr(part, "ndim", 0) >= 3 for part in value)
    picture = picture_in(value)
    return len(picture) if getattr(picture, "ndim", 0) == 4 else 1


def size_of(carried: State) -> tuple[int, int]:
    """Height and width of the picture."""
    array, layout = array_of(picture_in(carried.value))
    height, width = array.shape[1:] if layout == "CHW" else array.shape[:2]
    return height, width


def numbers_of(carried: State) -> tuple[object, ...]:
    """What kind of numbers a picture is held in, and how they are encoded."""
    kind = array_of(picture_in(carried.value))[0].dtype.kind
    return kind, carried.encoding.white, carried.encoding.mean, carried.encoding.std


def usual_feeding(size: int | Sequence[int], reason: str, *, grey: bool = False) -> Feeding:
    """How most networks are fed, for one that does not say how; `reason` says why it does not, in a note."""
    height, width = (size, size) if isinstance(size, int) else size
    whole = read_grey if grey else as_it_is
    note = f"{reason}: pictures are fed as ImageNet models get them, {height} x {width}, mean and std of ImageNet"
    return Feeding(partial(resize_and_crop, (height, width), whole), IMAGENET, (height, width), whole, (note,))


def read_grey(image: Image) -> Image:
    return Image(np.array(as_grey_colours(image)))


def resize_and_crop(size: tuple[int, int], finish: Callable[[Image], Image], image: Image) -> Image:
    """Scale to 8/7 of what just covers `size`, and cut out the centre: the usual test pipeline of ImageNet."""
    scale = max(wanted / side for wanted, side in zip(size, image.size, strict=True)) * 8 / 7
    height, width = (max(wanted, round(side * scale)) for wanted, side in zip(size, image.size, strict=True))
    picture = as_colour(image).resize((width, height), Pillow.Resampling.BICUBIC)
    left, top = (width - size[1]) // 2, (height - size[0]) // 2
    return finish(Image(np.asarray(picture.crop((left, top, left + size[1], top + size[0])))))


def takes_grey(module: nn.Module) -> bool:
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return first is not None and first.in_channels == 1


def to_input_channels(
    batch: Float[Tensor, "batch 3 height width"], *, grey: bool
) -> Float[Tensor, "batch channels height width"]:
    return batch.mean(dim=1, keepdim=True) if grey else batch


def grey_scores(
    network: Callable[[Tensor], Tensor], batch: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch classes"]:
    return network(to_input_channels(batch, grey=True))


def check_channels(count: int, where: str) -> bool:
    """Whether pictures of `count` channels are grey; others than those and colours cannot be fed.

    Raises:
        DataError: the network takes something else than pictures.
    """
    if count not in (1, 3):
        raise DataError(f"{where} takes {count} channels: pictures have three, or one where they are grey")
    return count == 1
