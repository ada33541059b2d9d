"""A browse run that is stopped: nothing goes on, nothing is left half written, and it says how far it came."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from classlens.runs.own_process import on_ending_signals

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")

SLOW = """
import time
import numpy as np
from PIL import Image

class Pictures:
    def __len__(self): return 300
    def __getitem__(self, index):
        time.sleep(0.05)
        return Image.fromarray(np.full((20, 30, 3), index % 250, np.uint8)), index % 2

pictures = Pictures()
"""


def of_session(session):
    """The processes of a session that are alive."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(place.parent.name))
    return found


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def started(tmp_path):
    """Starts a run in a session of its own, and gives it back when its first pictures are there."""
    (tmp_path / "slow.py").write_text(SLOW)
    runs = []

    def start(*words):
        target = f"py:{tmp_path / 'slow.py'}:pictures"
        command = [sys.executable, "-m", "classlens", "browse", target, "-o", str(tmp_path / "out"), *words]
        run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        runs.append(run)
        until(lambda: len(list((tmp_path / "out").rglob("*.jpg"))) > 3)
        return run

    yield start
    for run in runs:
        for left in of_session(run.pid):
            os.kill(left, signal.SIGKILL)
        run.communicate()


def kill(run, number):
    run.send_signal(number)


def kill_group(run, number):
    os.killpg(run.pid, number)


@pytest.mark.parametrize("words", [["--workers", "0"], [], ["--workers", "2"]], ids=str)
@pytest.mark.parametrize(
    ("to", "number"),
    [(kill, signal.SIGTERM), (kill_group, signal.SIGTERM), (kill_group, signal.SIGINT)],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_a_stopped_run_ends_with_all_its_processes_and_says_how_far_it_came(to, number, words, started, tmp_path):
    run = started("--in-order", *words)

    to(run, number)
    _, said = run.communicate(timeout=30)

    written = list((tmp_path / "out").rglob("*.jpg"))
    assert run.returncode == 128 + number
    assert len(said.splitlines()) == 1
    done = int(re.fullmatch(r"stopped, (\d+) of 300 written; what is in \S+ is whole\n", said)[1])
    assert 0 < done <= len(written) < 150
    until(lambda: of_session(run.pid) == [], seconds=5)  # the last one sees that its parent is gone
    assert list((tmp_path / "out").rglob(".*")) == []


@pytest.mark.parametrize("words", [[], ["--workers", "2"]], ids=str)
def test_no_process_outlives_a_run_that_is_killed_at_once(words, started, tmp_path):
    run = started(*words)

    run.kill()

    until(lambda: of_session(run.pid) == [], seconds=20)
    assert len(list((tmp_path / "out").rglob("*.jpg"))) < 250
    assert list((tmp_path / "out").rglob(".*")) == []


def test_signals_stay_as_they_are_in_a_thread_that_is_not_the_main_one():
    """Python allows no other to set their handlers."""
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with on_ending_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [before]
