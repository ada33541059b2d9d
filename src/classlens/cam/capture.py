"""What layers put out in one forward pass, and the gradients of a score with respect to it."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Layer, layers_of
from classlens.cam.forward import first_tensor, hook_layers, logits_of, noise, replace_tensor
from classlens.cam.layout import Layout, Place, extra_tokens, possible_layouts, unreadable
from classlens.cam.model_state import preserved
from classlens.errors import ModelError

NO_GRADIENT = "passes no gradient on (quantised, or computed under no_grad): take a method that needs none"


@dataclass(frozen=True, eq=False)
class Captured:
    """One forward pass: the output of every layer, as nodes of the graph from the first of them to the logits.

    There are no logits if the pass was stopped at the last layer.
    """

    layers: tuple[Layer, ...]
    outputs: tuple[Float[Tensor, "..."], ...]
    layouts: tuple[Layout, ...]
    logits: Float[Tensor, "batch classes"] | None

    def gradients(self, score: Float[Tensor, " batch"], *, keep: bool) -> tuple[Float[Tensor, "..."], ...]:
        """Gradients of each picture's score with respect to every layer's output; `keep` the graph for another one.

        Raises:
            ModelError: the score does not depend on a layer, or not on any position that can be drawn.
        """
        gradients: tuple[Tensor | None, ...] = (None,) * len(self.layers)
        if score.requires_grad:
            gradients = torch.autograd.grad(score.sum(), self.outputs, retain_graph=keep, allow_unused=True)
        for layer, layout, gradient in zip(self.layers, self.layouts, gradients, strict=True):
            if gradient is None:
                hint = f"choose a layer before the head; if {layer.name} is one, what follows {NO_GRADIENT}"
                raise ModelError(f"the logits do not depend on layer {layer.name!r}", hint=hint)
            if not gradient.isfinite().all():
                raise ModelError(
                    f"the gradient of the score at layer {layer.name!r} is not finite",
                    hint="numbers grow too large on the way back: compute in float32, or choose a later layer",
                )
            if not layout.grid(gradient).any():
                hint = "choose an earlier layer"
                if layout.extra:
                    hint = "the head reads the class token only: choose the norm in front of the last attention, or an earlier layer"
                raise ModelError(f"the gradient of the score at layer {layer.name!r} is zero everywhere", hint=hint)
        return gradients  # type: ignore[return-value]


class _LayersDone(BaseException):
    """Private: all layers have run, the rest of the forward pass is not needed.

    No `Exception`: on its way out it passes code of the user's and of adapters, which handles those.
    """


def observe(
    classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"], layers: Sequence[Layer], *, stop: bool = False
) -> Captured:
    """Forward `batch` and keep what `layers` put out; with `stop`, go no further than the last of them.

    To be called inside `preserved(classifier.module)`.

    Raises:
        ModelError: a layer did not run exactly once, gave no tensor, or gave one that is no feature map.
    """
    outputs: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}

    def cut(layer: Layer, inputs: object, output: object) -> object:
        # What follows gets a clone: an activation that works in place overwrites that, and not what is kept.
        tensor = first_tensor(output)
        if tensor is None:
            kind = type(output).__name__
            raise ModelError(f"layer {layer.name!r} puts out a {kind}, not a tensor", hint="choose a layer inside it")
        node = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
        outputs[layer.name].append(node)
        if stop and all(outputs.values()):
            raise _LayersDone
        return replace_tensor(output, node.clone())

    logits = None
    with hook_layers(layers, cut), suppress(_LayersDone):
        logits = logits_of(classifier, batch)
    for layer in layers:
        if len(outputs[layer.name]) != 1:
            raise ran_often(classifier, layer, len(outputs[layer.name]), batch)
    nodes = tuple(node for (node,) in outputs.values())
    if logits is None and not all(node.isfinite().all() for node in nodes):
        logits_of(classifier, batch)  # its error names the layer to blame
    shapes = [(layer, tuple(node.shape)) for layer, node in zip(layers, nodes, strict=True)]
    layouts = []
    for (layer, shape), layout in zip(shapes, possible_layouts(classifier, shapes, tuple(batch.shape)), strict=True):
        if layout is None:
            picture = (batch.shape[2], batch.shape[3])
            raise unreadable(shape, Place(layer.name, layer.module, picture, extra_tokens(classifier), len(batch)))
        layouts.append(layout)
    return Captured(tuple(layers), nodes, tuple(layouts), logits)


def ran_often(
    classifier: Classifier, layer: Layer, times: int, batch: Float[Tensor, "batch 3 rows columns"]
) -> ModelError:
    """The error for a layer that ran `times` times in one forward pass.

    Its neighbours are found by running once more: layers that run once and whose output goes into it, or is what it
    puts out last.
    """
    message = f"layer {layer.name!r} ran {times} times in one forward pass"
    if not times:
        return ModelError(message, hint="--preview-model shows which layers run, and what they put out")
    outputs: dict[str, list[Tensor]] = {}
    own_inputs: list[Tensor] = []

    def note(one: Layer, inputs: object, output: object) -> None:
        entering, leaving = first_tensor(inputs), first_tensor(output)
        if leaving is not None:
            outputs.setdefault(one.name, []).append(leaving)
        if one.name == layer.name and entering is not None:
            own_inputs.append(entering)

    with torch.no_grad(), hook_layers(layers_of(classifier), note):
        logits_of(classifier, batch[:1])
    last = outputs[layer.name][-1]
    once = {name: tensors[0] for name, tensors in outputs.items() if len(tensors) == 1}
    before = [
        name
        for name, tensor in once.items()
        if not layer.name.startswith(f"{name}.") and any(tensor is one for one in own_inputs)
    ]
    behind = [name for name, tensor in once.items() if tensor is last and name not in before]
    hint = "choose a layer that runs once"
    if before:
        hint += f": it stands behind {' and '.join(before)}"
    if behind:
        hint += f"{',' if before else ':'} and what it puts out last is the output of {behind[0]}"
    return ModelError(message, hint=hint)


def runs_repeatedly(classifier: Classifier) -> ModelError | None:
    """The error for a network all of whose maps are made several times in one pass; None if some are made once.

    It runs its layers again, or on several pictures for one that is fed: turned, mirrored, or cut out of it.
    """
    times: Counter[str] = Counter()

    def note(layer: Layer, inputs: object, output: object) -> None:
        tensor = first_tensor(output)
        if tensor is not None and tensor.ndim > 2:
            times[layer.name] += len(tensor)

    with preserved(classifier.module), torch.no_grad(), hook_layers(layers_of(classifier), note):
        logits_of(classifier, noise(classifier))
    if not times or min(times.values()) < 2:
        return None
    name, count = times.most_common()[-1]
    return ModelError(
        f"every layer of {classifier.name} looks at a picture {count} times or more in one forward pass, {name!r} too",
        hint="does it average what it says of the picture mirrored or cropped? give the network that looks once",
    )
