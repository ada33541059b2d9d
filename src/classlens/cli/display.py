"""Windows: whether this machine can show one, and a picture in one that is drawn anew when it is resized."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

Draw = Callable[[tuple[float, float]], bytes]
"""From a size in inches to a PNG of 100 pixels per inch."""

SMALLEST = 200
PAUSE = 150
"""Milliseconds without a change after which a new size is drawn."""


def has_display() -> bool:
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show_window(draw: Draw, size: tuple[float, float], title: str) -> bool:
    """Show the plot until its window is closed, by Escape or q as well; False where no window can be opened."""
    try:
        tkinter: Any = import_module("tkinter")
    except ImportError:
        return False
    try:
        root = tkinter.Tk()
    except tkinter.TclError:
        return False
    root.title(title)
    root.minsize(SMALLEST, SMALLEST)
    label = tkinter.Label(root, borderwidth=0, background="#ffffff")
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
