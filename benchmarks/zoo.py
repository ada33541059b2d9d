"""One class activation map on ResNet-50, from the start of the process to the file: ours, upstream's, and the floor.

    .venv-peers/bin/python benchmarks/zoo.py

The floor is what nobody can save: import torch, build the network, load its weights, one forward pass. mmpretrain 1.2's
vis_cam.py no longer starts (pkg_resources, grad-cam's use_cuda), so three of its lines are patched in a copy.
Both tools run the documented command and find the layer to look at themselves. Reported are medians of interleaved
repetitions with one thread, as CPU time and as time on the clock; a first round, which is not counted, lets Python
write the bytecode that an installed program has.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import mmpretrain

from classlens.adapters.openmm.classifiers import build_module
from classlens.adapters.openmm.setup import read_setup
from classlens.config import read_config

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "resnet" / "resnet50_8xb32_in1k.py"
PHOTO = ROOT / "demo" / "photos" / "chelsea.png"
TOOL = Path(mmpretrain.__file__).parent / ".mim" / "tools" / "visualization" / "vis_cam.py"
PATCHES = {
    "import pkg_resources\n": "from importlib.metadata import version as installed_version\n",
    "pkg_resources.get_distribution('grad_cam').version": "installed_version('grad-cam')",
    ", use_cuda=use_cuda)": ")",
}
FLOOR = """
import sys, torch
from pathlib import Path
from classlens.adapters.openmm.classifiers import load_weights
from classlens.zoo.build import build_network
model = {"type": "ImageClassifier", "backbone": {"type": "ResNet", "depth": 50}, "neck": {"type": "GlobalAveragePooling"},
         "head": {"type": "LinearClsHead", "num_classes": 1000, "in_channels": 2048}}
with torch.device("meta"):
    network = build_network(model)
load_weights(network, torch.load(sys.argv[1], weights_only=True)["state_dict"], where="")
with torch.no_grad():
    network.eval()(torch.zeros(1, 3, 224, 224))
"""


def main() -> int:
    """Print the seconds of each contestant and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as folder:
        contestants = commands(Path(folder))
        rounds = [
            {name: seconds(command, Path(folder)) for name, command in contestants.items()} for _ in range(repeat + 1)
        ][1:]
    for place, kind in enumerate(("CPU time", "time on the clock")):
        times = {name: median(one[name][place] for one in rounds) for name in contestants}
        print(f"{kind}, medians of {repeat}: " + ", ".join(f"{name} {value:.2f} s" for name, value in times.items()))
        print(f"  upstream / ours: {times['upstream'] / times['ours']:.2f}")
        print(f"  ours / floor:    {times['ours'] / times['floor']:.2f}")
    return 0


def commands(folder: Path) -> dict[str, list[str]]:
    """What is run, on one checkpoint of random weights."""
    import torch

    weights, floor, tool = folder / "resnet50.pth", folder / "floor.py", folder / "vis_cam.py"
    network = build_module(read_setup(read_config(CONFIG), CONFIG))
    torch.save({"state_dict": network.state_dict(), "meta": {}}, weights)
    text = TOOL.read_text(encoding="utf-8")
    for line, patched in PATCHES.items():
        text = text.replace(line, patched)
    tool.write_text(text, encoding="utf-8")
    floor.write_text(FLOOR, encoding="utf-8")
    words = [str(PHOTO), str(CONFIG), str(weights), "--save-path"]
    return {
        "ours": [
            sys.executable,
            str(ROOT / "tools" / "visualizations" / "vis_cam.py"),
            *words,
            str(folder / "ours.png"),
        ],
        "upstream": [sys.executable, str(tool), *words, str(folder / "upstream.png")],
        "floor": [sys.executable, str(floor), str(weights)],
    }


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """CPU seconds (user and system) and seconds on the clock of one process with one thread."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took


if __name__ == "__main__":
    sys.exit(main())
