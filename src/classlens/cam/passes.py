"""One forward pass of a classifier, watched by hooks that never outlive it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.borrow import device_of, dtype_of
from classlens.cam.classifier import Classifier, Layer
from classlens.errors import ModelError, first_line


def logits_of(classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch classes"]:
    """Forward in the precision of the model's weights; scores come back in float32 at least.

    The one complaint that a picture of another size brings out of many models is made readable.

    Raises:
        ModelError: the model does not take pictures of this size, or its output is not one score per class.
    """
    size = (batch.shape[2], batch.shape[3])
    try:
        logits = classifier.logits(batch.to(dtype_of(classifier.module)))
    except (RuntimeError, AssertionError, ValueError) as error:
        if size == classifier.size:
            raise
        height, width = classifier.size
        raise ModelError(
            f"{classifier.name} cannot be run on a picture of {size[0]} x {size[1]}: {first_line(error)}",
            hint=f"it was made for {height} x {width}: leave out --whole",
        ) from error
    if not isinstance(logits, Tensor):
        raise ModelError(
            f"{classifier.name} gave a {type(logits).__name__}, not a tensor with one score per class",
            hint="let the record's `logits` pick the scores, e.g. lambda batch: module(batch).logits",
        )
    if logits.ndim != 2 or logits.shape[0] != batch.shape[0]:
        seen = " x ".join(map(str, logits.shape))
        raise ModelError(f"{classifier.name} gave {seen} for a batch of {len(batch)}, not one score per class")
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def first_tensor(value: object) -> Tensor | None:
    """A tensor, or the first thing of a tuple or list if that is one."""
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    return value if isinstance(value, Tensor) else None


def main_tensor(output: object, layer: Layer) -> Tensor:
    """The layer's output, or the first tensor of a tuple or list of them.

    Raises:
        ModelError: there is no tensor in it.
    """
    tensor = first_tensor(output)
    if tensor is None:
        raise ModelError(
            f"layer {layer.name!r} puts out a {type(output).__name__}, not a tensor", hint="choose a layer inside it"
        )
    return tensor


def replaced(output: object, tensor: Tensor) -> object:
    """The layer's output with its main tensor replaced."""
    if isinstance(output, Tensor):
        return tensor
    if not isinstance(output, (tuple, list)):
        return output
    rest = output[1:]
    return type(output)(tensor, *rest) if hasattr(output, "_fields") else type(output)((tensor, *rest))


@contextmanager
def hooked(hooks: Sequence[tuple[nn.Module, Callable[..., object]]]) -> Iterator[None]:
    """Forward hooks for the time of one `with`."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def noise(
    classifier: Classifier, size: tuple[int, int] | None = None, count: int = 1
) -> Float[Tensor, "count 3 height width"]:
    """Encoded pictures of noise, always the same, on the model's device; of the size it is made for unless said."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn((count, 3, *(size or classifier.size)), generator=generator).to(device_of(classifier.module))
