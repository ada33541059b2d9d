"""Reading weights out of a file: which of its tensors are the network's, and what it says about the classes.

OpenMMLab's files hold the weights under `state_dict`, the averaged ones first where training kept an average
(mmengine swaps them in before it saves). How a file is opened without running it is in `unpickling.py`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from classlens.adapters.naming import names_beside
from classlens.adapters.openmm.checkpoints.safetensors import read_safetensors
from classlens.adapters.openmm.checkpoints.unpickling import unpickle_trusted, unpickle_weights
from classlens.adapters.openmm.weights import KNOWN_SHA256, is_lite0_port, lite0_names
from classlens.errors import DataError

CONTAINERS = ("state_dict", "model")
"""Under which key the weights stand; a file without any of them is the weights themselves."""

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Steps of names that come from DataParallel and `AveragedModel`, `torch.compile`, sharding, and checkpointing."""

COUNTERS = ("n_averaged", "steps")
"""Single numbers that averages of weights keep beside them."""


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
    content = mapping_in(path, trust=trust)
    named = tensors_in(content, path, CONTAINERS)
    tensors = {bare: named[name] for bare, name in plain_names(named).items()}
    if is_lite0_port(tensors):
        tensors = lite0_names(tensors)
    return Weights(tensors, classes_in(content))


def mapping_in(path: Path, *, trust: bool) -> Mapping[Any, Any]:
    """What a checkpoint holds, by name.

    Raises:
        DataError: it cannot be read, wants to run code, or holds something else.
    """
    content = content_of(path, trust=trust)
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds a {type(content).__name__}, not weights by name")
    return content


def tensors_in(content: Mapping[Any, Any], path: Path, containers: Sequence[str]) -> dict[str, Tensor]:
    """The weights, which stand under one of the keys, or are all that is there.

    Raises:
        DataError: there are none.
    """
    state = next((content[key] for key in containers if isinstance(content.get(key), Mapping)), content)
    tensors = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise DataError(f"{path} holds no weights", hint=f"its keys are: {', '.join(map(str, list(content)[:12]))}")
    return tensors


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


def plain_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The names without the steps that parallel, compiled and averaging wrappers put in, anywhere, and as they were.

    Where two would become alike, such as weights and their own average, all stay as they are. What averages count
    beside the weights is left out.
    """
    names = [name for name, tensor in tensors.items() if name not in COUNTERS or tensor.ndim]
    bare = [".".join(step for step in name.split(".") if step not in WRAPPERS) for name in names]
    return dict(zip(bare if len(set(bare)) == len(bare) else names, names, strict=True))


def classes_in(content: Mapping[Any, Any]) -> tuple[str, ...] | None:
    """Class names as `meta.CLASSES` (0.x), `meta.dataset_meta.classes` (1.x), or other trainers give them."""
    holders = [content, *(content.get(key) for key in ("meta", "hyper_parameters", "hparams", "config"))]
    meta = content.get("meta")
    holders += [meta.get("dataset_meta")] if isinstance(meta, Mapping) else []
    return next((names for one in holders if isinstance(one, Mapping) and (names := names_beside(one))), None)
