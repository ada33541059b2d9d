"""Weights of any trainer: read without running what is in the file, and put into a network that has the layers already.

Nothing in a checkpoint is executed, unless the user vouches for it: pickles go through torch's restricted reader, with
stand-ins for what trainers are known to log beside the weights. A network gets every one of its tensors, or a clear refusal.
"""

import hashlib
import pickle
import pickletools
import re
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import IO, Any

import torch
from torch import Tensor, nn
from torch.serialization import safe_globals

from classlens.checkpoints.check_records import LEGACY_PICKLES, STUMBLES, Placeholder, check_records
from classlens.checkpoints.class_names import KEYS, names_in
from classlens.checkpoints.download import find_checkpoint
from classlens.errors import DataError, MissingDependency, first_line, join_first
from classlens.files import open_regular
from classlens.sharing import unwarned

KNOWN_SHA256 = {"efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"}
"""Weights that must be byte for byte what they were when this was written, by file name."""

HARMLESS = {
    *("mmengine", "mmcv", "mmcls", "mmpretrain", "mmdet", "mmselfsup", "addict", "yacs", "omegaconf"),
    *("numpy", "pathlib", "datetime", "argparse", "collections", "_codecs"),
    *("builtins.getattr", "builtins.dict", "builtins.list", "builtins.tuple", "builtins.set", "builtins.frozenset"),
    *("builtins.slice", "builtins.range", "builtins.int", "builtins.float", "builtins.bool", "builtins.str"),
}
"""Packages and built-in names whose objects stand in checkpoints beside the weights, never in them.

As stand-ins the latter do nothing either (`getattr` comes with bound methods).
"""

PLAIN = {"collections.OrderedDict", "_codecs.encode", "builtins.bytearray", "builtins.set", "collections.Counter"}
"""What torch's reader takes by itself, beside its own names."""


STAND_INS: Mapping[str, Callable[..., object]] = {
    "collections.defaultdict": lambda *arguments: {},
    "collections.deque": lambda *arguments: [],
}
"""For everything else, `Placeholder`."""


class UsersUnpickler(pickle.Unpickler):
    """Finds the classes of a script, which pickles know as `__main__` or by its name, in the file behind a `py:` address."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - whatever the pickle names
        try:
            return super().find_class(module, name)
        except (AttributeError, ModuleNotFoundError):
            own = [one for key, one in sys.modules.items() if key.startswith("classlens_user_") and hasattr(one, name)]
            if not own:
                raise
            return getattr(own[-1], name)


USERS_PICKLE = SimpleNamespace(
    __name__="pickle", Unpickler=UsersUnpickler, load=lambda file, **how: UsersUnpickler(file, **how).load()
)
"""What torch takes in place of the module `pickle`."""


def unpickle(path: Path, *, trust: bool, is_known: bool = False) -> object:
    """What torch wrote into `path`, with stand-ins for what is known to be harmless; run as it is if the user vouches.

    Its records are checked before, unless the file is known by its digest.
    """
    if not (trust or is_known):
        check_records(path)
    try:
        if trust:
            with unwarned():
                return torch.load(path, map_location="cpu", weights_only=False, pickle_module=USERS_PICKLE)
        with unwarned():  # torch's restricted reader warns of pickles that it may fail to read; it fails by an error
            with suppress(UnpicklingError):
                return torch.load(path, map_location="cpu", weights_only=True)
            names = sorted(foreign_names(path))
            if refused := [name for name in names if not {name, name.partition(".")[0]} & HARMLESS]:
                raise refusal(path, ", ".join(refused))
            with safe_globals([(STAND_INS.get(name, Placeholder), name) for name in names]):
                return torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        hint = f"pip install {error.name}, or run from the folder of {error.name}.py where that is your own"
        raise DataError(f"{path} needs another package: {error}", hint=hint) from error
    except UnpicklingError as error:
        if match := re.search(r"GLOBAL (\S+) was not an allowed global", str(error)):
            raise refusal(path, match[1]) from error
        last = str(error).strip().splitlines()[-1:]
        raise DataError(f"{path} was refused: it is no checkpoint, or a damaged one", hint="".join(last)) from error
    except STUMBLES as error:
        if "weights_only" in str(error):
            raise refusal(path, "a program: it is of TorchScript, or of torch's oldest kind") from error
        of_script = "Can't get attribute" in str(error)
        hint = "it keeps a class of the script that wrote it: open py:FILE.py:NAME, or save model.state_dict()"
        what = f"{path} cannot be read as a checkpoint: {first_line(error)}"
        raise DataError(what, hint=hint if of_script else "") from error


def refusal(path: Path, names: str) -> DataError:
    return DataError(
        f"{path} was refused: it wants to load {names}",
        hint="weights need no code; if you know who wrote it, --trust-checkpoint lets it run",
    )


def foreign_names(path: Path) -> set[str]:
    """Every `module.name` in the pickles of `path` that torch's reader does not take, found without running them."""
    names = set()
    with ExitStack() as stack, suppress(ValueError):  # that of what is no pickle at all
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        pickles = LEGACY_PICKLES
        if zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(file))
            inside = [name for name in archive.namelist() if name.endswith("data.pkl")]
            pickles, file = 1, stack.enter_context(archive.open(inside[0]))
        for opcode, argument, _ in chain.from_iterable(pickletools.genops(file) for _ in range(pickles)):
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                # Protocol 2 writes the names of Python 2, and torch's reader looks for those of Python 3.
                module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                if module.partition(".")[0] != "torch" and f"{module}.{name}" not in PLAIN:
                    names.add(f"{module}.{name}")
            elif opcode.name in ("STACK_GLOBAL", "INST"):
                names.add(f"what it names only while it is read ({opcode.name})")
    return names


CONTAINERS = (
    *("state_dict_ema", "model_ema", "params_ema", "state_dict", "model", "model_state_dict", "net", "weights"),
    *("network", "params", "module"),
)
"""Where trainers put the weights; averaged ones first, as they are evaluated. Without such a key the file is the weights."""

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Steps of names that come from DataParallel and `AveragedModel`, `torch.compile`, sharding, and checkpointing."""

AVERAGE_COUNTERS = ("n_averaged", "steps")  # single numbers that averages of weights keep beside them
BATCH_COUNTER = "num_batches_tracked"
"""How the name of a batch norm's counter ends. Old checkpoints lack it; it matters in training only."""

LISTED = 6  # how many names of one kind an error lists before it counts the rest
FED_AS = "the checkpoint does not say how its pictures are prepared: they are fed as those of"
"""The note on a user's checkpoint in a network by name."""


@dataclass(frozen=True)
class Weights:
    """Tensors by parameter name, and the names of the classes that they were trained for, where the file has them."""

    tensors: Mapping[str, Tensor]
    classes: tuple[str, ...] | None = None


class Misfit(DataError):
    """Weights and a network that do not belong together: the names on one side only, and those of another shape."""

    def __init__(
        self, message: str, hint: str, missing: tuple[str, ...], unexpected: tuple[str, ...], unlike: tuple[str, ...]
    ) -> None:
        super().__init__(message, hint=hint)
        self.missing, self.unexpected, self.unlike = missing, unexpected, unlike


def load_checkpoint(network: nn.Module, address: str, *, trust: bool = False) -> tuple[str, ...] | None:
    """Put the weights at `address` (a path, an https URL or `package:NAME/PATH`) into the network; their class names."""
    path = find_checkpoint(address)
    weights = read_weights(path, trust=trust)
    fit_weights(network, match_names(weights.tensors, network.state_dict()), where=path)
    return weights.classes


def read_weights(path: Path, *, trust: bool = False) -> Weights:
    """Read a checkpoint of any trainer. `trust` lets its pickle run."""
    if expected := KNOWN_SHA256.get(path.name):
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != expected:
            raise DataError(
                f"{path} is not the file it claims to be: sha256 {actual[:16]}..., expected {expected[:16]}...",
                hint="install the package again that ships it",
            )
    if path.suffix == ".safetensors":
        content: object = read_safetensors(path)
    else:
        content = unpickle(path, trust=trust, is_known=expected is not None)
    content = {"model": content} if isinstance(content, nn.Module) else content  # torch.save(model)
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds a {type(content).__name__}, not weights by name")
    state = next((content[key] for key in CONTAINERS if isinstance(content.get(key), (Mapping, nn.Module))), content)
    state = state.state_dict() if isinstance(state, nn.Module) else state
    plain = {str(name): tensor for name, tensor in state.items() if isinstance(name, str | int)}
    tensors = {name: tensor for name, tensor in plain.items() if isinstance(tensor, Tensor)}
    if not tensors:
        keys = ", ".join(str(key)[:40] for key in list(content)[:12] if isinstance(key, str | int))
        raise DataError(f"{path} holds no weights", hint=f"its keys are: {keys}")
    # Class names are `meta.CLASSES` in 0.x, `meta.dataset_meta.classes` in 1.x; other trainers have other places.
    holders = [content, *(content.get(key) for key in ("meta", "hyper_parameters", "hparams", "config"))]
    holders += [one["dataset_meta"] for one in holders if isinstance(one, Mapping) and "dataset_meta" in one]
    candidates = [one[key] for one in holders if isinstance(one, Mapping) for key in KEYS if key in one]
    classes = next(filter(None, map(names_in, candidates)), None)
    return Weights({bare: tensors[name] for bare, name in plain_names(tensors).items()}, classes)


def read_safetensors(path: Path) -> object:
    """Every tensor by name, in memory of its own: a file that a training run overwrites must not change them."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise MissingDependency("safetensors", extra="cam") from error
    try:
        with open_regular(path, "checkpoint"):
            return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except (*STUMBLES, SafetensorError) as error:  # its header may promise what the file does not hold
        raise DataError(f"{path} is no readable safetensors file: {error}") from error


def plain_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The names without the steps that parallel, compiled and averaging wrappers put in, anywhere, and as they were.

    Where two would become alike, such as weights and their own average, all stay as they are. What averages count
    beside the weights is left out.
    """
    names = [name for name, tensor in tensors.items() if name not in AVERAGE_COUNTERS or tensor.ndim]
    bare = [".".join(step for step in name.split(".") if step not in WRAPPERS) for name in names]
    return dict(zip(bare if len(set(bare)) == len(bare) else names, names, strict=True))


def match_names(tensors: Mapping[str, Tensor], slots: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the network's own names, without what wrappers and trainers put in front of or into them.

    One prefix, any number of steps long, is taken off or put in front: that with which most names match. Where all that
    are left over end as one free slot each does, and have its shape, they are put there: a head that lacks its own prefix.
    """
    slot_names, own, best = plain_names(slots), plain_names(tensors), []
    for long, short in ((own, slot_names), (slot_names, own)):
        starts = ((name, start.end()) for name in long for start in re.finditer(r"^|\.", name))
        votes = Counter(name[:end] for name, end in starts if name[end:] in short)
        best.append(max(((count, -len(prefix), prefix) for prefix, count in votes.items()), default=(0, 0, "")))
    (matches_off, _, off), (matches_on, _, on) = best
    is_longer = matches_off >= matches_on
    stays = {name for name in own if not is_longer and name in slot_names and on + name not in slot_names}
    renamed = {name: name.removeprefix(off) if is_longer else name if name in stays else on + name for name in own}
    named = {renamed[name]: old for name, old in own.items()}
    named = named if len(named) == len(own) else own  # two that would become one stay as they are
    free = [name for name in slot_names if name not in named]
    left = {new: name for name, new in renamed.items() if new not in slot_names} if len(free) < len(slot_names) else {}
    ends = {new: [slot for slot in free if slot.endswith(f".{name}")] for new, name in left.items() if "." in name}
    sure = {new: slots[0] for new, slots in ends.items() if len(slots) == 1}
    alike = (tensors[named[new]].shape == slots[slot_names[slot]].shape for new, slot in sure.items() if new in named)
    if left and len(set(sure.values())) == len(left) and all(alike):
        named = {sure.get(new, new): old for new, old in named.items()}
    return {slot_names.get(name, name): tensors[old] for name, old in named.items()}


def usual_cause(missing: list[str], unexpected: list[str], unlike: list[str]) -> str:
    """What most often makes a checkpoint not fit."""
    if unlike and not missing and not unexpected:
        return "the number of classes or the picture size differs: add e.g. ?num_classes=10 to the model's address"
    if not missing and not unlike:
        return "the checkpoint holds more than this network: save the network's own state_dict"
    return "checkpoint and model must be of the same architecture: compare the names above"


def fit_weights(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    where: str | Path,
    cause: Callable[[list[str], list[str], list[str]], str] = usual_cause,
) -> None:
    """Give the network the tensors, all that it has; one that is on the device "meta" takes them over, uncopied.

    Where names or shapes differ, the hint is the `cause` of what is missing, unexpected and of another shape.
    """
    slots = network.state_dict()
    missing = [name for name in slots if name not in tensors and not name.endswith(BATCH_COUNTER)]
    unexpected = [name for name in tensors if name not in slots]
    unlike = [name for name, slot in slots.items() if name in tensors and tensors[name].shape != slot.shape]
    if missing or unexpected or unlike:
        shapes = [f"{name} {tuple(tensors[name].shape)} instead of {tuple(slots[name].shape)}" for name in unlike]
        differences = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
        details = "; ".join(
            f"{len(names)} {kind}: {join_first(names, LISTED)}" for kind, names in differences.items() if names
        )
        message, hint = f"{where} does not fit the model: {details}", cause(missing, unexpected, unlike)
        raise Misfit(message, hint, tuple(missing), tuple(unexpected), tuple(shapes))
    is_meta = any(slot.is_meta for slot in slots.values())
    counters = {name: torch.zeros((), dtype=torch.int64) for name in slots if is_meta and name.endswith(BATCH_COUNTER)}
    network.load_state_dict({**counters, **tensors}, strict=False, assign=is_meta)
