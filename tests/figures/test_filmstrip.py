import numpy as np
import pytest

from classlens.dataset.batch import Batch
from classlens.dataset.trace import Snapshot, Trace
from classlens.figures import draw
from classlens.figures.filmstrip import (
    CAPTION,
    MARGIN,
    SMALLEST,
    bad_tile,
    describe_params,
    draw_trace,
    draw_under_title,
)
from classlens.figures.terminal import preview
from classlens.figures.text import shorten_end, width_of, wrap_lines
from classlens.image import Image


def picture(height=60, width=80, colour=(200, 30, 30)):
    return Image(np.full((height, width, 3), colour, np.uint8))


def traced(*snapshots, names=("cat",), remarks=()):
    return Trace("toy", 3, 0, names, snapshots, "a.jpg", remarks)


LOADED = Snapshot("LoadImageFromFile", picture(150, 200))
CROPPED = Snapshot("RandomResizedCrop", picture(112, 112, (30, 200, 30)), {"box": (1, 2, 30, 40)})


def area_of(image, colour):
    return int((image.pixels == np.array(colour)).all(axis=-1).sum())


@pytest.mark.parametrize(
    ("mode", "red", "green"),
    [("original", 30000, 0), ("transformed", 0, 12544), ("concat", 30000, 12544), ("pipeline", 30000, 12544)],
)
def test_a_mode_shows_its_pictures_pixel_by_pixel(mode, red, green):
    image = draw(traced(LOADED, CROPPED), mode=mode)

    assert area_of(image, (200, 30, 30)) == red
    assert area_of(image, (30, 200, 30)) == green


def test_what_was_drawn_is_written_under_the_stage_and_only_there():
    plain = draw_trace(traced(LOADED, Snapshot(CROPPED.stage, CROPPED.image)))
    told = draw_trace(traced(LOADED, CROPPED))

    assert told.size[0] > plain.size[0]
    assert told.size[1] == plain.size[1]


def test_values_are_put_in_few_words():
    params = {
        "box": (1, 2, 30, 40),
        "flip": "no",
        "brightness": 0.123456,
        "1 Rotate": {"at": (0, 0), "angle": -12.5},
        "2 Invert": {"at": (1, 0)},
        "fill": np.arange(12),
        "alpha": (0.5, 0.25),
        "3 Equalize": True,
    }

    assert describe_params(params) == [
        "box 30\N{MULTIPLICATION SIGN}40 at 1,2",
        "flip no",
        "brightness 0.123",
        "Rotate: angle -12.5",
        "Invert: applied",
        "fill: noise",
        "alpha 0.5, 0.25",
        "Equalize",
    ]


def test_random_parameters_of_many_lines_are_cut_off():
    def drawn(count):
        params = {f"parameter {number}": number for number in range(count)}
        return draw_trace(traced(LOADED, Snapshot(CROPPED.stage, CROPPED.image, params))).size

    assert drawn(6) < drawn(7) == drawn(8) == drawn(40)


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (3, 5000), (4000, 6000)])
def test_pictures_of_any_size_make_a_sheet_of_reasonable_size(size):
    image = draw_trace(traced(Snapshot("load", picture(*size)), CROPPED))

    height, width = image.size
    assert height < 700
    assert 216 <= width < 1600


def test_a_tiny_picture_is_enlarged_by_a_whole_factor_without_smoothing():
    board = Image(np.indices((28, 28)).sum(axis=0)[..., None].repeat(3, 2).astype(np.uint8) % 2 * 255)

    sheet = draw_trace(traced(Snapshot("load", board)))

    enlarged = np.kron(board.pixels[..., 0], np.ones((4, 4), np.uint8))
    rows, columns = sheet.size[0] - 111, sheet.size[1] - 111
    found = any(
        np.array_equal(sheet.pixels[y : y + 112, x : x + 112, 0], enlarged) for y in range(rows) for x in range(columns)
    )
    assert found


def test_a_rescale_factor_counts_exactly():
    once, twice = (draw_trace(traced(LOADED), mode="original", rescale=factor) for factor in (1.0, 2.0))

    assert area_of(twice, (200, 30, 30)) == 4 * area_of(once, (200, 30, 30))


def test_many_stages_continue_in_the_next_row():
    image = draw_trace(traced(*[Snapshot(f"stage {n}", picture(200, 288)) for n in range(12)]))

    assert image.size[1] <= 1600
    assert area_of(image, (200, 30, 30)) == 12 * 200 * 288


def test_remarks_are_shown_and_widen_nothing():
    quiet = draw_trace(traced(LOADED), mode="original")
    marked = draw_trace(traced(LOADED, remarks=("EXIF orientation 6: rotated here",)), mode="original")

    assert marked.size[0] > quiet.size[0]
    assert marked.size[1] == quiet.size[1]


@pytest.mark.parametrize("size", [(4, 3), (224, 224), (60, 900)])
@pytest.mark.parametrize("remarks", [(), ("an alpha channel that other loaders blend with black " * 3,)])
def test_a_picture_alone_keeps_its_pixels_and_stands_under_its_title(size, remarks):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)

    alone = draw_under_title(pixels, "cat  ·  #1", remarks)

    height, width = size
    np.testing.assert_array_equal(alone[-height:, :width], pixels)
    assert (alone[:-height] != 255).any()
    assert (alone[-height:, width:] == 255).all()


@pytest.mark.parametrize("rescue", [None, picture(20, 900)])
def test_a_bad_sample_has_a_tile_with_its_reason(rescue):
    image = bad_tile("a.jpg: truncated JPEG", "cat  #3", rescue=rescue)

    assert area_of(image, (176, 48, 32)) > 100


@pytest.mark.parametrize("name", ["", "x" * 500, "\N{CAT FACE} \x00\n", "\udc80", "名前 é"])
def test_any_class_name_can_be_written(name):
    assert draw_trace(traced(LOADED, names=(name,))).size[1] < 320


def test_an_unknown_mode_or_factor_is_refused():
    with pytest.raises(ValueError, match="the mode is original"):
        draw_trace(traced(LOADED), mode="all")
    with pytest.raises(ValueError, match="rescale must be above 0"):
        draw_trace(traced(LOADED), rescale=0)


def test_text_is_cut_and_wrapped_to_its_room():
    assert width_of(shorten_end("a long name of a class", CAPTION, 60), CAPTION) <= 60
    assert all(width_of(line, CAPTION) <= 60 for line in wrap_lines("a long name of a class", CAPTION, 60))
    assert " ".join(wrap_lines("a long name of a class", CAPTION, 60)) == "a long name of a class"


def test_a_terminal_shows_two_pixels_per_letter():
    text = preview(np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8), 80)

    assert text == "\x1b[38;2;255;0;0m\x1b[48;2;0;0;255m\N{UPPER HALF BLOCK}\x1b[0m"


def test_names_of_mixed_classes_keep_to_their_picture():
    shares = {"rocket": 0.75, "cat": 0.25}
    batch = Batch("toy", (33, 25), 0, (picture(128, 128), picture(128, 128)), (shares, shares))

    pixels = draw(batch).pixels

    below = pixels[-60:, : 2 * MARGIN + 2 * SMALLEST]
    between = below[:, MARGIN + SMALLEST : 2 * MARGIN + SMALLEST]
    assert below.min() < 100
    assert between.min() == 255
