"""Weights of any trainer into a network that already has its layers: every one of them, or a clear refusal."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping

from torch import Tensor, nn

from classlens.checkpoints.download import find_checkpoint
from classlens.checkpoints.read_weights import classes_in, mapping_in, plain_names, tensors_in
from classlens.errors import DataError

CONTAINERS = (
    *("state_dict_ema", "model_ema", "params_ema", "state_dict", "model", "model_state_dict", "net", "weights"),
    *("network", "params", "module"),
)
"""Where trainers put the weights, the averaged ones first, as they are the ones that are evaluated."""

SHOWN = 6
"""How many names of one kind an error lists before it counts the rest."""


def load_checkpoint(network: nn.Module, address: str, *, trust: bool = False) -> tuple[str, ...] | None:
    """Put the weights at `address` (a path, an https URL or `package:NAME/PATH`) into the network.

    Returns:
        The class names in the file, if there are any.

    Raises:
        DataError: the file is missing, unreadable, or does not fit the network.
    """
    path = find_checkpoint(address)
    content = mapping_in(path, trust=trust)
    wanted = network.state_dict()
    given = renamed(tensors_in(content, path, CONTAINERS), wanted)
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
    return classes_in(content)


def renamed(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the network's own names, without what wrappers and trainers put in front of or into them.

    One prefix, any number of steps long, is taken off or put in front: that with which most names fit.
    """
    slots, given = plain_names(wanted), plain_names(tensors)
    off, on = fits(given, slots), fits(slots, given)
    less, more = (max(votes, key=lambda one: (votes[one], -len(one)), default="") for votes in (off, on))
    if off[less] >= on[more]:
        named = {name.removeprefix(less): own for name, own in given.items()}
    else:
        named = {more + name: own for name, own in given.items()}
    named = named if len(named) == len(given) else given  # two that would become one stay as they are
    return {slots.get(name, name): tensors[own] for name, own in named.items()}


def fits(long: Iterable[str], short: Container[str]) -> Counter[str]:
    """Every prefix without which some of the long names are short ones, with the number of them."""
    starts = ((name, place) for name in long for place in (0, *(dot.end() for dot in re.finditer(r"\.", name))))
    return Counter(name[:place] for name, place in starts if name[place:] in short)


FED_AS = "the checkpoint does not say how its pictures are prepared: they are fed as those of"
"""What is said of a checkpoint of the user's own in a network by name."""


def listed(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def usual_cause(missing: list[str], unexpected: list[str]) -> str:
    """What most often makes a checkpoint not fit."""
    if not missing and not unexpected:
        return "the number of classes or the picture size differs: add e.g. ?num_classes=10 to the model's address"
    if not missing:
        return "the checkpoint holds more than this network: save the network's own state_dict"
    return "checkpoint and model must be of the same architecture: compare the names above"
