"""A run and the process that it is in: how far it is, how it ends, and how it treats memory.

Ctrl-C, `kill` and a terminal that closes become an exception, so that what is unfinished is taken away on the way up.
Whoever knows how far the run came adds a note to it, which is the last thing that the user reads.

A decoder that crashes kills its process, and a process per decoder costs half a second at the start. So a run is made
in a child, forked while nothing but the parser is loaded: no thread that could hang, and a millisecond. If the child is
killed, its parent can make the run again with the decoders in processes of their own.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shutil import get_terminal_size
from time import monotonic
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a process at once unless it answers them."""

CRASHES = {getattr(signal, name, None) for name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")}

HEAVY = frozenset(("cv2", "numpy", "torch"))
"""With one of these loaded, threads may be running that a forked child would lack."""

PR_SET_PDEATHSIG = 1  # the number of this setting in prctl.h
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # the numbers of these settings in malloc.h

MIB = 2**20

Progress = Callable[[str, int, int], None]  # called with what is counted, how many of them are done, and of how many
PAUSE = 0.2  # seconds until the line of progress is written again

WIDTH = 70


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
    handlers = {one: signal.getsignal(one) for one in ENDING}
    before = {one: handler for one, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for one in before:
            signal.signal(one, answer)
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def exit_status(stopped: KeyboardInterrupt) -> int:
    """The exit status, as shells give it; says on standard error how far the run came."""
    print(*getattr(stopped, "__notes__", ["stopped"]), sep="\n", file=sys.stderr)
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


def keep_freed_memory() -> None:
    """Use blocks of up to 32 MiB again, and keep up to 256 MiB of them; other C libraries are left as they are."""
    # glibc hands large blocks back to the kernel as soon as they are freed, and every page of the next one costs a
    # fault: browsing thousands of pictures of much the same size spends a fifth of its time there.
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(MMAP_THRESHOLD, 32 * MIB)
    mallopt(TRIM_THRESHOLD, 256 * MIB)


@contextmanager
def collecting_later(package: str) -> Iterator[None]:
    """Import a large package without looking for garbage among its objects, now and later: they live with the process.

    Where it is imported already, nothing is changed.
    """
    if package in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def describe_duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def progress_line() -> Progress | None:
    """A function that keeps one line of the terminal up to date, with the time left, and wipes it out at the end.

    None if standard error is no terminal, or one that cannot go back to the start of a line.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return None
    began, written, width = monotonic(), 0.0, min(WIDTH, get_terminal_size().columns - 1)
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
        print(f"\r{line[:width]:<{width}}", end="" if line else "\r", file=sys.stderr, flush=True)

    return write
