"""What a class activation map costs: ours, grad-cam, torch-cam and captum in one process, in units of a plain forward.

    .venv-peers/bin/python benchmarks/cam.py [--networks resnet50 ...] [--parts one six ...] [--rounds 5]

Parts: `one` method, `six` methods, `classes` (top 5), `smooth` (aug-smooth), `batch8` and `batch16`, `many` (32 pictures, ResNet-50 only),
`memory` (peak of a batch of 16, what is held afterwards; each contestant in a process of its own).

One thread. In every round the plain forward pass and each contestant run once, in turn, from pictures in uint8 to maps in
0..1; the figures are medians over rounds of ratios within a round, in CPU time of the process, so that a busy machine
disturbs all alike. Weights are random: costs do not depend on them. Contestants that are not installed are left out.
"""

import argparse
import gc
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

from classlens.cam.classifier import Classifier
from classlens.cam.explain import ExplainOptions, explain
from classlens.image import Encoding, Image

SIX = ("GradCAM", "GradCAM++", "XGradCAM", "EigenCAM", "EigenGradCAM", "LayerCAM")
TARGET = 7
LAYERS = {
    "resnet50": "layer4",
    "vit_base_patch16_224": "blocks.11.norm1",
    "swin_tiny_patch4_window7_224": "norm",
}
Run = Callable[[], object]
Contestants = dict[str, Run]


def network(name: str) -> Classifier:
    torch.manual_seed(0)
    model = timm.create_model(name, **({"zero_init_last": False} if name.startswith("resnet") else {})).eval()
    return Classifier(name, model, model, Encoding(layout="CHW", white=1.0), (224, 224))


def pictures(count: int) -> list[Image]:
    chance = np.random.default_rng(0)
    return [Image(chance.integers(0, 256, (224, 224, 3), dtype=np.uint8)) for _ in range(count)]


def encoded(classifier: Classifier, images: list[Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack([classifier.encoding.encode(image) for image in images]))


def plain(classifier: Classifier, count: int) -> Run:
    """The unit: forward passes of encoded pictures, in batches of 16 at most."""
    batch = encoded(classifier, pictures(count))

    def run():
        with torch.inference_mode():
            for part in batch.split(16):
                classifier.module(part)

    return run


def ours(classifier: Classifier, count: int, *, methods=("GradCAM",), targets=TARGET, options=None) -> Run:
    layer, images = LAYERS[classifier.name], pictures(count)

    def run():
        result = explain(classifier, images, methods=methods, layers=layer, targets=targets, options=options)
        return [saliency.heatmap() for saliency in result]

    return run


def grad_cam(classifier: Classifier, count: int, *, methods=("GradCAM",), classes=1, batch=None, **smooth) -> Run:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kinds = [getattr(pytorch_grad_cam, name.replace("++", "PlusPlus")) for name in methods]
    layer = classifier.module.get_submodule(LAYERS[classifier.name])
    images, shape = pictures(count), reshape(classifier.name)

    def run():
        for kind in kinds:
            with kind(classifier.module, [layer], reshape_transform=shape) as cam:
                for part in encoded(classifier, images).split(batch or count):
                    for target in range(TARGET, TARGET + classes):
                        cam(part, [ClassifierOutputTarget(target)] * len(part), **smooth)

    return run


def reshape(name: str) -> Callable[[torch.Tensor], torch.Tensor] | None:
    if name.startswith("vit"):
        return lambda tokens: tokens[:, 1:].mT.reshape(len(tokens), -1, 14, 14)
    return (lambda grid: grid.permute(0, 3, 1, 2)) if name.startswith("swin") else None


def torch_cam(classifier: Classifier, count: int, *, classes=1) -> Run:
    """It knows neither tokens nor channels last: what it makes of them is no map, but costs as much as one."""
    from torchcam.methods import GradCAM

    images = pictures(count)

    def run():
        with GradCAM(classifier.module, LAYERS[classifier.name], input_shape=(3, 224, 224)) as extractor:
            scores = classifier.module(encoded(classifier, images))
            for target in range(TARGET, TARGET + classes):
                extractor([target] * count, scores, retain_graph=target < TARGET + classes - 1)

    return run


def captum(classifier: Classifier, count: int, *, classes=1) -> Run:
    """As torch-cam; where it has a map, it is enlarged."""
    from captum.attr import LayerGradCam

    images = pictures(count)
    explainer = LayerGradCam(classifier.module, classifier.module.get_submodule(LAYERS[classifier.name]))

    def run():
        for target in range(TARGET, TARGET + classes):
            found = explainer.attribute(encoded(classifier, images), target=target)
            if classifier.name == "resnet50":
                LayerGradCam.interpolate(found, (224, 224))

    return run


def contestants(classifier: Classifier, part: str) -> tuple[int, Contestants]:
    """How many pictures one part is about, and who runs in it."""
    aug = ExplainOptions(aug_smooth=True)
    count = {"batch8": 8, "batch16": 16, "many": 32}.get(part, 1)
    mine = {
        "six": {"methods": SIX},
        "classes": {"targets": "top5"},
        "smooth": {"options": aug},
    }.get(part, {})
    makers: dict[str, Callable[[], Run]] = {"ours": lambda: ours(classifier, count, **mine)}
    if part == "one":
        makers["ours, EigenCAM"] = lambda: ours(classifier, 1, methods="EigenCAM", targets=None)
    theirs = {"six": {"methods": SIX}, "classes": {"classes": 5}, "smooth": {"aug_smooth": True}, "many": {"batch": 8}}
    makers["grad-cam"] = lambda: grad_cam(classifier, count, **theirs.get(part, {}))
    if part not in ("six", "smooth", "many"):
        classes = {"classes": 5} if part == "classes" else {}
        makers["torch-cam"] = lambda: torch_cam(classifier, count, **classes)
        makers["captum"] = lambda: captum(classifier, count, **classes)
    return count, built(makers)


def built(makers: dict[str, Callable[[], Run]]) -> Contestants:
    found: Contestants = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as missing:
            print(f"left out, not installed: {name} ({missing.name})", file=sys.stderr)
    return found


def ratios(unit: Run, runs: Contestants, rounds: int) -> dict[str, float]:
    """Medians over the rounds: what each costs in units of the plain pass, and in units of ours."""
    spent: dict[str, list[float]] = {name: [] for name in ("plain", *runs)}
    for number in range(rounds + 1):
        for name, run in {"plain": unit, **runs}.items():
            gc.collect()
            took = seconds(run)
            if number:  # the first round only warms up
                spent[name].append(took)
    found = {name: ratio(spent[name], spent["plain"]) for name in runs}
    against = {f"{name} / ours": ratio(spent[name], spent["ours"]) for name in runs if not name.startswith("ours")}
    return found | against


def ratio(some: list[float], others: list[float]) -> float:
    return round(statistics.median(one / other for one, other in zip(some, others, strict=True)), 3)


def seconds(run: Run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def memory(name: str) -> dict[str, float]:
    """Peak of resident memory that one batch of 16 adds, in MB, as a multiple of a plain pass, and what stays.

    Each contestant in a process of its own. Large blocks are handed back to the system as they are freed (a setting of
    glibc): otherwise what the allocator hoards, 0 to 120 MB from run to run, drowns what is measured.
    """
    frugal = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    found: dict[str, float] = {}
    for contestant in ("plain", "ours", "grad-cam", "torch-cam", "captum"):
        words = [sys.executable, __file__, "--peak", contestant, "--networks", name]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=frugal)
        peak, held = map(int, done.stdout.split()[-2:])
        found |= {f"{contestant}, peak in MB": peak, f"{contestant}, held afterwards in MB": held}
        found[f"{contestant}, peak / plain"] = round(peak / found["plain, peak in MB"], 2)
    return found


def peak(classifier: Classifier, contestant: str) -> None:
    makers = {"ours": ours, "grad-cam": grad_cam, "torch-cam": torch_cam, "captum": captum, "plain": plain}
    run = makers[contestant](classifier, 16)
    plain(classifier, 1)()
    if contestant == "ours":
        ours(classifier, 1)()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    before = resident("VmRSS")
    result = run()
    del result
    highest = resident("VmHWM")
    gc.collect()
    print(highest - before, resident("VmRSS") - before)


def resident(kind: str) -> int:
    """Resident memory of this process in MB: VmRSS now, VmHWM at its peak. Linux only."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[kind].split()[0]) // 1024


PARTS = ("one", "six", "classes", "smooth", "batch8", "batch16", "many", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if arguments.peak:
        peak(network(arguments.networks[0]), arguments.peak)
        return
    for name in arguments.networks:
        classifier = network(name)
        for part in arguments.parts:
            if part == "many" and name != "resnet50":
                continue
            if part == "memory":
                table = memory(name)
            else:
                count, runs = contestants(classifier, part)
                table = ratios(plain(classifier, count), runs, max(1, arguments.rounds // (1 if count < 16 else 2)))
            for label, value in table.items():
                print(f"{name:30} {part:8} {label:34} {value:8}", flush=True)


if __name__ == "__main__":
    main()
