import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.image import Encoding, Image

ENCODINGS = [
    Encoding(),
    Encoding(order="BGR"),
    Encoding(layout="CHW", white=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    Encoding(order="BGR", layout="CHW", mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395)),
]


@pytest.fixture
def image() -> Image:
    return Image(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8))


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_what_is_encoded_is_decoded_to_the_same_pixels(image, encoding):
    np.testing.assert_array_equal(encoding.decode(encoding.encode(image)).pixels, image.pixels)


def test_an_encoded_picture_has_the_mean_and_order_that_it_says():
    red = Image(np.full((2, 2, 3), (255, 0, 0), np.uint8))
    encoded = Encoding(order="BGR", layout="CHW", mean=(1.0, 2.0, 5.0), std=(1.0, 2.0, 10.0)).encode(red)

    np.testing.assert_allclose(encoded[:, 0, 0], [-1.0, -1.0, 25.0])


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises((ValueError, TypeError)):
        Image(pixels)


def test_a_picture_is_saved_as_its_ending_says_and_nothing_is_left_beside_it(image, tmp_path):
    image.save(tmp_path / "new" / "a.png")

    with Pillow.open(tmp_path / "new" / "a.png") as saved:
        np.testing.assert_array_equal(np.asarray(saved), image.pixels)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_an_ending_that_is_no_picture_is_refused_before_anything_is_written(image, tmp_path):
    with pytest.raises(ValueError, match=r"cannot write a picture with the ending '\.xyz'"):
        image.save(tmp_path / "a.xyz")

    assert list(tmp_path.iterdir()) == []
