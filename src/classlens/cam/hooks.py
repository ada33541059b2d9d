"""One forward pass of a classifier, watched by hooks that never outlive it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Layer, layers_of
from classlens.cam.model_state import device_of, dtype_of
from classlens.cam.output import OUTPUTS, logits_behind, read_output, watched
from classlens.errors import ModelError, first_line


def logits_of(
    classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"], *, rows: int | None = None
) -> Float[Tensor, "pictures classes"]:
    """Forward in the precision of the model's weights; logits come back in float32 at least, one row for each picture.

    `rows` is their number where a hook makes more of the batch on the way.

    Raises:
        ModelError: the model does not take pictures of this size, its output is not one score per class, or not finite.
    """
    with watched(classifier) as made:
        scores = scores_of(classifier, batch, len(batch) if rows is None else rows)
    if not scores.isfinite().all():
        check_finite(classifier, batch, scores)
    if classifier not in OUTPUTS:
        OUTPUTS[classifier] = read_output(classifier, scores, made)
    return logits_behind(classifier, scores, made)


def scores_of(
    classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"], rows: int
) -> Float[Tensor, "pictures classes"]:
    """What the model puts out, whatever it is.

    The one complaint that a picture of another size brings out of many models is made readable.

    Raises:
        ModelError: the model does not take pictures of this size, or its output is not one score per class.
    """
    size = (batch.shape[2], batch.shape[3])
    try:
        scores = classifier.logits(batch.to(dtype_of(classifier.module)))
    except (RuntimeError, AssertionError, ValueError) as error:
        if size == classifier.size:
            raise
        height, width = classifier.size
        raise ModelError(
            f"{classifier.name} cannot be run on a picture of {size[0]} x {size[1]}: {first_line(error)}",
            hint=f"it was made for {height} x {width}: leave out --whole",
        ) from error
    if not isinstance(scores, Tensor):
        raise ModelError(
            f"{classifier.name} gave a {type(scores).__name__}, not a tensor with one score per class",
            hint="let the record's `logits` pick the scores, e.g. lambda batch: module(batch).logits",
        )
    if scores.ndim != 2 or scores.shape[0] != rows:
        shape = " x ".join(map(str, scores.shape)) or "a single number"
        raise ModelError(f"{classifier.name} gave {shape} for a batch of {rows}, not one score per class")
    return scores


def check_finite(
    classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"], scores: Float[Tensor, "pictures classes"]
) -> None:
    """Find out by running once more where scores that are not finite come from; classes masked out by -inf are fine.

    Raises:
        ModelError: naming the first layer that puts out such numbers.
    """
    if not batch.isfinite().all():
        raise ModelError(
            f"the picture as fed to {classifier.name} is not finite", hint="look at the mean and std of its encoding"
        )
    if scores.isfinite().any(dim=1).all() and not (scores.isnan() | scores.isposinf()).any():
        return
    layer = first_not_finite(classifier, batch)
    where = "" if layer is None else f": {layer.name!r} ({type(layer.module).__name__}) is the first layer that is not"
    broken = layer is not None and not all(own.isfinite().all() for own in weights_of(layer.module))
    hint = "its weights hold NaN or infinity: was the training diverging?" if broken else (
        f"numbers grow too large for {str(dtype_of(classifier.module)).removeprefix('torch.')}"
    )  # fmt: skip
    raise ModelError(f"the scores of {classifier.name} are not finite{where}", hint=hint)


def weights_of(module: nn.Module) -> list[Tensor]:
    return [own for own in (*module.parameters(), *module.buffers()) if own.is_floating_point()]


def first_not_finite(classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"]) -> Layer | None:
    """The layer that is first to be done with an output that is not finite."""
    first: list[Layer] = []

    def noting(layer: Layer) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, inputs: object, output: object) -> None:
            tensor = first_tensor(output)
            if not first and tensor is not None and not tensor.isfinite().all():
                first.append(layer)

        return note

    with torch.no_grad(), hooked([(layer.module, noting(layer)) for layer in layers_of(classifier)]):
        classifier.logits(batch.to(dtype_of(classifier.module)))
    return first[0] if first else None


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
