"""Pictures on the screen: a plot that is drawn anew when its window is resized, or the pictures of a run in turn.

Without a display the pictures of a run are shown on the terminal.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image as Pillow

Draw = Callable[[tuple[float, float]], bytes]
"""From a size in inches to a PNG of 100 pixels per inch."""

SMALLEST = 200
PAUSE = 150
"""Milliseconds without a change after which a new size is drawn."""

Show = Callable[[bytes, str, float], None]
"""Shows a JPEG with a line of text for some seconds."""

FRAME = 80
"""Pixels of a screen that a window cannot fill."""

WIDEST_PREVIEW = 120
"""Characters across; more would scroll the picture away."""


def has_display() -> bool:
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_window() -> tuple[Any, Any, Any] | None:
    """tkinter, a window, and the label in it; None where no window can be opened."""
    try:
        tkinter: Any = import_module("tkinter")
    except ImportError:
        return None
    try:
        root = tkinter.Tk()
    except (tkinter.TclError, RuntimeError, OSError):
        return None
    return tkinter, root, tkinter.Label(root, borderwidth=0, background="#ffffff")


def show_window(draw: Draw, size: tuple[float, float], title: str) -> bool:
    """Show the plot until its window is closed, by Escape or q as well; False where no window can be opened."""
    window = open_window()
    if window is None:
        return False
    tkinter, root, label = window
    root.title(title)
    root.minsize(SMALLEST, SMALLEST)
    label.pack(fill="both", expand=True)
    state: dict[str, Any] = {"size": (round(size[0] * 100), round(size[1] * 100)), "waiting": None}

    def paint() -> None:
        width, height = state["size"]
        state["picture"] = tkinter.PhotoImage(data=draw((width / 100, height / 100)))
        label.configure(image=state["picture"])

    def resize(event: Any) -> None:  # noqa: ANN401 - tkinter is not imported where it is absent
        wanted = (max(event.width, SMALLEST), max(event.height, SMALLEST))
        if wanted == state["size"]:
            return
        state["size"] = wanted
        if state["waiting"] is not None:
            root.after_cancel(state["waiting"])
        state["waiting"] = root.after(PAUSE, paint)

    paint()
    label.bind("<Configure>", resize)
    for key in ("<Escape>", "q"):
        root.bind(key, lambda event: root.destroy())
    with suppress(KeyboardInterrupt):
        root.mainloop()
    return True


def find_screen() -> Show | None:
    """How the pictures of a run can be shown here, if at all."""
    window = open_window() if has_display() else None
    if window is not None:
        return one_by_one(*window)
    return show_in_terminal if sys.stdout.isatty() else None


def one_by_one(tkinter: Any, root: Any, label: Any) -> Show:  # noqa: ANN401 - tkinter is not imported where it is absent
    """A function that shows one picture in the window.

    Any key or click goes on to the next picture; closing the window ends the run.
    """
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
    from PIL import Image

    picture = Image.open(io.BytesIO(jpeg))
    picture.thumbnail((max(1, width - FRAME), max(1, height - FRAME)))
    return picture


def show_in_terminal(jpeg: bytes, text: str, seconds: float) -> None:
    from classlens.figures.terminal import preview
    from classlens.runs.browse_samples import decode_jpeg

    print(preview(decode_jpeg(jpeg).pixels, min(shutil.get_terminal_size().columns, WIDEST_PREVIEW)))
    print(text, flush=True)
    time.sleep(max(seconds, 0))
