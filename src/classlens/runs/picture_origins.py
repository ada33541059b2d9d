"""The pictures that a command names, and what their places tell: where each goes in a folder, and its true class.

A folder keeps its folders in what is written. The class of a picture is that of its annotation list, or the folder that
it lies in, if that is called like a class of the network, or if there are as many folders as classes: these are numbered
by name, as in training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import takewhile
from pathlib import Path

from classlens.dataset.conventions import SPLIT_OF, is_picture_name, letters_of, numbers_by_name
from classlens.errors import DataError
from classlens.files import suggest_path

LISTS = (".txt", ".csv", ".tsv", ".jsonl", ".json")
ADDRESSES = ("folder:", "csv:")  # what other commands call a folder of pictures, or a list


@dataclass(frozen=True)
class Origin:
    """A picture below what was named: its path there, the folders that may be its class, or the label of its list.

    A `label` is the number of a class, or its name; of several labels there is none.
    """

    below: Path
    folders: tuple[str, ...] = ()
    label: int | str | None = None


def list_pictures(words: Iterable[str | Path]) -> dict[Path, Origin]:
    """Every picture that the words name, each once, in their order; the pictures of a folder by name."""
    pictures: dict[Path, Origin] = {}
    every = [str(word) for word in words]
    several = sum(Path(word).expanduser().is_dir() for word in every) > 1
    for word in every:
        path = Path(word).expanduser()
        if not path.exists() and word.startswith(ADDRESSES):
            path = Path(word.partition(":")[2]).expanduser()
        if path.is_file() and path.name.lower().endswith(LISTS):
            pictures |= listed_pictures(path)
        elif path.is_file():
            pictures.setdefault(path, Origin(Path(path.name), (path.absolute().parent.name,)))
        else:
            fixed = takewhile(lambda part: not has_magic(part), path.parent.parts)  # where a pattern starts
            start = path if path.is_dir() else Path(*fixed)
            inside = path.rglob("*") if path.is_dir() else map(Path, glob(str(path), recursive=True))  # noqa: PTH207 - may be absolute
            members = sorted(one for one in inside if is_picture(one))
            if not members:
                what = f"no picture in folder {word}" if path.is_dir() else f"no such picture: {word}"
                hint = "name picture files, folders, or patterns such as 'photos/*.jpg'"
                if not (path.is_dir() or has_magic(word)):
                    hint = suggest_path(path, lambda one: one.is_dir() or is_picture(one)) or hint
                raise DataError(what, hint=hint)
            top = start.absolute().name
            for one in members:
                below = one.relative_to(start)
                folders = (*reversed(below.parent.parts), top)
                pictures.setdefault(one, Origin(Path(top) / below if several and path.is_dir() else below, folders))
    return pictures


def listed_pictures(path: Path) -> dict[Path, Origin]:
    """The pictures of an annotation list, whose paths start at its folder."""
    from classlens.dataset.annotations import list_annotations  # other commands start faster without it

    listing, pictures = list_annotations(str(path), str(path.parent)), dict[Path, Origin]()
    for index in range(listing.length):
        sample = listing.sample(index)
        place, label = Path(sample.path or ""), sample.labels[0] if len(sample.labels) == 1 else None
        if isinstance(label, int) and listing.classes and 0 <= label < len(listing.classes):
            label = listing.classes[label]
        below = place.relative_to(path.parent) if place.is_relative_to(path.parent) else Path(place.name)
        below = Path(*(part for part in below.parts if part != ".."))
        pictures.setdefault(place, Origin(below, label=label))
    return pictures


def is_picture(path: Path) -> bool:
    return is_picture_name(path.name) and not path.name.startswith(".") and path.is_file()


def places_in(folder: Path, origins: Mapping[Path, Origin]) -> dict[Path, Path]:
    """The file of every picture in a folder; those of one name get numbers: a.png, b.png, a_2.png."""
    places, taken = dict[Path, Path](), set[str]()
    for picture, origin in origins.items():
        place, count = folder / origin.below.with_suffix(".png"), 1
        while str(place).casefold() in taken:  # on some disks A.png is a.png
            count += 1
            place = folder / origin.below.with_name(f"{origin.below.stem}_{count}.png")
        taken.add(str(place).casefold())
        places[picture] = place
    return places


def true_classes(
    origins: Mapping[Path, Origin], classes: Sequence[str], count: int
) -> dict[Path, tuple[str, int | None]]:
    """The true class of every picture that has one: its name, and its number where the network has it.

    `classes` are the names that the network knows, none or as many as its `count` of scores.
    """
    numbers = numbers_by_name(classes)
    # The first folder below what was named, or below the folder of a split.
    below = {path: [one for one in origin.folders[:-1] if one not in SPLIT_OF] for path, origin in origins.items()}
    tops = {path: folders[-1] for path, folders in below.items() if folders}
    by_order = {top: number for number, top in enumerate(sorted(set(tops.values())))}
    if len(by_order) != (len(classes) or count) or any(letters_of(top) in numbers for top in by_order):
        by_order = {}
    known: dict[Path, tuple[str, int | None]] = {}
    for path, origin in origins.items():
        label = origin.label
        if isinstance(label, int):
            known[path] = (classes[label] if 0 <= label < len(classes) else str(label), label)
        elif label is not None:
            known[path] = (label, numbers.get(letters_of(label)))
        elif (top := tops.get(path, "")) in by_order:
            known[path] = (top, by_order[top])
        elif folders := [folder for folder in origin.folders if letters_of(folder) in numbers]:
            known[path] = (folders[0], numbers[letters_of(folders[0])])
    return known
