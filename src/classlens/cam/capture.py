"""What to say about a layer that did not run exactly once: where it stands, and which layers to name instead."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Layer, layers_of
from classlens.cam.hooks import first_tensor, hooked, logits_of, main_tensor, noise, replaced
from classlens.cam.layout import Layout
from classlens.cam.layout_inference import layouts
from classlens.cam.model_state import preserved
from classlens.errors import ModelError


def ran_often(
    classifier: Classifier, layer: Layer, times: int, batch: Float[Tensor, "batch 3 rows columns"]
) -> ModelError:
    """The error for a layer that ran `times` times in one forward pass.

    Its neighbours are found by running once more: layers whose output goes into it, or is what it puts out last.
    """
    message = f"layer {layer.name!r} ran {times} times in one forward pass"
    if not times:
        return ModelError(message, hint="--preview-model shows which layers run, and what they put out")
    before, behind = neighbours(classifier, layer, batch[:1])
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

    def noting(name: str) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, inputs: object, output: object) -> None:
            tensor = first_tensor(output)
            if tensor is not None and tensor.ndim > 2:
                times[name] += len(tensor)

        return note

    hooks = [(layer.module, noting(layer.name)) for layer in layers_of(classifier)]
    with preserved(classifier.module), torch.no_grad(), hooked(hooks):
        logits_of(classifier, noise(classifier))
    if not times or min(times.values()) < 2:
        return None
    name, count = times.most_common()[-1]
    return ModelError(
        f"every layer of {classifier.name} looks at a picture {count} times or more in one forward pass, {name!r} too",
        hint="does it average what it says of the picture mirrored or cropped? give the network that looks once",
    )


def neighbours(
    classifier: Classifier, layer: Layer, picture: Float[Tensor, "1 3 rows columns"]
) -> tuple[list[str], list[str]]:
    """Layers that run once: those whose output the layer takes, and those that put out what it gave last."""
    given: dict[str, list[Tensor]] = {}
    taken: list[Tensor] = []

    def noting(name: str) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, inputs: object, output: object) -> None:
            came, went = first_tensor(inputs), first_tensor(output)
            if went is not None:
                given.setdefault(name, []).append(went)
            if name == layer.name and came is not None:
                taken.append(came)

        return note

    hooks = [(one.module, noting(one.name)) for one in layers_of(classifier)]
    with torch.no_grad(), hooked(hooks):
        logits_of(classifier, picture)
    last = given[layer.name][-1]
    once = {name: tensors[0] for name, tensors in given.items() if len(tensors) == 1}
    around = {name for name in once if layer.name.startswith(f"{name}.")}
    before = [name for name, tensor in once.items() if name not in around and any(tensor is one for one in taken)]
    return before, [name for name, tensor in once.items() if tensor is last and name not in before]


NO_GRADIENT = "passes no gradient on (quantised, or computed under no_grad): take a method that needs none"


@dataclass(frozen=True, eq=False)
class Captured:
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
) -> Captured:
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
    return Captured(tuple(layers), nodes, tuple(layouts(classifier, shapes, tuple(batch.shape))), logits)
