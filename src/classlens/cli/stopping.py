"""A run that is asked to end: by Ctrl-C, by `kill`, or by a terminal that closes.

Each of them becomes an exception, so that what is unfinished is taken away on the way up. Whoever knows how far the
run came adds a note to it, which is the last thing that the user reads. No process is left behind.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a process at once unless it answers them."""

PR_SET_PDEATHSIG = 1
"""The number of this setting in prctl.h."""

Answer = Callable[[int, FrameType | None], object]


class Stopped(KeyboardInterrupt):
    """One of these signals; caught, or not, wherever Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


@contextmanager
def answering(answer: Answer = stop) -> Iterator[None]:
    """Answer signals that end a process, for the time of one `with`; those that are ignored (nohup) stay so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in ENDING}
    answered = [one for one, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for one in answered:
            signal.signal(one, answer)
        yield
    finally:
        for one in answered:
            signal.signal(one, before[one])


def status_of(stopped: KeyboardInterrupt) -> int:
    """The exit status, as shells give it; says on standard error how far the run came."""
    notes = getattr(stopped, "__notes__", ["stopped"])
    print(*notes, sep="\n", file=sys.stderr)
    return 128 + int(getattr(stopped, "number", signal.SIGINT))


def end_with(parent: int) -> None:
    """Let this process, started by `parent`, be asked to end when that one is killed. Linux knows how."""
    if sys.platform == "linux":
        import ctypes  # other commands start faster without it

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it was killed before
            os.kill(os.getpid(), signal.SIGTERM)


def work_for(parent: int) -> None:
    """Make this process a worker: Ctrl-C is its parent's business, and it ends with that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)


@contextmanager
def worked() -> Iterator[None]:
    """A piece of work in such a process: stopped in it, the process ends when what is unfinished is taken away."""
    try:
        with answering():
            yield
    except Stopped as stopped:  # a pool would send it to the parent as a result, and go on
        os._exit(128 + stopped.number)
