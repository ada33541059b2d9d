"""A window for the pictures of a run, where there is a display."""

import io
from collections.abc import Callable
from importlib import import_module

from PIL import Image as Pillow

from classlens.cli.browse_job import SampleResult

FRAME = 80
"""Pixels of a screen that a window cannot fill."""


def open_window() -> Callable[[SampleResult, float], None] | None:
    """A function that shows one picture for some seconds; None where no window can be opened.

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

    def show(row: SampleResult, interval: float) -> None:
        if row.jpeg is None:
            return
        content = io.BytesIO()
        fitted(row.jpeg, root.winfo_screenwidth(), root.winfo_screenheight()).save(content, "PPM")
        picture = tkinter.PhotoImage(data=content.getvalue())
        label.configure(image=picture)
        root.title(f"#{row.index} {', '.join(row.class_names)}")
        waited = tkinter.IntVar()
        root.after(max(1, int(interval * 1000)), lambda: waited.set(1))
        root.bind("<Key>", lambda event: waited.set(1))
        root.bind("<Button>", lambda event: waited.set(1))
        root.wait_variable(waited)

    return show


def fitted(jpeg: bytes, width: int, height: int) -> Pillow.Image:
    """The picture, shrunk where it does not fit on a screen of that size with some room for the window's frame."""
    picture = Pillow.open(io.BytesIO(jpeg))
    picture.thumbnail((max(1, width - FRAME), max(1, height - FRAME)))
    return picture
