"""Curves as pixels: the line lies where its values are, edges are smooth, and matplotlib is not loaded."""

import io
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image as Pillow

from classlens import draw
from classlens.figures import painting
from classlens.figures.chart import STYLES, chart_of
from classlens.figures.plot_layout import Raster, Stroke, Words, lay_out
from classlens.figures.text import font
from classlens.image import Image
from tests.figures.test_curves import bad_course, cosine, milestones, run
from tests.figures.test_layout import undecided

BLUE = np.array([0x00, 0x72, 0xB2])


def drawn(runs, **options):
    return draw(runs[0], others=runs[1:], **options).pixels.astype(int)


def blue(pixels):
    return np.abs(pixels - BLUE).sum(-1) < 90


@pytest.mark.parametrize("rule", [cosine, milestones])
def test_the_line_lies_where_its_values_are(rule):
    (stroke,) = [
        part for part in lay_out(chart_of([run(rule=rule)]), (864, 504), STYLES["white"]) if isinstance(part, Stroke)
    ]
    pixels = blue(drawn([run(rule=rule)], style="white"))

    found = [
        pixels[int(y * 100 / 72), int(x * 100 / 72)] for x, y in zip(stroke.xs[5:-5:7], stroke.ys[5:-5:7], strict=True)
    ]

    assert np.mean(found) > 0.98


def test_the_edges_of_the_line_are_smooth():
    picture = drawn([run()], style="white")
    line = np.abs(picture - 255).sum(-1)[150:600, 300:900]

    shades = {int(value) for value in np.unique(line)}
    assert len(shades) > 10


def test_a_large_picture_is_drawn_in_bands_that_leave_no_seam(monkeypatch):
    whole = drawn([run(rule=milestones)])
    monkeypatch.setattr(painting, "MOST_FINE", 1 << 18)

    np.testing.assert_array_equal(drawn([run(rule=milestones)]), whole)


def test_a_tiny_picture_shows_its_pixels_as_blocks_and_a_large_one_is_reduced():
    tiny = Image(np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8))
    large = Image(np.kron(tiny.pixels, np.ones((150, 150, 1), np.uint8)))

    for image in (tiny, large):
        painted = painting.paint([Raster((36, 36), (72, 72), image)], (144, 144)).pixels
        assert (painted[[55, 55, 145, 145], [55, 145, 55, 145]] == tiny.pixels.reshape(4, 3)).all()
        assert (painted[:48] == 255).all()
        assert (painted[:, 152:] == 255).all()


def test_every_letter_is_painted_by_a_font_that_has_it(monkeypatch):
    """A box in front, which the usual font has, once had all letters painted by that font: as boxes."""
    other = str(Path(matplotlib.get_data_path(), "fonts", "ttf", "STIXGeneral.ttf"))
    monkeypatch.setattr(painting, "clean", str)
    monkeypatch.setattr(painting, "other_font", lambda letter: (other if letter == "\u2e80" else "", "any"))
    faces = []
    monkeypatch.setattr(painting, "font", lambda size, *, bold, path: faces.append(path) or font(size, path=path))

    picture = painting.paint([Words((36, 36), "a\u25a1\u2e80", 10.0, "#000000")], (144, 72)).pixels

    assert faces == ["", other]
    assert (picture < 128).any()


@pytest.mark.parametrize("anchor", ["start", "middle", "end"])
@pytest.mark.parametrize("turned", [False, True])
def test_words_begin_end_or_have_their_middle_at_their_place(anchor, turned):
    words = Words((108, 108), "HHHHHHHH", 10.0, "#000000", anchor, turned=turned)

    rows, columns = np.nonzero(painting.paint([words], (216, 216)).pixels[..., 0] < 128)

    along, across = (rows, columns) if turned else (columns, rows)
    place = {"start": along.max() if turned else along.min(), "middle": (along.min() + along.max()) / 2}
    place["end"] = along.min() if turned else along.max()
    assert abs(place[anchor] - 150) <= 3
    assert abs(across.max() - 150) <= 2
    assert across.max() - across.min() < 14


def test_what_a_metric_decides_is_shaded():
    plain, shaded = (drawn([run(rule=rule)], style="white") for rule in (cosine, undecided))

    tint = np.abs(shaded - np.array([219, 235, 244])).sum(-1) < 6
    assert tint.sum() > 5000
    assert blue(plain).sum() > 0


@pytest.mark.parametrize("style", ["white", "dark", "whitegrid", "darkgrid", "ticks"])
@pytest.mark.parametrize("size", [(12.0, 7.0), (3.0, 2.0), (1.0, 1.0), (40.0, 1.0)])
def test_every_style_and_size_is_drawn(style, size):
    picture = draw(run(0.1, 0.02), style=style, size=size, title="x" * 200)

    assert picture.size == (size[1] * 100, size[0] * 100)


def test_nothing_is_drawn_where_there_is_no_value():
    pixels = drawn([run(rule=bad_course)], style="white", log=False)

    assert not blue(pixels).any()


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "PNG"), (".jpg", "JPEG"), (".webp", "WEBP"), (".tif", "TIFF")])
def test_every_format_has_the_same_picture(suffix, kind):
    picture = draw(run(), size=(4.0, 3.0))

    with Pillow.open(io.BytesIO(picture.encode(suffix))) as found:
        assert found.format == kind
        difference = np.asarray(found.convert("RGB")).astype(int) - picture.pixels
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("name", ["lr.png", "lr.svg", "lr.html", "lr.jpg"])
def test_the_command_draws_without_matplotlib_and_torch(tmp_path, name):
    (tmp_path / "c.py").write_text(
        "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))\n"
        "param_scheduler = dict(type='CosineAnnealingLR')\ntrain_cfg = dict(by_epoch=True, max_epochs=3)\n"
    )
    words = ["lr", str(tmp_path / "c.py"), "--epoch-length", "9", "--epochs", "3", "--save-path", str(tmp_path / name)]
    code = f"import sys; from classlens.cli.main import main; main({words!r}); print({{'torch', 'matplotlib'}} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "set()"
    assert (tmp_path / name).stat().st_size > 1000
