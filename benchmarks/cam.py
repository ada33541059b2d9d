"""What a class activation map costs: ours, grad-cam, torch-cam and captum in one process, in units of a plain forward.

    .venv-peers/bin/python benchmarks/cam.py [--rounds 5] [--networks resnet50 vit_base_patch16_224]

One thread. Every round times each contestant once, in turn; the figure is the median over rounds of the ratio to that
round's plain forward pass, in CPU time of the process, so that a busy machine disturbs all alike. Weights are random:
costs do not depend on them. Contestants that are not installed are left out.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import timm
import torch

from classlens.cam.answer import Manner
from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.image import Encoding, Image

SIX = ("GradCAM", "GradCAM++", "XGradCAM", "EigenCAM", "EigenGradCAM", "LayerCAM")
LAYERS = {
    "resnet50": "layer4",
    "vit_base_patch16_224": "blocks.11.norm1",
    "swin_tiny_patch4_window7_224": "norm",
}
Contestants = dict[str, Callable[[], object]]


def network(name: str) -> Classifier:
    torch.manual_seed(0)
    model = timm.create_model(name, **({"zero_init_last": False} if name.startswith("resnet") else {})).eval()
    return Classifier(name, model, model, Encoding(layout="CHW", white=1.0), (224, 224))


def pictures(count: int) -> list[Image]:
    chance = np.random.default_rng(0)
    return [Image(chance.integers(0, 256, (224, 224, 3), dtype=np.uint8)) for _ in range(count)]


def encoded(classifier: Classifier, count: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([classifier.encoding.encode(picture) for picture in pictures(count)]))


def ours(classifier: Classifier, count: int, *, methods=("GradCAM",), targets=7, manner=None) -> Callable[[], object]:
    layer, images = LAYERS[classifier.name], pictures(count)

    def run():
        result = explain(classifier, images, methods=methods, layers=layer, targets=targets, manner=manner)
        return [saliency.heatmap() for saliency in result]

    return run


def grad_cam(classifier: Classifier, count: int, *, methods=("GradCAM",), batch=None, **smooth) -> Callable[[], object]:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kinds = [getattr(pytorch_grad_cam, name.replace("++", "PlusPlus")) for name in methods]
    layer = classifier.module.get_submodule(LAYERS[classifier.name])
    images, shape = encoded(classifier, count), reshape(classifier.name)
    size = batch or count

    def run():
        for kind in kinds:
            with kind(classifier.module, [layer], reshape_transform=shape) as cam:
                for part in images.split(size):
                    cam(part, [ClassifierOutputTarget(7)] * len(part), **smooth)

    return run


def reshape(name: str) -> Callable[[torch.Tensor], torch.Tensor] | None:
    if name.startswith("vit"):
        return lambda tokens: tokens[:, 1:].mT.reshape(len(tokens), -1, 14, 14)
    return (lambda grid: grid.permute(0, 3, 1, 2)) if name.startswith("swin") else None


def torch_cam(classifier: Classifier, count: int) -> Callable[[], object]:
    from torchcam.methods import GradCAM

    images = encoded(classifier, count)

    def run():
        with GradCAM(classifier.module, LAYERS[classifier.name], input_shape=(3, 224, 224)) as extractor:
            extractor(7, classifier.module(images))

    return run


def captum(classifier: Classifier, count: int) -> Callable[[], object]:
    from captum.attr import LayerGradCam

    images = encoded(classifier, count)
    explainer = LayerGradCam(classifier.module, classifier.module.get_submodule(LAYERS[classifier.name]))
    if classifier.name != "resnet50":  # it knows no tokens: what it would do with them is no map, but costs the same
        return lambda: explainer.attribute(images, target=7)
    return lambda: LayerGradCam.interpolate(explainer.attribute(images, target=7), (224, 224))


def contestants(classifier: Classifier) -> Contestants:
    aug = Manner(aug_smooth=True)
    found: Contestants = {
        "ours, GradCAM": ours(classifier, 1),
        "ours, six methods": ours(classifier, 1, methods=SIX),
        "ours, EigenCAM alone": ours(classifier, 1, methods="EigenCAM", targets=None),
        "ours, top-5 classes": ours(classifier, 1, targets="top5"),
        "ours, aug-smooth": ours(classifier, 1, manner=aug),
    }
    peers = {
        "grad-cam, GradCAM": lambda: grad_cam(classifier, 1),
        "grad-cam, six methods": lambda: grad_cam(classifier, 1, methods=SIX),
        "grad-cam, aug-smooth": lambda: grad_cam(classifier, 1, aug_smooth=True),
        "torch-cam, GradCAM": lambda: torch_cam(classifier, 1),
        "captum, GradCAM": lambda: captum(classifier, 1),
    }
    if classifier.name != "resnet50":
        peers = {name: make for name, make in peers.items() if not name.startswith("torch-cam")}
    return found | built(peers)


def many(classifier: Classifier) -> Contestants:
    """32 pictures; the unit stays the forward pass of one."""
    return {"ours, 32 pictures": ours(classifier, 32)} | built(
        {"grad-cam, 32 pictures, batches of 8": lambda: grad_cam(classifier, 32, batch=8)}
    )


def built(makers: dict[str, Callable[[], Callable[[], object]]]) -> Contestants:
    found: Contestants = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as missing:
            print(f"left out, not installed: {name} ({missing.name})", file=sys.stderr)
    return found


def ratios(classifier: Classifier, runs: Contestants, rounds: int) -> dict[str, float]:
    batch = encoded(classifier, 1)

    def plain():
        with torch.inference_mode():
            classifier.module(batch)

    measured: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        unit = min(seconds(plain) for _ in range(3))
        for name, run in runs.items():
            gc.collect()
            spent = seconds(run)
            if number:
                measured[name].append(spent / unit)
    return {name: statistics.median(values) for name, values in measured.items()}


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def memory(name: str, contestant: str) -> int:
    """Peak of resident memory that one batch of 16 adds, in MB; each contestant in a process of its own.

    Large blocks are handed back to the system as they are freed (a setting of glibc): otherwise what the allocator
    hoards, 0 to 120 MB from run to run, drowns what is measured.
    """
    words = [sys.executable, __file__, "--peak", contestant, "--networks", name]
    frugal = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=frugal)
    return int(done.stdout.split()[-1])


def peak(classifier: Classifier, contestant: str) -> None:
    batch = encoded(classifier, 16)

    def plain():
        with torch.inference_mode():
            classifier.module(batch)

    makers = {
        "plain": lambda: plain,
        "ours": lambda: ours(classifier, 16),
        "grad-cam": lambda: grad_cam(classifier, 16),
        "captum": lambda: captum(classifier, 16),
    }
    run = makers[contestant]()
    with torch.inference_mode():
        classifier.module(batch[:1])
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    before = resident("VmRSS")
    run()
    print(resident("VmHWM") - before)


def resident(kind: str) -> int:
    """Resident memory of this process in MB: VmRSS now, VmHWM at its peak. Linux only."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[kind].split()[0]) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    parser.add_argument("--skip-many", action="store_true", help="leave out the 32 pictures")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if arguments.peak:
        peak(network(arguments.networks[0]), arguments.peak)
        return
    report = {}
    for name in arguments.networks:
        classifier = network(name)
        table = ratios(classifier, contestants(classifier), arguments.rounds)
        if name == "resnet50" and not arguments.skip_many:
            table |= ratios(classifier, many(classifier), max(1, arguments.rounds // 3))
        report[name] = {label: round(value, 2) for label, value in table.items()}
        for contestant in ("plain", "ours", "grad-cam"):
            report[name][f"{contestant}, MB added by a batch of 16"] = memory(name, contestant)
        for label, value in report[name].items():
            print(f"{name:30} {label:40} {value:8}", flush=True)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
