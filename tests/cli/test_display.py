"""Pictures in a window, with a tkinter of our own in place of a display: it shows nothing and answers at once."""

import sys
from types import ModuleType

import pytest

from classlens.cli.main import main


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


@pytest.mark.parametrize("screen", ["WM_DELETE_WINDOW"], indirect=True)
def test_closing_the_window_ends_a_run(screen, capsys):
    assert main(["browse", "demo", "--show-number", "2"]) == 130

    assert len(screen.pictures) == 1
    assert "stopped, 1 of 2 shown" in capsys.readouterr().err
