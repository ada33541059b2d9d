"""Curves as figures, SVG, pages and text: what is shown, and that words keep clear of each other."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from classlens import Clock, Schedule, draw, replay
from classlens.errors import DataError, NotFound
from classlens.figures.chart import STYLES, Pin, chart_of, line_colours, short
from classlens.figures.curves import ENDINGS
from classlens.figures.drawing import Drawing, check_ending
from classlens.figures.painting import figure_of
from classlens.figures.plot_layout import ROW, Stroke, Words, lay_out, ticks
from classlens.figures.terminal import terminal_plot
from classlens.runs.schedule_plots import save_table
from classlens.schedule.schedule import Group
from classlens.schedule.shapes import Link, chain, cosine_annealing, exponential, linear, multi_step

CLOCK = Clock(epochs=100, steps_per_epoch=40)


def cosine(clock):
    return chain([Link(linear(0.01, 1, 199), 0, 200, "step"), Link(cosine_annealing(95), 5, 100, "epoch")], clock)


def run(*rates, rule=cosine, clock=CLOCK, title="run"):
    groups = tuple(Group(f"group {index}", {"lr": rate}) for index, rate in enumerate(rates or (0.1,)))
    return replay(Schedule(groups, {"lr": rule}), clock, title=title)


def milestones(clock):
    places = (30.0, 31.0, 32.0, 60.0, 90.0)
    return chain([Link(multi_step(places, 0.5), 0, 10**9, "epoch")], clock)


def words_of(curves, *, size=(12, 7), title=""):
    """The words of a plot as matplotlib sets them, each with its box, and the box of the figure."""
    points = (size[0] * 72, size[1] * 72)
    figure = figure_of(lay_out(chart_of([curves], title=title), points, STYLES["whitegrid"]), points)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    (axes,) = figure.axes
    return [(text.get_text(), text.get_window_extent(renderer)) for text in axes.texts if text.get_text()], figure.bbox


@pytest.mark.parametrize("size", [(12, 7), (6, 4), (4, 3)])
@pytest.mark.parametrize("rule", [cosine, milestones])
def test_no_word_lies_on_another_or_leaves_the_picture(size, rule):
    title = "a title that is rather long for a picture this small"

    words, frame = words_of(run(rule=rule), title=title, size=size)

    for index, (text, box) in enumerate(words):
        assert box.x0 >= frame.x0 - 1, text
        assert box.x1 <= frame.x1 + 1, text
        for other, place in words[index + 1 :]:
            across = min(box.x1, place.x1) - max(box.x0, place.x0)
            down = min(box.y1, place.y1) - max(box.y0, place.y0)
            assert across <= 1 or down <= 1, f"{text!r} lies on {other!r}"


def test_the_figure_shows_steps_epochs_peak_end_and_the_end_of_the_warmup():
    words = [text for text, _ in words_of(run())[0]]

    assert {"step", "epoch", "learning rate", "peak 0.1", "warm-up ends", "final"} <= set(words)
    assert any("4,000 steps = 100 epochs x 40 steps" in text for text in words)


def test_the_drawn_line_is_the_curve():
    curves = run()

    parts = lay_out(chart_of([curves]), (864, 504), STYLES["white"])
    (line,) = [part for part in parts if isinstance(part, Stroke)]
    heights = {part.text: part.at[1] - 3.2 for part in parts if isinstance(part, Words) and part.anchor == "end"}
    values = (line.ys - heights["0"]) / (heights["0.1"] - heights["0"]) * 0.1
    steps = (line.xs - line.xs[0]) / (line.xs[-1] - line.xs[0]) * 3999

    np.testing.assert_allclose(np.interp(np.arange(4000), steps, values), curves[0].values, atol=1e-7)


@pytest.mark.parametrize(("epochs", "length"), [(5, 1), (5, 2), (20, 20)])
def test_a_value_is_held_until_the_step_that_moves_it(epochs, length):
    def halved(clock):
        return chain([Link(exponential(0.5), 0, 10**9, "epoch")], clock)

    drawn = run(rule=halved, clock=Clock(epochs, length))
    ((line,),) = (panel.lines for panel in chart_of([drawn]).panels)

    slants = [(x, y) for x, y in zip(np.diff(line.x), np.diff(line.y), strict=True) if x and y]
    assert not slants
    assert (line.x[-1], line.y[-1]) == (epochs * length, drawn[0].final)
    for step, value in enumerate(drawn[0].values):
        assert value in line.y[line.x == step]


def test_a_smooth_curve_and_a_long_run_are_drawn_through_their_values():
    def by_step(clock):
        return chain([Link(cosine_annealing(400), 0, 400, "step")], clock)

    for clock, rule in ((Clock(20, 20), by_step), (Clock(20, 100), milestones)):
        drawn = run(rule=rule, clock=clock)
        ((line,),) = (panel.lines for panel in chart_of([drawn]).panels)
        steps, values = drawn[0].points
        assert (line.x[: steps.size] == steps).all()
        assert (line.y[: steps.size] == values).all()


def test_a_finding_is_marked_in_the_panel_that_it_concerns():
    groups = (Group("all", {"lr": 0.1, "momentum": 0.9}),)
    curves = replay(Schedule(groups, {"lr": bad_course}), CLOCK)

    rate, momentum = chart_of([curves]).panels

    assert [pin.text for pin in rate.pins if pin.warns] == ["not a number"]
    assert [pin for pin in momentum.pins if pin.warns] == []


def test_findings_are_written_on_the_figure():
    words = " ".join(text for text, _ in words_of(run(rule=bad_course))[0])

    assert "! lr of group 0 is nan from step 0 on" in words


def test_of_many_findings_the_first_are_written_and_the_others_counted():
    written = chart_of([run(rule=bad_course, title=f"run {number}") for number in range(7)]).findings

    assert written == (*(f"run {number}: lr of group 0 is nan from step 0 on" for number in range(4)), "and 3 more")


def test_where_not_all_findings_have_room_the_last_one_says_so():
    chart = chart_of([run(rule=bad_course, title=f"run {number}") for number in range(4)])

    parts = lay_out(chart, (300, 130), STYLES["whitegrid"])

    warnings = sorted((part.at[1], part.text) for part in parts if isinstance(part, Words) and part.text[:1] == "!")
    assert 0 < len(warnings) < 4
    assert [text.endswith("…") for _, text in warnings] == [*[False] * (len(warnings) - 1), True]


def bad_course(clock):
    return chain([Link(multi_step((0.0,), float("nan")), 0, 10, "epoch")], clock)


def test_a_figure_needs_no_display():
    assert isinstance(draw(run()), Drawing)
    assert draw(run()).encode(".pdf").startswith(b"%PDF")


@pytest.mark.parametrize("style", ["white", "dark", "whitegrid", "darkgrid", "ticks", "ggplot", "default"])
def test_every_documented_style_and_those_of_matplotlib_are_known(style):
    for ending in (".png", ".pdf"):
        assert draw(run(), style=style).encode(ending)


def test_an_unknown_style_is_told_with_those_there_are():
    with pytest.raises(NotFound, match="no plot style named 'whitgrid'") as caught:
        draw(run(), style="whitgrid")

    assert "whitegrid" in caught.value.hint


def test_groups_of_equal_values_share_a_line():
    chart = chart_of([run(0.1, 0.1, 0.01)])

    assert [line.label for line in chart.panels[0].lines] == ["group 0, group 1", "group 2"]


def test_runs_of_different_batch_sizes_meet_on_epochs():
    chart = chart_of([run(), run(clock=Clock(epochs=100, steps_per_epoch=80), title="half")])

    assert (chart.x_label, chart.x_end, chart.per_epoch) == ("epoch", 100, None)
    assert [line.label for line in chart.panels[0].lines] == ["run", "half"]
    assert chart.panels[0].lines[1].x.max() == pytest.approx(100, abs=0.02)


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="no curve to draw"):
        chart_of([])


def test_the_svg_is_well_formed_and_holds_the_exact_curve():
    curves = run(0.1, 0.02)
    tree = ElementTree.fromstring(draw(curves, title="<a & b>").encode(".svg"))
    space = {"svg": "http://www.w3.org/2000/svg"}

    paths = tree.findall(".//svg:path", space)
    texts = ["".join(node.itertext()) for node in tree.findall(".//svg:text", space)]

    assert len(paths) == 2
    assert len(re.findall(r"[ML]", paths[0].get("d"))) == len(curves[0].points[0])
    assert {"<a & b>", "step", "epoch", "learning rate"} <= set(texts)


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("size", [(12.0, 7.0), (3.0, 2.0), (1.0, 1.0)])
def test_the_svg_can_be_any_size_and_logarithmic(size, log):
    for rates in ((0.1,), tuple(0.7**k for k in range(14)), (0.0,)):
        ElementTree.fromstring(draw(run(*rates), size=size, log=log).encode(".svg"))


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 500_500, 5, [0, 1e5, 2e5, 3e5, 4e5, 5e5]),
        (-0.02, 0.13, 3, [0, 0.05, 0.1]),
    ],
)
def test_ticks_are_round_numbers(low, high, most, expected):
    assert ticks(low, high, most) == pytest.approx(expected)


def test_words_are_placed_in_rows_and_dropped_where_there_is_no_room():
    chart = chart_of([run()])
    pins = tuple(Pin(step, f"pin {step}") for step in (2000, 2010, 3000, 2005, 2006))
    chart = replace(chart, panels=(replace(chart.panels[0], pins=pins),))

    words = [part for part in lay_out(chart, (864, 504), STYLES["white"]) if isinstance(part, Words)]

    heights = {word.text: word.at[1] for word in words if word.text.startswith("pin")}
    top = min(heights.values())
    assert {text: (y - top) / ROW for text, y in heights.items()} == {
        "pin 2000": 0, "pin 2010": 1, "pin 3000": 0, "pin 2005": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (500, "500"), (20_000, "20k"), (1.5e6, "1.5M"), (1e9, "1G"), (0.5, "0.5")]
)
def test_steps_are_written_short(value, text):
    assert short(value) == text


@pytest.mark.parametrize("count", [1, 8, 9, 40])
def test_there_are_as_many_colours_as_lines(count):
    assert len(set(line_colours(count))) == count


def test_the_page_holds_exact_values_and_loads_nothing():
    curves = run(title="</script>")
    page = draw(curves).encode(".html").decode()

    data = json.loads(re.search(r'class="curves">(.*)</script>', page).group(1))

    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert data["panels"][0]["lines"][0]["y"] == curves[0].points[1].tolist()
    assert page.count("</script>") == 3
    assert f"{curves[0].final!r}</td>" in page


def test_the_terminal_shows_the_curve_from_left_to_right():
    text = terminal_plot([run(rule=milestones)], columns=60, lines=10)

    first, *_, last = [line[11:] for line in text.splitlines() if "│" in line]
    assert "⠉" in first[:3]
    assert last.rstrip()[-1] != " "
    assert "4k steps" in text
    assert max(len(line) for line in text.splitlines()) <= 60


def test_the_terminal_names_several_lines():
    text = terminal_plot([run(0.1, 0.01)], columns=80, lines=8, log=True)

    assert "group 0   0.001 → 0.1 → 2.73e-05" in text
    assert "group 1   0.0001 → 0.01 → 2.73e-06" in text


def test_the_terminal_shows_a_constant_in_the_middle_of_a_logarithmic_axis_and_noughts_nowhere():
    text = terminal_plot([run(0.1, 0.0, rule=lambda clock: chain([], clock))], columns=60, lines=5, log=True)

    dotted = [bool(set(line[11:]) - set(" │")) for line in text.splitlines() if "│" in line]
    assert dotted == [False, False, True, False, False]
    assert "group 1   0" in text


def test_a_text_has_no_pixels():
    with pytest.raises(ValueError, match="has no pixels"):
        Drawing(text="words").image  # noqa: B018


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".pdf", ".svg", ".html", ".webp"])
def test_every_format_is_written_whole(tmp_path, suffix):
    path = tmp_path / "new" / f"lr{suffix}"

    draw(run()).save(path)

    assert path.stat().st_size > 1000
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "message"),
    [("lr", "name without ending"), ("lr.xyz", "ending '.xyz'"), ("", "is a folder, not a file")],
)
def test_a_file_that_cannot_be_written_is_told_before_any_work(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        check_ending(tmp_path / name, ENDINGS)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match="file is no folder"):
        check_ending(tmp_path / "file" / "lr.png", ENDINGS)


def test_checking_a_place_makes_nothing(tmp_path):
    check_ending(tmp_path / "new" / "lr.png", ENDINGS)

    assert list(tmp_path.iterdir()) == []


def test_one_curve_alone_can_be_drawn():
    assert "learning rate" in draw(run()[0]).encode(".svg").decode()


def test_a_picture_of_too_many_pixels_is_refused(tmp_path):
    with pytest.raises(DataError, match="more than 100,000,000 pixels"):
        draw(run(), size=(200, 200)).save(tmp_path / "lr.png")


def test_a_table_of_a_billion_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="1,000,000,000 rows"):
        save_table(tmp_path / "lr.csv", [run(clock=Clock.of_steps(10**9))])
