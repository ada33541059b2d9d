"""Pictures in folders, one folder per class, listed without opening a single file.

The order is that of training: classes by name, files by relative path. Hidden folders never become classes, links
that lead in a circle are followed once, and whatever is left out is counted in `warnings`.
"""

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from classlens.dataset.dataset import Sample
from classlens.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif")
"""What OpenMMLab takes for a picture."""

EVERY_EXTENSION = (*EXTENSIONS, ".tiff", ".webp", ".gif", ".avif", ".jpe", ".jfif", ".dib", ".pbm", ".pnm", ".jp2")
"""What can be shown where no training decides."""


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder: names per class, in order; `flat` folders have no classes."""

    root: str
    classes: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    starts: tuple[int, ...]
    flat: bool = False
    warnings: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return self.starts[-1]

    def sample(self, index: int) -> Sample:
        """The path and label of one picture."""
        group = bisect_right(self.starts, index) - 1
        name = self.names[group][index - self.starts[group]]
        if self.flat:
            return Sample(os.path.join(self.root, name))  # noqa: PTH118 - Path is ten times slower
        return Sample(os.path.join(self.root, self.classes[group], name), (group,))  # noqa: PTH118


def scan(root: str, *, labelled: bool = True, extensions: Sequence[str] = EXTENSIONS) -> Folder:
    """List the pictures below `root`; with `labelled`, every folder in it is a class.

    Raises:
        DataError: the folder does not exist, cannot be read, or holds no picture.
    """
    if not Path(root).is_dir():
        raise DataError(f"{root}: {'a file, not a folder' if Path(root).exists() else 'no such folder'}")
    left_out: Counter[str] = Counter()
    wanted = tuple(extension.lower() for extension in extensions)
    try:
        classes = class_folders(root, left_out) if labelled else ()
    except OSError as error:
        raise DataError(f"{root}: {(error.strerror or str(error)).lower()}") from error
    groups = [Path(root) / name for name in classes] if labelled else [Path(root)]
    names = tuple(tuple(sorted(pictures(str(group), wanted, left_out))) for group in groups)
    starts = tuple(accumulate((len(group) for group in names), initial=0))
    if starts[-1] == 0:
        what = "in the folders of" if labelled else "in"
        raise DataError(f"no picture {what} {root}", hint=f"files that end in {' '.join(wanted)} count")
    return Folder(root, classes, names, starts, not labelled, tuple(told(left_out, classes, names)))


def class_folders(root: str, left_out: Counter[str]) -> tuple[str, ...]:
    """The folders in `root` by name, without hidden ones."""
    classes = []
    with os.scandir(root) as entries:
        for entry in entries:
            if not is_folder(entry, left_out):
                continue
            if entry.name.startswith("."):
                left_out[f"hidden folder {entry.name}"] += 1
            else:
                classes.append(entry.name)
    return tuple(sorted(classes))


def pictures(group: str, wanted: tuple[str, ...], left_out: Counter[str]) -> Iterator[str]:
    """Relative paths of the pictures in one folder and those below it, in no order."""
    waiting = [("", group)]
    seen = {os.path.realpath(group)}
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
                    if kept(entry, wanted, left_out):
                        yield prefix + name
                elif not name.startswith(".") and not (entry.is_symlink() and os.path.realpath(entry.path) in seen):
                    if entry.is_symlink():
                        seen.add(os.path.realpath(entry.path))
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


def kept(entry: os.DirEntry[str], wanted: tuple[str, ...], left_out: Counter[str]) -> bool:
    """Whether a file counts as a picture of the dataset."""
    name = entry.name
    if name.startswith("."):
        left_out["hidden files"] += 1
        return False
    if not name.lower().endswith(wanted):
        left_out[f"files named *{os.path.splitext(name)[1].lower() or ' without extension'}"] += 1  # noqa: PTH122
        return False
    if entry.is_symlink() and not Path(entry.path).exists():
        left_out[f"broken link {entry.path}"] += 1
        return False
    return True


def told(left_out: Counter[str], classes: tuple[str, ...], names: tuple[tuple[str, ...], ...]) -> Iterator[str]:
    """What a user should know about the listing."""
    for what, times in sorted(left_out.items()):
        yield f"left out: {times} {what}" if what.startswith("files") or times > 1 else f"left out: {what}"
    empty = [name for name, group in zip(classes, names, strict=False) if not group]
    if empty:
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        yield f"classes without a picture: {', '.join(empty[:5])}{more}"
