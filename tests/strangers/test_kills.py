"""Runs that are killed at any moment leave no process and no unfinished file, and the next run makes the same pictures.

`make test-kills` takes the whole counts: 50 parents, 50 workers, 20 times SIGTERM, 50 times Ctrl-C.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.cli.test_stopping import of_session, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")

SHARE = {"SIGKILL": 50, "worker": 50, "SIGTERM": 20, "SIGINT": 50, "SIGHUP": 10, "SIGQUIT": 10}
"""How often runs are killed, and by what; the suite takes a twenty-fifth."""

WHOLE = bool(os.environ.get("CLASSLENS_ALL_KILLS"))
COUNT = 24


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = tmp_path_factory.mktemp("kills") / "data"
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        (place / f"{index % 3}").mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (240, 320, 3), np.uint8)
        Pillow.fromarray(pixels).save(place / f"{index % 3}" / f"{index}.png")
    return f"folder:{place}"


def start(data, out, workers, **more):
    words = ["browse", data, "--not-show", "-o", str(out), "--workers", str(workers), "--rescale-factor", "3"]
    command = [sys.executable, "-m", "classlens", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, **more)


def contents(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """What a run that nobody disturbs makes, and how long it takes with and without workers."""
    out, seconds = tmp_path_factory.mktemp("whole"), {}
    for workers in (0, 2):
        begun = time.monotonic()
        run = start(data, out / str(workers), workers)
        _, err = run.communicate(timeout=120)
        assert (run.returncode, err) == (0, b"")
        seconds[workers] = time.monotonic() - begun
    assert contents(out / "0") == contents(out / "2")
    assert len(contents(out / "0")) == COUNT + 1
    return contents(out / "0"), seconds


def hit(run, how, chance):
    """Kill it so; the exit status that follows."""
    if how == "worker":
        workers = [pid for pid in of_session(run.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
        return {0}
    number = signal.Signals[how]
    if how != "SIGKILL" and chance.random() < 0.5:
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)
    if chance.random() < 0.3:
        time.sleep(chance.random() * 0.05)
        run.send_signal(number)  # once more, while it ends
    return {0, -number if how == "SIGKILL" else 128 + number, -number}


@pytest.mark.parametrize("how", SHARE)
def test_a_run_that_is_killed_leaves_nothing_and_the_next_one_is_the_same(how, data, whole, tmp_path):
    expected, seconds = whole
    for turn in range(SHARE[how] if WHOLE else SHARE[how] // 25 or 1):
        chance = random.Random(f"{how} {turn}")
        workers, out = 2 if how == "worker" or turn % 2 else 0, tmp_path / str(turn)
        run = start(data, out, workers)
        time.sleep(0.35 + chance.random() * seconds[workers])

        statuses = hit(run, how, chance) if run.poll() is None else {0}
        _, err = run.communicate(timeout=60)

        assert run.returncode in statuses, (turn, run.returncode, err)
        assert b"Traceback" not in err, (turn, err)
        until(lambda run=run: of_session(run.pid) == [], seconds=20)
        left = list(out.rglob(".*")) if out.exists() else []
        assert how == "SIGKILL" or left == [], (turn, left)
        again = start(data, out, 0)
        assert again.communicate(timeout=60)[1] == b""
        assert again.returncode == 0
        assert contents(out) == expected, turn


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_stays(tmp_path):
    import fcntl

    from classlens.files import remove_stale, write_whole

    remove_stale.cache_clear()
    stale, alive, foreign = (tmp_path / f".{digit * 16}.part" for digit in "abz")
    for path in (stale, alive, foreign):
        path.write_bytes(b"half")
    with alive.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write_whole(tmp_path / "new.jpg", b"whole")

        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([alive.name, foreign.name, "new.jpg"])


STUCK = """
import ctypes, time
import numpy as np
from PIL import Image

class Pictures:
    def __len__(self): return 9
    def __getitem__(self, index):
        if index: ctypes.CDLL(None).sleep(600)  # no signal is answered by Python in there
        return Image.fromarray(np.full((20, 30, 3), index, np.uint8)), 0

pictures = Pictures()
"""


@pytest.mark.parametrize("to", ["SIGTERM", "SIGKILL"])
def test_workers_that_are_stuck_in_a_decoder_end_with_the_run(to, tmp_path):
    (tmp_path / "stuck.py").write_text(STUCK)
    run = start(f"py:{tmp_path / 'stuck.py'}:pictures", tmp_path / "out", 1)
    until(lambda: list((tmp_path / "out").rglob("*.jpg")))

    run.send_signal(signal.Signals[to])

    run.communicate(timeout=30)
    until(lambda: of_session(run.pid) == [], seconds=20)


def test_a_second_signal_ends_a_run_that_waits(tmp_path):
    (tmp_path / "stuck.py").write_text(STUCK)
    run = start(f"py:{tmp_path / 'stuck.py'}:pictures", tmp_path / "out", 0)
    until(lambda: list((tmp_path / "out").rglob("*.jpg")))
    for pause in (1.5, 4, 0):
        run.send_signal(signal.SIGTERM)
        time.sleep(pause)

    run.communicate(timeout=30)
    until(lambda: of_session(run.pid) == [], seconds=20)
    assert list((tmp_path / "out").rglob(".*.part")) == []


@pytest.mark.parametrize("change", ["added", "removed"])
def test_a_file_that_comes_or_goes_while_workers_start_moves_no_numbers(change, tmp_path):
    from classlens.adapters import Options, open_source
    from classlens.dataset.class_folders import listed_before
    from classlens.runs.processes import DatasetSpec

    for name in "bcd":
        Pillow.new("RGB", (9, 9)).save(tmp_path / f"{name}.png")
    listed = {}
    with listed_before(listed):
        before = open_source(f"folder:{tmp_path}").dataset("train")
    paths = [before.sample(index).path for index in range(before.length)]
    if change == "added":
        Pillow.new("RGB", (9, 9)).save(tmp_path / "a.png")
    else:
        (tmp_path / "b.png").unlink()

    in_worker = DatasetSpec(f"folder:{tmp_path}", "train", Options(), listed).open()
    anew = open_source(f"folder:{tmp_path}").dataset("train")

    assert [in_worker.sample(index).path for index in range(in_worker.length)] == paths
    assert anew.length == (4 if change == "added" else 2)


def test_a_list_that_is_changed_while_workers_start_is_an_error(tmp_path):
    from classlens.adapters import Options
    from classlens.errors import DataError
    from classlens.runs.processes import DatasetSpec, stamp_of

    place = tmp_path / "list.txt"
    place.write_text("a.png 0\nb.png 1\n")
    spec = DatasetSpec(f"folder:{place}", "train", Options(), stamps={str(place): stamp_of(str(place))})
    assert spec.open().length == 2
    place.write_text("c.png 0\na.png 0\nb.png 1\n")

    with pytest.raises(DataError, match="changed while it was read"):
        spec.open()
