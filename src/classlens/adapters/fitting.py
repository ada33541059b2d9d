"""Weights of any trainer into a network that already has its layers: every one of them, or a clear refusal."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from classlens.adapters.openmm.checkpoints.address import find_checkpoint
from classlens.adapters.openmm.checkpoints.reading import content_of
from classlens.errors import DataError

CONTAINERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net", "weights")
"""Where trainers put the weights, the averaged ones first, as they are the ones that are evaluated."""

SHOWN = 6
"""How many names of one kind an error lists before it counts the rest."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.")
"""What data-parallel, compiled and Lightning modules put in front of every name."""


def load_checkpoint(network: nn.Module, address: str, *, trust: bool = False) -> None:
    """Put the weights at `address` (a path, an https URL or `package:NAME/PATH`) into the network.

    Raises:
        DataError: the file is missing, unreadable, or does not fit the network.
    """
    path = find_checkpoint(address)
    tensors = read_tensors(path, trust=trust)
    wanted = network.state_dict()
    given = renamed(tensors, wanted)
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in wanted]
    unlike = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(wanted[name].shape)}"
        for name, tensor in given.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    if missing or unexpected or unlike:
        found = {"missing": missing, "unexpected": unexpected, "of another shape": unlike}
        told = "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in found.items() if names)
        raise DataError(f"{path} does not fit the model: {told}", hint=usual_cause(missing, unexpected))
    network.load_state_dict(given, strict=False)


def read_tensors(path: Path, *, trust: bool) -> dict[str, Tensor]:
    """Tensors by name from a pickle (never run unless trusted) or a safetensors file.

    Raises:
        DataError: the file cannot be read, or holds no weights.
    """
    content = content_of(path, trust=trust)
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds a {type(content).__name__}, not weights by name")
    state = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), content)
    tensors = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise DataError(f"{path} holds no weights", hint=f"its keys are: {', '.join(map(str, list(content)[:12]))}")
    return tensors


def renamed(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without what a trainer put in front of all names, as far as that makes more of them fit."""
    current = dict(tensors)
    for _ in range(2):
        fitting = len(current.keys() & wanted.keys())
        for prefix in PREFIXES:
            shorter = {name.removeprefix(prefix): tensor for name, tensor in current.items()}
            if len(shorter.keys() & wanted.keys()) > fitting:
                current, fitting = shorter, len(shorter.keys() & wanted.keys())
    return current


def listed(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def usual_cause(missing: list[str], unexpected: list[str]) -> str:
    """What most often makes a checkpoint not fit."""
    if not missing and not unexpected:
        return "the number of classes or the picture size differs: add e.g. ?num_classes=10 to the model's address"
    return "checkpoint and model must be of the same architecture: compare the names above"
