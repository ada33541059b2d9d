"""Where everything of a plot goes: words keep clear of each other and of the edges, whatever the size."""

from dataclasses import replace

import pytest
from matplotlib.patches import FancyBboxPatch, Polygon
from PIL import ImageFont

from classlens import Clock, draw
from classlens.figures.chart import INK, STYLES, chart_of
from classlens.figures.painting import figure_of
from classlens.figures.plot_layout import Area, Dot, Segment, Stroke, Words, lay_out, ticks
from classlens.figures.terminal import terminal_plot
from classlens.figures.text import break_lines, estimated_width, font, letters_in, shorten_middle
from classlens.schedule.replay import summarize
from classlens.schedule.schedule import MetricDependent
from tests.figures.test_curves import cosine, milestones, run

LONG = "vit-base-p16_32xb128-coslr-300e_in1k with a name that is very long indeed "


def boxes(parts):
    """(text, left, top, right, bottom) of every line of text."""
    found = []
    for word in parts:
        if isinstance(word, Words) and word.text:
            width = estimated_width(word.text, word.size, bold=word.bold)
            before = {"start": 0, "middle": 0.5, "end": 1}[word.anchor] * width
            (x, y), up, down = word.at, 0.76 * word.size, 0.24 * word.size
            if word.turned:
                found.append((word.text, x - up, y - width + before, x + down, y + before))
            else:
                found.append((word.text, x - before, y - up, x - before + width, y + down))
    return found


RUNS = {
    "cosine": lambda: [run(rule=cosine)],
    "milestones": lambda: [run(rule=milestones)],
    "14 groups": lambda: [run(*[0.7**k for k in range(14)])],
    "40 groups": lambda: [run(*[0.9**k for k in range(40)])],
    "3 runs with long names": lambda: [run(title=LONG * k, rule=milestones) for k in (1, 2, 3)],
}


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("size", [(12, 7), (6, 4), (4, 3), (3, 2), (2, 2), (1, 1), (20, 2), (2, 12), (30, 30)])
@pytest.mark.parametrize("runs", RUNS)
def test_no_word_lies_on_another_or_leaves_the_picture(runs, size, log):
    width, height = size[0] * 72, size[1] * 72
    chart = chart_of(RUNS[runs](), title=LONG if runs == "cosine" else "", log=log)

    words = boxes(lay_out(chart, (width, height), STYLES["whitegrid"]))

    for index, (text, left, top, right, bottom) in enumerate(words):
        assert 0 <= left <= right <= width, text
        assert 0 <= top <= bottom <= height, text
        for other, left2, top2, right2, bottom2 in words[index + 1 :]:
            across, down = min(right, right2) - max(left, left2), min(bottom, bottom2) - max(top, top2)
            assert across <= 0.5 or down <= 0.5, f"{text!r} lies on {other!r}"


def test_a_small_picture_keeps_its_title_and_its_curve():
    parts = lay_out(chart_of([run(title="small")]), (144, 100), STYLES["whitegrid"])

    assert "small" in [part.text for part in parts if isinstance(part, Words)]
    (curve,) = [part for part in parts if isinstance(part, Stroke)]
    assert curve.ys.max() - curve.ys.min() > 10


@pytest.mark.parametrize("steps", [14, 31, 10])
def test_a_figure_of_one_column_keeps_whole_sentences_both_axes_and_two_values_on_each(steps):
    clock = Clock(40, steps, note="224 samples / (1 GPU x 16), the last batch kept: 14 steps per epoch")
    chart = chart_of([run(title="demo", rule=cosine, clock=clock)])

    words = [part for part in lay_out(chart, (3.3 * 72, 2.2 * 72), STYLES["whitegrid"]) if isinstance(part, Words)]
    said = [word.text for word in words]

    assert chart.subtitle.split() == " ".join(said[1:3]).split()
    assert {"epoch", "step", "learning rate"} <= set(said)
    numbers = [word for word in words if word.text[0].isdigit() and word.anchor == "middle" and " " not in word.text]
    assert all(len([one for one in numbers if one.at[1] == each.at[1]]) >= 2 for each in numbers)
    assert min(word.size for word in words) > 5


def test_a_figure_of_one_column_with_three_panels_says_less_above_them():
    clock = Clock(40, 14, note="224 samples / (1 GPU x 16), the last batch kept: 14 steps per epoch")
    chart = chart_of([run(title="demo", clock=clock)])
    words = boxes(lay_out(replace(chart, panels=chart.panels * 3), (3.3 * 72, 2.2 * 72), STYLES["whitegrid"]))

    assert not [text for text, *_ in words if "samples" in text]


def test_a_run_of_a_single_step_is_a_dot():
    parts = lay_out(chart_of([run(rule=milestones, clock=Clock.of_steps(1))]), (864, 504), STYLES["white"])

    assert [part.colour for part in parts if isinstance(part, Dot)] == ["#0072b2"]


def test_more_groups_than_lines_are_counted():
    parts = lay_out(chart_of([run(*[0.9**k for k in range(90)])]), (864, 504), STYLES["white"])
    words = [part.text for part in parts if isinstance(part, Words)]

    assert any(text.startswith("and ") and text.endswith(" more") for text in words)


def undecided(clock):
    course = cosine(clock)
    return replace(
        course, undecided=MetricDependent(2000, lambda steps, initial: 0.3 * course.values(steps, initial), "acc")
    )


def test_what_a_metric_decides_is_dashed_over_an_area_with_words_to_it():
    parts = lay_out(chart_of([run(rule=undecided)]), (864, 504), STYLES["whitegrid"])

    assert [part.dashed for part in parts if isinstance(part, Stroke)] == [False, True, True]
    assert any(isinstance(part, Area) for part in parts)
    words = [part.text for part in parts if isinstance(part, Words)]
    assert "depends on 'acc' from here on; dashed: always, never improving" in words
    assert any(" to " in word for word in words)


@pytest.mark.parametrize(
    ("rates", "log"), [((0.1, 0.05), False), ((0.1, 0.001), True), ((0.1, 0.0), False), ((0.0,), False)]
)
def test_lines_that_are_far_apart_are_on_a_logarithmic_axis_unless_it_is_refused(rates, log):
    assert chart_of([run(*rates)]).panels[0].log is log
    assert chart_of([run(*rates)], log=False).panels[0].log is False


def test_the_open_style_has_a_left_and_a_lower_side_only():
    parts = lay_out(chart_of([run()]), (864, 504), STYLES["ticks"])

    lines = [part for part in parts if isinstance(part, Segment) and part.colour == INK]
    lengths = [abs(line.end[0] - line.start[0]) + abs(line.end[1] - line.start[1]) for line in lines]
    assert sum(length > 300 for length in lengths) == 2


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (9e-4, 0.11, 12, [1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1]),
        (9e-4, 0.11, 4, [1e-3, 0.01, 0.1]),
        (9e-9, 0.11, 4, [1e-6, 1e-3]),
    ],
)
def test_a_logarithmic_axis_has_powers_of_ten_and_with_few_of_them_more(low, high, most, expected):
    assert ticks(low, high, most, log=True) == pytest.approx(expected)


def test_words_are_as_wide_as_the_font_says():
    for bold in (False, True):
        face = font(40, bold=bold)
        assert isinstance(face, ImageFont.FreeTypeFont)
        for text in ("swin-small_16xb64_in1k", "375,600 steps = 300 epochs x 1,252 steps", "warm-up ends", "0.0001"):
            assert face.getlength(text) <= estimated_width(text, 40, bold=bold) * 1.01


def test_a_name_that_is_too_long_keeps_both_ends():
    assert shorten_middle("beginning-middle-end", 10, 70) == "begin…e-end"
    assert shorten_middle("short", 10, 70) == "short"
    assert shorten_middle("anything", 10, 3) == ""


def test_text_is_broken_between_words():
    assert break_lines("one two three", 10, 45) == ("one two", "three")


SHOWN = {
    "picture": lambda curves: " ".join(map(str, lay_out(chart_of([curves]), (864, 504), STYLES["white"]))),
    "svg": lambda curves: draw(curves).encode(".svg").decode(),
    "page": lambda curves: draw(curves).encode(".html").decode(),
    "terminal": lambda curves: terminal_plot([curves], columns=100),
}


@pytest.mark.parametrize(
    ("kind", "dashed"),
    [
        ("picture", "dashed=True"),
        ("svg", "stroke-dasharray"),
        ("page", '"undecided":2000'),
        ("terminal", "2k: depends"),
    ],
)
def test_every_kind_of_plot_says_and_shows_what_a_metric_decides(kind, dashed):
    shown = SHOWN[kind](run(rule=undecided))

    assert "depends on 'acc'" in shown
    assert dashed in shown
    assert dashed not in SHOWN[kind](run(rule=cosine)).replace('stroke-dasharray="2 3"', "")


def test_what_a_metric_decides_is_an_area_on_paper_too():
    parts = lay_out(chart_of([run(rule=undecided)]), (864, 504), STYLES["whitegrid"])
    (area,) = [part for part in parts if isinstance(part, Area)]

    (axes,) = figure_of(parts, (864, 504)).axes

    (drawn,) = [one for one in axes.patches if isinstance(one, Polygon) and not isinstance(one, FancyBboxPatch)]
    assert len(drawn.get_xy()) >= len(area.xs)


def test_a_damaged_font_has_no_letters(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font")

    assert list(letters_in(str(tmp_path / "broken.ttf"))) == []


def test_data_has_the_lowest_values_that_a_metric_can_lead_to():
    (curve,) = summarize(run(rule=undecided))["curves"]

    found = curve["depends_on_metric"]
    assert (found["metric"], found["from_step"]) == ("acc", 2000)
    assert found["lowest"][-1] == pytest.approx(0.3 * curve["points"]["value"][-1])
