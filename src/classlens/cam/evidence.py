"""Run a classifier once and take down what the CAM methods need. Hooks never outlive the call.

The graph is cut at the first layer that is looked at: its output becomes a leaf, and a clone of it goes on. So the
backward pass covers only what follows the layer, and nothing behind it can overwrite in place what was seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Layer
from classlens.cam.grids import Layout
from classlens.cam.passes import hooked, logits_of, main_tensor, replaced
from classlens.cam.reading import layouts
from classlens.cam.repeats import ran_often
from classlens.errors import ModelError

NO_GRADIENT = "passes no gradient on (quantised, or computed under no_grad): take a method that needs none"


@dataclass(frozen=True, eq=False)
class Seen:
    """One forward pass: the output of every layer, as nodes of the graph from the first of them to the logits."""

    layers: tuple[Layer, ...]
    outputs: tuple[Float[Tensor, "..."], ...]
    layouts: tuple[Layout, ...]
    logits: Float[Tensor, "batch classes"] | None

    def gradients(self, score: Float[Tensor, " batch"], *, keep: bool) -> tuple[Float[Tensor, "..."], ...]:
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
            if not gradient.isfinite().all():
                raise ModelError(
                    f"the gradient of the score at layer {layer.name!r} is not finite",
                    hint="numbers grow too large on the way back: compute in float32, or choose a later layer",
                )
            if not layout.grid(gradient).any():
                raise blind(layer, layout)
        return found


def unconnected(layer: Layer) -> ModelError:
    """The error for a layer from which no path leads to the logits."""
    hint = f"choose a layer before the head; if {layer.name} is one, what follows {NO_GRADIENT}"
    return ModelError(f"the logits do not depend on layer {layer.name!r}", hint=hint)


def blind(layer: Layer, layout: Layout) -> ModelError:
    """The error for a layer whose gradient is zero wherever a map could be drawn."""
    hint = "choose an earlier layer"
    if layout.extra:
        hint = (
            "the head reads the class token only: choose the norm in front of the last attention, or an earlier layer"
        )
    return ModelError(f"the gradient of the score at layer {layer.name!r} is zero everywhere", hint=hint)


class _Seen(BaseException):
    """Private: all layers have been seen, the rest of the forward pass is not needed.

    No `Exception`: on its way out it passes code of the user's and of adapters, which handles those.
    """


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
    for layer in layers:
        if len(outputs[layer.name]) != 1:
            raise ran_often(classifier, layer, len(outputs[layer.name]), batch)
    nodes = tuple(seen[0] for seen in outputs.values())
    if logits is None and not all(node.isfinite().all() for node in nodes):
        logits_of(classifier, batch)  # says which layer is to blame
    shapes = [(layer, tuple(node.shape)) for layer, node in zip(layers, nodes, strict=True)]
    return Seen(tuple(layers), nodes, tuple(layouts(classifier, shapes, tuple(batch.shape))), logits)
