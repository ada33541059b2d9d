"""How far a long run is, on one line of the terminal."""

import sys
from collections.abc import Callable
from time import monotonic

Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many of them are done, and of how many."""

PAUSE = 0.2
"""Seconds until the line is written again."""

WIDTH = 70


def describe_duration(seconds: float) -> str:
    """A length of time in the largest unit that fits."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def progress_line() -> Progress | None:
    """A function that keeps one line of the terminal up to date, with the time left, and wipes it out at the end.

    None if standard error is no terminal.
    """
    if not sys.stderr.isatty():
        return None
    began, written = monotonic(), 0.0
    last: tuple[str, int] = ("", 0)

    def write(what: str, done: int, total: int) -> None:
        nonlocal began, written, last
        now = monotonic()
        if what != last[0] or done < last[1]:
            began = now
        last = what, done
        if total == 1 or (now - written < PAUSE and done < total):
            return
        written = now
        left = f", {describe_duration((now - began) / done * (total - done))} left" if now > began else ""
        line = f"{what}: {done:,} of {total:,}{left}" if done < total else ""
        print(f"\r{line:<{WIDTH}}", end="" if line else "\r", file=sys.stderr, flush=True)

    return write
