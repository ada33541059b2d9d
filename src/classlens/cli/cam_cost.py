"""What `classlens cam` says about time: what is ahead before a slow method starts, and how far it is."""

import sys
from collections.abc import Callable, Sequence
from time import monotonic

from classlens.cam.classifier import Classifier, Layer
from classlens.cam.explain import ExplainOptions, count_runs, seconds_per_run

Progress = Callable[[str, int, int], None]

WORTH_SAYING = 500
"""Runs of the network about which nothing is said beforehand: they take seconds."""

PAUSE = 0.2
WIDTH = 70


def ahead(classifier: Classifier, methods: Sequence[str], layers: Sequence[Layer], manner: ExplainOptions) -> str:
    """How often slow methods will run the network, and how long that takes; nothing if it takes seconds."""
    runs = count_runs(classifier, methods, layers, manner)
    if sum(runs.values()) < WORTH_SAYING:
        return ""
    each = ", ".join(f"{name} {count:,}" for name, count in runs.items())
    time = lasting(sum(runs.values()) * seconds_per_run(classifier, manner.batch_size))
    return f"runs of the network for every picture and class: {each}; up to {time} each"


def lasting(seconds: float) -> str:
    """A length of time in the largest unit that fits."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def counting_line() -> Progress:
    """One line of the terminal, written over and over: what is counted, how far it is, and how long it will take; wiped out at the end."""
    began, shown = monotonic(), 0.0
    counted: tuple[str, int] = ("", 0)

    def count(what: str, done: int, total: int) -> None:
        nonlocal began, shown, counted
        now = monotonic()
        if what != counted[0] or done < counted[1]:
            began = now
        counted = what, done
        if total == 1 or (now - shown < PAUSE and done < total):
            return
        shown = now
        left = f", {lasting((now - began) / done * (total - done))} left" if now > began else ""
        line = f"{what}: {done:,} of {total:,}{left}" if done < total else ""
        print(f"\r{line:<{WIDTH}}", end="" if line else "\r", file=sys.stderr, flush=True)

    return count
