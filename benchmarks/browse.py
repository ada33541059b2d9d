"""Our browser and mmpretrain's own browse_dataset.py on the same pictures and pipelines, in one run.

    .venv-peers/bin/python benchmarks/browse.py                      # in one process, one core: ratios of CPU time
    .venv-peers/bin/python benchmarks/browse.py --end-to-end 600     # whole processes, from start to end, all modes

In process, pictures are written to fresh folders and the median of interleaved repetitions counts; `matched` draws our
tiles as large as the peer blows up its own, and `transforms` draws nothing. End to end, the peer browses all pictures in
its fastest mode, and in the others, which take minutes, a quarter: the time of all follows from that and that of one.
Wall-clock ratios need an idle machine with two cores.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from browse_peer import peer_tool
from browse_pictures import PIPELINES, photos_of, write_config
from mmpretrain.registry import DATASETS
from mmpretrain.visualization import UniversalVisualizer

from classlens.adapters.openmm.datasets import open_split
from classlens.adapters.openmm.setup import Split
from classlens.dataset.rng import generator
from classlens.runs.browse_samples import BrowseRequest, render_sample
from classlens.runs.own_process import keep_freed_memory
from classlens.runs.processes import run_job

PEER = Path(__file__).with_name("browse_peer.py")
MODES = ("original", "transformed", "concat", "pipeline")


class Peer:
    """The body of the loop of mmpretrain's tool, one picture at a time."""

    def __init__(self, tool, root, pipeline):
        self.tool = tool
        self.dataset = DATASETS.build(
            {"type": "CustomDataset", "data_root": str(root), "pipeline": [dict(one) for one in pipeline]}
        )
        size = {"figsize": (16, 10)}
        self.visualizer = UniversalVisualizer(vis_backends=None, fig_show_cfg=size, fig_save_cfg=size)
        self.visualizer.dataset_meta = self.dataset.metainfo
        self.shots = []
        self.dataset.pipeline = tool.InspectCompose(self.dataset.pipeline.transforms, self.shots, self.visualizer)

    def transforms(self, index, folder):
        self.dataset[index]
        self.shots.clear()

    def sample_params(self, mode, index, folder):
        item = self.dataset[index]
        grid, shots = self.tool.make_grid, self.shots
        if mode == "original":
            image = shots[0]["img"]
        elif mode == "transformed":
            image = grid([shots[-1]["img"]], ["transformed"])
        elif mode == "concat":
            image = grid([shots[0]["img"], shots[-1]["img"]], ["original", "transformed"])
        else:
            image = grid([shot["img"] for shot in shots], [shot["name"] for shot in shots])
        shots.clear()
        self.visualizer.visualize_cls(
            image[..., ::-1],
            item["data_samples"].numpy(),
            show=False,
            name=str(index),
            out_file=f"{folder}/{index}.jpg",
        )


def cpu(work, indices, scratch):
    """Pictures per second of CPU time.

    The folder stays until the end: some file systems are slow to hand out what was deleted seconds ago.
    """
    folder = tempfile.mkdtemp(dir=scratch)
    start = time.process_time()
    for index in indices:
        work(index, folder)
    return len(indices) / (time.process_time() - start)


def run_stages(dataset, index):
    """The transforms of one sample, and nothing drawn."""
    state = dataset.load(index)
    for position, stage in enumerate(dataset.pipeline(index)):
        state = stage.apply(state, generator(0, index, position)).state


def make(dataset, index, request):
    """One picture, from its file to its file, in one thread."""
    render_sample(dataset, index, 0, None, request=request, replaces=False)()


def shares(dataset, root, repetitions):
    """How much of the throughput of the transforms alone `transformed` mode reaches: on one core, and as a run does.

    A run encodes and writes in a second thread, so that on two free cores only drawing is added.
    """
    indices = range(100)
    draws = [(index, 0) for index in indices]
    found = {"one core, cpu": [], "as a run, wall": []}
    for _ in range(repetitions):
        request = BrowseRequest(output_dir=tempfile.mkdtemp(dir=root))
        start, before = time.perf_counter(), time.process_time()
        for index in indices:
            run_stages(dataset, index)
        alone, alone_cpu = time.perf_counter() - start, time.process_time() - before
        before = time.process_time()
        for index in indices:
            make(dataset, index, request)
        found["one core, cpu"].append(alone_cpu / (time.process_time() - before))
        job = partial(render_sample, request=replace(request, output_dir=tempfile.mkdtemp(dir=root)), replaces=False)
        start = time.perf_counter()
        for _row in run_job(job, dataset, None, draws, total=len(draws), workers=0):
            pass
        found["as a run, wall"].append(alone / (time.perf_counter() - start))
    return {way: median(values) for way, values in found.items()}


def compare(name, root, tool, repetitions):
    """All modes of one pipeline, ours and the peer's in turn."""
    pipeline = PIPELINES[name]
    ours = open_split(
        Split({"type": "CustomDataset", "data_root": str(root), "pipeline": pipeline}), name="train", classes=None
    )
    peer = Peer(tool, root, pipeline)

    def our_transforms(index, folder):
        run_stages(ours, index)

    cases = {"transforms": (our_transforms, peer.transforms)}
    for mode in MODES:
        cases[mode] = (
            lambda index, folder, mode=mode: make(ours, index, BrowseRequest(mode=mode, output_dir=folder)),
            lambda index, folder, mode=mode: peer.sample_params(mode, index, folder),
        )
    cases["pipeline, matched"] = (
        lambda index, folder: make(ours, index, BrowseRequest(mode="pipeline", rescale=450 / 224, output_dir=folder)),
        cases["pipeline"][1],
    )
    scratch = tempfile.mkdtemp(dir=root.parent)
    found = {}
    for case, (our_work, peer_work) in cases.items():
        few = range(40) if case == "transforms" else range(6)
        warm = tempfile.mkdtemp(dir=scratch)
        our_work(0, warm), peer_work(0, warm)
        speeds = [(cpu(our_work, range(100), scratch), cpu(peer_work, few, scratch)) for _ in range(repetitions)]
        found[case] = {
            "ours": median(one for one, _ in speeds),
            "peer": median(other for _, other in speeds),
            "ratio": median(one / other for one, other in speeds),
        }
        row = found[case]
        print(f"{name:<9} {case:<18} {row['ours']:8.1f}/s {row['peer']:8.1f}/s   {row['ratio']:6.1f} x", flush=True)
    found["shares"] = shares(ours, root.parent, 3 * repetitions)
    told = ", ".join(f"{share:.0%} {way}" for way, share in found["shares"].items())
    print(f"{name:<9} transformed mode runs at so much of our transforms alone: {told}", flush=True)
    return found


def process_seconds(who, config, number, *, mode="original"):
    """Wall-clock and CPU seconds of one process that writes `number` pictures, its workers' time included."""
    folder = tempfile.mkdtemp(dir=config.parent)
    words = [str(config), "--output-dir", folder, "--mode", mode, "--not-show", "-n", str(number)]
    command = ["-m", "classlens", "browse"] if who == "ours" else [str(PEER)]
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    settings["PYTHONPYCACHEPREFIX"] = str(config.parent / "bytecode")
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *command, *words], check=True, capture_output=True, env=settings)
    seconds, after = time.perf_counter() - start, os.times()
    assert who == "peer" or len(list(Path(folder).rglob("*.jpg"))) == number
    return np.array([seconds, sum(after[2:4]) - sum(before[2:4])])


def whole_runs(config, number, repetitions, *, mode="original", of_peer=None):
    """Processes that write `number` pictures, ours and the peer's in turn; the peer's from `of_peer` pictures.

    Both run once before, so that both find their byte code as after an installation.
    """
    of_peer = of_peer or number
    ours, peer = [], []
    for repetition in range(repetitions + 1):
        mine = process_seconds("ours", config, number if repetition else 1, mode=mode)
        first = process_seconds("peer", config, 1, mode=mode)
        theirs = process_seconds("peer", config, of_peer, mode=mode) if repetition and of_peer > 1 else first
        if repetition:
            ours.append(mine)
            peer.append(first + (theirs - first) * (number - 1) / max(of_peer - 1, 1))
    row = {}
    for clock, mine, theirs in zip(("wall", "cpu"), np.median(ours, axis=0), np.median(peer, axis=0), strict=True):
        row[clock] = {"ours": float(mine), "peer": float(theirs), "ratio": float(theirs / mine)}
        print(
            f"process   {number:4d} {mode:<11} {clock:<4} {mine:8.2f} s {theirs:8.2f} s   {theirs / mine:6.1f} x",
            flush=True,
        )
    return row


def in_process(root, repetitions):
    """Both pipelines in one process, and the time from the start of a process to its first picture."""
    photos_of(root / "data", 120)
    tool = peer_tool()
    found = {name: compare(name, root / "data", tool, repetitions) for name in PIPELINES}
    found["first picture"] = whole_runs(write_config(root), 1, repetitions)
    return found


def end_to_end(root, number, repetitions):
    """Processes that browse many pictures, in every mode."""
    photos_of(root / "data", number)
    config = write_config(root)
    quarter = max(number // 4, 2)
    return {
        mode: whole_runs(config, number, repetitions, mode=mode, of_peer=number if mode == "original" else quarter)
        for mode in MODES
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--end-to-end", type=int, metavar="N", help="whole processes on N pictures instead")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    keep_freed_memory()
    root = Path(tempfile.mkdtemp())
    try:
        if arguments.end_to_end:
            found = end_to_end(root, arguments.end_to_end, arguments.repetitions)
        else:
            found = in_process(root, arguments.repetitions)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1))
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
