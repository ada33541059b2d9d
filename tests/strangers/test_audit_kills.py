"""Audits that are killed at any moment, again and again, end with the same rows, each once.

`make test-kills` does so 50 times; the suite has a kill of each kind in `tests/runs/test_audit_run.py`.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.audit.tiny_setup import files_of, write_network, write_pictures
from tests.cli.test_stopping import of_session, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc"),
    pytest.mark.skipif(not os.environ.get("CLASSLENS_ALL_KILLS"), reason="many minutes: make test-kills"),
]

KILLS = 50
COUNT = 600


def start(command):
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def hit(run, chance):
    """Kill the run, all its processes, or one of those that work for it; its name."""
    whom = chance.choice(["run", "group", "worker", "worker"])
    workers = [pid for pid in of_session(run.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    if whom == "worker" and workers:
        os.kill(chance.choice(workers), signal.SIGKILL)
    elif whom == "group":
        os.killpg(run.pid, signal.SIGKILL)
    else:
        run.kill()
    return whom


def test_rows_are_those_of_a_run_that_nobody_disturbs(tmp_path):
    pictures = write_pictures(tmp_path / "photos", COUNT, bad=(5, 300), other_size=(12,))
    words = ["audit", write_network(tmp_path), "--data", pictures, "--batch-size", "8", "--workers", "2", "-o"]
    command = [sys.executable, "-m", "classlens", *words]
    begun = time.monotonic()
    assert subprocess.run([*command, str(tmp_path / "whole")], capture_output=True).returncode == 0
    seconds, whole, kills, attempt = time.monotonic() - begun, files_of(tmp_path / "whole"), 0, 0
    seed = int(os.environ.get("CLASSLENS_SEED", time.time()))
    print("seed", seed)  # pytest shows it where this fails
    chance = random.Random(seed)

    while kills < KILLS:
        out = tmp_path / f"out{attempt}"
        attempt += 1
        for _ in range(6):  # so many kills at most of one audit
            run = start([*command, str(out)])
            try:
                run.wait(chance.uniform(0.2, seconds))
            except subprocess.TimeoutExpired:
                kills += 1
                hit(run, chance)
            _, err = run.communicate(timeout=300)
            if run.returncode == 0:
                break
            assert run.returncode == -signal.SIGKILL, err
            until(lambda pid=run.pid: not of_session(pid), 20)
        else:
            assert subprocess.run([*command, str(out)], capture_output=True).returncode == 0
        assert files_of(out) == whole
        assert not list(out.rglob("*.part"))
