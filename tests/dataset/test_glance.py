"""Pictures decoded at the size at which they are looked at."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.adapters import open_source
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.listing import LoadImageFromFile
from classlens.dataset.trace import trace

TURNED = 6


@pytest.fixture
def photos(tmp_path):
    """A JPEG that is upright, one that its EXIF turns, and a PNG, all with a bright top left corner."""
    ramp = np.add.outer(np.arange(600), np.arange(800)).astype(np.float32)
    pixels = np.stack([255 - ramp / 6, 200 - ramp / 10, 255 - ramp / 8], axis=-1).clip(0, 255).astype(np.uint8)
    exif = Pillow.Exif()
    exif[0x0112] = TURNED
    Pillow.fromarray(pixels).save(tmp_path / "0.jpg", quality=95)
    Pillow.fromarray(pixels).save(tmp_path / "1.jpg", quality=95, exif=exif)
    Pillow.fromarray(pixels).save(tmp_path / "2.png")
    return open_source(f"folder:{tmp_path}").dataset()


@pytest.mark.parametrize(("index", "size", "seen"), [(0, (600, 800), (150, 200)), (1, (800, 600), (200, 150))])
def test_a_jpeg_is_decoded_at_a_fraction_and_keeps_its_true_size(photos, index, size, seen):
    whole = trace(photos, index, keep="first").original
    small = trace(photos, index, keep="first", max_side=lambda longest: 160).original

    assert (whole.size, small.size) == (size, size)
    assert small.image.size == seen
    height, width = seen
    shrunk = cv2.resize(whole.image.pixels, (width, height), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small.image.pixels).max() <= 4


def test_other_kinds_are_decoded_whole(photos):
    assert trace(photos, 2, keep="first", max_side=lambda longest: 160).original.image.size == (600, 800)


def test_remarks_are_the_same_at_any_size(photos):
    small, whole = (trace(photos, 1, keep="first", max_side=max_side) for max_side in (lambda longest: 80, None))

    assert small.remarks == whole.remarks != ()


@pytest.mark.parametrize("settings", [{"imdecode_backend": "pillow"}, {"color_type": "unchanged"}])
def test_loaders_that_cannot_decode_smaller_do_not(photos, settings):
    path = photos.sample(0).path

    state = LoadImageFromFile(**settings).state(Path(path).read_bytes(), path, max_side=lambda longest: 80)

    assert state.value.shape == (600, 800, 3)
    assert state.full is None


def test_stages_never_see_a_smaller_copy(photos):
    staged = replace(photos, stages=(Stage("same", lambda state, random: Outcome(state)),))

    for keep in ("all", "ends", "last"):
        assert trace(staged, 0, keep=keep, max_side=lambda longest: 80).original.image.size == (600, 800)
