"""Family D: pictures that are bad, there twice, or read otherwise than their owner believes.

Every picture of every split is looked at once, shrunk, 20,000 of a split at most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from classlens.check.finding import Exhibit, Finding
from classlens.check.inspection import UNREADABLE, Inspection
from classlens.check.rule import Need, Rule
from classlens.dataset.conventions import join_first
from classlens.dataset.dataset import Dataset
from classlens.dataset.decode import PILLOW_TROUBLE, damage_in, decode, open_with_pillow
from classlens.dataset.near_duplicates import SIDE, TINY, Pair, find_pairs, small_copy
from classlens.dataset.storage import read_bytes
from classlens.errors import ClasslensError, DataError
from classlens.image import Image, side_by_side
from classlens.sharing import unwarned

Array = np.ndarray[Any, np.dtype[Any]]

MOST = 20_000  # pictures of a split that are looked at
NAMED, SHOWN = 3, 4  # pictures that a message names, and pairs beside a finding
HEIGHT = 160  # of a picture beside a finding


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


def looks(inspection: Inspection) -> Sequence[Look]:
    """All pictures, bad ones included; what a split lists several times is one."""

    def look_at_all() -> list[Look]:
        chosen = [
            (split, dataset, index)
            for split, dataset in inspection.splits.items()
            for index in np.linspace(0, dataset.length - 1, min(MOST, dataset.length)).round().astype(int).tolist()
        ]
        rows: dict[object, Look] = {}
        for done, (split, dataset, index) in enumerate(chosen, start=1):
            one = look(split, dataset, index)
            rows.setdefault((split, one.path or index, one.label, one.size, one.error, hash(one.copy.tobytes())), one)
            if inspection.progress:
                inspection.progress("pictures", done, len(chosen))
        return list(rows.values())

    return inspection.once("looks", look_at_all)


def look(split: str, dataset: Dataset, index: int) -> Look:
    """One picture, decoded as small as is enough."""
    path, label = dataset.sample(index).path, dataset.label(index)
    try:
        state = dataset.thumbnail(index, lambda longest: 2 * SIDE) if dataset.thumbnail else dataset.load(index)
        image = dataset.to_image(state)
        size = getattr(state, "full", None) or image.size
        return Look(split, index, path, label, size, small_copy(image.pixels), dataset.remarks(state))
    except (*UNREADABLE, cv2.error) as error:
        return Look(split, index, path, label, error=str(error) or type(error).__name__)


def where_of(found: Sequence[Look]) -> str:
    return join_first(list(map(str, found)), NAMED)


def unreadable(inspection: Inspection) -> Iterator[Finding]:
    """Pictures that cannot be decoded.

    Why it matters: training stops at them, often after hours; loaders that go on put another picture in their place.
    Example: an HTML page saved as .jpg, a download of 0 bytes, a HEIC picture renamed.
    Cure: get the files again, or take them out of the list.
    """
    if bad := [one for one in looks(inspection) if one.error]:
        yield describe(inspection, bad, f"{share_of(inspection, bad)} cannot be read: {bad[0].error}")


def damaged(inspection: Inspection) -> Iterator[Finding]:
    """Pictures that are damaged, and are decoded all the same.

    Why it matters: decoders fill what is missing with grey or noise, and say nothing; the network learns it.
    Example: the lower half of a JPEG whose copy was broken off.
    Cure: get the files again, or take them out of the list.
    """
    if bad := [one for one in looks(inspection) if not one.error and damage_in(one.remarks)]:
        yield describe(inspection, bad, f"{share_of(inspection, bad)} are damaged: {damage_in(bad[0].remarks)}")


def describe(inspection: Inspection, found: Sequence[Look], message: str, **evidence: object) -> Finding:
    """A finding about some pictures, with the first of them."""
    numbers = {"pictures": len(found), "looked at": len(looks(inspection)), **evidence}
    shown = tuple(Exhibit(picture_of(inspection, one), str(one)) for one in found[:SHOWN] if not one.error)
    return Finding(message, where=where_of(found), evidence=numbers, pictures=shown)


def share_of(inspection: Inspection, found: Sized) -> str:
    return f"{len(found)} of {len(looks(inspection))} pictures"


def picture_of(inspection: Inspection, one: Look) -> Image:
    """The picture as it is read, no higher than a few lines of text."""
    dataset = inspection.splits[one.split]
    pixels = dataset.to_image(dataset.load(one.index)).pixels
    width = max(1, round(HEIGHT * pixels.shape[1] / pixels.shape[0]))
    return Image(np.asarray(cv2.resize(pixels, (min(width, 4 * HEIGHT), HEIGHT), interpolation=cv2.INTER_AREA)))


Twins = tuple[Look, Look, Pair]


def twins(inspection: Inspection) -> Sequence[Twins]:
    """Every two pictures that are the same; a file that is listed twice in one split is no pair."""

    def find() -> list[Twins]:
        good = [one for one in looks(inspection) if not one.error]
        tiny = [min(one.size) < TINY for one in good]
        pairs = ((good[pair.one], good[pair.other], pair) for pair in find_pairs([one.copy for one in good], tiny))
        return [(a, b, pair) for a, b, pair in pairs if a.split != b.split or not is_same_file(a, b)]

    return inspection.once("twins", find)


def across_splits(inspection: Inspection) -> Iterator[Finding]:
    """Pictures that are in two splits: as they are, recompressed, resized, brighter, mirrored, or cropped a little.

    Why it matters: the network is tested on what it learnt by heart; the score is too high, by up to tens of points.
    Example: frames of one video, or crops and flips of one photo, that were shared out at random.
    Cure: take them out of one split; share out whole videos, patients, or places, and augment after that.
    """
    yield from describe_twins(inspection, lambda one, other: one.split != other.split, "are in two splits")


def within_split(inspection: Inspection) -> Iterator[Finding]:
    """Pictures that are there twice in one split, as they are or nearly so.

    Why it matters: they count twice in the loss and in the score, and a random split of these data will leak.
    Example: one photo downloaded under two names; an augmentation that was written to disk.
    Cure: take one of each pair out, unless the repetition is meant.
    """
    yield from describe_twins(inspection, lambda one, other: one.split == other.split, "are twice in a split")


def under_other_label(inspection: Inspection) -> Iterator[Finding]:
    """The same picture under two labels.

    Why it matters: at least one label is wrong, and the network cannot learn either.
    Example: a photo of a cat and a dog that was found by both words.
    Cure: look at the pairs, and correct the labels or take them out.
    """

    def differ(one: Look, other: Look) -> bool:
        return one.label is not None and other.label is not None and one.label != other.label

    yield from describe_twins(inspection, differ, "are there under another label, too")


def describe_twins(inspection: Inspection, chosen: Callable[[Look, Look], bool], words: str) -> Iterator[Finding]:
    """One finding about all pairs of a kind, with the first of them side by side."""
    found = [pair for pair in twins(inspection) if chosen(*pair[:2])]
    if not found:
        return
    kinds = defaultdict[str, int](int)
    shown: list[Exhibit] = []
    for one, other, pair in found:
        kind = "the same file" if is_same_file(one, other) else pair.kind
        kinds[kind] += 1
        if len(shown) < SHOWN:
            names = [f"{each} ({label_names(inspection, each)})" for each in (one, other)]
            sheet = side_by_side(*(picture_of(inspection, each) for each in (one, other)))
            shown.append(Exhibit(sheet, f"{kind}: {names[0]} and {names[1]}"))
    first = {(one.split, one.index) for one, _, _ in found}
    splits = sorted({f"{one.split} and {other.split}" for one, other, _ in found if one.split != other.split})
    yield Finding(
        f"{share_of(inspection, first)} {words}" + (f" ({join_first(splits)})" if splits else ""),
        where=join_first([named_pair(one, other) for one, other, _ in found], NAMED),
        evidence={"pairs": len(found), **kinds, "looked at": len(looks(inspection))},
        pictures=tuple(shown),
    )


def is_same_file(one: Look, other: Look) -> bool:
    return one.path is not None and one.path == other.path


def named_pair(one: Look, other: Look) -> str:
    return f"{one} (the same file)" if is_same_file(one, other) else f"{one} = {other}"


def label_names(inspection: Inspection, one: Look) -> str:
    return ", ".join(inspection.splits[one.split].class_names(one.index)) or "no label"


ODD = ("EXIF orientation", "more than 8 bits", "alpha", "a transparent colour", "CMYK", "Lab colours")
TRIED, UNLIKE = 5, 4.0  # files of each kind that are read again, and levels of 255 by which readings differ


def read_otherwise(inspection: Inspection) -> Iterator[Finding]:
    """Pictures that OpenCV, Pillow (which torchvision and timm use) and loaders that follow EXIF read differently.

    Why it matters: trained with one loader and used with another, the network sees turned, inverted or black pictures.
    Example: photos of a phone, stored sideways; PNG files with transparency; 16-bit scans, which Pillow clips.
    Cure: write the files again as upright 8-bit RGB; or use one loader everywhere, and see with `browse` what it reads.
    """
    kinds: Mapping[str, list[Look]] = defaultdict(list)
    for one in looks(inspection):
        for kind in ODD:
            if one.path and any(remark.startswith(kind) for remark in one.remarks):
                kinds[kind].append(one)
    for kind, found in kinds.items():
        gaps = {one: gap for one in found[:TRIED] if (gap := disagreement(one.path or "")) and gap[0] > UNLIKE}
        if gaps:
            levels, words = max(gaps.values(), key=lambda gap: gap[0])
            message = f"{share_of(inspection, found)} are read differently by the usual loaders ({kind}): {words}"
            yield describe(inspection, list(gaps), message, tried=len(found[:TRIED]), levels=round(levels, 1))


def disagreement(path: str) -> tuple[float, str] | None:
    """How far the usual loaders are apart on a file, in levels of 255, and which ones; None if one cannot read it."""
    try:
        data = read_bytes(path)
        by_cv2 = decode(data)
        with unwarned(), open_with_pillow(data) as picture:
            stored, upright = (
                np.array(picture.convert("RGB")),
                np.array(ImageOps.exif_transpose(picture).convert("RGB")),
            )
            behind = Pillow.new("RGBA", picture.size, "white")
            blended = np.array(Pillow.alpha_composite(behind, picture.convert("RGBA")).convert("RGB"))
    except (ClasslensError, *PILLOW_TROUBLE):
        return None
    readings = {"cv2": by_cv2[..., ::-1], "Pillow upright by EXIF": upright, "Pillow on white": blended}
    gaps = []
    for name, other in readings.items():
        turned = other.shape != stored.shape
        gap = 255.0 if turned else float(np.abs(other.astype(int) - stored.astype(int)).mean())
        gaps.append((gap, f"Pillow and {name} differ" + (" in shape" if turned else f" by {gap:.0f} of 255 levels")))
    return max(gaps)


SEEN_DEEP = 20


def part_of_range(inspection: Inspection) -> Iterator[Finding]:
    """Pictures whose values fill a small part of their range: 12 bits stored in 16, or 0 and 1 stored in 8.

    Why it matters: divided by the largest number that the file could hold, they are nearly black.
    Example: microscopes and medical scanners write 12 bits into 16-bit files; masks are saved as 0 and 1.
    Cure: divide by the true maximum (4095), or stretch the values when writing.
    """
    files = [one for one in looks(inspection) if one.path and not one.error]
    chosen = (
        [files[place] for place in np.linspace(0, len(files) - 1, min(SEEN_DEEP, len(files))).astype(int)]
        if files
        else []
    )
    highest: dict[int, list[int]] = defaultdict(list)
    for one in chosen:
        try:
            pixels = decode(read_bytes(one.path or ""), color="unchanged")
        except ClasslensError:
            continue
        if pixels.dtype in (np.uint8, np.uint16):
            highest[pixels.dtype.itemsize * 8].append(int(pixels.max()))
    for bits, values in highest.items():
        full = 2**bits - 1
        if len(values) >= 3 and max(values) <= full / 8 and max(values) > 0:
            yield Finding(
                f"the pictures go from 0 to {max(values)} where {bits} bits go to {full}",
                where=where_of(chosen),
                evidence={"highest value": max(values), "of": full, "pictures": len(values)},
            )


def odd_sizes(inspection: Inspection) -> Iterator[Finding]:
    """A few pictures that are far smaller than the others, or far longer than wide.

    Why it matters: blown up to the size of the network they are blurs; cut square, nothing of their object is left.
    Example: thumbnails and icons among downloaded photos; panoramas; a strip of 1 pixel.
    Cure: take them out, or cut and pad them on purpose.
    """
    good = [one for one in looks(inspection) if not one.error]
    if not good:
        raise DataError("no picture can be read")
    sides = np.array([one.size for one in good], np.float64)
    short, aspect = sides.min(axis=1), sides.max(axis=1) / sides.min(axis=1)
    usual = float(np.median(short))
    found = [
        one
        for one, side, ratio in zip(good, short, aspect, strict=True)
        if side * 8 < usual or ratio > max(6, 3 * np.median(aspect))
    ]
    if found and len(found) <= len(good) / 10:
        least = min(found, key=lambda one: min(one.size))
        message = f"{share_of(inspection, found)} are far smaller or longer than the others, such as one of {least.size[1]} x {least.size[0]}"
        yield describe(inspection, found, message, usual=usual)


FILES: tuple[Need, ...] = ("dataset",)
RULES = (
    Rule("D001", "pictures that cannot be read", "error", FILES, unreadable),
    Rule("D002", "damaged pictures", "error", FILES, damaged),
    Rule("D003", "pictures in two splits", "error", FILES, across_splits),
    Rule("D004", "pictures twice in a split", "warning", FILES, within_split),
    Rule("D005", "a picture under two labels", "error", ("dataset", "labels"), under_other_label),
    Rule("D006", "pictures that loaders read differently", "warning", FILES, read_otherwise),
    Rule("D007", "values that fill a part of their range", "warning", FILES, part_of_range),
    Rule("D008", "pictures of an odd size", "warning", FILES, odd_sizes),
)
