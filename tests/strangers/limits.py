"""Run the command on a stranger's file under limits of time and memory, and look at how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

SECONDS = 5  # of CPU: other programs on the machine must not decide
MEGABYTES = 500  # over what the command needs to start
PATIENCE = 60  # seconds on the clock: who waits for something uses no CPU
MACHINE = 6 << 30  # bytes of data that a run may ask for at all, so that a failing test spares the machine

needs_prlimit = pytest.mark.skipif(sys.platform != "linux", reason="limits are set by prlimit, which is Linux's")


@dataclass(frozen=True)
class Ending:
    """How a run ended, what it printed, and what it took: its own CPU and memory and those of its children."""

    status: int
    out: str
    err: str
    seconds: float
    megabytes: float

    def is_bounded(self, *, needed: float = 0) -> bool:
        """Whether the run took no more than the limits; `needed` is memory in MB of a run that does the same well."""
        return self.seconds <= SECONDS and self.megabytes <= max(needed, megabytes_to_start()) + MEGABYTES


LAUNCHER = """
import json, os, sys
if not (child := os.fork()):
    os.execvp(sys.argv[2], sys.argv[2:])
_, ended, used = os.wait4(child, 0)
with open(sys.argv[1], "w") as report:
    json.dump([os.waitstatus_to_exitcode(ended), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024], report)
"""
"""A small process in between: the memory of what starts a command counts as the command's own."""


def run_limited(words: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> Ending:
    """Run `classlens` with `words`; it is ended after `SECONDS` of CPU or `PATIENCE` on the clock."""
    limits = ["prlimit", f"--cpu={SECONDS}:{SECONDS + 1}", f"--data={MACHINE}", "--core=0"]
    with tempfile.TemporaryDirectory() as folder:
        report, out, err = (Path(folder, name) for name in ("report", "out", "err"))
        launcher = [sys.executable, "-IS", "-c", LAUNCHER, str(report)]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            child = subprocess.Popen(
                [*launcher, *limits, sys.executable, "-m", "classlens", *words],
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
            try:
                child.communicate(stdin, timeout=PATIENCE)
                status, seconds, megabytes = json.loads(report.read_text())
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
                status, seconds, megabytes = -signal.SIGKILL, float(PATIENCE), 0.0
        texts = [one.read_bytes().decode(errors="surrogateescape") for one in (out, err)]
    return Ending(status, *texts, seconds, megabytes)


@cache
def megabytes_to_start() -> float:
    return run_limited(["sources"], cwd=Path.cwd()).megabytes


def assert_refused(ending: Ending, *, match: str = "", needed: float = 0) -> None:
    """Status 2 and one error with at most one hint: short, printable, no traceback; within the limits."""
    lines = ending.err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert ending.status == 2, (ending.status, ending.seconds, ending.err[-2000:])
    assert len(errors) == 1, ending.err[-2000:]
    assert "Traceback" not in ending.err
    assert len(ending.err) < 4000, len(ending.err)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", ending.err), ascii(ending.err)
    assert re.search(match, ending.err), ending.err
    assert ending.is_bounded(needed=needed), (ending.seconds, ending.megabytes)


def assert_survived(ending: Ending, *, match: str = "", needed: float = 0, statuses: Sequence[int] = (0,)) -> None:
    """The run went on to its end: no traceback, `match` is told on standard error, within the limits."""
    assert ending.status in statuses, (ending.status, ending.seconds, ending.err[-2000:])
    assert "Traceback" not in ending.err, ending.err[-2000:]
    assert re.search(match, ending.err), ending.err
    assert ending.is_bounded(needed=needed), (ending.seconds, ending.megabytes)
