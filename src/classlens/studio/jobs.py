"""Long work, in processes of its own: it has progress, can be cancelled, and never keeps browsing waiting.

A framework holds the interpreter while it is imported, and the one lock of a process while it runs; so it does neither
in the process of the server. A workshop does one job after the other in one process, which keeps what it has loaded. A
process that dies, or does not stop when it is asked to, costs its job, and the next one starts another.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from classlens.errors import ClasslensError, first_line
from classlens.runs.own_process import GRACE, end_processes, end_with, holding
from classlens.studio.guard import without_folders

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

State: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")

PAUSE = 0.05  # seconds between two words about progress
LOOKS = 0.1  # seconds between two looks at whether a job is still wanted

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
    """One piece of work, as the page hears of it; it changes as it goes on. `about` is what was known beforehand."""

    number: int
    state: State = "waiting"
    message: str = ""
    hint: str = ""
    done: int = 0
    total: int = 0
    result: Made | None = None
    began: float = field(default_factory=monotonic)
    ended: float | None = None
    is_wanted: bool = True
    about: dict[str, Any] = field(default_factory=dict)

    def end(self, state: State, message: str = "", hint: str = "") -> None:
        self.state, self.message, self.hint, self.ended = state, message, hint, monotonic()

    def cancel(self) -> None:
        """It is not begun any more, or stops at the next word about its progress."""
        self.is_wanted = False
        if self.state == "waiting":
            self.end("cancelled")

    def as_data(self, **states: str) -> dict[str, Any]:
        """How far it is, and what it has come to; `states` are other words for its states."""
        facts = {"job": self.number, "number": self.number, "state": states.get(self.state, self.state)}
        facts |= {"message": without_folders(self.message), "hint": without_folders(self.hint), "done": self.done}
        return facts | {"total": self.total, "seconds": round((self.ended or monotonic()) - self.began, 2)}


Work: TypeAlias = Callable[..., Made]
"""A function of a module; it is called with a `Progress`, the number of its job, and what the order holds."""


@dataclass(eq=False)
class Workshop:
    """A process that is started with its first job, and a thread that gives it one after the other."""

    jobs: queue.SimpleQueue[tuple[Job, Work, tuple[Any, ...]] | None] = field(default_factory=queue.SimpleQueue)
    thread: threading.Thread | None = None
    process: SpawnProcess | None = None
    connection: Connection | None = None

    def submit(self, job: Job, work: Work, *words: object) -> Job:
        """Put a job behind those that wait."""
        if self.thread is None:
            self.thread = threading.Thread(target=self.run, name="studio-workshop", daemon=True)
            self.thread.start()
        self.jobs.put((job, work, words))
        return job

    def run(self) -> None:
        """Do the jobs, until the studio is closed."""
        while (order := self.jobs.get()) is not None:
            job, work, words = order
            if job.is_wanted:
                job.state = "running"
                try:
                    self.do(job, work, words)
                except (EOFError, OSError):
                    self.leave()
                    if job.is_wanted:
                        job.end("failed", "the process that worked on it died")
                    else:
                        job.end("cancelled")
        self.leave()

    def do(self, job: Job, work: Work, words: tuple[Any, ...]) -> None:
        """One job, from its order to its end."""
        connection = self.open()
        connection.send((work, (job.number, *words)))
        asked: float | None = None
        while True:
            if connection.poll(LOOKS):
                kind, *said = connection.recv()
                if kind != "progress":
                    break
                job.message, job.done, job.total = said
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
        from multiprocessing import get_context

        if self.process is None or not self.process.is_alive() or self.connection is None:
            context = get_context("spawn")  # a forked one could hang in native code that already ran
            self.connection, theirs = context.Pipe()
            self.process = context.Process(target=work_for, args=(os.getpid(), theirs))
            with holding((signal.SIGINT,)):  # Ctrl-C is this process's business
                self.process.start()
            theirs.close()
        return self.connection

    def leave(self) -> None:
        """End the process, whatever it does."""
        if self.process is not None:
            end_processes([self.process])
        self.process = self.connection = None

    def close(self) -> None:
        """Do nothing more."""
        self.jobs.put(None)
        if self.process is not None:
            self.process.kill()


def work_for(parent: int, connection: Connection) -> None:
    """The life of a workshop's process: orders come, words about progress and one result for each go."""
    end_with(parent)
    threading.Thread(target=end_when_alone, args=(parent,), daemon=True).start()
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
        work, words = order
        try:
            answer: tuple[Any, ...] = ("done", work(report, *words))
        except Unwanted:
            answer = ("cancelled",)
        except WORKING_WRONG as error:
            said = str(error) if isinstance(error, ClasslensError) else f"{type(error).__name__}: {first_line(error)}"
            answer = ("failed", said, getattr(error, "hint", ""))
        sys.stdout.flush()
        connection.send(answer)


def end_when_alone(parent: int) -> None:
    """End this process after its parent, where the system does not see to that."""
    while os.getppid() == parent:
        threading.Event().wait(1)
    os._exit(0)
