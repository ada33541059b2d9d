"""How a picture is fed: through the classifier's own test pipeline, or whole, at the scale the model expects."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from classlens.arrays import Float, Shaped
from classlens.cam.classifier import Classifier
from classlens.image import Image


def prepared(classifier: Classifier, image: Image) -> Image:
    return classifier.prepare(image)


def scaled_whole(classifier: Classifier, image: Image) -> Image:
    """The whole picture, nothing cropped, its short side as long as that of the pictures the model is made for.

    Raises:
        DataError: the test pipeline resizes and encodes in one step.
    """
    kept = classifier.prepare(image).size == image.size  # pictures are fed as large as they are
    scale = 1 if kept else min(classifier.size) / min(image.size)
    height, width = (max(1, round(side * scale)) for side in image.size)
    if (height, width) != image.size:
        resized = Pillow.fromarray(image.pixels).resize((width, height), Pillow.Resampling.BICUBIC)
        image = Image(np.asarray(resized))
    return classifier.prepare_whole(image)


def box_as_fed(
    feed: Callable[[Image], Image], size: tuple[int, int], box: tuple[int, int, int, int]
) -> tuple[int, int, int, int] | None:
    """Where a box (left, top, right, bottom) of a picture of that size, as read, lies after `feed`; None if cut off.

    A picture that is white in the box and black elsewhere goes the same way: whatever a pipeline does, this follows it.
    """
    left, top, right, bottom = box
    marked = np.zeros((*size, 3), np.uint8)
    marked[top:bottom, left:right] = 255
    rows, columns = (np.flatnonzero((feed(Image(marked)).pixels[..., 1] > 127).any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def encoded(classifier: Classifier, pictures: list[Image]) -> Float[Tensor, "batch 3 height width"]:
    """Pictures of one size as the batch that the model reads, on the CPU.

    Raises:
        ValueError: the record's encoding does not put channels first.
    """
    if classifier.encoding.layout != "CHW":
        raise ValueError(f"{classifier.name}: a model reads channels first, its encoding says {classifier.encoding}")
    batch = np.empty((len(pictures), 3, *pictures[0].size), np.float32)
    for place, picture in enumerate(pictures):
        batch[place] = classifier.encoding.encode(picture) if picture.encoded is None else picture.encoded
    return torch.from_numpy(batch)


VARIANTS = tuple((flipped, factor) for flipped in (False, True) for factor in (0.9, 1.0, 1.1))
AS_IT_IS = VARIANTS.index((False, 1.0))


def varied(batch: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "variants_batch 3 height width"]:
    """All variants in one batch: every picture's first variant, then every picture's second, ..."""
    mirrored = batch.flip(-1)
    return torch.cat([(mirrored if flipped else batch) * factor for flipped, factor in VARIANTS])


def turned_back(maps: Shaped[Tensor, "variants batch height width"]) -> Shaped[Tensor, "variants batch height width"]:
    """The maps of `varied` pictures in the orientation of the pictures themselves; a single variant stays as it is."""
    if len(maps) == 1:
        return maps
    return torch.stack([one.flip(-1) if flipped else one for one, (flipped, _) in zip(maps, VARIANTS, strict=True)])
