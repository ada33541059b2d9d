"""Pictures in folders, one folder per class, listed without opening a single file.

The order is that of training: classes by name, files by relative path. Hidden folders never become classes, links
that lead in a circle are followed once, and whatever is left out is counted in `warnings`.
"""

import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path, PurePosixPath

from classlens.dataset.addresses import names_behind
from classlens.dataset.dataset import Dataset, MaxSide, Sample, Stage, Thumbnail
from classlens.dataset.decode import Pixels, read_bytes
from classlens.dataset.decoder_warnings import STOPS
from classlens.dataset.loading import LoadImageFromFile
from classlens.dataset.state import BGR, State, to_image
from classlens.errors import DataError, NotFound
from classlens.image import Encoding

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


@dataclass(frozen=True)
class Pipeline:
    """How pictures become arrays, and the stages after that; without a loader, pictures come as arrays.

    `stops` says why training stops in it, for samples in files and for those in memory, and `unpacked` why it stops
    after it; all are empty where it goes on.
    """

    loader: LoadImageFromFile | None = None
    stages: tuple[Stage, ...] = ()
    stops: tuple[str, str] = ("", "")
    unpacked: str = ""


def no_pixels(index: int) -> Pixels | None:
    return None


def nothing_wrong(index: int) -> str:
    return ""


@dataclass(frozen=True)
class Listing:
    """The samples of a dataset.

    `sample` tells path and labels; `pixels` gives a picture kept in memory, encoded as `encoding` says, or None;
    `content` gives the bytes of a picture's file where they are not simply in a file; `trouble` tells what is wrong
    with a label that is read with its sample. A dataset made of others has its samples from them: `origin` tells from
    which one, and the number there.
    """

    length: int
    sample: Callable[[int], Sample]
    classes: tuple[str, ...] | None = None
    pixels: Callable[[int], Pixels | None] = no_pixels
    encoding: Encoding = BGR
    content: Callable[[int], bytes] | None = None
    trouble: Callable[[int], str] = nothing_wrong
    warnings: tuple[str, ...] = ()
    pipeline: Pipeline = Pipeline()
    origin: Callable[[int], tuple["Listing", int]] | None = None

    def found(self, index: int) -> tuple["Listing", int]:
        return self.origin(index) if self.origin else (self, index)

    def load(self, index: int, max_side: MaxSide | None = None) -> State:
        """A sample as the loader of its own pipeline gives it, or smaller where fewer pixels are `needed`.

        Raises:
            DataError: its file is missing, or cannot be read or decoded; or training would stop at its pipeline.
        """
        own, place = self.found(index)
        path = own.sample(place).path
        pixels = None if own.pipeline.loader and path else own.pixels(place)
        if reason := own.pipeline.stops[pixels is not None]:
            raise DataError(f"{STOPS}{reason}")
        trouble = [own.trouble(place), own.pipeline.unpacked and STOPS + own.pipeline.unpacked]
        said = tuple(filter(None, trouble))
        if pixels is not None:
            return State(pixels, own.encoding, path, said)
        data = own.content(place) if own.content else read_bytes(path or "")
        state = (own.pipeline.loader or LoadImageFromFile()).state(data, path or "", max_side=max_side)
        return replace(state, remarks=(*said, *state.remarks)) if said else state


def made_of(parts: Sequence[Listing], length: int, origin: Callable[[int], tuple[Listing, int]]) -> Listing:
    """A dataset of samples of other ones; class names are those of the first."""

    def innermost(index: int) -> tuple[Listing, int]:
        part, place = origin(index)
        return part.found(place)

    def sample(index: int) -> Sample:
        part, place = origin(index)
        return part.sample(place)

    return Listing(
        length,
        sample,
        parts[0].classes,
        warnings=tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
        pipeline=parts[0].pipeline,
        origin=innermost,
    )


def dataset_of(listing: Listing, name: str) -> Dataset:
    return Dataset(
        name=name,
        length=listing.length,
        load=listing.load,
        thumbnail=lambda index, max_side: seen(listing.load(index, max_side)),
        stages=listing.pipeline.stages,
        stages_of=None if listing.origin is None else lambda index: listing.found(index)[0].pipeline.stages,
        to_image=to_image,
        sample=listing.sample,
        classes=listing.classes,
        loader="LoadImageFromFile" if listing.pipeline.loader else "original",
        remarks=lambda state: state.remarks,
        warnings=listing.warnings,
    )


def seen(state: State) -> Thumbnail:
    """A picture for looking at, and its true size."""
    image = to_image(state)
    return Thumbnail(image, state.full or image.size, state.remarks)


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


def describe_left_out(left_out: Counter[str]) -> tuple[str, ...]:
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

    return Listing(len(shown), sample, classes or None, warnings=(*describe_left_out(left_out), *said))


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
