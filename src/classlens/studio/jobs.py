"""Long work, in processes of its own: it has progress, can be cancelled, and never keeps browsing waiting.

A framework holds the interpreter while it is imported, and the one lock of a process while it runs; so it does neither
in the process of the server. A workshop does one job after the other in one process, which keeps what it has loaded. A
process that dies, or does not stop when it is asked to, costs its job, and the next one starts another.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from ctypes import c_ubyte
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from classlens.errors import ClasslensError, describe_error
from classlens.runs.own_process import (
    GRACE,
    KILLERS,
    MOST_CRASHES,
    RISK,
    SPARE,
    WATCHED,
    end_processes,
    end_with,
    holding,
    note_killer,
)

if TYPE_CHECKING:
    from ctypes import Array
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

State: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]

PAUSE = 0.05  # seconds between two words about progress
SETTLED = 1.0  # seconds until the end of a process that has closed its connection is known
LOOKS = 0.1  # seconds between two looks at whether a job is still wanted
LEFT = 15.0  # seconds after which a page that asks for its job no more has gone; one that is there asks without a pause

WORKING_WRONG = (
    *(ClasslensError, RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError),
    *(MemoryError, OSError, ImportError),
)
"""What frameworks, and what users have made with them, raise."""


@dataclass(frozen=True)
class Made:
    """What a job has made: facts as JSON has them, and bytes (maps, pictures, a page), which have addresses in these."""

    facts: dict[str, Any]
    parts: list[bytes] = field(default_factory=list, repr=False)


class Unwanted(BaseException):
    """A job was cancelled. No `Exception`: on its way out it passes code that handles those."""


@dataclass(eq=False)
class Job:
    """One piece of work, as the page hears of it; it changes as it goes on. `about` is what was known beforehand.

    `over` is done as soon as the job has ended, in whatever way.
    """

    number: int
    state: State = "waiting"
    message: str = ""
    hint: str = ""
    done: int = 0
    total: int = 0
    result: Made | None = None
    is_wanted: bool = True
    asked: float | None = None  # when a page last asked for it, of a job that only this page wants
    ahead: Callable[[], Job | None] = lambda: None  # what its workshop is doing while it waits
    about: dict[str, Any] = field(default_factory=dict)
    over: Future[None] = field(default_factory=Future, repr=False)

    def end(self, state: State, message: str = "", hint: str = "") -> None:
        self.state, self.message, self.hint = state, message, hint
        self.over.set_result(None)

    @property
    def is_left(self) -> bool:
        """Whether the page that wanted it has gone: reloaded, closed, or cut off."""
        return self.asked is not None and monotonic() - self.asked > LEFT

    def cancel(self) -> None:
        """It is not begun any more, or stops at the next word about its progress."""
        self.is_wanted = False
        if self.over.cancel():
            self.state = "cancelled"


Work: TypeAlias = Callable[..., Made]
"""A function of a module; it is called with a `Progress`, the number of its job, and what the order holds."""


@dataclass(eq=False)
class Workshop:
    """A process that is started with its first job, and a thread that gives it one after the other."""

    thread: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1, "studio-workshop"))
    process: SpawnProcess | None = None
    connection: Connection | None = None
    watched: Array[c_ubyte] | None = None  # what the process is working on
    job: Job | None = None  # the last that was begun

    def submit(self, job: Job, work: Work, *words: object) -> Job:
        """Put a job behind those that wait."""
        job.ahead = lambda: self.job
        self.thread.submit(self.run, job, work, words)
        return job

    def run(self, job: Job, work: Work, words: tuple[Any, ...]) -> None:
        """Do a job that is still wanted; if a sample kills its process, again without it.

        With a process that dies otherwise it has failed, unless that was ended to cancel it.
        """
        if job.is_left:
            job.cancel()
        if not job.over.set_running_or_notify_cancel():
            return
        self.job = job
        while not job.over.done():
            try:
                self.do(job, work, words)
            except (EOFError, OSError):
                killer = self.leave()
                if not (killer and job.is_wanted and len(KILLERS) <= MOST_CRASHES):
                    job.end(*(("failed", "the process that worked on it died") if job.is_wanted else ("cancelled",)))

    def do(self, job: Job, work: Work, words: tuple[Any, ...]) -> None:
        """One job, from its order to its end."""
        job.state, connection = "running", self.open()
        connection.send((work, (job.number, *words), KILLERS))
        asked: float | None = None
        while True:
            if connection.poll(LOOKS):
                kind, *said = connection.recv()
                if kind != "progress":
                    break
                job.message, job.done, job.total = said
            if job.is_left:
                job.cancel()
            if not job.is_wanted and asked is None:
                asked = monotonic()
                connection.send("cancel")
            if asked is not None and monotonic() - asked > GRACE:
                raise EOFError
        if kind == "done":
            job.result = said[0]
            job.end("done")
        else:
            job.end("failed" if kind == "failed" else "cancelled", *said)

    def open(self) -> Connection:
        """The way to the process, which is started where there is none."""
        from multiprocessing import RawArray, get_context

        if self.process is None or not self.process.is_alive() or self.connection is None:
            context = get_context("spawn")  # a forked one could hang in native code that already ran
            self.connection, theirs = context.Pipe()
            self.watched = RawArray(c_ubyte, RISK)
            process = context.Process(target=work_for, args=(os.getpid(), theirs, self.watched))
            with holding((signal.SIGINT,)):  # Ctrl-C is this process's business
                process.start()
            self.process = process  # from now on it can be killed
            theirs.close()
        return self.connection

    def leave(self) -> str:
        """End the process, whatever it does; what it was working on that killed it, if it did."""
        killer = ""
        if self.process is not None:
            self.process.join(SETTLED)
            killer = note_killer(self.process.exitcode or 0, self.watched or b"")
            end_processes([self.process])
        self.process = self.connection = None
        return killer

    def close(self) -> None:
        """Do nothing more."""
        self.thread.shutdown(wait=False, cancel_futures=True)
        if self.process is not None:
            self.process.kill()


def work_for(parent: int, connection: Connection, watched: Array[c_ubyte]) -> None:
    """The life of a workshop's process: orders come, words about progress and one result for each go."""
    SPARE.append(parent)
    WATCHED.append(memoryview(watched).cast("B"))
    end_with(parent)
    last = 0.0

    def report(message: str, done: int = 0, total: int = 0) -> None:
        nonlocal last
        if connection.poll():
            connection.recv()
            raise Unwanted
        if monotonic() - last > PAUSE or done == 0:
            last = monotonic()
            connection.send(("progress", message, done, total))

    while True:
        try:
            order = connection.recv()
        except EOFError:
            return
        if order == "cancel":  # the job had ended before that came
            continue
        work, words, killers = order
        KILLERS.update(killers)
        try:
            answer: tuple[Any, ...] = ("done", work(report, *words))
        except Unwanted:
            answer = ("cancelled",)
        except WORKING_WRONG as error:
            answer = ("failed", describe_error(error), getattr(error, "hint", ""))
        sys.stdout.flush()
        connection.send(answer)
