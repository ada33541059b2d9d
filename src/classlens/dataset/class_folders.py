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
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import TypeAlias

from classlens.dataset.conventions import PICTURE_ENDINGS, SPLIT_OF, letters_of, note_no_splits, split_among
from classlens.dataset.dataset import Sample
from classlens.dataset.listing import FIRST, Listing, PackedNames
from classlens.dataset.storage import SEPARATOR, is_archive, list_files, read_bytes, reason_of
from classlens.errors import DataError, join_first

SHARD_LABELS = (".cls", ".json")  # members of a WebDataset shard that carry the label of the picture of the same name


@dataclass(frozen=True)
class ClassFolders:
    """Pictures below `start` by the name of their class, which is the folder; those under "" have none."""

    start: str
    pictures: Mapping[str, Sequence[str]]
    warnings: tuple[str, ...] = ()

    def listing(self) -> Listing:
        """The samples, numbered through all classes; a million names take no more than themselves."""
        classes = tuple(filter(None, self.pictures))
        numbers = {name: (number,) for number, name in enumerate(classes)}
        groups = list(self.pictures.items())
        starts = list(accumulate((len(names) for _, names in groups), initial=0))

        def sample(index: int) -> Sample:
            place = bisect_right(starts, index) - 1
            group, names = groups[place]
            folder = f"{self.start}{group}/" if group else self.start
            return Sample(folder + names[index - starts[place]], numbers.get(group, ()))

        return Listing(starts[-1], sample, classes or None, self.warnings)


Listed: TypeAlias = dict[tuple[str, bool, tuple[str, ...]], ClassFolders]
"""What was found in folders, by what was asked of `scan_folder`."""

LISTED: ContextVar[Listed] = ContextVar("LISTED")


@contextmanager
def listed_before(known: Listed) -> Iterator[None]:
    """Take folders that are in `known` as they are listed there, and note there what is listed now."""
    token = LISTED.set(known)
    try:
        yield
    finally:
        LISTED.reset(token)


def scan_folder(root: str, *, labelled: bool = True, endings: Sequence[str] = PICTURE_ENDINGS) -> ClassFolders:
    """List the pictures below `root` on this disk; with `labelled`, every folder in it is a class."""
    suffixes, known = tuple(ending.lower() for ending in endings), LISTED.get({})
    if (request := (root, labelled, suffixes)) in known:
        return known[request]
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if is_folder(entry)) if labelled else [""]
    except OSError as error:
        raise DataError(f"{root}: {reason_of(error)}") from error
    left_out = Counter(f"hidden folder {name}" for name in names if name.startswith("."))
    start, wanted = os.path.join(root, ""), FIRST.get()  # noqa: PTH118
    pictures: dict[str, Sequence[str]] = {}
    for name in names:
        if not name.startswith("."):
            is_read = wanted.has_room(sum(map(len, pictures.values())) if wanted.most else 0)
            pictures[name] = PackedNames(sorted(pictures_below(start + name, suffixes, left_out)) if is_read else ())
    if not any(pictures.values()):
        what = "in the folders of" if labelled else "in"
        raise DataError(f"no picture {what} {root}", hint=f"files that end in {' '.join(suffixes)} count")
    notes = tuple(f"left out: {times} {what}" for what, times in sorted(left_out.items()))
    if empty := [name for name, names in pictures.items() if not names]:
        notes += (f"classes without a picture: {join_first(empty)}",)
    return known.setdefault(request, ClassFolders(start, pictures, notes))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or leads to one; `entry.is_dir()` raises at a link that leads to itself."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # noqa: PTH112


def pictures_below(group: str, suffixes: tuple[str, ...], left_out: Counter[str]) -> Iterator[str]:
    """Relative paths of the pictures in one folder and those below it, in no order."""
    waiting = [("", group)]
    visited = {os.path.realpath(group)}
    while waiting:
        prefix, folder = waiting.pop()
        try:
            entries = os.scandir(folder)
        except OSError as error:
            left_out[f"folder {folder} ({reason_of(error)})"] += 1
            continue
        with entries:
            for entry in entries:
                name = entry.name
                if name.lower().endswith(suffixes) and name[0] != "." and entry.is_file(follow_symlinks=False):
                    yield prefix + name  # nearly always: of a million files no more is asked
                elif is_folder(entry):
                    target = os.path.realpath(entry.path) if entry.is_symlink() else None
                    if name.startswith(".") or target in visited:
                        left_out[f"{'hidden' if name.startswith('.') else 'circular'} folder {entry.path}"] += 1
                    else:
                        visited.update(filter(None, [target]))
                        waiting.append((f"{prefix}{name}/", entry.path))
                elif reason := why_no_picture(name, suffixes):
                    left_out[reason] += 1
                elif os.path.exists(entry.path):  # noqa: PTH110 - asked of every link to a picture
                    yield prefix + name
                else:
                    left_out[f"broken link {entry.path}"] += 1


def why_no_picture(name: str, suffixes: tuple[str, ...] = PICTURE_ENDINGS) -> str:
    """Why a file is left out, by its name; nothing for a picture."""
    if any(part.startswith((".", "__MACOSX")) for part in name.removeprefix("./").split("/")):
        return "hidden files"
    if name.lower().endswith(suffixes):
        return ""
    return f"files named *{os.path.splitext(name)[1].lower() or ' without extension'}"  # noqa: PTH122


def list_elsewhere(paths: Sequence[str], split: str | None = None, *, flat: bool = False) -> Listing:
    """The pictures of archives or below an address, labelled in shards, or else by folder unless `flat`."""
    contents = [list_files(path) for path in paths]
    in_archive = is_archive(paths[0])
    left_out: Counter[str] = Counter()
    pictures: list[str] = []
    labels: set[str] = set()
    for start, names in contents:
        for name in names:
            if not (reason := why_no_picture(name)):
                pictures.append(start + name)
            elif in_archive and name.lower().endswith(SHARD_LABELS):
                labels.add(start + name)
            else:
                left_out[reason] += 1
    if not pictures:
        raise DataError(f"no picture in {', '.join(paths[:3])}")
    notes = tuple(f"left out: {times} {what}" for what, times in sorted(left_out.items()))
    if len(paths) == 1 and not labels:
        return group_by_folder(contents[0][0], sorted(pictures), split, notes, flat=flat).listing()
    return Listing(len(pictures), lambda index: shard_sample(pictures[index], labels), None, notes)


def group_by_folder(
    start: str, pictures: Sequence[str], split: str | None, notes: tuple[str, ...], *, flat: bool
) -> ClassFolders:
    """Pictures whose class is the folder they lie in, below folders that hold everything, and below that of a split."""
    fewest = min(picture.count("/", len(start)) for picture in pictures)
    first, last = (picture[len(start) :].split("/") for picture in (pictures[0], pictures[-1]))  # they are sorted
    common = takewhile(lambda parts: parts[0] == parts[1], zip(first, last, strict=False))
    top = [part for part, _ in common][: max(fewest - 1, 0)]  # one more folder is left for the class
    if split:
        if top and top[-1] in SPLIT_OF:
            top.pop()
        where = start.removesuffix(SEPARATOR)
        below = [picture[len(start) :].split("/")[len(top) : -1] for picture in pictures]
        deep = {parts[0]: False for parts in below if parts} | {parts[0]: True for parts in below if len(parts) > 1}
        if folder := split_among(deep, split, where):
            top.append(folder)
        else:
            notes += note_no_splits(where, split)
    start += "".join(f"{part}/" for part in top)
    groups: dict[str, list[str]] = {}
    for picture in pictures:
        if picture.startswith(start):
            name = picture.removeprefix(start)
            group = "" if flat or "/" not in name else name.partition("/")[0]
            groups.setdefault(group, []).append(name[len(group) + 1 :] if group else name)
    return ClassFolders(start, dict(sorted(groups.items())), notes)


def shard_sample(place: str, labels: Set[str]) -> Sample:
    """A picture of a shard with the label in `KEY.cls`, or under `label` or `cls` in `KEY.json`."""
    archive, separator, name = place.partition(SEPARATOR)
    folder, slash, last = name.rpartition("/")  # the key is the name up to the first dot behind the last slash
    beside = [folder + slash + last.partition(".")[0] + ending for ending in SHARD_LABELS]
    member = next((one for one in beside if archive + separator + one in labels), None)
    if member is None:
        return Sample(place, trouble=f"no label: the shard has no {' or '.join(beside)}")
    try:
        text = read_bytes(archive + separator + member).decode("utf-8", "replace")
    except DataError as error:
        return Sample(place, trouble=f"no label: {error}")
    try:
        content = json.loads(text)
        label = content.get("label", content.get("cls")) if isinstance(content, dict) else content
        return Sample(place, (int(str(label)),))
    except (ValueError, RecursionError, MemoryError):
        return Sample(place, trouble=f"no label: {member} holds {text.strip()[:40]!r}")


def note_timm_order(classes: Sequence[str], filled: Sequence[str]) -> tuple[str, ...]:
    """A word where timm numbers class folders otherwise: by numbers in names, without those not `filled`."""

    def by_numbers(name: str) -> list[int | str]:
        return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name.lower())]

    by_timm = sorted(filled, key=by_numbers)
    for number, (name, other) in enumerate(zip(classes, by_timm, strict=False)):
        if name != other:
            return (
                f"class folders are numbered as OpenMMLab and torchvision number them: {number} is {name!r}; "
                f"trained with timm, it is {other!r}",
            )
    return ()


def find_misnamed(folders: Mapping[int, str], names: Sequence[str]) -> Iterator[str]:
    """Slips in class names: those of another folder, and a few among many. All may be others: translations."""
    known = {letters_of(name) for name in names}
    pairs = [(number, folder, names[number]) for number, folder in folders.items() if 0 <= number < len(names)]
    other = [(number, folder, name) for number, folder, name in pairs if letters_of(folder) != letters_of(name)]
    swaps = [
        f"class {number} is the folder {folder!r}, but it is called {name!r}"
        for number, folder, name in other
        if letters_of(folder) in known
    ]
    if swaps:
        yield f"class names in another order than the folders: {join_first(swaps, 1)}"
    if len(swaps) < len(other) <= len(pairs) / 2:
        slips = [f"{name!r} for {folder!r}" for _, folder, name in other if letters_of(folder) not in known]
        yield f"class names that differ from their folders: {join_first(slips)}"
