"""Whatever way a framework writes pictures into arrays: there and back again, and the same picture in every one."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from classlens.image import Encoding, Image, pictures_in

NUMBERS = st.floats(0, 1, width=32)
TRIPLES = st.tuples(NUMBERS, NUMBERS, NUMBERS)
SHARES = st.floats(0.0625, 2, width=32)
ORDERS, LAYOUTS = ("RGB", "BGR"), ("HWC", "CHW")
PICTURES = st.builds(
    lambda height, width, seed: Image(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**32),
)


@st.composite
def encodings(draw):
    """Mean within the range of the picture, std from a sixteenth of it to twice of it, either sign."""
    white = draw(st.sampled_from([1.0, 2.0, 255.0, 65535.0]) | st.floats(0.5, 1000, width=32))
    mean = tuple(white * share for share in draw(TRIPLES))
    std = tuple(white * share * draw(st.sampled_from([1, 1, -1])) for share in draw(st.tuples(SHARES, SHARES, SHARES)))
    return Encoding(draw(st.sampled_from(ORDERS)), draw(st.sampled_from(LAYOUTS)), white, mean, std)


@settings(max_examples=40, deadline=None)
@given(PICTURES, encodings())
def test_every_encoding_gives_back_the_pixels_that_it_was_given(picture, encoding):
    encoded = encoding.encode(picture)

    assert encoded.dtype == np.float32
    assert encoded.flags.c_contiguous
    np.testing.assert_array_equal(encoding.decode(encoded).pixels, picture.pixels)


@settings(max_examples=40, deadline=None)
@given(PICTURES, encodings())
def test_an_encoding_is_the_formula_that_frameworks_document(picture, encoding):
    """(picture * white / 255 - mean) / std, by channel in the array's own order, in double precision."""
    channels = picture.pixels[..., ::-1] if encoding.order == "BGR" else picture.pixels
    expected = (channels.astype(float) * encoding.white / 255 - encoding.mean) / encoding.std
    expected = np.moveaxis(expected, -1, 0) if encoding.layout == "CHW" else expected

    np.testing.assert_allclose(encoding.encode(picture), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(PICTURES)
def test_bytes_without_normalisation_are_bytes_in_every_order_and_layout(picture):
    for order, layout in product(ORDERS, LAYOUTS):
        own = picture.pixels[..., ::-1] if order == "BGR" else picture.pixels
        array = np.moveaxis(own, -1, 0) if layout == "CHW" else own

        np.testing.assert_array_equal(Encoding(order, layout).decode(array).pixels, picture.pixels)


@settings(max_examples=40, deadline=None)
@given(st.lists(PICTURES, min_size=1, max_size=3), encodings())
def test_a_batch_that_is_read_by_its_encoding_is_the_pictures_one_by_one(pictures, encoding):
    pictures = [Image(np.resize(picture.pixels, (4, 5, 3))) for picture in pictures]
    batch = np.stack([encoding.encode(picture) for picture in pictures])

    together = pictures_in(batch, encoding, where="batch")

    assert len(together) == len(pictures)
    for picture, (read, numbers), one in zip(pictures, together, batch, strict=True):
        np.testing.assert_array_equal(read.pixels, picture.pixels)
        np.testing.assert_array_equal(numbers, one)


@settings(max_examples=40, deadline=None)
@given(encodings(), st.floats(-1e6, 1e6, width=32))
def test_numbers_outside_what_can_be_shown_are_white_or_black(encoding, number):
    shape = (2, 2, 3) if encoding.layout == "HWC" else (3, 2, 2)

    pixels = encoding.decode(np.full(shape, number, np.float32)).pixels[0, 0]

    levels = (number * np.asarray(encoding.std) + encoding.mean) / encoding.white * 255
    expected = levels[::-1] if encoding.order == "BGR" else levels
    np.testing.assert_allclose(pixels, np.clip(expected, 0, 255), atol=0.51)
