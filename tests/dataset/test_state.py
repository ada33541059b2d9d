"""Pictures in the forms that stages hand on, shown and made anew in the same form."""

import os

import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.dataset.decode import capture_damage, convert_as_mmcv
from classlens.dataset.state import BGR, State, picture_like, to_image
from classlens.image import Encoding

PIXELS = np.array([[[200, 100, 50], [1, 2, 3]]], np.uint8)  # RGB


def test_a_stage_for_arrays_says_what_it_got_instead():
    with pytest.raises(TypeError, match="this stage needs an array, the stage before it left a list"):
        _ = State([PIXELS], BGR).pixels


def test_sixteen_bits_of_opencv_are_shown_by_the_high_byte():
    deep = PIXELS[..., ::-1].astype(np.uint16) * 256 + 255

    np.testing.assert_array_equal(to_image(State(deep, BGR)).pixels, PIXELS)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (np.zeros((1, 2), np.uint8), PIXELS[..., 0]),
        (np.zeros((1, 2, 1), np.uint8), PIXELS[..., :1]),
        (np.zeros((1, 2, 4), np.uint8), PIXELS[..., [0, 0, 0, 0]]),
        (np.zeros((1, 2, 3), np.float32), PIXELS / 255),
    ],
    ids=["grey", "grey with an axis", "four channels", "floats"],
)
def test_pixels_become_a_picture_of_the_form_of_another(picture, expected):
    """What has other than three channels gets the first in all of them."""
    alike = picture_like(
        picture, pixels=PIXELS, encoding=Encoding("RGB", white=1.0 if picture.dtype.kind == "f" else 255.0)
    )

    assert (alike.dtype, alike.shape) == (picture.dtype, picture.shape)
    np.testing.assert_allclose(alike, expected, rtol=1e-6)


def test_pillow_s_pictures_as_stored_have_opencv_s_order_of_channels():
    """`mmcv.imfrombytes(flag='unchanged', backend='pillow')`: RGB and RGBA are turned, grey and transparency are not."""
    rgba = np.dstack([PIXELS, np.full((1, 2), 9, np.uint8)])

    np.testing.assert_array_equal(convert_as_mmcv(Pillow.fromarray(rgba), "unchanged"), rgba[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(convert_as_mmcv(Pillow.fromarray(PIXELS[..., 0]), "unchanged"), PIXELS[..., 0])


def test_without_a_standard_error_no_damage_is_collected(monkeypatch):
    """Some services run without file descriptor 2."""

    def refuse(_):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", refuse)
    with capture_damage() as complaints:
        pass

    assert complaints == []
