import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.errors import DataError
from classlens.image import Encoding, Image, pictures_in

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
    with pytest.raises(DataError, match=r"cannot write a picture with the ending '\.xyz'") as caught:
        image.save(tmp_path / "a.xyz")

    assert caught.value.hint == "use one of .bmp .gif .jpeg .jpg .png .tif .tiff .webp"
    assert list(tmp_path.iterdir()) == []


def test_numpy_reads_a_picture_as_its_pixels(image):
    assert np.shares_memory(np.asarray(image), image.pixels)
    assert np.asarray(image, np.float32).dtype == np.float32
    assert not np.shares_memory(np.array(image, copy=True), image.pixels)
    np.testing.assert_array_equal(np.asarray(Pillow.fromarray(np.asarray(image))), image.pixels)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(image, np.float32, copy=False)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_an_array_is_read_by_its_encoding_alone_or_in_a_batch(image, encoding):
    numbers = encoding.encode(image)

    (alone,) = pictures_in(numbers, encoding, where="x")
    both = pictures_in(np.stack([numbers, numbers]), encoding, where="x")

    np.testing.assert_array_equal(alone[0].pixels, image.pixels)
    assert len(both) == 2
    np.testing.assert_array_equal(both[1][0].pixels, image.pixels)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4), (2, 5, 7, 3)])
def test_bytes_with_the_channels_at_the_end_need_no_encoding(shape):
    numbers = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    pictures = pictures_in(numbers, None, where="x")

    assert [picture.size for picture, _ in pictures] == [(5, 7)] * (shape[0] if len(shape) == 4 else 1)
    np.testing.assert_array_equal(
        pictures[0][0].pixels[..., 0], numbers.reshape(-1, 5, 7, shape[-1] if len(shape) > 2 else 1)[0, ..., 0]
    )


@pytest.mark.parametrize(
    ("numbers", "encoding", "message"),
    [
        (np.zeros((5, 7, 3)), None, "x: an array of float64, 5 x 7 x 3, could be encoded in several ways"),
        (np.zeros((3, 5, 7), np.uint8), None, "has no channels at the end"),
        (np.zeros((5, 7, 2), np.uint8), None, "has no channels at the end"),
        (np.zeros((5, 7, 3), np.uint16), None, "an array of uint16, 5 x 7 x 3, could be encoded in several ways"),
        (np.zeros((5, 7), bool), None, "an array of bool, 5 x 7, is no picture"),
        (np.zeros((0, 7), np.uint8), None, "is no picture"),
        (np.zeros((5, 7, 3), np.uint8), Encoding(layout="CHW"), "has no channels in front of height and width"),
        (np.full((5, 7, 3), 200, np.uint8), Encoding(white=1.0), "from 200 to 200, does not fit"),
        (np.full((5, 7, 3), 0.5), Encoding(), "from 0.5 to 0.5, does not fit"),
        (np.full((5, 7, 3), np.nan), Encoding(white=1.0), "from nan to nan, does not fit"),
    ],
)
def test_numbers_that_can_be_read_in_several_ways_are_refused_with_the_way_to_say_it(numbers, encoding, message):
    with pytest.raises(DataError, match=message) as caught:
        pictures_in(numbers, encoding, where="x")

    assert caught.value.hint


def test_channels_are_judged_by_their_own_mean_and_std(image):
    encoding = Encoding(layout="CHW", white=1.0, mean=(0.5, 0.0, 0.2), std=(0.05, 2.0, 0.5))

    ((read, _),) = pictures_in(encoding.encode(image), encoding, where="image")

    np.testing.assert_array_equal(read.pixels, image.pixels)


@pytest.mark.parametrize("settings", [{"white": 0.0}, {"white": -1.0}, {"std": (1.0, 0.0, 1.0)}])
def test_what_would_divide_by_nothing_is_no_encoding(settings):
    with pytest.raises(ValueError, match="white and std divide"):
        Encoding(**settings)


@pytest.mark.parametrize(
    ("numbers", "encoding", "layout", "white"),
    [
        (np.full((5, 7, 3), 256, np.uint16), None, "HWC", "65535"),
        (np.full((3, 5, 7), 255, np.uint16), None, "CHW", "255"),
        (np.full((5, 7), 255.0), None, "HWC", "255"),
        (np.full((5, 7, 3), 1.0), None, "HWC", "1.0"),
        (np.ones((5, 7, 3), np.int32), None, "HWC", "255"),
        (np.full((5, 7, 3), 65535.0), None, "HWC", "65535"),
        (np.full((3, 5, 7), 200, np.uint8), Encoding(layout="CHW", white=1.0), "CHW", "255"),
    ],
)
def test_the_hint_names_an_encoding_that_reads_the_numbers(numbers, encoding, layout, white):
    with pytest.raises(DataError) as caught:
        pictures_in(numbers, encoding, where="x")

    assert f"cl.Encoding(layout='{layout}', white={white}) for 0..{float(white):g} with channels" in caught.value.hint
    assert pictures_in(numbers, Encoding(layout=layout, white=float(white)), where="x")


@pytest.mark.parametrize("number", [-0.1, 65536.0, np.nan])
def test_the_hint_proposes_no_range_where_none_fits(number):
    with pytest.raises(DataError) as caught:
        pictures_in(np.full((5, 7, 3), number), None, where="x")

    assert "say how: encoding=classifier.encoding" in caught.value.hint
