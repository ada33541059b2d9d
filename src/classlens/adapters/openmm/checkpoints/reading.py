"""Reading weights out of a file: which of its tensors are the network's, and what it says about the classes.

OpenMMLab's files hold the weights under `state_dict`, the averaged ones first where training kept an average
(mmengine swaps them in before it saves). How a file is opened without running it is in `unpickling.py`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from classlens.adapters.openmm.checkpoints.safetensors import read_safetensors
from classlens.adapters.openmm.checkpoints.unpickling import unpickle_trusted, unpickle_weights
from classlens.adapters.openmm.weights import KNOWN_SHA256, is_lite0_port, lite0_names
from classlens.errors import DataError

CONTAINERS = ("state_dict", "model")
"""Under which key the weights stand; a file without any of them is the weights themselves."""


@dataclass(frozen=True)
class Weights:
    """Tensors by parameter name, and what the file says about the classes they were trained for."""

    tensors: Mapping[str, Tensor]
    classes: tuple[str, ...] | None = None


def read_weights(path: Path, *, trust: bool = False) -> Weights:
    """Read a checkpoint of OpenMMLab, of any generation. `trust` lets its pickle run.

    Raises:
        DataError: the file is damaged, is no checkpoint, or wants to run code.
    """
    verify(path)
    content = content_of(path, trust=trust)
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds a {type(content).__name__}, not weights by name")
    state: Mapping[str, object] = next(
        (content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), content
    )
    tensors = {without_wrapper(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise DataError(f"{path} holds no weights", hint=f"its keys are: {', '.join(map(str, list(content)[:12]))}")
    if is_lite0_port(tensors):
        tensors = lite0_names(tensors)
    return Weights(tensors, classes_of(content))


def verify(path: Path) -> None:
    """Compare a file whose content is known with its sha256.

    Raises:
        DataError: it is another file under the same name.
    """
    expected = KNOWN_SHA256.get(path.name)
    if expected is None:
        return
    with path.open("rb") as file:
        seen = hashlib.file_digest(file, "sha256").hexdigest()
    if seen != expected:
        raise DataError(
            f"{path} is not the file it claims to be: sha256 {seen[:16]}..., expected {expected[:16]}...",
            hint="install the package again that ships it",
        )


def content_of(path: Path, *, trust: bool) -> object:
    """The object in the file.

    Raises:
        DataError: it cannot be read, or wants to run code.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    return unpickle_trusted(path) if trust else unpickle_weights(path)


def without_wrapper(name: str) -> str:
    """A parameter's name without the prefix that data-parallel training puts in front."""
    return name.removeprefix("module.")


def classes_of(content: Mapping[str, object]) -> tuple[str, ...] | None:
    """Class names as `meta.CLASSES` (0.x) or `meta.dataset_meta.classes` (1.x) give them."""
    meta = content.get("meta")
    if not isinstance(meta, Mapping):
        return None
    dataset = meta.get("dataset_meta")
    given = meta.get("CLASSES")
    if given is None and isinstance(dataset, Mapping):
        given = dataset.get("classes", dataset.get("CLASSES"))
    if isinstance(given, list | tuple) and all(isinstance(name, str) for name in given):
        return tuple(given)
    return None
