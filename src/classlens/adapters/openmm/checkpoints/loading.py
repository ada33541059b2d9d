"""Putting weights into a network: all of them, and nothing else.

The network comes on the "meta" device, as names and shapes without numbers, and the tensors of the file become its
parameters. A weight that is missing, left over or of another shape is an error that says what usually causes it.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from classlens.adapters.fitting import listed, renamed
from classlens.adapters.openmm.checkpoints.folding import folded
from classlens.adapters.openmm.checkpoints.upgrades import COMPUTED, upgraded
from classlens.errors import DataError

SHOWN = 6
"""How many names of one kind an error lists before it counts the rest."""

COUNTER = "num_batches_tracked"
"""Old checkpoints lack it; it matters in training only."""

NOT_OF_THE_NETWORK = ("data_preprocessor.", "head.loss", "head.compute_", "ema_", "train_cfg.", "augment")
"""What OpenMMLab's trainers save beside the network."""


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Give `network` (built on the "meta" device) the tensors, as float32.

    Raises:
        DataError: names or shapes differ.
    """
    wanted = network.state_dict()
    named = renamed(tensors, wanted)
    own = {name: ready(tensor) for name, tensor in named.items() if not name.startswith(NOT_OF_THE_NETWORK)}
    given = upgraded(folded(own, network), network)
    for name, slot in wanted.items():
        if name not in given and name.endswith(COUNTER):
            given[name] = torch.zeros((), dtype=torch.int64)
        elif name not in given and name.endswith(COMPUTED):
            given[name] = slot
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    unlike = [name for name in wanted if name in given and given[name].shape != wanted[name].shape]
    if missing or unexpected or unlike:
        shapes = [f"{name} {tuple(given[name].shape)} instead of {tuple(wanted[name].shape)}" for name in unlike]
        found = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
        told = "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in found.items() if names)
        raise DataError(
            f"{where} does not fit the config's model: {told}", hint=usual_cause(missing, unexpected, unlike)
        )
    network.load_state_dict(given, strict=True, assign=True)


def ready(tensor: Tensor) -> Tensor:
    """Half-precision weights as float32, so that every network computes alike."""
    return tensor.float() if tensor.is_floating_point() else tensor


def usual_cause(missing: Sequence[str], unexpected: Sequence[str], unlike: Sequence[str]) -> str:
    """What most often makes a checkpoint not fit."""
    if any(".rbr_" in name or ".branch_" in name or "_reparam." in name for name in (*missing, *unexpected)):
        return "one is the training form of the network, the other its deploy form: set model.backbone.deploy to match"
    if unlike and not missing and not unexpected and all(name.startswith("head.") for name in unlike):
        return "the number of classes differs: set model.head.num_classes to that of the checkpoint"
    if missing and unexpected and len(missing) > SHOWN:
        return "the checkpoint belongs to another network: compare its file name with the config's"
    if missing and all(name.startswith("head.") for name in missing):
        return "the checkpoint holds a backbone only, as after pre-training: it gives no class scores"
    return "config and checkpoint must belong together: compare depth, arch and head"
