"""Audits that are killed at any moment, again and again, end with the same rows, each once.

`make test-kills` does so 50 times, the suite a few. Runs are forked off a process that has imported everything, so that
what is killed is work and not the start of Python; only processes of a pool start as they do for users.
"""

import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import pytest

from classlens.runs import own_process, processes
from tests.audit.tiny_setup import files_of, write_network, write_pictures
from tests.cli.test_stopping import of_session, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")

WHOLE = bool(os.environ.get("CLASSLENS_ALL_KILLS"))
PICTURES, SHARDS = 160, 20
MOST = 6  # kills of one audit

KILLS = {
    "run": 20, "Ctrl-C": 8, "before rename": 5, "after rename": 5, "full disk": 5,
    "worker": 4, "parent of workers": 2, "group": 1,
}  # fmt: skip
FEW = {"run": 1, "before rename": 1, "after rename": 1, "full disk": 1}
"""How often, and what is hit; the suite takes what starts no further process."""

WITH_WORKERS = ("worker", "parent of workers", "group")
FROM_INSIDE = ("before rename", "after rename", "full disk")
STATUS = {"worker": 0, "Ctrl-C": 128 + signal.SIGINT, "full disk": 2}

IMPORTED = ["torch", "classlens.cli.audit", "classlens.adapters.python", "classlens.runs.audit_run"]
IMPORTED += [
    "classlens.audit.preparation",
    "classlens.audit.clusters",
    "classlens.audit.shards",
    "classlens.adapters.folder",
]
IMPORTED += ["classlens.figures.audit_report", "PIL.WebPImagePlugin", "pandas"]  # which pyarrow imports where it is
FORKS = get_context("forkserver")


def audit(words, said, fault, at):
    """The command, in a process of its own; what hits it from inside does so at its file of rows number `at`."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let what runs in the background ignore it
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    moves, move = count(), os.replace

    def replace(part, place):
        is_hit = "/rows/" in place and next(moves) == at
        if is_hit and fault == "before rename":
            os.kill(os.getpid(), signal.SIGKILL)
        move(part, place)
        if is_hit and fault == "after rename":
            os.kill(os.getpid(), signal.SIGKILL)
        if is_hit and fault == "full disk":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))

    os.replace = replace
    from classlens.cli.main import main

    sys.exit(main(words))


def shards_of(out):
    return len(list((out / "rows").glob("part-*.parquet")))


def strike(run, out, fault, chance):
    """Hit a run at any moment of what is left to do, from before its first row to the report; whether it was still there."""
    rows = chance.randint(shards_of(out), SHARDS)
    while run.is_alive() and shards_of(out) < rows:
        time.sleep(0.001)
    run.join(chance.random() * (0.5 if rows == SHARDS else 0.03))
    workers = [pid for pid in of_session(run.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    if not run.is_alive() or (fault == "worker" and not workers):
        return False
    victim = chance.choice(workers) if fault == "worker" else run.pid
    hit = os.killpg if fault in ("group", "Ctrl-C") else os.kill
    with suppress(ProcessLookupError):
        hit(victim, signal.SIGINT if fault == "Ctrl-C" else signal.SIGKILL)
    return True


def test_rows_are_those_of_a_run_that_nobody_disturbs(tmp_path):
    FORKS.set_forkserver_preload([*IMPORTED, __name__])
    pictures, said = write_pictures(tmp_path / "photos", PICTURES, bad=(5, 100), other_size=(12,)), tmp_path / "said"
    words = ["audit", write_network(tmp_path), "--data", pictures, "--batch-size", "8", "--workers"]
    seed = int(os.environ.get("CLASSLENS_SEED", time.time() if WHOLE else 0))
    print("seed", seed)  # pytest shows it where this fails
    chance, kills, out = random.Random(seed), Counter(), tmp_path / "out"
    plan = [fault for fault, times in (KILLS if WHOLE else FEW).items() for _ in range(times)]
    chance.shuffle(plan)

    def run_once(out, fault=""):
        """Run the command on; whether it was hit, and its exit status."""
        workers, at = "2" if fault in WITH_WORKERS else "0", chance.randrange(max(1, SHARDS - shards_of(out)))
        run = FORKS.Process(target=audit, args=([*words, workers, "-o", str(out)], said, fault, at))
        run.start()
        is_hit = fault in FROM_INSIDE or (bool(fault) and strike(run, out, fault, chance))
        run.join(600)
        until(lambda: not of_session(run.pid), 60)
        return is_hit and (run.exitcode != 0 or fault == "worker"), run.exitcode  # it may have ended just before

    assert run_once(tmp_path / "whole") == (False, 0), said.read_text()
    whole = files_of(tmp_path / "whole")
    assert len(whole) == SHARDS
    for _ in range(4 * len(plan)):  # some runs end before they are hit
        if not plan:
            break
        for _ in range(MOST):
            is_hit, status = run_once(out, plan[-1])
            assert status == (STATUS.get(plan[-1], -signal.SIGKILL) if is_hit else 0), (plan[-1], said.read_text())
            if is_hit:
                kills[plan.pop()] += 1
                print(kills.total(), "of", kills.total() + len(plan), "kills", flush=True)
            if status == 0 or not plan:
                break
        if status != 0:
            assert run_once(out) == (False, 0), said.read_text()
        assert files_of(out) == whole
        assert not list(out.rglob("*.part"))
        shutil.rmtree(out)

    assert kills == (KILLS if WHOLE else FEW)


def test_a_pool_ends_though_a_worker_does_not_hear_of_it(monkeypatch):
    """So it is where another one was killed with the lock of their queue, as no work was left."""
    monkeypatch.setattr(own_process, "GRACE", 0.2)
    monkeypatch.setattr(processes, "GRACE", 0.2)

    with processes.new_pool(b"", 1) as pool:
        worker = pool.submit(os.getpid).result()
        os.kill(worker, signal.SIGSTOP)
        late = threading.Timer(60, os.kill, [worker, signal.SIGKILL])
        late.start()

    assert late.is_alive()
    late.cancel()
    assert worker not in of_session(os.getsid(0))
