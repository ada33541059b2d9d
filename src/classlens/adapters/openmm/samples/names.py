"""Pictures that are known by their names alone, in archives and behind addresses: classes, splits, what is left out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from classlens.adapters.openmm.samples.listing import Listing
from classlens.dataset.dataset import Sample
from classlens.dataset.folder import EVERY_EXTENSION
from classlens.dataset.remote import names_behind
from classlens.errors import DataError

SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""How the folders of the splits may be called."""


def shown_of(names: Iterable[str], left_out: Counter[str]) -> list[str]:
    """The pictures among files, in order; what is left out is counted."""
    shown = []
    for name in names:
        if any(part.startswith((".", "__MACOSX")) for part in name.removeprefix("./").split("/")):
            left_out["hidden files"] += 1
        elif name.lower().endswith(EVERY_EXTENSION):
            shown.append(name)
        else:
            left_out[f"files named *{PurePosixPath(name).suffix.lower() or ' without extension'}"] += 1
    return shown


def told(left_out: Counter[str]) -> tuple[str, ...]:
    """What was left out, in words."""
    return tuple(f"left out: {times} {what}" for what, times in sorted(left_out.items()))


def by_folders(start: str, names: Sequence[str], split: str | None, *, flat: bool = False) -> Listing:
    """Pictures whose class is the folder they lie in, below folders that hold everything, and below that of a split.

    `start` comes before every name in a path; `flat` pictures have no classes.

    Raises:
        DataError: no name is that of a picture.
    """
    left_out: Counter[str] = Counter()
    shown = sorted(shown_of(names, left_out))
    top = common_folder(shown)
    splits = {
        name for name in SPLIT_FOLDERS.get(split or "", ()) if any(one.startswith(f"{top}{name}/") for one in shown)
    }
    if splits:
        top += f"{splits.pop()}/"
        shown = [name for name in shown if name.startswith(top)]
    if not shown:
        raise DataError(f"no picture in {start.removesuffix('::')}")
    folders = [name[len(top) :].partition("/") for name in shown]
    classes = () if flat else tuple(sorted({folder for folder, slash, _ in folders if slash}))
    numbers = {name: number for number, name in enumerate(classes)}

    def sample(index: int) -> Sample:
        number = numbers.get(folders[index][0])
        return Sample(start + shown[index], () if number is None else (number,))

    return Listing(len(shown), sample, classes or None, warnings=told(left_out))


def common_folder(names: Sequence[str]) -> str:
    """The folders that all names begin with, as long as every picture has one more folder left: that is its class."""
    parts = [name.split("/") for name in (min(names, default=""), max(names, default=""))]
    fewest = min((name.count("/") for name in names), default=0)
    depth = 0
    while depth < fewest - 1 and parts[0][depth] == parts[1][depth]:
        depth += 1
    return "".join(f"{part}/" for part in parts[0][:depth])


def behind(path: str, split: str | None = None, *, flat: bool = False) -> Listing:
    """Class folders behind an address.

    Raises:
        DataError: there is no such folder, or no picture in it.
    """
    return by_folders(path.rstrip("/") + "/", names_behind(path), split, flat=flat)
