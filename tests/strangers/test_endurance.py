"""Long use: no warning of any kind, nothing that grows, and threads that do different things at once."""

import gc
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import classlens
from classlens.files import CONFIGS, PHOTOS
from tests.cam.conftest import classifier_of, noise_image

EXPLAINS = 2000 if os.environ.get("CLASSLENS_LONG") else 200
RESNET = str(CONFIGS / "resnet" / "resnet50_8xb32_in1k.py")
COMMANDS = [
    ["sources"],
    ["completion", "bash"],
    ["config", RESNET, "--diff", str(CONFIGS / "resnet" / "resnet50_b16x8_cifar100.py")],
    ["lr", RESNET, "-d", "999", "-s", "lr.png", "--html", "lr.html", "--csv", "lr.csv"],
    ["browse", "demo", "-n", "2", "--mode", "pipeline", "-o", "browse", "--html", "browse.html"],
    ["browse", f"folder:{PHOTOS}", "--stats", "--workers", "2"],
    ["cam", str(PHOTOS / "chelsea.png"), "demo", "-s", "cam.png", "--html", "cam.html", "--npz", "cam.npz"],
    ["check", "demo", "--select", "D,S", "--html", "check.html"],
    ["audit", "demo", "-n", "2", "-o", "audit", "--workers", "1"],
    ["verify", "audit"],
    ["compare", "audit", "audit", "--html", "compare.html"],
    ["report", "demo", "--pictures", "2", "--maps", "1", "--samples", "3", "-o", "report.html"],
    ["browse", "folder:nowhere"],
    ["cam", str(PHOTOS / "chelsea.png"), "demo", "--target-layers", "nowhere"],
]
RUN_ALL = """
import gc, json, sys
from classlens.cli.main import main
for words, status in json.load(sys.stdin):
    assert main(words) == status, words
    gc.collect()
"""


def test_no_command_warns_in_development_mode(tmp_path):
    """`-X dev` also tells of files that nobody closed; with `-W error` every warning is an exception."""
    wanted = [(words, 2 if "nowhere" in words[-1] else 0) for words in COMMANDS]
    line = [sys.executable, "-X", "dev", "-W", "error", "-c", RUN_ALL]
    paths = os.pathsep.join([str(Path(classlens.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])

    done = subprocess.run(
        line, input=json.dumps(wanted), capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "ignored" not in done.stderr


@pytest.fixture
def tiny():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    return classifier_of(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    )


def resident():
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says how much memory is in use")
def test_explaining_again_and_again_keeps_nothing(tiny):
    """The whole count, which `make test-long` runs, is 2,000."""

    def explain(count):
        for number in range(count):
            result = classlens.explain(
                tiny, noise_image(8, 8, seed=number), methods=["GradCAM", "LayerCAM", "EigenCAM"], layers="1", targets=number % 3
            )  # fmt: skip
            [one.heatmap() for one in result]
        del result
        gc.collect()
        return len(gc.get_objects()), resident()

    explain(60)
    objects, memory = explain(20)
    objects_after, memory_after = explain(EXPLAINS)

    assert objects_after - objects < 40  # a single object kept by each would be 200
    assert memory_after - memory < 8e6


def test_threads_that_explain_browse_and_plot_at_once_get_what_each_gets_alone(tiny):
    dataset = classlens.open_source("demo").dataset("train")
    source = classlens.open_source("schedule:torch.CosineAnnealingLR(T_max=10, epochs=10, steps_per_epoch=5)")
    schedule, clock = source.schedule(), source.clock()

    def work(turn):
        if turn % 3 == 0:
            picture = noise_image(8, 8, seed=turn)
            return [one.values.tobytes() for one in classlens.explain(tiny, picture, layers="1", targets=turn % 2)]
        if turn % 3 == 1:
            trace = classlens.trace(dataset, turn % 5, seed=turn)
            return [snapshot.image.pixels.tobytes() for snapshot in trace.snapshots]
        return classlens.replay(schedule, clock)[0].values.tobytes()

    alone = [work(turn) for turn in range(24)]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(work, range(24)))

    assert together == alone
    assert len({str(one) for one in alone}) > 10  # they are not all the same
