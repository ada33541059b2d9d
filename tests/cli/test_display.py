"""Pictures in a window, with a tkinter of our own in place of a display: it shows nothing and answers at once."""

import sys
from types import ModuleType

import numpy as np
import pytest

from classlens.cli.display import find_window, show_in_terminal
from classlens.cli.main import main
from classlens.image import Image
from classlens.printed import fit_lines
from classlens.runs import own_process
from classlens.runs.browse_samples import encode_jpeg


class Screen:
    """The window, its label, and what the user does when a picture is shown: press a key, or close the window."""

    def __init__(self, does):
        self.does, self.titles, self.pictures, self.answers = does, [], [], {}

    def title(self, text):
        self.titles.append(text)

    def bind(self, event, answer):
        self.answers[event] = lambda: answer(None)

    def protocol(self, event, answer):
        self.answers[event] = answer

    def wait_variable(self, variable):
        self.answers[self.does]()

    def winfo_screenwidth(self):
        return 1280

    winfo_screenheight = winfo_screenwidth

    def pack(self, **settings):
        """Neither packing, configuring nor timers do anything here."""

    configure = after = lambda self, *values, **settings: None


class Variable:
    def set(self, value):
        self.value = value

    def get(self):
        return self.value


@pytest.fixture
def screen(monkeypatch, request):
    screen = Screen(request.param)
    tkinter = ModuleType("tkinter")
    tkinter.TclError = type("TclError", (Exception,), {})
    tkinter.Tk, tkinter.Label = lambda: screen, lambda root, **settings: screen
    tkinter.PhotoImage = lambda data: screen.pictures.append(data)
    tkinter.StringVar = Variable
    monkeypatch.setitem(sys.modules, "tkinter", tkinter)
    monkeypatch.setenv("DISPLAY", ":0")
    return screen


@pytest.mark.parametrize("screen", ["<Key>", "<Button>", "WM_DELETE_WINDOW"], indirect=True)
def test_a_plot_is_in_a_window_until_a_key_or_its_end(screen, capsys):
    assert main(["lr", "demo"]) == 0

    assert len(screen.pictures) == len(screen.titles) == 1
    assert screen.pictures[0].startswith(b"P6\n1200 700\n")
    assert "lr: starts" in capsys.readouterr().out


@pytest.mark.parametrize("screen", ["<Key>"], indirect=True)
def test_pictures_are_shown_one_after_the_other(screen):
    assert main(["browse", "demo", "--show-number", "2"]) == 0

    assert len(screen.pictures) == 2
    assert all(title.startswith("#") for title in screen.titles)


@pytest.mark.parametrize("screen", ["<Key>"], indirect=True)
def test_a_window_is_as_large_as_is_said_in_inches(screen):
    assert main(["browse", "demo", "-n", "1", "--window-size", "3*2"]) == 0

    width, height = map(int, screen.pictures[0].split(b"\n")[1].split())
    assert (width <= 300, height <= 200) == (True, True)
    assert width == 300 or height == 200


def test_without_tkinter_or_a_terminal_nothing_is_shown_and_on_a_terminal_half_blocks_are(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("COLUMNS", "40")
    assert find_window() is None

    show_in_terminal(encode_jpeg(Image(np.full((20, 20, 3), 200, np.uint8))), "#3  a very long\nname", 0)

    *letters, said = capsys.readouterr().out.splitlines()
    assert any("▀" in line for line in letters)
    assert said.startswith("#3  a very long")


@pytest.mark.parametrize("screen", ["WM_DELETE_WINDOW"], indirect=True)
def test_closing_the_window_ends_a_run(screen, capsys):
    assert main(["browse", "demo", "--show-number", "2"]) == 130

    assert len(screen.pictures) == 1
    assert "stopped, 1 of 2 shown" in capsys.readouterr().err


@pytest.mark.parametrize(("columns", "lines"), [(30, 2), (200, 1)])
def test_long_lines_break_between_words_on_a_terminal_only(columns, lines, monkeypatch):
    text = "photos/cat.png: 282 tiger cat, GradCAM at backbone"
    monkeypatch.setenv("COLUMNS", str(columns))
    assert fit_lines(text, sys.stdout) == [text]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    fitted = fit_lines(f"{text}\n\nend", sys.stdout)

    assert len(fitted) == lines + 2
    assert max(map(len, fitted)) <= columns
    assert " ".join(" ".join(fitted[:lines]).split()) == text
    assert fitted[lines:] == ["", "end"]


@pytest.mark.parametrize("terminal", ["", "dumb"])
def test_progress_is_a_plain_line_now_and_then_where_a_line_cannot_be_written_again(terminal, monkeypatch, capsys):
    clock = iter([0.0, 1.0, 61.0, 62.0, 122.0])
    monkeypatch.setattr(own_process, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: bool(terminal))
    monkeypatch.setenv("TERM", terminal)
    count = own_process.progress_line()

    for done in (1, 31, 32, 62):
        count("pictures", done, 62)

    assert capsys.readouterr().err.splitlines() == ["pictures: 31 of 62, 1.0 min left", "pictures: 62 of 62, 0 s left"]
