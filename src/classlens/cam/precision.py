"""Run a model in fewer bits on request. Only the model's own passes are affected: maps are float32 whatever it is.

Every pass goes through `Classifier.logits`, so that is the one place where autocast is switched on.
"""

from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from classlens.cam.classifier import Classifier

PRECISIONS = ("float32", "bf16")
IN_FEWER_BITS: WeakKeyDictionary[Classifier, Classifier] = WeakKeyDictionary()
"""The records made here, so that what the engine finds out about one is known the next time."""


def computing_in(classifier: Classifier, precision: str) -> Classifier:
    """The same classifier with its passes in that precision, and its logits in float32."""
    if precision == "float32":
        return classifier
    if classifier not in IN_FEWER_BITS:
        IN_FEWER_BITS[classifier] = replace(classifier, logits=autocast_logits(classifier.logits))
    return IN_FEWER_BITS[classifier]


def autocast_logits(logits: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same scores, computed in bfloat16 where torch's autocast holds that for safe."""

    def run(batch: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        with torch.autocast(batch.device.type, torch.bfloat16):
            return logits(batch).float()

    return run
