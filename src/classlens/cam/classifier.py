"""The record that the CAM engine reads: a model, how to feed it, and where to look inside it; and pictures as it is fed.

While it is looked at, the caller's model is `preserved`: in a known state, then exactly as it was, also after an error:
modes, `requires_grad`, global random states. Modes are set one by one: `eval()` would run overrides of some models.
"""

import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils import checkpoint

from classlens.arrays import Float
from classlens.errors import ModelError, first_line
from classlens.image import Encoding, Image
from classlens.sharing import ALONE

Batch = Float[Tensor, "batch 3 rows columns"]  # encoded pictures, as the model reads them
Logits = Float[Tensor, "batch classes"]
Kind: TypeAlias = Literal["softmax", "sigmoid"]  # for one class among several; for labels by themselves


def as_it_is(image: Image) -> Image:
    return image


@dataclass(frozen=True, eq=False)
class Classifier:
    """An image classifier, whichever framework built it.

    `prepare` is the test pipeline: picture as read -> picture as fed, of `size` (height, width); `prepare_whole` is
    the same without resizing and cropping. The pictures that they return carry the numbers that are fed
    (`Image.encoded`), or leave them to `encoding`. `logits` maps an encoded batch to class scores; what those are shows
    in the first pass, and `output` makes probabilities of logits, None where nobody says. `default_layer` and
    `extra_tokens` (class, distillation tokens in front of the patch tokens) say what is otherwise found by probing the
    model. `notes` are what the user should know about how it is fed.
    """

    name: str
    module: nn.Module
    logits: Callable[[Batch], Logits]
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


IN_BF16: WeakKeyDictionary[Classifier, Classifier] = WeakKeyDictionary()  # kept, for what is found out about them


def in_bf16(classifier: Classifier) -> Classifier:
    """The same classifier with its passes under autocast in bfloat16, and its logits in float32."""
    original = classifier.logits

    def autocast_logits(batch: Batch) -> Logits:
        with torch.autocast(batch.device.type, torch.bfloat16):
            return original(batch).float()

    return IN_BF16.setdefault(classifier, replace(classifier, logits=autocast_logits))


def scale_whole(classifier: Classifier, image: Image) -> Image:
    """The whole picture, nothing cropped, its short side as long as that of the pictures the model is made for."""
    keeps_size = classifier.prepare(image).size == image.size
    scale = 1 if keeps_size else min(classifier.size) / min(image.size)
    height, width = (max(1, round(side * scale)) for side in image.size)
    if (height, width) != image.size:
        resized = Pillow.fromarray(image.pixels).resize((width, height), Pillow.Resampling.BICUBIC)
        image = Image(np.asarray(resized))
    return classifier.prepare_whole(image)


def encode_batch(classifier: Classifier, pictures: list[Image]) -> Batch:
    """Pictures of one size as the batch that the model reads, on the CPU."""
    if classifier.encoding.layout != "CHW":
        raise ValueError(f"{classifier.name}: a model reads channels first, its encoding says {classifier.encoding}")
    batch = np.empty((len(pictures), 3, *pictures[0].size), np.float32)
    for place, picture in enumerate(pictures):
        batch[place] = classifier.encoding.encode(picture) if picture.encoded is None else picture.encoded
    return torch.from_numpy(batch)


RECOMPUTING: Mapping[str, object] = {
    "CheckpointFunction": SimpleNamespace(apply=lambda function, preserve, *arguments: function(*arguments)),
    "_checkpoint_without_reentrant_generator": lambda *arguments, **settings: iter([None]),
    "_checkpoint_without_reentrant_generator_impl": lambda *arguments, **settings: iter([None]),
}
"""What `torch.utils.checkpoint.checkpoint` looks up to run a function, and what makes it just call it: reentrant, and
not (the name of the second differs from version to version)."""

LOANS: list[dict[str, object]] = []  # one for every `with` that is open; the first keeps what `RECOMPUTING` replaced


@contextmanager
def preserved(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter wants a gradient, and autograd records, whatever the caller's own state is.

    So what runs before the first cut costs no memory, and what is behind it records what the gradient of the cut needs.
    """
    # Part by part: walking the whole tree puts names together, which costs some percent of a small network's pass.
    parts = list(module.modules())
    if placement_of(module)[0].type == "meta":
        raise ModelError("the model has shapes but no weights (device meta)", hint="load a checkpoint into it first")
    if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
        hint = "give the network that it was made from"
        raise ModelError("a TorchScript program does not show its layers", hint=hint)
    tables: list[dict[str, Any]] = [table for part in parts for table in (part._parameters, part._buffers)]
    if any(is_lazy(own) for table in tables for own in table.values()):
        hint = "run it on a picture once before it is given"
        raise ModelError("the model has lazy layers, whose shapes nobody knows before they have run", hint=hint)
    with ALONE, torch.inference_mode(mode=False), torch.enable_grad(), ExitStack() as undo:
        if "torch._dynamo" in sys.modules:  # compiled code does not call hooks
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        for table in tables:
            for name, tensor in list(table.items()):
                if tensor is not None and tensor.is_inference():  # autograd refuses them, so copies stand in
                    undo.callback(table.__setitem__, name, tensor)
                    table[name] = tensor.detach().clone()
        parameters = [own for part in parts for own in part._parameters.values() if own is not None]
        changes: list[tuple[object, str]] = [(part, "training") for part in parts if part.__dict__.get("training")]
        changes += [(one, "requires_grad") for one in parameters if one.requires_grad]
        for thing, attribute in changes:
            undo.callback(setattr, thing, attribute, True)
            setattr(thing, attribute, False)
        undo.enter_context(torch.random.fork_rng(list({one.device for one in parameters if one.is_cuda})))
        undo.callback(random.setstate, random.getstate())
        undo.callback(np.random.set_state, np.random.get_state())
        # Parts that save memory by being computed again in the backward pass are not: our hooks would be gone by then.
        LOANS.append({name: value for name, value in vars(checkpoint).items() if name in RECOMPUTING and not LOANS})
        vars(checkpoint).update({name: RECOMPUTING[name] for name in LOANS[-1]})
        try:
            yield
        finally:
            if len(LOANS) == 1:  # with several, whichever ends last: they need not end in the order in which they began
                vars(checkpoint).update(LOANS[0])
            LOANS.pop()


def place(module: nn.Module, device: str) -> None:
    try:
        module.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        hint = "leave out --device to compute on cpu"
        raise ModelError(f"cannot compute on {device!r}: {first_line(error)}", hint=hint) from error


def copy_weights(module: nn.Module) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in chain(module.parameters(), module.buffers())]


def put_weights(module: nn.Module, weights: Sequence[Tensor]) -> None:
    """Put back what `copy_weights` took."""
    for tensor, values in zip(chain(module.parameters(), module.buffers()), weights, strict=True):
        tensor.detach().copy_(values)


def placement_of(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where the model lives, and the precision of its weights: of its first parameter or buffer (of real numbers)."""
    device = None
    for tensor in chain(module.parameters(), module.buffers()):
        device = device or tensor.device
        if tensor.is_floating_point():
            return device, tensor.dtype
    return device or torch.device("cpu"), torch.float32
