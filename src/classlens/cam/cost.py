"""What it costs to explain pictures, known before: runs of the network, seconds, and memory."""

from collections.abc import Sequence
from itertools import chain
from time import monotonic

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from classlens.cam.classifier import Classifier, Layer, layers_of, preserved
from classlens.cam.evidence import observe, quickest_order
from classlens.cam.explain import VARIANTS, ExplainOptions
from classlens.cam.forward import hook_layers, logits_of, noise
from classlens.cam.layers import survey
from classlens.cam.methods import METHODS


def count_runs(
    classifier: Classifier, methods: Sequence[str], layers: Sequence[Layer], options: ExplainOptions
) -> dict[str, int]:
    """For each slow method how often it will run the network for one picture and class; quick ones are left out."""
    slow = [METHODS[name] for name in methods if METHODS[name].asks]
    layouts = [(one.layout, one.shape) for one in survey(classifier, layers) if one.layout]
    channels = [shape[1 if layout.kind == "channels first" else -1] for layout, shape in layouts]
    runs = {}
    for method in slow:
        passes = [method.passes(count, options.samples) for count in channels]
        runs[method.name] = sum(passes[:1] if method.at == "input" else passes)
    return {name: count * (len(VARIANTS) if options.aug_smooth else 1) for name, count in runs.items()}


def seconds_per_run(classifier: Classifier, batch_size: int) -> float:
    """The time that one picture takes in a full batch, from a single try after one to warm up."""
    with preserved(classifier.module), torch.no_grad():
        order = quickest_order(classifier, noise(classifier))
        batch = noise(classifier).expand(batch_size, -1, -1, -1).contiguous(memory_format=order)
        logits_of(classifier, batch[:2])
        start = monotonic()
        logits_of(classifier, batch)
    return (monotonic() - start) / batch_size


def affordable_batch_size(classifier: Classifier, batch_size: int, megabytes: float, layers: Sequence[Layer]) -> int:
    """The batch size, halved until a batch fits into the budget; never less than one picture."""
    needed = estimate_peak(classifier, layers)
    while batch_size > 1 and batch_size * needed > megabytes * 1_000_000:
        batch_size //= 2
    return batch_size


def estimate_peak(classifier: Classifier, layers: Sequence[Layer]) -> int:
    """Bytes that are held at most, estimated, while one picture of the classifier's size is explained at these layers.

    What autograd keeps, and three times the largest output: on common networks 0.95 to 1.5 times what torch hands out.
    """
    own = chain(classifier.module.parameters(), classifier.module.buffers())
    weights = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept: dict[int, int] = {}
    sizes = [0]

    def keep(tensor: Tensor) -> Tensor:
        block = tensor.untyped_storage()
        kept[block.data_ptr()] = block.nbytes()
        return tensor

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        sizes.append(leaving.untyped_storage().nbytes())

    picture, hooks = noise(classifier), hook_layers(layers_of(classifier), note)
    with preserved(classifier.module), hooks, saved_tensors_hooks(keep, lambda one: one):
        captured = observe(classifier, picture, layers)
    for tensor in (picture, *captured.outputs):
        keep(tensor)
    return sum(size for block, size in kept.items() if block not in weights) + 3 * max(sizes)
