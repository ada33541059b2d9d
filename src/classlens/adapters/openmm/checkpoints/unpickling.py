"""Unpickling weights only: nothing that a file names is imported or called.

torch's restricted reader knows tensors and plain containers and stops at any other name. Training leaves such names
beside the weights: log buffers, numpy numbers, paths. The ones listed here are read as `Inert`, an object that takes
everything and does nothing; every other name makes the file refused.
"""

import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import IO
from warnings import catch_warnings, simplefilter

import torch
from torch.serialization import safe_globals

from classlens.errors import DataError, first_line
from classlens.sharing import ALONE

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
        """Make one, whatever it is made of."""
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Forget the state."""

    def __hash__(self) -> int:
        return id(self)


def plain_dict(*arguments: object) -> dict[object, object]:
    """What a `defaultdict` becomes: torch's reader puts items into a plain dict only."""
    return {}


def plain_list(*arguments: object) -> list[object]:
    """What a `deque` becomes: torch's reader appends to a plain list only."""
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
    """The error for a file that names what no weights are made of."""
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
