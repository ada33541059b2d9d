"""`audit` beside a plain inference loop over the same files with the same batch size, on one machine and in a local Ray.

    .venv/bin/python benchmarks/audit.py                   # 1,024 photos, a few minutes
    .venv/bin/python benchmarks/audit.py --memory          # 10,000 and 200,000 tiny pictures: peak memory

The plain loop reads a batch, prepares it as the network's test pipeline says, and runs the network on all cores, with no
file written. Rates are those of the steady state, from the first round of shards to the last; what it takes to open the
network, in every process anew, is a column of its own, and so is the CPU time of a picture where all is done in one
process: it says the overhead even on a machine that others use. All runs are interleaved, and the best of `--rounds`
counts.
"""

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

TINY = '''
import numpy as np
import torch
from torch import nn

import classlens
from classlens.dataset.dataset import Dataset, Sample
from classlens.dataset.state import State, to_image

CLASSES = tuple(str(number) for number in range(10))


def load(index):
    return State(np.random.default_rng(index).integers(0, 256, (8, 8, 3), np.uint8))


def make():
    """Tiny pictures that are made when they are asked for, so that no list of files is held."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    ).eval()
    encoding = classlens.Encoding("RGB", "CHW", 1.0)
    pictures = Dataset(
        "tiny", {count}, load, (), to_image, sample=lambda index: Sample(None, (index % 10,)), classes=CLASSES
    )
    return {{"model": classlens.Classifier("tiny", net, net, encoding, (8, 8), default_layer="1"), "val": pictures}}
'''


def write_photos(folder, count):
    """Photos of usual size, cut from the shipped ones: 500 x 375 JPEG."""
    import numpy as np
    from PIL import Image

    from classlens.files import PHOTOS

    sources = [
        Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.*")) if path.suffix in (".png", ".jpg")
    ]
    random = np.random.default_rng(0)
    for number in range(count):
        photo = sources[number % len(sources)]
        side = random.uniform(0.5, 1)
        width, height = int(photo.width * side), int(photo.height * side)
        left, top = int(random.integers(photo.width - width + 1)), int(random.integers(photo.height - height + 1))
        place = folder / f"{number % 10}" / f"{number:05}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        photo.crop((left, top, left + width, top + height)).resize((500, 375)).save(place, quality=90)


def plain_loop(target, pictures, batch_size, *, threads=None):
    """Seconds to open, pictures a second after the first batch, nothing to sum up, milliseconds of CPU for a picture."""
    import torch

    import classlens
    from classlens.cam.classifier import encode_batch

    begun = time.monotonic()
    torch.set_num_threads(threads or torch.get_num_threads())
    classifier = classlens.open_source(target).classifier()
    dataset = classlens.open_source(pictures).dataset("val")
    order = {"memory_format": torch.channels_last}
    done = 0
    with torch.inference_mode():
        for start in range(0, dataset.length, batch_size):
            indices = range(start, min(start + batch_size, dataset.length))
            images = [classifier.prepare(classlens.read_image(dataset.sample(index).path)) for index in indices]
            classifier.logits(encode_batch(classifier, images).contiguous(**order)).argmax(dim=1).tolist()
            done += len(images)
            if start == 0:
                first, counted, cpu = time.monotonic(), done, time.process_time()
    ended, spent = time.monotonic(), time.process_time() - cpu
    return first - begun, (done - counted) / (ended - first), 0.0, 1000 * spent / (done - counted)


def audited(target, pictures, batch_size, *, methods=(), workers=2, ray=None):
    """As `plain_loop`, from when the first round of shards is there."""
    import classlens

    steps = []
    with tempfile.TemporaryDirectory() as out:
        wishes = classlens.AuditOptions(methods=list(methods), batch_size=batch_size)
        request = classlens.AuditRequest(target, out, data=pictures, wishes=wishes, workers=workers, ray=ray)
        begun = time.monotonic()
        classlens.run_audit(
            request, progress=lambda what, done, total: steps.append((time.monotonic(), done, time.process_time()))
        )
        ended = time.monotonic()
    first, last = steps[max(workers, 1) - 1], steps[-1]
    count, cpu = last[1] - first[1], last[2] - first[2] if workers == 0 else float("nan")
    return first[0] - begun, count / (last[0] - first[0]), ended - last[0], 1000 * cpu / count


RUNS = {
    "plain loop, all cores": plain_loop,
    "plain loop, 1 thread": lambda *given: plain_loop(*given, threads=1),
    "audit, in this process": lambda *given: audited(*given, workers=0),
    "the same, GradCAM": lambda *given: audited(*given, workers=0, methods=["GradCAM"]),
    "the same, 6 methods": lambda *given: audited(*given, workers=0, methods=SIX),
    "audit, 1 process": lambda *given: audited(*given, workers=1),
    "audit, 2 processes": lambda *given: audited(*given, workers=2),
    "audit, 2 processes, GradCAM": lambda *given: audited(*given, workers=2, methods=["GradCAM"]),
    "Ray, 1 worker": lambda *given: audited(*given, workers=1, ray="auto"),
    "Ray, 2 workers": lambda *given: audited(*given, workers=2, ray="auto"),
}
SIX = ["GradCAM", "GradCAM++", "XGradCAM", "EigenCAM", "EigenGradCAM", "LayerCAM"]


def compare(arguments):
    with tempfile.TemporaryDirectory() as scratch:
        write_photos(Path(scratch), arguments.number)
        best = {}
        for _, name in itertools.product(range(arguments.rounds), RUNS):
            words = [sys.executable, __file__, "--run", name, "--folder", scratch, "--target", arguments.target]
            words += ["--batch-size", str(arguments.batch_size)]
            answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
            figures = tuple(map(float, answer.split()))
            print(f"{name:<32}", *(f"{one:.2f}" for one in figures), file=sys.stderr, flush=True)
            if name not in best or figures[1] > best[name][1]:
                best[name] = figures
        plain = best["plain loop, all cores"][1]
        print(f"{arguments.target}, {arguments.number:,} photos of 500 x 375, batches of {arguments.batch_size}")
        print(f"{'':<32}{'pictures/s':>11}{'of plain':>10}{'first s':>9}{'sum up s':>10}{'CPU ms':>8}")
        for name, (start, rate, end, cpu) in best.items():
            print(f"{name:<32}{rate:>11.1f}{rate / plain:>10.0%}{start:>9.1f}{end:>10.1f}{cpu:>8.1f}")


def measure_memory(counts):
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch, "tiny.py")
            target.write_text(TINY.format(count=count))
            words = [sys.executable, __file__, "--audit-here", f"py:{target}:make", "--folder", f"{scratch}/out"]
            said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
            print(f"{count:>9,} pictures: {said}", flush=True)


def audit_here(target, folder):
    import classlens

    def note(what, done, total):
        tenth = done * 10 // total
        if tenth not in peaks or done == total:
            peaks[tenth] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{done:,} of {total:,}: {peaks[tenth]:.0f} MB", file=sys.stderr, flush=True)

    peaks, begun = {}, time.process_time()
    request = classlens.AuditRequest(target, folder, wishes=classlens.AuditOptions(batch_size=128), workers=0)
    classlens.run_audit(request, progress=note)
    spent, made = time.process_time() - begun, peaks[10]
    rows = sum(path.stat().st_size for path in Path(folder, "rows").iterdir())
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak {made:.0f} MB for the rows, {whole:.0f} MB in all, {rows / 1e6:.0f} MB of rows, {spent:.0f} s of CPU")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="demo")
    parser.add_argument("--number", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 200_000])
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--audit-here", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(*RUNS[arguments.run](arguments.target, f"folder:{arguments.folder}", arguments.batch_size))
    elif arguments.audit_here:
        audit_here(arguments.audit_here, arguments.folder)
    elif arguments.memory:
        measure_memory(arguments.counts)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
