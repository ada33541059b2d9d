"""A run in one process that outlives a decoder which kills it.

A process per decoder costs half a second at the start. So the run is made by a copy of this process, forked while
nothing but the parser is loaded: no thread that could hang, and a millisecond. If the copy is killed, the original
still stands, and can make the run again with the decoders in processes of their own.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable

from classlens.cli.stopping import answering, end_with

CRASHES = tuple(
    getattr(signal, name) for name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT") if hasattr(signal, name)
)
HEAVY = frozenset(("cv2", "numpy", "torch"))
"""With one of these loaded, threads may be running that a copy would lack."""


def can_fork() -> bool:
    return sys.platform == "linux" and threading.active_count() == 1 and not HEAVY & sys.modules.keys()


def run_in_child(run: Callable[[], int]) -> int:
    """The exit status of `run` in a copy of this process; a negative one is the signal that killed it."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        end_with(parent)
        sys.exit(run())  # up the stack, so that errors are told and exits run as without a copy
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the copy too, which answers it
    try:
        with answering(lambda number, frame: os.kill(child, number)):
            _, status = os.waitpid(child, 0)
    finally:
        signal.signal(signal.SIGINT, before)
    return os.waitstatus_to_exitcode(status)


def killed(status: int) -> bool:
    return -status in CRASHES


def told(status: int) -> str:
    return f"a picture killed the process that decoded it ({signal.Signals(-status).name})"
