import subprocess
import sys

import numpy as np
import pytest

from classlens.cam.saliency import ExplainedClass, Explanation, Fused, Heatmap, Saliency
from classlens.errors import NotFound
from classlens.figures import draw
from classlens.figures.drawing import Drawing
from classlens.figures.map_grid import short_names
from classlens.figures.overlay import COLORMAPS, OverlayStyle, color_table, draw_heatmap, overlay
from classlens.image import Image
from tests.cam.conftest import noise_image

GREY = Image(np.full((32, 48, 3), 100, np.uint8))


def ramp(height=32, width=48) -> Heatmap:
    return Heatmap(np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1)))


def saliency(*, index=0, subject=None, method="GradCAM", layer="layer4") -> Saliency:
    values = np.random.default_rng(index).random((1, 4, 6), dtype=np.float32)
    return Saliency(
        noise_image(32, 48), values, method, layer, subject or ExplainedClass(281, 3.0, 0.5, "tabby, cat"), index
    )


def test_the_opacity_goes_from_the_picture_alone_to_the_colours_alone():
    np.testing.assert_array_equal(overlay(GREY, ramp(), OverlayStyle(opacity=0)).pixels, GREY.pixels)
    np.testing.assert_array_equal(overlay(GREY, ramp(), OverlayStyle(opacity=1)).pixels, draw_heatmap(ramp()).pixels)


def test_half_opacity_is_the_mean():
    mixed = overlay(GREY, ramp()).pixels.astype(int)

    assert np.abs(mixed * 2 - draw_heatmap(ramp()).pixels.astype(int) - 100).max() <= 1


@pytest.mark.parametrize("name", ["inferno", "magma", "plasma", "viridis", "cividis"])
def test_uniform_colour_maps_get_lighter_all_the_way(name):
    light = color_table(OverlayStyle(name)) @ np.array([0.2126, 0.7152, 0.0722])

    assert (np.diff(light) > -2).all()
    assert light[-1] - light[0] > 100


def test_colours_are_red_green_blue():
    assert color_table(OverlayStyle("jet"))[0].argmax() == 2
    assert color_table(OverlayStyle("jet"))[-1].argmax() == 0


def test_an_unknown_colour_map_names_the_known_ones():
    with pytest.raises(NotFound, match="no colour map named 'jat'") as caught:
        overlay(GREY, ramp(), OverlayStyle("jat"))
    assert "jet" in caught.value.hint
    assert "jet" in COLORMAPS
    assert (color_table(OverlayStyle("JET")) == color_table(OverlayStyle("jet"))).all()


def test_a_contour_surrounds_what_is_hot():
    plain, lined = (overlay(GREY, ramp(), OverlayStyle(contour=share)).pixels for share in (None, 0.5))

    changed = np.flatnonzero((plain != lined).any(axis=(0, 2)))
    assert changed.min() in range(20, 25)
    assert (plain[:, :18] == lined[:, :18]).all()


def test_a_heatmap_of_another_size_is_refused():
    with pytest.raises(ValueError, match="does not lie on a picture"):
        overlay(GREY, ramp(16, 24))


@pytest.mark.parametrize("style", [{"opacity": 1.5}, {"opacity": -0.1}, {"contour": 0.0}, {"contour": 1.0}])
def test_a_style_out_of_range_is_refused(style):
    with pytest.raises(ValueError, match="lies"):
        OverlayStyle(**style)


def test_everything_that_explain_gives_can_be_drawn():
    one, other = saliency(), saliency(layer="layer3")
    for result in (one, Fused((one, other)), Explanation((one, other)), one.heatmap()):
        picture = draw(result)
        assert isinstance(picture, Drawing)
        assert picture.pixels.std() > 5


def test_a_drawing_grows_by_rows_for_classes_and_columns_for_methods():
    cat, dog = ExplainedClass(0, 1.0, 0.5, "cat"), ExplainedClass(1, 1.0, 0.5, "dog")
    one = draw(Explanation((saliency(subject=cat),))).size
    wide = draw(Explanation((saliency(subject=cat), saliency(subject=cat, method="LayerCAM")))).size
    high = draw(Explanation((saliency(subject=cat), saliency(subject=dog)))).size

    assert wide[1] > one[1]
    assert wide[0] == one[0]
    assert high[0] > one[0]
    assert high[1] == one[1]


def test_a_single_map_without_titles_is_the_plain_overlay():
    one = saliency()

    plain = draw(one, titled=False)

    assert np.array_equal(plain.pixels, overlay(one.image, one.heatmap(), OverlayStyle()).pixels)
    assert plain.size == one.image.size < draw(one).size


def test_paths_are_told_apart_by_as_much_of_their_ends_as_that_takes():
    assert short_names(["a/x.pth", "a/y.pth"]) == ["x.pth", "y.pth"]
    assert short_names(["a/x.pth", "b/x.pth"], with_endings=False) == ["a/x", "b/x"]
    assert short_names(["a/x.pth", "a/x.pt"], with_endings=False) == ["a/x.pth", "a/x.pt"]


def test_a_sheet_of_maps_is_painted_without_matplotlib():
    code = """
import sys, numpy as np
from classlens.cam.saliency import Saliency
from classlens.figures import draw
from classlens.image import Image
draw(Saliency(Image(np.zeros((32, 48, 3), np.uint8)), np.ones((1, 4, 6), np.float32), "GradCAM", "layer4", None)).pixels
sys.exit("matplotlib.figure" in sys.modules)
"""

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_long_row_is_broken():
    many = Explanation(tuple(saliency(method=f"method {number}") for number in range(9)))

    height, width = draw(many).size
    assert width < 2200
    assert height > 500


def test_pictures_of_mixed_shapes_share_a_grid_of_bearable_width():
    def shaped(height: int, width: int, index: int) -> Saliency:
        values = np.random.default_rng(0).random((1, 4, 6), dtype=np.float32)
        return Saliency(
            noise_image(height, width), values, "GradCAM", "layer4", ExplainedClass(0, 1.0, 0.5, "cat"), index
        )

    mixed = draw(Explanation((shaped(64, 16, 0), shaped(16, 96, 1)))).size

    assert mixed[1] < 2.5 * mixed[0]
