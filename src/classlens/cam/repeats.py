"""What to say about a layer that did not run exactly once: where it stands, and which layers to name instead."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.borrow import borrowed
from classlens.cam.classifier import Classifier, Layer, layers_of
from classlens.cam.passes import first_tensor, hooked, logits_of, noise
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
    with borrowed(classifier.module), torch.no_grad(), hooked(hooks):
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
