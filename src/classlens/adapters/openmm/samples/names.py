"""Pictures that are known by their names alone, in archives and behind addresses: classes, splits, what is left out."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from classlens.adapters.openmm.samples.listing import Listing
from classlens.dataset.dataset import Sample
from classlens.dataset.folder import EVERY_EXTENSION
from classlens.dataset.remote import names_behind
from classlens.errors import DataError, NotFound

SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""How the folders of the splits may be called."""

ALIASES = {name: split for split, names in SPLIT_FOLDERS.items() for name in names}


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
        NotFound: the pictures lie in folders of other splits.
    """
    left_out: Counter[str] = Counter()
    shown, where = sorted(shown_of(names, left_out)), start.removesuffix("::")
    if not shown:
        raise DataError(f"no picture in {where}")
    top = common_folder(shown)
    said: tuple[str, ...] = ()
    if split:
        last = top.rstrip("/").rpartition("/")[2]
        top = top.removesuffix(f"{last}/") if last in ALIASES else top
        below = [name[len(top) :].split("/")[:-1] for name in shown]
        deep = {parts[0]: False for parts in below if parts} | {parts[0]: True for parts in below if len(parts) > 1}
        folder = split_among(deep, split, where)
        said = () if folder else without_splits(where, split)
        top += f"{folder}/" if folder else ""
        shown = [name for name in shown if name.startswith(top)]
    folders = [name[len(top) :].partition("/") for name in shown]
    classes = () if flat else tuple(sorted({folder for folder, slash, _ in folders if slash}))
    numbers = {name: number for number, name in enumerate(classes)}

    def sample(index: int) -> Sample:
        number = numbers.get(folders[index][0])
        return Sample(start + shown[index], () if number is None else (number,))

    return Listing(len(shown), sample, classes or None, warnings=(*told(left_out), *said))


def split_among(folders: Mapping[str, bool], split: str, where: str) -> str | None:
    """The folder of a split, given for all folders with pictures whether these lie in folders once more.

    None if the folders are those of classes: one of them may be called train.

    Raises:
        NotFound: there are folders of other splits.
    """
    present = {ALIASES[name]: name for name in reversed(ALIASES) if name in folders}
    if not present or (not folders.keys() <= ALIASES.keys() and not any(folders[name] for name in present.values())):
        return None
    if split not in present:
        raise NotFound("split", split, present, where=where)
    return present[split]


def without_splits(where: str, split: str) -> tuple[str, ...]:
    """A word where another split than that for training was asked for, and there is only one."""
    return () if split == "train" else (f"{where} has no splits: all of it is shown as {split}",)


def order_note(classes: Sequence[str], filled: Sequence[str]) -> tuple[str, ...]:
    """A word where timm numbers class folders differently.

    It counts the numbers in names, ignores capitals, and leaves out folders that are not `filled` with pictures.
    """
    parts = [re.split(r"(\d+)", name.lower()) for name in filled]
    keys = [[int(part) if place % 2 else part for place, part in enumerate(name)] for name in parts]
    by_timm = [name for _, name in sorted(zip(keys, filled, strict=True), key=lambda pair: pair[0])]
    for number, (name, other) in enumerate(zip(classes, by_timm, strict=False)):
        if name != other:
            return (
                f"class folders are numbered as OpenMMLab and torchvision number them: {number} is {name!r}; "
                f"trained with timm, it is {other!r}",
            )
    return ()


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
