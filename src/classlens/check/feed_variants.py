"""Other ways of feeding a network: each changes one thing about how pictures reach it, and says which line that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import starmap
from typing import Literal

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from classlens.check.inspection import Array, Served
from classlens.dataset.decode import PILLOW_TROUBLE, open_with_pillow
from classlens.dataset.storage import read_bytes
from classlens.errors import ClasslensError
from classlens.image import Encoding, Image
from classlens.sharing import unwarned


@dataclass(frozen=True, eq=False)
class Variant:
    """Another feed: what it is in words, the numbers it makes of a picture, and the line to change.

    `config` is the line in OpenMMLab's words, `python` in those of torchvision and timm. `encoding` is there where colours
    and numbers alone are changed.
    """

    name: str
    numbers: Callable[[Served], Array]
    config: str = ""
    python: str = ""
    encoding: Encoding | None = None


def variants_of(encoding: Encoding, prepare: Callable[[Image], Image], served: Sequence[Served]) -> list[Variant]:
    """All ways that make other numbers of some pictures than the feed and than each other; cheap ones first."""
    kept: list[Variant] = []
    known = [[one.numbers for one in served]]
    candidates = list(encodings(encoding, served))
    if is_same([encoding.encode(one.prepared) for one in served], known[0]):  # else more is done than the encoding says
        candidates += [*contents(encoding, prepare), *fits(encoding, served)]
    for variant in candidates:
        made = [variant.numbers(one) for one in served]
        if not any(is_same(made, others) for others in known):
            known.append(made)
            kept.append(variant)
    return kept


def is_same(one: Sequence[Array], other: Sequence[Array]) -> bool:
    """Whether the numbers differ by less than half a level of 255."""
    return all(
        left.shape == right.shape and float(np.abs(left - right).max()) <= 0.002 * max(float(np.ptp(right)), 1e-9)
        for left, right in zip(one, other, strict=True)
    )


CAFFE = Encoding("BGR", "CHW", 255.0, (103.53, 116.28, 123.675))
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
HALVES = (0.5,) * 3, (0.5,) * 3
OWN = "mean and std of these pictures"


def encodings(encoding: Encoding, served: Sequence[Served]) -> Iterator[Variant]:
    """Colours in the other order, other ranges, other means and deviations; what is more usual comes first."""
    order, white, mean, std = encoding.order, encoding.white, np.array(encoding.mean), np.array(encoding.std)
    other: Literal["RGB", "BGR"] = "BGR" if order == "RGB" else "RGB"
    plain, turned = (Encoding(one, "CHW", 1.0) for one in (order, other))
    pixels = np.concatenate([one.prepared.pixels.reshape(-1, 3) for one in served]) / 255
    pixels = pixels if order == "RGB" else pixels[:, ::-1]
    ready = {
        f"{other} instead of {order}": replace(encoding, order=other),
        "numbers from 0 to 255, then the same mean and std": replace(encoding, white=255.0),
        "numbers from 0 to 1, then the same mean and std": replace(encoding, white=1.0),
        "numbers from 0 to 255, without mean and std": replace(plain, white=255.0),
        "numbers from 0 to 1, without mean and std": plain,
        "numbers from -1 to 1 (mean and std 0.5)": triples(plain, *HALVES),
        "mean and std of ImageNet": triples(plain, *IMAGENET),
        "mean and std of CIFAR-10": triples(plain, *CIFAR),
        f"{other} instead of {order}, and mean and std of ImageNet": triples(turned, *IMAGENET),
        f"{other} instead of {order}, and numbers from -1 to 1": triples(turned, *HALVES),
        "Caffe's feed: BGR from 0 to 255 less the mean, not divided": CAFFE,
        "the same mean and std applied twice": triples(encoding, mean + mean * std, std * std),
        "divided by 255 once more": replace(encoding, white=white / 255),
        OWN: triples(plain, pixels.mean(axis=0).round(3), pixels.std(axis=0).clip(1e-3).round(3)),
    }

    def variant(name: str, way: Encoding) -> Variant:
        return Variant(name, lambda one: way.encode(one.prepared), *lines_of(way, turns="instead of" in name), way)

    return starmap(variant, ready.items())


def triples(encoding: Encoding, mean: Sequence[float] | Array, std: Sequence[float] | Array) -> Encoding:
    first, second = ((float(a), float(b), float(c)) for a, b, c in (mean, std))
    return replace(encoding, mean=first, std=second)


def lines_of(encoding: Encoding, *, turns: bool) -> tuple[str, str]:
    """The preprocessor of an OpenMMLab config, which counts from 0 to 255, and the transforms of torchvision, to 1."""
    tops = [(way, top / encoding.white) for top in (255, 1) for way in (encoding.mean, encoding.std)]
    mean, std, first, second = (", ".join(f"{value * scale:.6g}" for value in way) for way, scale in tops)
    config = f"data_preprocessor = dict(mean=[{mean}], std=[{std}], to_rgb={encoding.order == 'RGB'})"
    python = f"transforms.ToTensor(), transforms.Normalize(({first}), ({second}))"
    if turns:
        return config, f"turn the colours round where the picture is read, picture = picture[..., ::-1]; then {python}"
    return config, f"{python}, which timm calls mean= and std=" + ("; on BGR" if encoding.order == "BGR" else "")


def contents(encoding: Encoding, prepare: Callable[[Image], Image]) -> Iterator[Variant]:
    """The same encoding of a picture in grey, transposed, or turned as its file says."""

    def turned(one: Served) -> Array:
        other = read_turned(one)
        prepared = one.prepared if other is None else prepare(other)
        return encoding.encode(prepared) if prepared.encoded is None else prepared.encoded

    yield Variant(
        "grey pictures",
        lambda one: encoding.encode(in_grey(one.prepared)),
        "dict(type='LoadImageFromFile', color_type='grayscale') in the test pipeline, or dict(type='Grayscale')",
        "transforms.Grayscale(3) in front",
        encoding,
    )
    yield Variant(
        "height and width exchanged",
        lambda one: encoding.encode(Image(np.ascontiguousarray(one.prepared.pixels.transpose(1, 0, 2)))),
        "no transpose in the test pipeline: PackInputs makes channels first of height x width x channels",
        "array.transpose(2, 0, 1), not (2, 1, 0) or .T, to make channels first",
    )
    yield Variant(
        "pictures turned the other way that EXIF allows",
        turned,
        "dict(type='LoadImageFromFile', color_type='color'), which turns by EXIF ('color_ignore_orientation' does not)",
        "PIL.ImageOps.exif_transpose(picture) where it is read in one place, and nowhere or everywhere else",
    )


def in_grey(image: Image) -> Image:
    return Image(np.array(Pillow.fromarray(image.pixels).convert("L").convert("RGB")))


def read_turned(one: Served) -> Image | None:
    """The picture upright if it was read as stored, and as stored if it was read upright; None without such a tag."""
    try:
        data = read_bytes(one.path or "")
        with unwarned(), open_with_pillow(data) as picture:
            upright = ImageOps.exif_transpose(picture)
            readings = [np.array(way.convert("RGB"), np.int16) for way in (picture, upright)]
    except (ClasslensError, *PILLOW_TROUBLE):
        return None

    def distance(pixels: Array) -> float:
        is_alike = pixels.shape == one.read.pixels.shape
        return float(np.abs(pixels - one.read.pixels).mean()) if is_alike else 256.0

    return None if np.array_equal(readings[0], readings[1]) else Image(max(readings, key=distance).astype(np.uint8))


@dataclass(frozen=True)
class Fit:
    """How a picture is brought to a size: squashed, padded, or a share of its short side cut out of the middle."""

    kind: Literal["squash", "letterbox", "crop"]
    share: float = 1.0
    resampling: str = "bicubic"

    def apply(self, image: Image, size: tuple[int, int]) -> Image:
        """A picture of that height and width."""
        if self.kind == "squash":
            return Image(resize(image.pixels, size, self.resampling))
        pairs = list(zip(image.size, size, strict=True))
        scales = [wanted / side for side, wanted in pairs]
        bound, scale = (min, min(scales)) if self.kind == "letterbox" else (max, max(scales) / self.share)
        rows, columns = (bound(max(1, round(side * scale)), wanted) for side, wanted in pairs)
        large = resize(image.pixels, (rows, columns), self.resampling)
        (top, height), (left, width) = ((abs(a - b) // 2, min(a, b)) for a, b in zip(large.shape, size, strict=False))
        if self.kind == "crop":
            return Image(np.ascontiguousarray(large[top : top + height, left : left + width]))
        canvas = np.full((*size, 3), 114, np.uint8)
        canvas[top : top + height, left : left + width] = large
        return Image(canvas)

    def lines(self, size: tuple[int, int]) -> tuple[str, str]:
        """The line in the words of a config, and of torchvision and timm."""
        height, width = size
        edge, scale = round(min(size) / self.share), f"dict(type='Resize', scale=({width}, {height})"
        if self.kind == "squash":
            python = f"transforms.Resize(({height}, {width})), timm's crop_mode='squash'"
            return f"{scale}, interpolation='{self.resampling}')", python
        if self.kind == "letterbox":
            python = f"resize the long side to {max(size)} and pad: timm's crop_mode='border'"
            return f"{scale}, keep_ratio=True), dict(type='Pad', ...)", python
        return (
            f"dict(type='ResizeEdge', scale={edge}, edge='short', interpolation='{self.resampling}'), "
            f"dict(type='CenterCrop', crop_size=({height}, {width}))",
            f"transforms.Resize({edge}, interpolation={self.resampling!r}), transforms.CenterCrop({size}), "
            f"timm's input_size, crop_pct={self.share:g} and interpolation={self.resampling!r}",
        )


FILTERS = ("bilinear", "bicubic", "nearest", "bilinear without antialias")


def resize(pixels: Array, size: tuple[int, int], resampling: str) -> Array:
    """Pixels in another size; without antialias as OpenCV does it, and torchvision on tensors unless it is asked to."""
    if pixels.shape[:2] == size:
        return pixels
    if resampling == FILTERS[-1]:
        return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR))
    return np.asarray(Pillow.fromarray(pixels).resize(size[::-1], Pillow.Resampling[resampling.upper()]))


FITS = {
    "the whole picture squashed": Fit("squash"),
    "the whole picture padded (letterbox)": Fit("letterbox"),
    "the middle of the picture, the whole short side": Fit("crop"),
    "the middle 87.5 % of the short side": Fit("crop", 0.875),
    "the middle 70 % of the short side": Fit("crop", 0.7),
}
UNEXPLAINED = 8.0  # a feed that is so many levels from all fits does more than bring pictures to a size


def fits(encoding: Encoding, served: Sequence[Served]) -> Iterator[Variant]:
    """Nothing but a fit, other crops, other interpolations, other sizes; and colours, if the feed makes pictures grey."""
    is_grey = all(not np.ptp(one.prepared.pixels, axis=2).any() for one in served)

    def made(fit: Fit, one: Served, scale: float, *, grey: bool = is_grey) -> Image:
        height, width = (max(8, round(side * scale / 8) * 8) for side in one.prepared.size)
        size = one.prepared.size if scale == 1 else (height, width)
        return fit.apply(in_grey(one.read) if grey else one.read, size)

    def distance(fit: Fit) -> float:
        gaps = [np.abs(made(fit, one, 1).pixels.astype(np.int16) - one.prepared.pixels).mean() for one in served[:3]]
        return float(np.mean(gaps))  # in levels of 255

    def variant(name: str, fit: Fit, scale: float = 1.0, *, grey: bool = is_grey) -> Variant:
        lines = fit.lines(made(fit, served[0], scale).size)
        return Variant(name, lambda one: encoding.encode(made(fit, one, scale, grey=grey)), *lines)

    nearest = min(FITS.values(), key=distance)
    given = min((replace(nearest, resampling=name) for name in FILTERS), key=distance)
    if is_grey or distance(given) > UNEXPLAINED:
        name = "pictures in colour" if is_grey else "pictures that are brought to their size, and nothing else"
        yield replace(
            variant(name, given, grey=False),
            config="take out of the test pipeline what changes more than the size (Grayscale, color_type, Equalize, ...)",
            python="take out of the test transform what changes more than the size (Grayscale, convert('L'), ...)",
        )
    for name, fit in FITS.items():
        yield variant(name, replace(fit, resampling=given.resampling))
    for resampling in FILTERS:
        yield variant(f"resized {resampling}", replace(given, resampling=resampling))
    for scale in (0.75, 1.25):
        yield variant(f"pictures of {scale:g} times the size", given, scale)
