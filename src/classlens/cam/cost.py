"""What slow methods will cost, before they start: how often they run the network, and how long that takes."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from time import monotonic
from typing import Any
from weakref import ref

import numpy as np
import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from classlens.cam.classifier import Classifier, Layer
from classlens.cam.explain import ExplainJob, ExplainOptions, explain_fed
from classlens.cam.hooks import logits_of, noise
from classlens.cam.layers import survey
from classlens.cam.methods import METHODS, find_method
from classlens.cam.model_state import preserved
from classlens.cam.probe import quickest_order
from classlens.image import Image


def runs_ahead(
    classifier: Classifier, methods: Sequence[str], layers: Sequence[Layer], manner: ExplainOptions
) -> dict[str, int]:
    """For each slow method how often it will run the network for one picture and class; quick ones are left out."""
    slow = [METHODS[name] for name in methods if METHODS[name].asks]
    if not slow:
        return {}
    channels = [
        seen.shape[1 if seen.layout.kind == "channels first" else -1]
        for seen in survey(classifier, layers)
        if seen.layout
    ]
    return {
        one.name: manner.variants
        * sum(one.passes(count, manner.samples) for count in (channels[:1] if one.at == "input" else channels))
        for one in slow
    }


def seconds_a_run(classifier: Classifier, batch_size: int) -> float:
    """The time that one picture takes in a full batch, from a single try after one to warm up."""
    with preserved(classifier.module), torch.no_grad():
        order = quickest_order(classifier, noise(classifier))
        batch = noise(classifier).expand(batch_size, -1, -1, -1).contiguous(memory_format=order)
        logits_of(classifier, batch[:2])
        start = monotonic()
        logits_of(classifier, batch)
    return (monotonic() - start) / batch_size


MEGABYTE = 1_000_000


def affordable(classifier: Classifier, batch_size: int, megabytes: float, layers: Sequence[Layer]) -> int:
    """The batch size, halved until a batch fits into the budget; never less than one picture."""
    needed = peak_of_one(classifier, layers)
    while batch_size > 1 and batch_size * needed > megabytes * MEGABYTE:
        batch_size //= 2
    return batch_size


def peak_of_one(classifier: Classifier, layers: Sequence[Layer]) -> int:
    """Bytes that are held at most while one picture of the classifier's size is explained at these layers."""
    pixels = np.random.default_rng(0).integers(0, 256, (*classifier.size, 3), dtype=np.uint8)
    weights = chain(classifier.module.parameters(), classifier.module.buffers())
    with Ledger({weight.untyped_storage().data_ptr() for weight in weights}) as ledger:
        explain_fed(
            ExplainJob(classifier, (find_method("GradCAM"),), tuple(layers), (), ExplainOptions()), [Image(pixels)]
        )
    return int(ledger.most)


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode of torch, which is why this is a class: bytes `held` now, and the `most` that were at any time.

    Blocks at the addresses `there` were there before, such as weights; views of them cost nothing.
    """

    def __init__(self, there: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.there = there
        self.held: int = 0
        self.most: int = 0
        self.blocks: dict[int, ref[UntypedStorage]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """What torch calls in place of each of its kernels."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.enter(tensor.untyped_storage())
        return result

    def enter(self, block: UntypedStorage) -> None:
        """Count a block of memory once, until it is given back."""
        key, size = id(block), block.nbytes()
        if key in self.blocks or block.data_ptr() in self.there:
            return

        def leave(_: object) -> None:
            del self.blocks[key]
            self.held -= size

        self.blocks[key] = ref(block, leave)
        self.held += size
        self.most = max(self.most, self.held)
