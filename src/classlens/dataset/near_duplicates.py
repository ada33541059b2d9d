"""Pictures that are the same but for their file: recompressed, resized, brighter, mirrored, cropped a little.

All pictures are compared by the low frequencies of a small grey copy, which costs one product of matrices. The few pairs
that look alike are laid over each other, and count if their fine structure agrees: unlike two photos of one kind, or two
digits of one shape, they have the same noise and edges in the same places.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np

from classlens.dataset.decode import Pixels

SIDE = 64  # of the grey copies that are laid over each other
WAVES = 8  # frequencies in each direction by which pictures are compared
ZOOMS = (1.0, 0.92, 0.84)  # the middle of a picture that is compared with whole other ones
ALIKE, NEIGHBOURS = 0.7, 4  # the cosine from which a pair is looked at, and how many pairs of one picture
SAME, SAME_TINY, SAME_ALIGNED = 0.8, 0.99, 0.88  # the correlation of fine structure from which a pair counts
PROMISING = 0.6  # the correlation at the best place from which two pictures are laid over each other
TINY = 48  # pixels of a shorter side below which two different drawings may agree in all that there is
STANDS_OUT = 0.2  # of how far the next tiny picture is: a copy is nearer
FAINT = 0.3  # levels of fine structure below which there is nothing to compare
FLAT = 3.0  # levels of contrast below which there is nothing to compare
BLOCK = 1024
OVERLAP = 0.6  # the share of what is in either picture that must be in both

Kind = Literal["alike", "mirrored", "cropped"]


@dataclass(frozen=True)
class Pair:
    """Two pictures by their places, the second after the first, how they differ, and how alike they are, 0 to 1."""

    one: int
    other: int
    kind: Kind
    likeness: float


def small_copy(pixels: Pixels) -> Pixels:
    """The picture in grey, 64 x 64 whatever its shape was."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    way = cv2.INTER_AREA if min(grey.shape) > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=way))


def find_pairs(copies: Sequence[Pixels], tiny: Sequence[bool] | None = None) -> Iterator[Pair]:
    """Every pair of pictures that are the same, except that of many copies of one not each is compared with each.

    `tiny` says which pictures are so small that only what agrees in every pixel counts.
    """
    if len(copies) < 2:
        return
    whole = np.stack([describe(copy) for copy in copies])
    fine = np.stack([unit(fine_structure(copy.astype(np.float32))) for copy in copies])
    odd = np.array([u % 2 for v in range(WAVES) for u in range(WAVES) if u + v], bool)
    tries: set[tuple[int, int, bool]] = set()
    pairs: set[tuple[int, int]] = set()

    def judge(key: tuple[int, int], *, flipped: bool) -> tuple[float, Kind]:
        turn = slice(None, None, -1 if flipped else 1)
        likeness = float(fine[key[0]].ravel() @ fine[key[1]][:, turn].ravel())
        is_tiny = bool(tiny and (tiny[key[0]] or tiny[key[1]]))
        kind: Kind = "mirrored" if flipped else "alike"
        if likeness >= (SAME_TINY if is_tiny else SAME):
            return likeness, kind
        likeness = 0.0 if is_tiny else lay_over(copies[key[0]], copies[key[1]][:, turn])
        return likeness, kind if flipped else "cropped"

    zooms = ZOOMS[:1] if tiny and all(tiny) else ZOOMS
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # OpenCV lets others work while it does
        for zoom, flipped in (*((zoom, False) for zoom in zooms), (1.0, True)):
            views = whole if zoom == 1 else np.stack([describe(middle(copy, zoom)) for copy in copies])
            views = np.where(odd, -views, views) if flipped else views
            likely = {(min(pair), max(pair)) for pair in likely_pairs(views, whole)}
            keys = sorted(key for key in likely if key not in pairs and (*key, flipped) not in tries)
            tries |= {(*key, flipped) for key in keys}
            judging = (threads.map if len(keys) > 1 else map)(partial(judge, flipped=flipped), keys)
            for key, (likeness, kind) in zip(keys, judging, strict=True):
                if likeness:
                    pairs.add(key)
                    yield Pair(*key, kind, likeness)


def stand_out(copy: Pixels, others: Mapping[int, Pixels]) -> list[int]:
    """Those of some pictures like one whose fine structure is far nearer to it than that of all the rest; none if none is.

    For tiny pictures: how far two of them differ says little, but a copy that was compressed again differs far less than
    the next one. Source: the ratio of Lowe, Distinctive image features from scale-invariant keypoints, IJCV 60, 2004, 7.1.
    """
    own, *fine = (unit(fine_structure(one.astype(np.float32))).ravel() for one in (copy, *others.values()))
    apart = sorted((1 - float(own @ one), number) for number, one in zip(others, fine, strict=True))
    ends = [end for end, (one, after) in enumerate(pairwise(apart), start=1) if one[0] < STANDS_OUT * after[0]]
    return [number for _, number in apart[: ends[-1]]] if ends else []


def likely_pairs(views: Pixels, whole: Pixels) -> Iterator[tuple[int, int]]:
    """For each view the few whole pictures that are most alike, without its own."""
    for start in range(0, len(views), BLOCK):
        cosines = views[start : start + BLOCK] @ whole.T
        np.fill_diagonal(cosines[:, start:], 0)
        rows, columns = np.nonzero(cosines >= ALIKE)  # few, so that only these are sorted
        order = np.lexsort((-cosines[rows, columns], rows))
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        for place in order[rank < NEIGHBOURS].tolist():
            yield start + int(rows[place]), int(columns[place])


def middle(copy: Pixels, zoom: float) -> Pixels:
    """The middle of a picture, that part of each side."""
    edge = round(SIDE * (1 - zoom) / 2)
    return copy[edge : SIDE - edge, edge : SIDE - edge]


def describe(copy: Pixels) -> Pixels:
    """The low frequencies of a picture, the finer ones weighted up, with the length 1; nothing but 0 for a flat one."""
    waves = cv2.dct(cv2.resize(copy, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32))[:WAVES, :WAVES]
    numbers = (waves * WEIGHTS).ravel()[1:]
    length = float(np.linalg.norm(numbers))
    return np.asarray(numbers / length if cv2.meanStdDev(copy)[1] >= FLAT else numbers * 0, np.float32)


WEIGHTS = np.sqrt(np.add.outer(np.arange(WAVES), np.arange(WAVES)))


def lay_over(one: Pixels, other: Pixels) -> float:
    """How far the fine structure of two pictures agrees where one is laid over the other at its best; 0 if they differ."""
    fit, warp = max(place_inside(one, other), place_inside(other, one, inverse=True), key=lambda match: match[0])
    if fit < PROMISING:
        return 0.0
    first, second = (np.ascontiguousarray(copy, np.float32) for copy in (one, other))
    edges, others = (
        cv2.GaussianBlur(copy, (0, 0), 0.5) - cv2.GaussianBlur(copy, (0, 0), 4) for copy in (first, second)
    )
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 80, 1e-5)
    with suppress(cv2.error):  # it does not converge: the first guess stays
        _, warp = cv2.findTransformECC(
            edges, others, warp.astype(np.float32), cv2.MOTION_AFFINE, stop, np.ones((SIDE, SIDE), np.uint8), 1
        )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(second, warp, (SIDE, SIDE), flags=flags)
    inside = cv2.warpAffine(np.ones_like(second), warp, (SIDE, SIDE), flags=flags) > 0.99
    shared = inside.mean()  # of the first; the second's whole area is that of the map's inverse
    if shared / (1 + 1 / max(abs(np.linalg.det(warp[:, :2])), 1e-6) - shared) < OVERLAP:
        return 0.0
    inside = cv2.erode(inside.astype(np.uint8), np.ones((5, 5))) > 0  # what borders on nothing has edges of its own
    parts = [fine_structure(copy)[inside] for copy in (first, moved)]
    likeness = float(np.corrcoef(parts)[0, 1]) if inside.any() and min(part.std() for part in parts) > FAINT else 0.0
    return likeness if likeness >= SAME_ALIGNED else 0.0


def place_inside(large: Pixels, small: Pixels, *, inverse: bool = False) -> tuple[float, Pixels]:
    """Where one picture fits best into another: how well, and the map from the larger one's pixels to the smaller one's.

    `inverse` gives the map the other way round.
    """
    half = SIDE // 2
    ground = fine_structure(cv2.resize(large, (half, half), interpolation=cv2.INTER_AREA).astype(np.float32))
    best: tuple[float, Pixels] = (0.0, np.eye(2, 3))
    for side in range(half - 8, half + 1):
        shrunk = cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
        scores = cv2.matchTemplate(ground, fine_structure(shrunk), cv2.TM_CCOEFF_NORMED)
        _, score, _, (x, y) = cv2.minMaxLoc(scores)
        if score > best[0]:
            zoom, shift = side / half, 2.0 * np.array([x, y])
            scale, move = (zoom, shift) if inverse else (1 / zoom, -shift / zoom)
            best = score, np.array([[scale, 0, move[0]], [0, scale, move[1]]])
    return best


def unit(fine: Pixels) -> Pixels:
    """Fine structure with the length 1, so that a product of two is their correlation; 0 if there is none."""
    centred = fine - fine.mean()
    return np.asarray(centred / np.linalg.norm(centred) if fine.std() > FAINT else centred * 0, np.float32)


def fine_structure(copy: Pixels) -> Pixels:
    """What is finer than some pixels."""
    return np.asarray(copy - cv2.GaussianBlur(copy, (0, 0), 1.5))
