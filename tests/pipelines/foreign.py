"""What the tests of foreign pipelines share: a photo, and running a pipeline whole and laid open by the same chance."""

import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow

from classlens.dataset.dataset import Dataset
from classlens.pipelines.lay_open import lay_open, loaded

PHOTO = Path(__file__).parents[2] / "demo" / "photos" / "chelsea.png"


def photo(side: int = 96) -> Pillow.Image:
    with Pillow.open(PHOTO) as opened:
        return opened.convert("RGB").resize((side + side // 4, side))


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def outcomes(transform, seed: int = 0, value=None, **options):
    """Every stage with its outcome, by the global generators from `seed` on."""
    seed_all(seed)
    state = loaded(photo() if value is None else value)
    found = []
    for stage in lay_open(transform, **options):
        outcome = stage.apply(state, np.random.default_rng(seed))
        state = outcome.state
        found.append((stage, outcome))
    return found


def whole(transform, seed: int = 0, value=None):
    """The result of the pipeline as its framework runs it."""
    seed_all(seed)
    return transform(photo() if value is None else value)


def dataset_of(transform, value=None) -> Dataset:
    """One sample in front of a pipeline."""
    from classlens.dataset.state import to_image

    start = photo() if value is None else value
    return Dataset("one", 1, lambda index: loaded(start), lay_open(transform), to_image)
