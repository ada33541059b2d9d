"""The record that the CAM engine reads: a model, how to feed it, and where to look inside it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias
from weakref import WeakKeyDictionary

import torch
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
    would otherwise find by probing the model. `notes` are what the user should hear about how it is fed.
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


def layers_of(classifier: Classifier) -> list[Layer]:
    return [Layer(name, module) for name, module in modules_of(classifier).items()]


def modules_of(classifier: Classifier) -> dict[str, nn.Module]:
    """Every module by its name in `module.named_modules()`, without what compiling or data parallelism put in."""
    named = {name: module for name, module in classifier.module.named_modules() if name}
    prefix = "module." if all(name.split(".")[0] == "module" for name in named) else ""
    found = {bare(name).removeprefix(prefix): module for name, module in named.items()}
    return {name: module for name, module in found.items() if name and f"{name}." != prefix}


def bare(name: str) -> str:
    return ".".join(step for step in name.split(".") if step != "_orig_mod") if "_orig_mod" in name else name


PRECISIONS = ("float32", "bf16")
IN_FEWER_BITS: WeakKeyDictionary[Classifier, Classifier] = WeakKeyDictionary()
"""The records made here, so that what the engine finds out about one is known the next time."""


def computing_in(classifier: Classifier, precision: str) -> Classifier:
    """The same classifier with its passes in that precision, and its logits in float32."""
    if precision == "float32":
        return classifier
    if classifier not in IN_FEWER_BITS:
        IN_FEWER_BITS[classifier] = replace(classifier, logits=autocast_logits(classifier.logits))
    return IN_FEWER_BITS[classifier]


def autocast_logits(logits: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same scores, computed in bfloat16 where torch's autocast holds that for safe."""

    def run(batch: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        with torch.autocast(batch.device.type, torch.bfloat16):
            return logits(batch).float()

    return run
