"""Pictures of a run, one after the other: in a window where there is a display, else on the terminal."""

import io
import shutil
import sys
import time
from collections.abc import Callable
from importlib import import_module

from PIL import Image as Pillow

from classlens.cli.display import has_display

FRAME = 80
"""Pixels of a screen that a window cannot fill."""

WIDEST_PREVIEW = 120
"""Characters across; more would scroll the picture away."""

Show = Callable[[bytes, str, float], None]
"""Shows a JPEG with a line of text for some seconds."""


def find_screen() -> Show | None:
    """How pictures can be shown here, if at all."""
    window = open_window() if has_display() else None
    return window or (show_in_terminal if sys.stdout.isatty() else None)


def open_window() -> Show | None:
    """A function that shows one picture; None where no window can be opened.

    Any key or click goes on to the next picture; closing the window ends the run.
    """
    try:
        tkinter = import_module("tkinter")
        root = tkinter.Tk()
    except (ImportError, RuntimeError, OSError):
        return None
    except tkinter.TclError:
        return None
    label = tkinter.Label(root)
    label.pack()

    def stop() -> None:
        raise KeyboardInterrupt

    root.protocol("WM_DELETE_WINDOW", stop)

    def show(jpeg: bytes, text: str, seconds: float) -> None:
        content = io.BytesIO()
        fit_screen(jpeg, root.winfo_screenwidth(), root.winfo_screenheight()).save(content, "PPM")
        picture = tkinter.PhotoImage(data=content.getvalue())
        label.configure(image=picture)
        root.title(text)
        waited = tkinter.IntVar()
        root.after(max(1, int(seconds * 1000)), lambda: waited.set(1))
        root.bind("<Key>", lambda event: waited.set(1))
        root.bind("<Button>", lambda event: waited.set(1))
        root.wait_variable(waited)

    return show


def fit_screen(jpeg: bytes, width: int, height: int) -> Pillow.Image:
    """The picture, shrunk where it does not fit on a screen of that size with some room for the window's frame."""
    picture = Pillow.open(io.BytesIO(jpeg))
    picture.thumbnail((max(1, width - FRAME), max(1, height - FRAME)))
    return picture


def show_in_terminal(jpeg: bytes, text: str, seconds: float) -> None:
    from classlens.figures.terminal import preview
    from classlens.runs.browse_samples import decode_jpeg

    print(preview(decode_jpeg(jpeg).pixels, min(shutil.get_terminal_size().columns, WIDEST_PREVIEW)))
    print(text, flush=True)
    time.sleep(max(seconds, 0))
