"""Pictures in folders, one folder per class: on this disk, in an archive or behind an address; and WebDataset shards.

Nothing is opened but the members of shards that hold labels. The order is that of training: classes by name, files by
relative path. Hidden folders never become classes, links that lead in a circle are followed once, and whatever is left
out is counted in `warnings`.
"""

import json
import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from classlens.dataset.conventions import PICTURE_ENDINGS, SPLIT_OF, letters_of, note_no_splits, split_among
from classlens.dataset.dataset import Sample
from classlens.dataset.listing import Listing
from classlens.dataset.storage import SEPARATOR, is_archive, list_files, read_bytes
from classlens.errors import DataError

SHARD_LABELS = (".cls", ".json")
"""Members of a WebDataset shard that carry the label of the picture of the same name."""

SHOWN, LOOKED_AT = 5, 200
"""So many names are listed, and so many are compared letter by letter: that takes a while."""


@dataclass(frozen=True)
class ClassFolders:
    """Pictures below `start` by the name of their class, which is the folder; those under "" have none."""

    start: str
    pictures: Mapping[str, Sequence[str]]
    warnings: tuple[str, ...] = ()

    def listing(self) -> Listing:
        """The samples, numbered through all classes; a million names take no more than themselves."""
        classes = tuple(filter(None, self.pictures))
        numbers = {name: number for number, name in enumerate(classes)}
        groups = [
            (f"{self.start}{name}/", (numbers[name],), names) if name else (self.start, (), names)
            for name, names in self.pictures.items()
        ]
        starts = list(accumulate((len(names) for _, _, names in groups), initial=0))

        def sample(index: int) -> Sample:
            place = bisect_right(starts, index) - 1
            start, labels, names = groups[place]
            return Sample(start + names[index - starts[place]], labels)

        return Listing(starts[-1], sample, classes or None, self.warnings)


def scan_folder(root: str, *, labelled: bool = True, endings: Sequence[str] = PICTURE_ENDINGS) -> ClassFolders:
    """List the pictures below `root` on this disk; with `labelled`, every folder in it is a class.

    Raises:
        DataError: the folder does not exist, cannot be read, or holds no picture.
    """
    if not Path(root).is_dir():
        raise DataError(f"{root}: {'a file, not a folder' if Path(root).exists() else 'no such folder'}")
    left_out: Counter[str] = Counter()
    wanted, names = tuple(ending.lower() for ending in endings), [""]
    if labelled:
        try:
            with os.scandir(root) as entries:
                names = sorted(entry.name for entry in entries if is_folder(entry, left_out))
        except OSError as error:
            raise DataError(f"{root}: {(error.strerror or str(error)).lower()}") from error
        left_out.update(f"hidden folder {name}" for name in names if name.startswith("."))
    start = os.path.join(root, "")  # noqa: PTH118
    pictures = {
        name: tuple(sorted(pictures_below(start + name if name else root, wanted, left_out)))
        for name in names
        if not name.startswith(".")
    }
    if not any(pictures.values()):
        what = "in the folders of" if labelled else "in"
        raise DataError(f"no picture {what} {root}", hint=f"files that end in {' '.join(wanted)} count")
    return ClassFolders(start, pictures, describe_left_out(left_out, pictures))


def pictures_below(group: str, wanted: tuple[str, ...], left_out: Counter[str]) -> Iterator[str]:
    """Relative paths of the pictures in one folder and those below it, in no order."""
    waiting = [("", group)]
    visited = {os.path.realpath(group)}
    while waiting:
        prefix, folder = waiting.pop()
        try:
            entries = os.scandir(folder)
        except OSError as error:
            left_out[f"folder {folder} ({(error.strerror or str(error)).lower()})"] += 1
            continue
        with entries:
            for entry in entries:
                name = entry.name
                if name.lower().endswith(wanted) and name[0] != "." and entry.is_file(follow_symlinks=False):
                    yield prefix + name  # nearly always: of a million files no more is asked
                elif entry.is_file(follow_symlinks=False) or not is_folder(entry, left_out):
                    if reason := why_no_picture(name, wanted):
                        left_out[reason] += 1
                    elif entry.is_symlink() and not Path(entry.path).exists():
                        left_out[f"broken link {entry.path}"] += 1
                    else:
                        yield prefix + name
                elif not name.startswith(".") and not (entry.is_symlink() and os.path.realpath(entry.path) in visited):
                    if entry.is_symlink():
                        visited.add(os.path.realpath(entry.path))
                    waiting.append((f"{prefix}{name}/", entry.path))
                else:
                    left_out[f"{'hidden' if name.startswith('.') else 'circular'} folder {entry.path}"] += 1


def is_folder(entry: os.DirEntry[str], left_out: Counter[str]) -> bool:
    """Whether it is a folder or leads to one; a link that leads to itself does not."""
    try:
        return entry.is_dir()
    except OSError as error:
        left_out[f"link {entry.path} ({(error.strerror or str(error)).lower()})"] += 1
        return False


def why_no_picture(name: str, wanted: tuple[str, ...] = PICTURE_ENDINGS) -> str:
    """Why a file is left out, by its name; nothing for a picture."""
    if any(part.startswith((".", "__MACOSX")) for part in name.removeprefix("./").split("/")):
        return "hidden files"
    if name.lower().endswith(wanted):
        return ""
    return f"files named *{os.path.splitext(name)[1].lower() or ' without extension'}"  # noqa: PTH122


def pictures_among(names: Sequence[str], left_out: Counter[str], beside: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of pictures; all others are counted, but for those with the endings `beside`."""
    for name in names:
        if not (reason := why_no_picture(name)):
            yield name
        elif not (beside and name.lower().endswith(beside)):
            left_out[reason] += 1


def describe_left_out(left_out: Mapping[str, int], pictures: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What a user should know about the listing."""
    notes = [
        f"left out: {times} {what}" if times > 1 or what.startswith(("files", "hidden files")) else f"left out: {what}"
        for what, times in sorted(left_out.items())
    ]
    empty = [name for name, names in pictures.items() if not names]
    if empty:
        notes.append(f"classes without a picture: {', '.join(empty[:5])}{more_than(5, empty)}")
    return tuple(notes)


def list_elsewhere(paths: Sequence[str], split: str | None = None, *, flat: bool = False) -> Listing:
    """The pictures of an archive, of a folder in one, of several shards, or below an address.

    Labels are in members of shards, or else they are the folders; `flat` pictures have none.

    Raises:
        DataError: an archive is missing or damaged, an address does not answer, or there is no picture.
        NotFound: the pictures lie in folders of other splits.
    """
    listed = [list_files(path) for path in paths]
    beside: set[str] = set()
    if is_archive(paths[0]):
        beside = {start + name for start, names in listed for name in names if name.lower().endswith(SHARD_LABELS)}
    if not beside and len(paths) == 1:
        return group_by_folder(*listed[0], split, flat=flat).listing()
    left_out: Counter[str] = Counter()
    shown = [start + name for start, names in listed for name in pictures_among(names, left_out, SHARD_LABELS)]
    if not shown:
        raise DataError(f"no picture in {', '.join(paths[:3])}")
    return Listing(len(shown), lambda index: shard_sample(shown[index], beside), None, describe_left_out(left_out, {}))


def group_by_folder(start: str, names: Sequence[str], split: str | None, *, flat: bool) -> ClassFolders:
    """Pictures whose class is the folder they lie in, below folders that hold everything, and below that of a split."""
    left_out: Counter[str] = Counter()
    shown, where = sorted(pictures_among(names, left_out)), start.removesuffix(SEPARATOR)
    if not shown:
        raise DataError(f"no picture in {where}")
    top, notes = common_folder(shown), describe_left_out(left_out, {})
    if split:
        last = top.rstrip("/").rpartition("/")[2]
        top = top.removesuffix(f"{last}/") if last in SPLIT_OF else top
        below = [name[len(top) :].split("/")[:-1] for name in shown]
        deep = {parts[0]: False for parts in below if parts} | {parts[0]: True for parts in below if len(parts) > 1}
        folder = split_among(deep, split, where)
        notes += () if folder else note_no_splits(where, split)
        top += f"{folder}/" if folder else ""
    groups: dict[str, list[str]] = {}
    for name in shown:
        if name.startswith(top):
            rest = name[len(top) :]
            group = "" if flat else rest.partition("/")[0] if "/" in rest else ""
            groups.setdefault(group, []).append(rest[len(group) + 1 :] if group else rest)
    return ClassFolders(start + top, dict(sorted(groups.items())), notes)


def common_folder(names: Sequence[str]) -> str:
    """The folders that all names begin with, as long as every picture has one more folder left: that is its class."""
    parts = [name.split("/") for name in (min(names, default=""), max(names, default=""))]
    fewest = min((name.count("/") for name in names), default=0)
    depth = 0
    while depth < fewest - 1 and parts[0][depth] == parts[1][depth]:
        depth += 1
    return "".join(f"{part}/" for part in parts[0][:depth])


def shard_sample(place: str, beside: set[str]) -> Sample:
    """A picture of a shard with the label in `KEY.cls`, or under `label` or `cls` in `KEY.json`.

    The key is the name up to the first dot behind the last slash.
    """
    archive, separator, name = place.partition(SEPARATOR)
    folder, slash, last = name.rpartition("/")
    key = folder + slash + last.partition(".")[0]
    member = next((one for one in (archive + separator + key + end for end in SHARD_LABELS) if one in beside), None)
    if member is None:
        return Sample(place, trouble=f"no label: the shard has no {' or '.join(key + end for end in SHARD_LABELS)}")
    text = read_bytes(member).decode("utf-8", "replace")
    try:
        content = json.loads(text)
        label = content.get("label", content.get("cls")) if isinstance(content, dict) else content
        return Sample(place, (int(str(label)),))
    except (ValueError, TypeError):
        return Sample(place, trouble=f"no label: {member.partition(SEPARATOR)[2]} holds {text.strip()[:40]!r}")


def note_timm_order(classes: Sequence[str], filled: Sequence[str]) -> tuple[str, ...]:
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


def find_misnamed(folders: Mapping[int, str], names: Sequence[str]) -> Iterator[str]:
    """What looks like a slip in the names of classes, by the folder of each.

    Names may be translations, so that only those count which are another folder's, and those which nearly agree.
    """
    places = {letters_of(name): number for number, name in reversed(list(enumerate(names)))}
    pairs = [(folder, names[number], number) for number, folder in folders.items() if 0 <= number < len(names)]
    other = [pair for pair in pairs if letters_of(pair[0]) != letters_of(pair[1])]
    moved = [pair for pair in other if letters_of(pair[0]) in places]
    if moved:
        folder, name, number = moved[0]
        yield (
            f"class names in another order than the folders: class {number} is the folder {folder!r}, "
            f"but it is called {name!r}{more_than(1, moved)}"
        )
    rest = [pair for pair in other if pair not in moved] if len(moved) < LOOKED_AT else []
    mostly = 2 * len(other) <= len(pairs)
    near = [f"{name!r} for {folder!r}" for folder, name, _ in rest[:LOOKED_AT] if mostly or is_alike(folder, name)]
    if near:
        yield f"class names that differ from their folders: {', '.join(near[:SHOWN])}{more_than(SHOWN, near)}"


def more_than(shown: int, listed: Sequence[object]) -> str:
    return f" and {len(listed) - shown} more" if len(listed) > shown else ""


def is_alike(folder: str, name: str) -> bool:
    """Whether one may be the other misspelt."""
    from difflib import SequenceMatcher  # needed for few datasets, and not light

    return SequenceMatcher(None, letters_of(folder), letters_of(name)).ratio() > 0.75
