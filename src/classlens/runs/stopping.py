"""How a run ends: by Ctrl-C, by `kill`, by a terminal that closes, or by a decoder that crashes.

Signals become an exception, so that what is unfinished is taken away on the way up. Whoever knows how far the run came
adds a note to it, which is the last thing that the user reads. No process is left behind.

A decoder that crashes kills its process, and a process per decoder costs half a second at the start. So a run is made
in a child, forked while nothing but the parser is loaded: no thread that could hang, and a millisecond. If the child is
killed, its parent can make the run again with the decoders in processes of their own.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def known_signals(*names: str) -> tuple[signal.Signals, ...]:
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


ENDING = known_signals("SIGTERM", "SIGHUP")
"""Signals that end a process at once unless it answers them."""

CRASHES = known_signals("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")

HEAVY = frozenset(("cv2", "numpy", "torch"))
"""With one of these loaded, threads may be running that a forked child would lack."""

PR_SET_PDEATHSIG = 1
"""The number of this setting in prctl.h."""


class Stopped(KeyboardInterrupt):
    """One of the signals `ENDING`; caught, or not, wherever Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


@contextmanager
def on_ending_signals(answer: Callable[[int, FrameType | None], object] = stop) -> Iterator[None]:
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


def exit_status(stopped: KeyboardInterrupt) -> int:
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


def can_fork() -> bool:
    return sys.platform == "linux" and threading.active_count() == 1 and not HEAVY & sys.modules.keys()


def run_in_child(run: Callable[[], int]) -> int:
    """The exit status of `run` in a forked child; a negative one is the signal that killed it."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        end_with(parent)
        sys.exit(run())  # up the stack, so that errors are printed and exits run as without a child
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the child too, which answers it
    try:
        with on_ending_signals(lambda number, frame: os.kill(child, number)):
            _, status = os.waitpid(child, 0)
    finally:
        signal.signal(signal.SIGINT, before)
    return os.waitstatus_to_exitcode(status)


def describe_crash_of_child(status: int) -> str:
    """What happened to a child that a decoder killed; nothing for any other end."""
    if -status not in CRASHES:
        return ""
    return f"a picture killed the process that decoded it ({signal.Signals(-status).name})"
