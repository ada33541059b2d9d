"""The record that the CAM engine reads: a model, how to feed it, and where to look inside it; and pictures as it is fed."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.image import Encoding, Image

Kind: TypeAlias = Literal["softmax", "sigmoid"]
"""What makes probabilities of logits: softmax for one class among several, sigmoid for labels by themselves."""


def as_it_is(image: Image) -> Image:
    return image


@dataclass(frozen=True, eq=False)
class Classifier:
    """An image classifier, whichever framework built it.

    `prepare` is the test pipeline: picture as read -> picture as fed, of `size` (height, width); `prepare_whole` is
    the same without resizing and cropping. The pictures that they return carry the numbers that are fed
    (`Image.encoded`), or leave them to `encoding`. `logits` maps an encoded batch to class scores; what they are the
    engine sees in the first pass (`cam.output`), and `output` makes probabilities of logits, None where nobody says.
    `default_layer` and `extra_tokens` (class, distillation tokens in front of the patch tokens) say what the engine
    would otherwise find by probing the model. `notes` are what the user should know about how it is fed.
    """

    name: str
    module: nn.Module
    logits: Callable[[Float[Tensor, "batch 3 height width"]], Float[Tensor, "batch classes"]]
    encoding: Encoding
    size: tuple[int, int]
    prepare: Callable[[Image], Image] = as_it_is
    classes: tuple[str, ...] | None = None
    default_layer: str | None = None
    extra_tokens: int | None = None
    output: Kind | None = None
    prepare_whole: Callable[[Image], Image] = as_it_is
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        height, width = self.size
        classes = "" if self.classes is None else f", {len(self.classes)} named classes"
        return f"<Classifier {self.name}: {type(self.module).__name__}, {height} x {width} pictures{classes}>"


@dataclass(frozen=True, eq=False)
class Layer:
    """A place inside the model: its full name, see `layers_of`, and the module itself."""

    name: str
    module: nn.Module


COMPILED = re.compile(r"(?:^|\.)_orig_mod(?=\.|$)")  # the step that `torch.compile` puts into a module's name


def layers_of(classifier: Classifier) -> list[Layer]:
    """Every module by its name in `module.named_modules()`, without what compiling or data parallelism put in."""
    named = {name: module for name, module in classifier.module.named_modules() if name}
    prefix = "module." if all(name.split(".")[0] == "module" for name in named) else ""
    plain = {COMPILED.sub("", name).lstrip(".").removeprefix(prefix): module for name, module in named.items()}
    return [Layer(name, module) for name, module in plain.items() if name and f"{name}." != prefix]


PRECISIONS = ("float32", "bf16")
IN_BF16: WeakKeyDictionary[Classifier, Classifier] = WeakKeyDictionary()
"""The records made here, so that what the engine finds out about one is known the next time."""


def in_bf16(classifier: Classifier) -> Classifier:
    """The same classifier with its passes under autocast in bfloat16, and its logits in float32."""
    original = classifier.logits

    def autocast_logits(batch: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        with torch.autocast(batch.device.type, torch.bfloat16):
            return original(batch).float()

    return IN_BF16.setdefault(classifier, replace(classifier, logits=autocast_logits))


def scale_whole(classifier: Classifier, image: Image) -> Image:
    """The whole picture, nothing cropped, its short side as long as that of the pictures the model is made for.

    Raises:
        DataError: the test pipeline resizes and encodes in one step.
    """
    keeps_size = classifier.prepare(image).size == image.size
    scale = 1 if keeps_size else min(classifier.size) / min(image.size)
    height, width = (max(1, round(side * scale)) for side in image.size)
    if (height, width) != image.size:
        resized = Pillow.fromarray(image.pixels).resize((width, height), Pillow.Resampling.BICUBIC)
        image = Image(np.asarray(resized))
    return classifier.prepare_whole(image)


def encode_batch(classifier: Classifier, pictures: list[Image]) -> Float[Tensor, "batch 3 height width"]:
    """Pictures of one size as the batch that the model reads, on the CPU.

    Raises:
        ValueError: the record's encoding does not put channels first.
    """
    if classifier.encoding.layout != "CHW":
        raise ValueError(f"{classifier.name}: a model reads channels first, its encoding says {classifier.encoding}")
    batch = np.empty((len(pictures), 3, *pictures[0].size), np.float32)
    for place, picture in enumerate(pictures):
        batch[place] = classifier.encoding.encode(picture) if picture.encoded is None else picture.encoded
    return torch.from_numpy(batch)
