"""Run a classifier once and take down what the CAM methods need. Hooks never outlive the call.

The graph is cut at the first layer that is looked at: its output becomes a leaf, and a clone of it goes on. So the
backward pass covers only what follows the layer, and nothing behind it can overwrite in place what was seen.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Layer
from classlens.cam.grids import Layout, Place, layout_of
from classlens.errors import ModelError, first_line


@dataclass(frozen=True, eq=False)
class Seen:
    """One forward pass: the output of every layer, as nodes of the graph from the first of them to the logits."""

    layers: tuple[Layer, ...]
    outputs: tuple[Float[Tensor, "batch ..."], ...]
    layouts: tuple[Layout, ...]
    logits: Float[Tensor, "batch classes"] | None

    def gradients(self, score: Float[Tensor, " batch"], *, keep: bool) -> tuple[Float[Tensor, "batch ..."], ...]:
        """Gradients of each picture's score with respect to every layer's output; `keep` the graph for another one.

        Raises:
            ModelError: the score does not depend on a layer, or not on any position that can be drawn.
        """
        if not score.requires_grad:
            raise unconnected(self.layers[0])
        found = torch.autograd.grad(score.sum(), self.outputs, retain_graph=keep, allow_unused=True)
        for layer, layout, gradient in zip(self.layers, self.layouts, found, strict=True):
            if gradient is None:
                raise unconnected(layer)
            if not layout.grid(gradient).any():
                raise blind(layer, layout)
        return found


def unconnected(layer: Layer) -> ModelError:
    """The error for a layer from which no path leads to the logits."""
    return ModelError(f"the logits do not depend on layer {layer.name!r}", hint="choose a layer before the head")


def blind(layer: Layer, layout: Layout) -> ModelError:
    """The error for a layer whose gradient is zero wherever a map could be drawn."""
    hint = "choose an earlier layer"
    if layout.extra:
        hint = (
            "the head reads the class token only: choose the norm in front of the last attention, or an earlier layer"
        )
    return ModelError(f"the gradient of the score at layer {layer.name!r} is zero everywhere", hint=hint)


class _Seen(Exception):
    """Private: all layers have been seen, the rest of the forward pass is not needed."""


def observe(
    classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"], layers: Sequence[Layer], *, stop: bool = False
) -> Seen:
    """Forward `batch` and keep what `layers` put out; with `stop`, go no further than the last of them.

    To be called inside `borrowed(classifier.module)`.

    Raises:
        ModelError: a layer did not run exactly once, gave no tensor, or gave one that is no feature map.
    """
    outputs: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}

    def taking(layer: Layer) -> Callable[[nn.Module, object, object], object]:
        def take(module: nn.Module, inputs: object, output: object) -> object:
            tensor = main_tensor(output, layer)
            node = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
            outputs[layer.name].append(node)
            if stop and all(outputs.values()):
                raise _Seen
            return replaced(output, node.clone())

        return take

    with hooked([(layer.module, taking(layer)) for layer in layers]):
        try:
            logits = logits_of(classifier, batch)
        except _Seen:
            logits = None
    for name, seen in outputs.items():
        if len(seen) != 1:
            raise ModelError(
                f"layer {name!r} ran {len(seen)} times in one forward pass",
                hint="choose a layer that runs once; a shared activation such as `relu` runs more often",
            )
    nodes = tuple(seen[0] for seen in outputs.values())
    picture = (batch.shape[2], batch.shape[3])
    extra = extra_tokens(classifier)
    places = (Place(layer.name, layer.module, picture, extra, len(batch)) for layer in layers)
    layouts = tuple(layout_of(node, place) for node, place in zip(nodes, places, strict=True))
    return Seen(tuple(layers), nodes, layouts, logits)


def logits_of(classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch classes"]:
    """Forward, with the one complaint that a picture of another size brings out of many models made readable.

    Raises:
        ModelError: the model does not take pictures of this size, or its output is not one score per class.
    """
    size = (batch.shape[2], batch.shape[3])
    try:
        logits = classifier.logits(batch)
    except (RuntimeError, AssertionError, ValueError) as error:
        if size == classifier.size:
            raise
        height, width = classifier.size
        raise ModelError(
            f"{classifier.name} cannot be run on a picture of {size[0]} x {size[1]}: {first_line(error)}",
            hint=f"it was made for {height} x {width}: leave out --whole",
        ) from error
    if logits.ndim != 2 or logits.shape[0] != batch.shape[0]:
        seen = " x ".join(map(str, logits.shape))
        raise ModelError(f"{classifier.name} gave {seen} for a batch of {len(batch)}, not one score per class")
    return logits


def main_tensor(output: object, layer: Layer) -> Tensor:
    """The layer's output, or the first tensor of a tuple or list of them.

    Raises:
        ModelError: there is no tensor in it.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, (tuple, list)) and output and isinstance(output[0], Tensor):
        return output[0]
    raise ModelError(
        f"layer {layer.name!r} puts out a {type(output).__name__}, not a tensor", hint="choose a layer inside it"
    )


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


def extra_tokens(classifier: Classifier) -> int | None:
    """Tokens in front of the patch tokens, as the record or an attribute of the model says; None if nothing does."""
    if classifier.extra_tokens is not None:
        return classifier.extra_tokens
    for module in classifier.module.modules():
        for attribute in ("num_prefix_tokens", "num_extra_tokens"):
            count = getattr(module, attribute, None)
            if isinstance(count, int):
                return count
    return None
