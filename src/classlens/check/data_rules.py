"""Family D: pictures that are bad, there twice, or read otherwise than their owner believes; each is looked at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from classlens.check.finding import Exhibit, Finding
from classlens.check.inspection import UNREADABLE, Array, Inspection, made_once, spaced
from classlens.check.rule import Need, Rule
from classlens.dataset.conventions import SPLITS
from classlens.dataset.decode import PILLOW_TROUBLE, damage_in, decode, open_with_pillow
from classlens.dataset.near_duplicates import SIDE, TINY, find_pairs, small_copy
from classlens.dataset.storage import read_bytes
from classlens.errors import ClasslensError, DataError, join_first
from classlens.image import Image, side_by_side
from classlens.sharing import unwarned

MOST = 20_000  # pictures of a split that are looked at
NAMED, SHOWN = 3, 4  # pictures that a message names, and pairs beside a finding
HEIGHT = 160  # of a picture beside a finding
ODD = ("EXIF orientation", "more than 8 bits", "alpha", "a transparent colour", "CMYK", "Lab colours")
TRIED, UNLIKE = 5, 4.0  # files of each kind that are read again, and levels of 255 by which readings differ
SEEN_DEEP = 20  # files whose values are looked at as they are stored
SAME_FILE = "the same file"


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of a picture: its size (height, width), a small grey copy, what was remarked; or why it is bad."""

    split: str
    index: int
    path: str | None
    label: int | None
    size: tuple[int, int] = (0, 0)
    copy: Array = field(default_factory=lambda: np.zeros((SIDE, SIDE), np.uint8))
    remarks: tuple[str, ...] = ()
    error: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.split} #{self.index}"


@made_once
def looks(inspection: Inspection) -> Sequence[Look]:
    """All pictures, bad ones included; what a split lists several times is one."""
    splits = inspection.splits.items()
    chosen = [(split, index) for split, dataset in splits for index in spaced(dataset.length, MOST)]
    rows: dict[object, Look] = {}
    for done, (split, index) in enumerate(chosen, start=1):
        one = look(inspection, split, index)
        rows.setdefault((split, one.path or index, one.label, one.size, one.error, hash(one.copy.tobytes())), one)
        if inspection.progress:
            inspection.progress("pictures", done, len(chosen))
    return list(rows.values())


def look(inspection: Inspection, split: str, index: int) -> Look:
    """One picture, decoded as small as is enough."""
    dataset = inspection.splits[split]
    path, label = dataset.sample(index).path, dataset.label(index)
    try:
        state = dataset.thumbnail(index, lambda longest: 2 * SIDE) if dataset.thumbnail else dataset.load(index)
        image = dataset.to_image(state)
        size = getattr(state, "full", None) or image.size
        return Look(split, index, path, label, size, small_copy(image.pixels), dataset.remarks(state))
    except (*UNREADABLE, cv2.error) as error:
        return Look(split, index, path, label, error=str(error) or type(error).__name__)


def good(inspection: Inspection) -> list[Look]:
    """The pictures that can be read."""
    return [one for one in looks(inspection) if not one.error]


def describe(
    inspection: Inspection, found: Sequence[Look], words: str, *, count: int | None = None, **evidence: object
) -> Iterator[Finding]:
    """A finding about some pictures, with the first of them; none if there are none. `count` is theirs and their like."""
    if found:
        every = len(looks(inspection))
        shown = tuple(Exhibit(picture_of(inspection, one), str(one)) for one in found[:SHOWN] if not one.error)
        facts = named(found), {"pictures": len(found), "looked at": every, **evidence}, shown
        samples = tuple((one.split, one.index, one.error or damage_in(one.remarks)) for one in found)
        yield Finding(f"{count or len(found)} of {every} pictures {words}", *facts, samples=samples)


def named(found: Sequence[object]) -> str:
    return join_first(list(map(str, found)), NAMED)


def picture_of(inspection: Inspection, one: Look) -> Image:
    """The picture as it is read, no higher than a few lines of text."""
    dataset = inspection.splits[one.split]
    pixels = dataset.to_image(dataset.load(one.index)).pixels
    width = max(1, round(HEIGHT * pixels.shape[1] / pixels.shape[0]))
    return Image(np.asarray(cv2.resize(pixels, (min(width, 4 * HEIGHT), HEIGHT), interpolation=cv2.INTER_AREA)))


def unreadable(inspection: Inspection) -> Iterator[Finding]:
    bad = [one for one in looks(inspection) if one.error]
    yield from describe(inspection, bad, f"cannot be read: {bad[0].error if bad else ''}")


def damaged(inspection: Inspection) -> Iterator[Finding]:
    bad = [one for one in good(inspection) if damage_in(one.remarks)]
    yield from describe(inspection, bad, f"are damaged: {damage_in(bad[0].remarks) if bad else ''}")


@made_once
def twins(inspection: Inspection) -> Sequence[tuple[Look, Look, str]]:
    """Every two pictures that are the same, and how; a file that is listed twice in one split is no pair."""
    found, rows = good(inspection), []
    for pair in find_pairs([one.copy for one in found], [min(one.size) < TINY for one in found]):
        one, other = found[pair.one], found[pair.other]
        is_same_file = one.path is not None and one.path == other.path
        if not is_same_file or one.split != other.split:
            rows.append((one, other, SAME_FILE if is_same_file else pair.kind))
    return rows


def describe_twins(chosen: Callable[[Look, Look], bool], words: str, inspection: Inspection) -> Iterator[Finding]:
    """One finding about all pairs of a kind, with the first of them side by side."""
    found = [pair for pair in twins(inspection) if chosen(*pair[:2])]
    if not found:
        return

    def spelled(one: Look) -> str:
        return f"{one} ({', '.join(inspection.splits[one.split].class_names(one.index)) or 'no label'})"

    shown = []
    for one, other, kind in found[:SHOWN]:
        sheet = side_by_side(picture_of(inspection, one), picture_of(inspection, other))
        shown.append(Exhibit(sheet, f"{kind}: {spelled(one)} and {spelled(other)}"))
    every, first = len(looks(inspection)), {(one.split, one.index) for one, _, _ in found}
    splits = sorted({f"{one.split} and {other.split}" for one, other, _ in found if one.split != other.split})
    pairs = [f"{one} ({kind})" if kind == SAME_FILE else f"{one} = {other}" for one, other, kind in found]
    message = f"{len(first)} of {every} pictures {words}" + (f" ({join_first(splits)})" if splits else "")
    numbers = {"pairs": len(found), **Counter(kind for _, _, kind in found), "looked at": every}
    yield Finding(message, named(pairs), numbers, tuple(shown))


def read_otherwise(inspection: Inspection) -> Iterator[Finding]:
    for kind in ODD:
        found = [one for one in looks(inspection) if one.path and any(words.startswith(kind) for words in one.remarks)]
        gaps = {one: disagreement(one.path or "") for one in found[:TRIED]}
        if unlike := [one for one, (levels, _) in gaps.items() if levels > UNLIKE]:
            levels, words = max(gaps.values())
            words = f"are read differently by the usual loaders ({kind}): {words}"
            yield from describe(inspection, unlike, words, count=len(found), tried=len(gaps), levels=round(levels, 1))


def disagreement(path: str) -> tuple[float, str]:
    """How far the usual loaders are apart on a file, in levels of 255, and which ones; 0 if one cannot read it."""
    try:
        data = read_bytes(path)
        by_cv2 = decode(data)
        with unwarned(), open_with_pillow(data) as picture:
            upright = ImageOps.exif_transpose(picture)
            on_white = Pillow.alpha_composite(Pillow.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
            stored, turned, blended = (np.array(one.convert("RGB")) for one in (picture, upright, on_white))
    except (ClasslensError, *PILLOW_TROUBLE):
        return 0.0, ""
    gaps = []
    for name, other in {"cv2": by_cv2[..., ::-1], "Pillow upright by EXIF": turned, "Pillow on white": blended}.items():
        is_alike = other.shape == stored.shape
        gap = float(np.abs(other.astype(int) - stored).mean()) if is_alike else 255.0
        gaps.append((gap, f"Pillow and {name} differ " + (f"by {gap:.0f} of 255 levels" if is_alike else "in shape")))
    return max(gaps)


def part_of_range(inspection: Inspection) -> Iterator[Finding]:
    """The highest value of some files, as they are stored, against what their type can hold."""
    files = [one for one in good(inspection) if one.path]
    chosen = [files[place] for place in spaced(len(files), SEEN_DEEP)]
    highest: dict[int, list[int]] = defaultdict(list)
    for one in chosen:
        with suppress(ClasslensError):
            pixels = decode(read_bytes(one.path or ""), color="unchanged")
            highest[np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 0].append(int(pixels.max()))
    for full, values in highest.items():
        if len(values) >= 3 and 0 < max(values) <= full / 8:
            message = f"the pictures go from 0 to {max(values)} where {full.bit_length()} bits go to {full}"
            yield Finding(message, named(chosen), {"highest value": max(values), "of": full, "pictures": len(values)})


def odd_sizes(inspection: Inspection) -> Iterator[Finding]:
    """Pictures whose short side is an eighth of the usual one, or whose aspect is; a tenth of all at most."""
    found = good(inspection)
    if not found:
        raise DataError("no picture can be read")
    sides = np.sort([one.size for one in found], axis=1)
    aspect, usual = sides[:, 1] / sides[:, 0], float(np.median(sides[:, 0]))
    is_odd = (sides[:, 0] * 8 < usual) | (aspect > max(6, 3 * np.median(aspect)))
    odd = [found[place] for place in np.flatnonzero(is_odd)]
    if len(odd) <= len(found) / 10:
        height, width = min((one.size for one in odd), key=min, default=(0, 0))
        words = f"are far smaller or longer than the others, such as one of {width} x {height}"
        yield from describe(inspection, odd, words, usual=usual)


def unopened(inspection: Inspection) -> Iterator[Finding]:
    return inspection.faults(*(partial(inspection.split, name) for name in SPLITS))


ACROSS = partial(describe_twins, lambda one, other: one.split != other.split, "are in two splits")
WITHIN = partial(describe_twins, lambda one, other: one.split == other.split, "are twice in a split")
UNDER = "are there under another label, too"
RELABELLED = partial(describe_twins, lambda *two: len({one.label for one in two} - {None}) == 2, UNDER)
FILES: tuple[Need, ...] = ("dataset",)
RULES = (
    Rule("D001", "pictures that cannot be read", "error", FILES, unreadable, """Pictures that cannot be decoded.
        Why it matters: training stops at them, often after hours, or skips them. Example: an HTML page saved as .jpg, a
        download of 0 bytes, a HEIC picture renamed. Cure: get the files again, or take them out of the list."""),
    Rule("D002", "damaged pictures", "error", FILES, damaged, """They are decoded all the same. Why it matters: decoders
        fill what is missing with grey or noise, and the network learns it. Example: the lower half of a JPEG whose copy
        was broken off. Cure: get the files again, or take them out of the list."""),
    Rule("D003", "pictures in two splits", "error", FILES, ACROSS, """As they are, or resized, brighter, mirrored,
        cropped. Why it matters: the score is up to tens of points too high. Example: frames of one video. Cure: take
        them out of one split; share out whole videos, patients, or places, and augment after that."""),
    Rule("D004", "pictures twice in a split", "warning", FILES, WITHIN, """As they are, or nearly so. Why it matters:
        they count twice in loss and score, and a random split of the data will leak. Example: one photo under two
        names; an augmentation written to disk. Cure: take one of each pair out, unless the repetition is meant."""),
    Rule("D005", "a picture under two labels", "error", ("dataset", "labels"), RELABELLED, """Two copies with two
        labels. Why it matters: one label is wrong, and the network cannot learn either. Example: a photo of a cat and a
        dog that was found by both words. Cure: look at the pairs, and correct the labels or take them out."""),
    Rule("D006", "pictures that loaders read differently", "warning", FILES, read_otherwise, """OpenCV, Pillow (so
        torchvision, timm), and who follows EXIF. Why it matters: the network sees turned, inverted or black pictures
        elsewhere. Example: photos stored sideways; transparency; 16 bits, which Pillow clips. Cure: write the files
        again as upright 8-bit RGB; or use one loader everywhere, and see with `browse` what it reads."""),
    Rule("D007", "values that fill a part of their range", "warning", FILES, part_of_range, """An eighth or less of what
        the files could hold. Why it matters: divided by the largest number, they are nearly black. Example: scans of 12
        bits in 16; masks of 0 and 1. Cure: divide by the true maximum (4095), or stretch the values when writing."""),
    Rule("D008", "pictures of an odd size", "warning", FILES, odd_sizes, """A few that are far smaller than the others,
        or far longer than wide. Why it matters: blown up they are blurs; cut square, their object is gone. Example:
        icons among photos; panoramas; a strip of 1 pixel. Cure: take them out, or cut and pad them on purpose."""),
    Rule("D009", "data that cannot be opened", "error", FILES, unopened, """A line of
        the config from which a split or its pipeline cannot be made. Why it matters: training stops there. Example:
        `type='RandomResizedCropp'`. Cure: correct the line; what code of your own defines needs --trust-config."""),
)  # fmt: skip
