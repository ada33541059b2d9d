"""`classlens.explain`: maps of pictures in whatever form they are at hand.

    classlens.explain(classifier, "cat.png")
    classlens.explain(classifier, ["photos", array, Image.open("dog.jpg")], methods=["GradCAM", "LayerCAM"])
    classlens.explain(classifier, batch, encoding=classifier.encoding)

What cannot be read in just one way is refused: a wrong guess would be a map of another picture, which nobody notices.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from classlens.cam import explain as engine
from classlens.cam.classifier import Classifier
from classlens.cam.explain import ExplainOptions
from classlens.cam.saliency import Explanation
from classlens.cam.targets import Target
from classlens.dataset.decode import PILLOW_TROUBLE
from classlens.errors import DataError, WrongType, first_line
from classlens.image import Encoding, Image, pictures_in
from classlens.runs.explain_files import BadPicture
from classlens.runs.map_pictures import read_portions
from classlens.runs.picture_origins import list_pictures

Pictures: TypeAlias = object
"""An `Image`, a path, a folder or pattern, a picture of Pillow, an array or tensor; or several of these."""

NO_NUMBERS = ("O", "U", "S")  # kinds of numpy's arrays that are lists of things, such as paths


def explain(  # noqa: PLR0913 - the words of the engine, and how the numbers of arrays are to be read
    classifier: Classifier,
    images: Pictures,
    *,
    methods: str | Sequence[str] = ("GradCAM",),
    layers: str | Sequence[str] | None = None,
    targets: Target | Sequence[Target] | None = None,
    options: ExplainOptions | None = None,
    encoding: Encoding | None = None,
) -> Explanation:
    """Map the evidence in every picture for every class, by every method, at every layer; in this order.

    Costs one forward pass per batch, and for each class one backward pass over what follows the first layer. Methods
    that know no class, asked alone and without targets, stop at the last layer.

    Args:
        images: pictures of any size, which the classifier's test pipeline prepares: an `Image`, a path, a folder or a
            pattern as on the command line, a picture of Pillow, a numpy array of uint8 (RGB, RGBA or grey), any array or
            tensor with its encoding named, or several of these. Of a folder or a list, files that cannot be read are
            left out, with a warning, and listed in `Explanation.bad`.
        methods: names in `METHODS`, any case.
        layers: names as in `module.named_modules()`, also `backbone.layer4[-1]` or `backbone.layer?`; the default
            layer (`cam.layers.find_layers`) if not given.
        targets: class numbers, names, "top5", "predicted", "cat - dog", or a tuple of one number per picture; the
            predicted class of each picture if not given.
        encoding: how arrays and tensors are encoded. Numbers in the classifier's own encoding are what it reads: they
            are fed as they are. In any other they are a picture, and go the way of every picture.

    Raises:
        DataError: a picture cannot be read, or there is more than one way to read an array.
        NotFound: no such method, layer or class.
        ModelError: a layer cannot be read as a map, runs twice, or has no gradient.
        TypeError: something is neither a picture nor a classifier.
        ValueError: no picture is given, or a tuple of classes does not fit the pictures.
    """
    if not isinstance(classifier, Classifier):
        what = f"explain takes a Classifier, not a {type(classifier).__name__}"
        raise WrongType(f"{what}: classlens.open_source(...).classifier() makes one, of your own module too")
    bad: list[BadPicture] = []
    pictures = list(read(images, classifier, encoding, bad, "images"))
    unread = [one.reason for one in bad if not one.readable]
    if unread and not pictures:
        raise DataError("; ".join(unread))
    if bad:
        count = f"{len(unread)} of {len(pictures) + len(unread)} pictures could not be read"
        warnings.warn("; ".join([*([count] if unread else []), *(one.reason for one in bad)]), stacklevel=2)
    maps = engine.explain(classifier, pictures, methods=methods, layers=layers, targets=targets, options=options)
    return replace(maps, bad=tuple(one.reason for one in bad))


def read(
    images: Pictures, classifier: Classifier, encoding: Encoding | None, bad: list[BadPicture], where: str
) -> Iterator[Image]:
    """Every picture of what the user gave; `bad` collects files that are left out, or damaged."""
    if isinstance(images, Image):
        yield replace(images, encoded=None)  # these may be the numbers of another classifier
    elif isinstance(images, str | PathLike):
        paths = tuple(list_pictures([Path(images)]))
        with suppress(DataError):  # is in `bad`
            for portion in read_portions(paths, len(paths), bad):
                yield from portion.values()
    elif isinstance(images, Pillow.Image):
        yield from read_pillow(images, classifier, encoding, where)
    elif hasattr(images, "__array__") and getattr(getattr(images, "dtype", None), "kind", None) not in NO_NUMBERS:
        is_fed = encoding is not None and encoding == classifier.encoding
        for image, numbers in pictures_in(images, encoding, where=where):
            yield replace(image, encoded=np.ascontiguousarray(numbers, np.float32)) if is_fed else image
    elif isinstance(images, Iterable) and not isinstance(images, bytes | Mapping):
        for place, one in enumerate(images):
            yield from read(one, classifier, encoding, bad, f"{where}[{place}]")
    else:
        raise WrongType(f"{where}: a {type(images).__name__} is no picture")


def read_pillow(
    picture: Pillow.Image, classifier: Classifier, encoding: Encoding | None, where: str
) -> Iterator[Image]:
    """A picture of Pillow, upright by EXIF, as `read_image` would read its file; by its encoding if one is named."""
    try:
        upright = ImageOps.exif_transpose(picture)
        if encoding is not None or upright.mode in ("I", "F"):
            yield from read(np.asarray(upright), classifier, encoding, [], f"{where}: a picture of mode {upright.mode}")
            return
        if upright.mode.startswith("I;16"):  # of 16 bits the high byte is kept
            upright = Pillow.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        pixels = np.array(upright.convert("RGB"))
    except PILLOW_TROUBLE as error:
        raise DataError(f"{where}: Pillow cannot read this picture: {first_line(error)}") from error
    yield Image(pixels, name=getattr(picture, "filename", ""))
