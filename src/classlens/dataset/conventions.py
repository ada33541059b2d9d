"""The words by which data is recognised: the splits of a dataset, and the endings of picture files.

These are the only lists of the kind. Nothing heavy is imported here, so that the command line may use them too.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import chain, takewhile
from pathlib import Path

from classlens.errors import NotFound

SPLITS: Mapping[str, Sequence[str]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing"),
}
"""The splits, each with the words that folders, files and keys use for it."""

SPLIT_OF = {word: split for split, words in SPLITS.items() for word in words}

ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k"),
}
"""How the files of each format end, by Pillow's name of the format."""

PICTURE_ENDINGS = tuple(dict.fromkeys(chain(*ENDINGS.values())))


def is_picture_name(name: str) -> bool:
    return name.strip().lower().endswith(PICTURE_ENDINGS)


def letters_of(name: str) -> str:
    """A name as it is compared with others: `Image_Path` and `image path` are the same heading, or the same class."""
    return re.sub(r"[\W_]", "", name).casefold()


def numbers_by_name(classes: Sequence[str]) -> dict[str, int]:
    """The number of every class by the letters of its name, and of each of its synonyms."""
    numbers = {letters_of(part): number for number, name in enumerate(classes) for part in name.split(",")}
    numbers |= {letters_of(name): number for number, name in enumerate(classes)}
    numbers.pop("", None)
    return numbers


def split_among(folders: Mapping[str, bool], split: str, where: str) -> str | None:
    """The folder of a split, or None among those of classes; `folders` say whether they hold folders."""
    present = {SPLIT_OF[name]: name for name in reversed(SPLIT_OF) if name in folders}
    # a class may be called train, too
    if not present or (not folders.keys() <= SPLIT_OF.keys() and not any(folders[name] for name in present.values())):
        return None
    if split not in present:
        raise NotFound("split", split, present, where=where)
    return present[split]


def files_of_split(files: Sequence[str], split: str, where: str) -> Sequence[str]:
    """The files whose names begin with a word for the split, or all if no name begins with a word for any."""
    by_split: dict[str, list[str]] = {}
    for file in files:
        name = Path(file).name
        begins = SPLIT_OF.get("".join(takewhile(str.isalpha, name)))
        # `trainset-0.tar` counts too; whole words are asked of the others, for `device-0.tar` is no `dev`
        begins = begins or next((one for one in SPLITS if name.startswith(one)), None)
        if begins:
            by_split.setdefault(begins, []).append(file)
    if by_split and split not in by_split:
        raise NotFound("split", split, by_split, where=where)
    return by_split.get(split, files)


WHOLE = "has no splits: all of it is shown as"


def note_no_splits(where: str, split: str) -> tuple[str, ...]:
    return () if split == "train" else (f"{where} {WHOLE} {split}",)
