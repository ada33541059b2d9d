"""What the methods cost that run the network again and again: ours beside grad-cam, torch-cam and captum.

    .venv-peers/bin/python benchmarks/masking.py [--rounds 2] [--networks resnet18 mobilenetv3_large_100]

One thread, one picture, batches of 16 for all. Every round times each contestant once, in turn, in CPU time of the
process; the figure is the median over rounds of a peer's time divided by ours. Weights are random, and BatchNorm has
seen noise: costs depend on them only where channels are dead.
"""

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr

import numpy as np
import timm
import torch

from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.image import Encoding, Image

LAYERS = {"resnet18": "layer4", "mobilenetv3_large_100": "blocks.6.0.bn1"}
AT_ONCE, TARGET = 16, 7
Contestants = dict[str, Callable[[], object]]


def network(name: str) -> Classifier:
    torch.manual_seed(0)
    model = timm.create_model(name)
    with torch.no_grad():
        model.train()(torch.randn(8, 3, 224, 224))
    return Classifier(name, model.eval(), model, Encoding(layout="CHW", white=1.0), (224, 224))


def contestants(classifier: Classifier) -> dict[str, Contestants]:
    """For every method ours first, then every peer that has it."""
    import captum.attr
    import pytorch_grad_cam
    import torchcam.methods
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, layer = classifier.module, LAYERS[classifier.name]
    picture = Image(np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8))
    batch = torch.from_numpy(classifier.encoding.encode(picture))[None]

    def ours(method: str) -> Callable[[], object]:
        return lambda: explain(classifier, picture, methods=method, layers=layer, targets=TARGET)

    def grad_cam(method: str) -> Callable[[], object]:
        cam = getattr(pytorch_grad_cam, method)(model, [model.get_submodule(layer)])
        cam.batch_size = AT_ONCE
        return lambda: cam(batch, [ClassifierOutputTarget(TARGET)])

    def torch_cam() -> object:
        with torchcam.methods.ScoreCAM(model, layer, batch_size=AT_ONCE, input_shape=(3, 224, 224)) as extractor:
            with torch.no_grad():
                model(batch)
            return extractor(TARGET)

    def occlusion() -> object:
        return captum.attr.Occlusion(model).attribute(
            batch, (3, 28, 28), (3, 14, 14), target=TARGET, perturbations_per_eval=AT_ONCE
        )

    def integrated() -> object:
        return captum.attr.IntegratedGradients(model).attribute(batch, target=TARGET, internal_batch_size=AT_ONCE)

    return {
        "ScoreCAM": {"ours": ours("ScoreCAM"), "grad-cam": grad_cam("ScoreCAM"), "torch-cam": torch_cam},
        "AblationCAM": {"ours": ours("AblationCAM"), "grad-cam": grad_cam("AblationCAM")},
        "Occlusion": {"ours": ours("Occlusion"), "captum": occlusion},
        "IntegratedGradients": {"ours": ours("IntegratedGradients"), "captum": integrated},
    }


def timed(run: Callable[[], object]) -> float:
    """Seconds of CPU time; progress bars of others go nowhere."""
    start = time.process_time()
    with redirect_stderr(io.StringIO()):
        run()
    return time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=list(LAYERS), choices=LAYERS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.networks:
        for method, runs in contestants(network(name)).items():
            times = [{whose: timed(run) for whose, run in runs.items()} for _ in range(arguments.rounds)]
            ratios = {
                whose: statistics.median(one[whose] / one["ours"] for one in times) for whose in runs if whose != "ours"
            }
            seconds = statistics.median(one["ours"] for one in times)
            told = ", ".join(f"{whose} {ratio:.2f} x as long" for whose, ratio in ratios.items())
            print(f"{name:<24} {method:<20} ours {seconds:7.1f} s   {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
