"""A run and the process that it is in: how far it is, how it ends, and how it treats memory.

Ctrl-C, `kill` and a terminal that closes become an exception, so that what is unfinished is taken away on the way up.
Whoever knows how far the run came adds a note to it, which is the last thing that the user reads. Who asks again, and not
at once, waits for nothing any more.

A decoder that crashes kills its process, and a process per decoder costs half a second at the start. So a run is made
in a child, forked while nothing but the parser is loaded: no thread that could hang, and a millisecond. If the child is
killed, its parent can make the run again: with the decoders in processes of their own, or without what killed it.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from mmap import mmap
from shutil import get_terminal_size
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

from classlens.errors import DataError
from classlens.files import limit
from classlens.printed import print_aside

if TYPE_CHECKING:
    from ctypes import Array, c_ubyte
    from multiprocessing.process import BaseProcess

NAMES = ("INT", "TERM", "HUP", "QUIT", "XCPU", "USR1", "USR2", "ALRM", "VTALRM")
ENDING = tuple(getattr(signal, f"SIG{name}") for name in NAMES if hasattr(signal, f"SIG{name}"))
"""Signals that end a process at once unless it answers them."""

CRASHES = {getattr(signal, name, None) for name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGPROF")}

HEAVY = frozenset(("cv2", "numpy", "torch"))
"""With one of these loaded, threads may be running that a forked child would lack."""

PR_SET_PDEATHSIG = 1  # the number of this setting in prctl.h
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # the numbers of these settings in malloc.h

MIB = 2**20

Notify = Callable[[str, str], object]  # called with "note" or "warning", and what there is to say
Progress = Callable[[str, int, int], None]  # called with what is counted, how many of them are done, and of how many
PAUSE, SELDOM = 0.2, 60.0  # seconds until the line of progress is written again, and a plain one

WIDTH = 70


ASKED: list[tuple[int, float]] = []
"""By which signals this process was asked to end, and when."""

AT_ONCE = 1.0  # seconds in which a second signal is the same wish: a group and its leader are asked, or a key is held
GRACE = 3.0  # seconds that processes have to end when they are asked to


def silent(*said: object) -> None:
    """A `Notify`, or a `Progress`, where nobody listens."""


class Stopped(KeyboardInterrupt):
    """One of the signals `ENDING`; caught, or not, wherever Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def stop(number: int, frame: FrameType | None) -> None:
    """Raise `Stopped`, once; who asks again when that has not helped ends the process where it is."""
    if not ASKED:
        ASKED.append((number, monotonic()))
        raise Stopped(number)
    if monotonic() - ASKED[0][1] > AT_ONCE:
        end_here(number)


def end_here(number: int) -> None:
    """End at once, and leave nothing: no unfinished file, no process that works for this one."""
    if "classlens.files" in sys.modules:
        sys.modules["classlens.files"].remove_unfinished()
    if "multiprocessing" in sys.modules:
        end_processes(sys.modules["multiprocessing"].active_children())
    os._exit(128 + number)


def end_processes(processes: "Collection[BaseProcess]") -> None:
    """Ask processes to end, and kill those that do not within `GRACE` seconds: they may be in a decoder for ever."""
    for one in processes:
        one.terminate()
    latest = monotonic() + GRACE
    for one in processes:
        one.join(max(0, latest - monotonic()))
        if one.is_alive():
            one.kill()


@contextmanager
def on_ending_signals(
    answer: Callable[[int, FrameType | None], object] = stop, *, is_last: bool = False
) -> Iterator[None]:
    """Answer signals that end a process, for the time of one `with`; those that somebody answers or ignores stay so.

    A process whose work this was (`is_last`) only ends: after a signal it takes no notice of further ones, and Ctrl-C ends
    it without a word.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {one: signal.getsignal(one) for one in ENDING}
    before = {one: handler for one, handler in handlers.items() if handler in REPLACED}
    if stop not in before.values():
        ASKED.clear()
    try:
        for one in before:
            signal.signal(one, answer)
        yield
    finally:
        for one, handler in before.items():
            if is_last and (ASKED or handler is signal.default_int_handler):
                handler = signal.SIG_IGN if ASKED else signal.SIG_DFL
            signal.signal(one, handler)


@contextmanager
def until_stopped() -> Iterator[None]:
    """Work in a process of a pool, which ends where it is when a signal comes: a pool would send that as a result."""
    try:
        with on_ending_signals():
            yield
    except Stopped as stopped:
        os._exit(128 + stopped.number)


REPLACED = (signal.SIG_DFL, signal.default_int_handler, stop)
"""What answers a signal where nobody has asked for anything else."""


@contextmanager
def holding(signals: Iterable[signal.Signals]) -> Iterator[None]:
    """Let signals wait for the time of one `with`; a process that is started in it never gets them, unless it asks."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def exit_status(stopped: KeyboardInterrupt) -> int:
    """The exit status, as shells give it; says on standard error how far the run came."""
    print_aside(*getattr(stopped, "__notes__", ["stopped"]))
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
    """The exit status of `run` in a forked child, which gets all signals too; a negative one is what killed it."""
    sys.stdout.flush()
    sys.stderr.flush()

    def pass_on(number: int, frame: FrameType | None) -> None:
        ASKED.append((number, monotonic()))
        is_stuck = monotonic() - ASKED[0][1] > AT_ONCE + GRACE
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL if is_stuck else number)

    parent = os.getpid()
    with ExitStack() as answered:
        with holding(ENDING):
            child = os.fork()
            if child == 0:
                SPARE.append(parent)
                end_with(parent)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
                sys.exit(run())  # up the stack, so that errors are printed and exits run as without a child
            answered.enter_context(on_ending_signals(pass_on, is_last=True))
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


SPARE: list[int] = []
"""Of which process this one is a spare part: what it works on when it is killed is named, and the run goes on."""


def allow_seconds(seconds: float) -> None:
    """Have this process killed after so many seconds of CPU from now, if it is a spare one; 0 is for ever.

    A decoder that is busy for hours answers nobody else. Windows has no such clock.
    """
    if SPARE and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


RISK = 4096  # bytes that name what a process is working on: a path, say
MOST_CRASHES = 20  # after so many, something else is wrong than a picture
KILLERS: dict[str, str] = {}
"""What has killed a process of this run before, and how."""
WATCHED: "list[mmap | bytearray | memoryview]" = [bytearray(RISK)]
"""What this process is working on, for who sees it die: the last one."""


@contextmanager
def risky(what: str, seconds: float = 0.0) -> Iterator[None]:
    """Work on something that may kill this process, if need be for no longer than so many seconds of CPU.

    Raises:
        DataError: it has killed a process of this run before.
    """
    if what in KILLERS:
        raise DataError(f"{what}: {KILLERS[what]}")
    watched = WATCHED[-1]
    before, watched[:] = bytes(watched[:]), what.encode(errors="replace")[:RISK].ljust(RISK, b"\0")
    if seconds:
        allow_seconds(seconds)
    try:
        yield
    finally:
        if seconds:
            allow_seconds(0)
        watched[:] = before


def outlive_crashes(run: Callable[[], int], *, is_last: bool, renew: Callable[[], object] | None = None) -> int:
    """The exit status of `run` in a child; one that is killed by what it works on is made again, without that.

    A server, which `renew` makes ready for the next child, goes on also after a crash of which nothing is known.
    What is not the last work of this process stays in it: a child would end by way of what a caller has open.
    """
    if not (is_last and can_fork()):
        return run()
    WATCHED.append(mmap(-1, RISK))  # shared with the child
    for left in range(MOST_CRASHES, -1, -1):
        status = run_in_child(run)
        said = note_killer(status, WATCHED[-1]) or (renew and describe_crash_of_child(status))
        if not said or not left:
            break
        print_aside(f"note:  {said}; beginning again without it")
        WATCHED[-1][:] = bytes(RISK)
        if renew:
            renew()
    return report_end(status)


def note_killer(status: int, watched: "mmap | bytes | bytearray | memoryview | Array[c_ubyte]") -> str:
    """What killed a process that ended so while it named that, remembered in `KILLERS`; "" if nothing new is known."""
    what, crash = bytes(watched).rstrip(b"\0").decode(errors="replace"), describe_crash_of_child(status)
    if not (crash and what) or what in KILLERS:
        return ""
    KILLERS[what] = crash
    return f"{what}: {crash}"


def report_end(status: int) -> int:
    """The exit status for how a child ended, as shells give it; says what killed it, unless it was asked to end."""
    if status < 0 and -status not in ENDING:
        print_aside(f"error: the process of the run was killed ({signal.Signals(-status).name})")
    return status if status >= 0 else 128 - status


def describe_slowness(status: int) -> str:
    """Whether a process was killed because of its time; nothing for any other end."""
    is_slow = -status == getattr(signal, "SIGPROF", None)
    return f"more than {limit('seconds'):g} s of work, which --limit seconds=N allows" if is_slow else ""


def describe_crash_of_child(status: int) -> str:
    """What happened to a child that a decoder killed; nothing for any other end."""
    if -status not in CRASHES:
        return ""
    if reason := describe_slowness(status):
        return f"a picture takes {reason}"
    return f"a picture killed the process that decoded it ({signal.Signals(-status).name})"


def keep_freed_memory() -> None:
    """Use blocks of up to 32 MiB again, and keep up to 256 MiB of them; other C libraries are left as they are."""
    # glibc hands large blocks back to the kernel as soon as they are freed, and every page of the next one costs a
    # fault: browsing thousands of pictures of much the same size spends a fifth of its time there.
    set_malloc({MMAP_THRESHOLD: 32 * MIB, TRIM_THRESHOLD: 256 * MIB})


def return_freed_memory() -> None:
    """Hand blocks of a MiB and more back as soon as they are freed: for a process that lives long and does little."""
    # After the first of them glibc would keep such blocks, and every thread those of its own.
    set_malloc({MMAP_THRESHOLD: MIB, ARENA_MAX: 2})


def set_malloc(settings: Mapping[int, int]) -> None:
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for number, value in settings.items():
            mallopt(number, value)


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


def progress_line(*, with_rate: bool = False) -> Progress:
    """A function that keeps one line of the terminal up to date, with the time left, and wipes it out at the end.

    Where standard error is no terminal, or one that cannot go back to the start of a line, it is a line now and then.
    `with_rate` says also how many are done in a second.
    """
    is_plain = not sys.stderr.isatty() or os.environ.get("TERM") == "dumb"
    pause = SELDOM if is_plain else PAUSE
    began = monotonic()
    written, width = began if is_plain else 0.0, min(WIDTH, get_terminal_size().columns - 1)
    last: tuple[str, int] = ("", 0)

    def write(what: str, done: int, total: int) -> None:
        nonlocal began, written, last
        now = monotonic()
        if what != last[0] or done < last[1]:
            began = now
        last = what, done
        if total == 1 or (now - written < pause and (done < total or is_plain)):
            return
        written = now
        rate = f", {done / (now - began):,.1f} a second" if with_rate and now > began else ""
        left = (
            f"{rate}, {describe_duration((now - began) / done * (total - done))} left" if done and now > began else ""
        )
        line = f"{what}: {done:,} of {total:,}{left}" if done < total or is_plain else ""
        if is_plain:
            print_aside(line)
        else:
            print(f"\r{line[:width]:<{width}}", end="" if line else "\r", file=sys.stderr, flush=True)

    return write
