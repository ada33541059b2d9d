"""Test-time augmentation of maps: six variants of every encoded picture, and their maps turned back.

As in the reference: {as it is, flipped left to right} x {0.9, 1.0, 1.1}, the factor applied to the *normalised* values.
"""

import torch
from torch import Tensor

from classlens.arrays import Float, Shaped

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
