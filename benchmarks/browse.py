"""Our browser and mmpretrain's own browse_dataset.py on the same pictures and pipelines, in one run.

    .venv-peers/bin/python benchmarks/browse.py

Reported are ratios of CPU time per picture (median of interleaved repetitions, one thread, pictures written to fresh
folders). `matched` draws our tiles as large as the peer blows up its own. With `--end-to-end 600`, whole processes
that browse so many pictures are timed instead: the peer takes minutes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from browse_peer import peer_tool
from mmpretrain.registry import DATASETS
from mmpretrain.visualization import UniversalVisualizer

from classlens.adapters.openmm.samples import open_split
from classlens.adapters.openmm.setup import Split
from classlens.cli.browse_job import Look, make
from classlens.dataset.trace import follow

PHOTOS = Path(__file__).parents[1] / "demo" / "photos"
PEER = Path(__file__).with_name("browse_peer.py")
MODES = ("original", "transformed", "concat", "pipeline")
LOAD, PACK = {"type": "LoadImageFromFile"}, {"type": "PackInputs"}
FLIP = {"type": "RandomFlip", "prob": 0.5, "direction": "horizontal"}
PIPELINES = {
    "resnet50": [LOAD, {"type": "RandomResizedCrop", "scale": 224}, FLIP, PACK],
    "swin": [
        LOAD,
        {"type": "RandomResizedCrop", "scale": 224, "backend": "pillow", "interpolation": "bicubic"},
        FLIP,
        {
            "type": "RandAugment",
            "policies": "timm_increasing",
            "num_policies": 2,
            "total_level": 10,
            "magnitude_level": 9,
            "magnitude_std": 0.5,
            "hparams": {"pad_val": [104, 116, 124], "interpolation": "bicubic"},
        },
        {
            "type": "RandomErasing",
            "erase_prob": 0.25,
            "mode": "rand",
            "min_area_ratio": 0.02,
            "max_area_ratio": 1 / 3,
            "fill_color": [103.53, 116.28, 123.675],
            "fill_std": [57.375, 57.12, 58.395],
        },
        PACK,
    ],
}


def photos_of(root, number):
    """Noisy 500 x 375 crops of the photos: the size and weight of ImageNet's files."""
    sources = [cv2.imread(str(path)) for path in sorted(PHOTOS.glob("*.*g"))]
    random = np.random.default_rng(0)
    for index in range(number):
        picture = sources[index % len(sources)]
        height, width = (int(side * random.uniform(0.6, 0.95)) for side in picture.shape[:2])
        y, x = (
            int(random.integers(0, side - cut + 1))
            for side, cut in zip(picture.shape[:2], (height, width), strict=True)
        )
        picture = cv2.resize(picture[y : y + height, x : x + width], (500, 375), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
        folder = root / f"class{index % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index:04d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])


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

    def draw(self, mode, index, folder):
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


def compare(name, root, tool, repetitions):
    """All modes of one pipeline, ours and the peer's in turn."""
    pipeline = PIPELINES[name]
    ours = open_split(
        Split({"type": "CustomDataset", "data_root": str(root), "pipeline": pipeline}), name="train", classes=None
    )
    peer = Peer(tool, root, pipeline)

    def our_transforms(index, folder):
        for _ in follow(ours, ours.load(index), index, 0):
            pass

    cases = {"transforms": (our_transforms, peer.transforms)}
    for mode in MODES:
        cases[mode] = (
            lambda index, folder, mode=mode: make(ours, index, 0, Look(mode, folder=folder)),
            lambda index, folder, mode=mode: peer.draw(mode, index, folder),
        )
    cases["pipeline, matched"] = (
        lambda index, folder: make(ours, index, 0, Look("pipeline", rescale=450 / 224, folder=folder)),
        cases["pipeline"][1],
    )
    scratch = tempfile.mkdtemp(dir=root.parent)
    results = {}
    for case, (our_work, peer_work) in cases.items():
        few = range(40) if case == "transforms" else range(6)
        our_work(0, scratch), peer_work(0, scratch)
        speeds = [(cpu(our_work, range(100), scratch), cpu(peer_work, few, scratch)) for _ in range(repetitions)]
        results[case] = {
            "ours": median(one for one, _ in speeds),
            "peer": median(other for _, other in speeds),
            "ratio": median(one / other for one, other in speeds),
        }
        row = results[case]
        print(f"{name:<9} {case:<18} {row['ours']:8.1f}/s {row['peer']:8.1f}/s   {row['ratio']:6.1f} x", flush=True)
    share = results["transformed"]["ours"] / results["transforms"]["ours"]
    print(f"{name:<9} transformed mode runs at {share:.0%} of our transforms alone")
    return results


def process_seconds(config, number, repetitions, *, mode="original"):
    """Wall-clock and CPU time of whole processes that write `number` pictures, ours and the peer's in turn.

    Both run once before, so that both find their byte code as after an installation. CPU time includes our workers.
    """
    seconds, work = {"ours": [], "peer": []}, {"ours": [], "peer": []}
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    settings["PYTHONPYCACHEPREFIX"] = str(config.parent / "bytecode")
    for repetition in range(repetitions + 1):
        for who in seconds:
            folder = tempfile.mkdtemp(dir=config.parent)
            count = str(number if repetition else 1)
            words = [str(config), "--output-dir", folder, "--mode", mode, "--not-show", "-n", count]
            command = ["-m", "classlens.cli.main", "browse"] if who == "ours" else [str(PEER)]
            start, before = time.perf_counter(), os.times()
            subprocess.run([sys.executable, *command, *words], check=True, capture_output=True, env=settings)
            if repetition:
                after = os.times()
                seconds[who].append(time.perf_counter() - start)
                work[who].append(sum(after[2:4]) - sum(before[2:4]))
    row = {"ours": median(seconds["ours"]), "peer": median(seconds["peer"])}
    row |= {"ours, cpu": median(work["ours"]), "peer, cpu": median(work["peer"])}
    row |= {"ratio": row["peer"] / row["ours"], "ratio, cpu": row["peer, cpu"] / row["ours, cpu"]}
    for name, clock in (("", "wall"), (", cpu", "cpu")):
        ours, peer, ratio = row[f"ours{name}"], row[f"peer{name}"], row[f"ratio{name}"]
        print(f"process   {number:4d} {mode:<11} {clock:<4} {ours:8.2f} s {peer:8.2f} s   {ratio:6.1f} x", flush=True)
    return row


def write_config(root):
    """A config of the ResNet-50 pipeline for the pictures in `root`/data."""
    config = root / "config.py"
    config.write_text(
        f"pipeline = {PIPELINES['resnet50']!r}\n"
        f"train_dataloader = dict(batch_size=1, dataset=dict(type='CustomDataset', data_root={str(root / 'data')!r}, "
        "pipeline=pipeline))\nvisualizer = dict(type='UniversalVisualizer', vis_backends=None)\n"
    )
    return config


def in_process(root, repetitions):
    """Both pipelines in one process, and processes that write one picture and all of them."""
    photos_of(root / "data", 120)
    tool = peer_tool()
    results = {name: compare(name, root / "data", tool, repetitions) for name in PIPELINES}
    for number in (1, 120):
        results[f"process, {number}"] = process_seconds(write_config(root), number, max(1, repetitions // 2))
    return results


def end_to_end(root, number, repetitions):
    """Processes that browse many pictures, in the peer's fastest mode and in both tools' default mode."""
    photos_of(root / "data", number)
    config = write_config(root)
    return {
        f"process, {number}, {mode}": process_seconds(config, number, repetitions, mode=mode)
        for mode in ("original", "transformed")
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--end-to-end", type=int, metavar="N", help="whole processes on N pictures instead")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp())
    try:
        if arguments.end_to_end:
            results = end_to_end(root, arguments.end_to_end, arguments.repetitions)
        else:
            results = in_process(root, arguments.repetitions)
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1))
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
