"""Pictures on the screen, one after the other: in a window, or on the terminal where no window can be opened."""

from __future__ import annotations

import io
import os
import shutil
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from classlens.printed import ONE_LINE, print_text

if TYPE_CHECKING:
    from PIL import Image as Pillow

Show = Callable[[bytes, str, float], None]  # shows an encoded picture with a line of text for some seconds
MOST_COLUMNS = 240
FRAME = 80  # pixels of a screen that a window cannot fill


def has_display() -> bool:
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def find_window(inches: tuple[float, float] | None = None) -> Show | None:
    """What shows a picture in the one window, if that can be opened: until a key or a click, for some seconds at most.

    Who closes the window ends the run, as by Ctrl-C.
    """
    if not has_display():
        return None
    try:
        tkinter: Any = import_module("tkinter")
    except ImportError:
        return None
    try:
        root = tkinter.Tk()
    except (tkinter.TclError, RuntimeError, OSError):
        return None
    label = tkinter.Label(root, borderwidth=0, background="#ffffff")
    label.pack()

    def show(encoded: bytes, text: str, seconds: float) -> None:
        content = io.BytesIO()
        width, height = root.winfo_screenwidth(), root.winfo_screenheight()
        if inches:
            width, height = min(width, round(100 * inches[0]) + FRAME), min(height, round(100 * inches[1]) + FRAME)
        fit_screen(encoded, width, height).save(content, "PPM")
        picture = tkinter.PhotoImage(data=content.getvalue())
        label.configure(image=picture)
        root.title(text)
        answer = tkinter.StringVar()
        root.after(max(1, int(seconds * 1000)), answer.set, "go on")
        for occasion in ("<Key>", "<Button>"):
            root.bind(occasion, lambda event: answer.set("go on"))
        root.protocol("WM_DELETE_WINDOW", lambda: answer.set("stop"))  # an exception would not leave Tk
        root.wait_variable(answer)
        if answer.get() == "stop":
            raise KeyboardInterrupt

    return show


def fit_screen(encoded: bytes, width: int, height: int) -> Pillow.Image:
    """The picture, shrunk where it does not fit on a screen of that size with some room for the window's frame."""
    from PIL import Image

    picture = Image.open(io.BytesIO(encoded)).convert("RGB")
    picture.thumbnail((max(1, width - FRAME), max(1, height - FRAME)))
    return picture


def has_colours() -> bool:
    """Whether standard output is a terminal that shows pictures, and may: see https://no-color.org."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def shows_dots() -> bool:
    """Whether standard output can show a plot of braille characters."""
    try:
        "\N{BRAILLE PATTERN DOTS-1}".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return os.environ.get("TERM") != "dumb"


def terminal_size() -> tuple[int, int]:
    """Columns and lines that a picture may fill: more columns would say no more, and one line says what it shows."""
    columns, lines = shutil.get_terminal_size()
    return min(columns, MOST_COLUMNS), max(lines - 3, 10)


def show_in_terminal(jpeg: bytes, text: str, seconds: float) -> None:
    """A picture of half blocks that fits the terminal, and what it shows."""
    from classlens.figures.terminal import preview_tiles
    from classlens.runs.browse_samples import decode_jpeg

    print_picture(preview_tiles([(decode_jpeg(jpeg), ())], *terminal_size()), text, seconds)


def print_picture(letters: str, text: str, seconds: float) -> None:
    from classlens.figures.terminal import shorten

    print(letters)
    print_text(shorten(text.translate(ONE_LINE), terminal_size()[0]))
    time.sleep(max(seconds, 0))
