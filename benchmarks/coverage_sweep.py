"""Which architectures can be looked at: every family of timm, every classifier of torchvision and kind of transformers'.

    python benchmarks/coverage_sweep.py                     # everything, about an hour on one core
    python benchmarks/coverage_sweep.py timm/resnet hf/     # the families whose names begin like this
    python benchmarks/coverage_sweep.py --new               # go on where the last run stopped
    python benchmarks/coverage_sweep.py --table             # write docs/coverage.md from what has been measured

Each family runs in a process of its own, with one thread, and leaves one line in `out/coverage.jsonl`; a later run
replaces it. "ratio" is the CPU time of `explain` (Grad-CAM, default layer, one picture) over that of a plain forward
pass, taken in turn: medians of five, fewer where they are slow. The weights are random, those that start as zero are
stirred and batch norms get the statistics of the picture, as a network whose head or last norm is zero has no gradient:
what is measured is whether the default layer is found, is read as a map, and carries a gradient, not what the map shows.
A family is stood for by its smallest member; where that is still large, by one made shallow or fed smaller.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "out" / "coverage.jsonl"
TABLE = ROOT / "docs" / "coverage.md"
LIMIT = 900
"""Seconds that one family may take."""

ROUNDS, ENOUGH = 5, 2.0
"""How often the two times of a family are taken, unless the plain passes have cost that many seconds already."""

SMALL = (
    "test_",
    "atto",
    "femto",
    "pico",
    "nano",
    "xxtiny",
    "xxs",
    "_zepto",
    "micro",
    "xtiny",
    "tiny",
    "_xs",
    "mini",
    "_s",
    "small",
    "18",
    "_050",
    "b0",
    "_12",
)
"""What the names of small members of a family have in them, smallest first."""

TIMM = {
    "deepseek_vit": "deepseek_vit_412m?depth=4&img_size=224",
    "gemma4_vit": "gemma4_vit_167m?depth=4&img_size=224",
    "hieradet_sam2": "sam2_hiera_tiny?num_classes=10",
    "mobilenetv5": "mobilenetv5_300m?num_classes=10&pretrained_cfg_overlay={'input_size': (3, 256, 256)}",
    "naflexvit": "naflexvit_base_patch16_gap?depth=4&num_classes=10",
    "qwen3_vit": "qwen3_vit_88m?depth=4&img_size=224",
    "senet": "legacy_seresnet18",
    "vision_transformer_sam": "samvit_base_patch16_224?depth=4",
}
"""Members that the rule below would not choose, or that are made shallow: what is looked for is a layer, not a model."""

LEFT_OUT = {
    "dinat": "needs natten, which must be compiled",
    "imagegpt": "takes colour tokens, not pictures",
    "perceiver": "its latents have no place in the picture",
    "shieldgemma2": "a language model",
    "siglip2": "takes rows of patches, not pictures",
    "timm_wrapper": "timm's own networks, above",
}
"""Kinds of transformers' image classifiers that are left out, and why."""


def families() -> dict[str, str]:
    """Every family, and the model that stands for it."""
    return {**timm_families(), **torchvision_families(), **transformers_families()}


def timm_families() -> dict[str, str]:
    """One model for every module of timm, small by its name."""
    import timm

    def rank(name: str) -> tuple[int, int]:
        return next((place for place, part in enumerate(SMALL) if part in name), len(SMALL)), len(name)

    found = {}
    for module in timm.list_modules():
        names = timm.list_models(module=module)
        if names:
            found[f"timm/{module}"] = TIMM.get(module) or min(names, key=rank)
    return found


def torchvision_families() -> dict[str, str]:
    """Every classifier of torchvision, the quick ones first."""
    from torchvision import models

    operations = {name: models.get_model_weights(name).DEFAULT.meta["_ops"] for name in models.list_models(models)}
    return {f"torchvision/{name}": name for name in sorted(operations, key=operations.__getitem__)}


def transformers_families() -> dict[str, str]:
    """Every kind of image classifier that transformers knows."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

    return {f"hf/{kind}": kind for kind in CLASSIFIERS if kind not in LEFT_OUT}


def measure(family: str, name: str) -> dict[str, object]:
    """Build the model, look at one picture, and compare the time with a forward pass."""
    import numpy as np
    import torch

    import classlens
    from classlens.cam.classifier import encode_batch, preserved

    torch.set_num_threads(1)
    torch.manual_seed(0)
    framework = family.partition("/")[0]
    with tempfile.TemporaryDirectory() as folder:
        if framework == "hf":
            address = f"hf:{saved(name, Path(folder))}"
        elif framework == "timm":
            address = f"timm:{name}{'&' if '?' in name else '?'}pretrained=false"
        else:
            address = f"torchvision:{name}:none"
        classifier = classlens.open_source(address).classifier()
    stir(classifier.module)
    image = classlens.read_image(ROOT / "demo" / "photos" / "chelsea.png")
    batch = encode_batch(classifier, [classifier.prepare(image)])
    calibrate(classifier.module, lambda: classifier.logits(torch.cat([batch, batch.flip(3)])))
    began = time.process_time()
    saliency = classlens.explain(classifier, image)[0]
    finding = time.process_time() - began

    def plain() -> None:
        with preserved(classifier.module), torch.inference_mode():
            classifier.logits(batch)

    layer = saliency.layer
    forward, explained = in_turn(plain, lambda: classlens.explain(classifier, image, layers=layer))
    values = saliency.values
    return {
        "model": name,
        "parameters": sum(parameter.numel() for parameter in classifier.module.parameters()),
        "size": list(classifier.size),
        "layer": layer,
        "grid": list(values.shape),
        "varies": bool(np.isfinite(values).all() and np.ptp(values) > 0),
        "finding_seconds": round(finding, 2),
        "ratio": round(explained / forward, 2),
    }


def saved(kind: str, folder: Path) -> Path:
    """A model of transformers with its default configuration, as a folder."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

    config = transformers.AutoConfig.for_model(kind, num_labels=10)
    config.num_labels = 10
    known = CLASSIFIERS[kind]
    config.architectures = [known if isinstance(known, str) else known[0]]
    transformers.AutoModelForImageClassification.from_config(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": side(config), "width": side(config)}).save_pretrained(folder)
    return folder


def side(config: object) -> int:
    """The picture's side in a configuration of transformers."""
    config = getattr(config, "vision_config", config)
    size = getattr(config, "image_size", None) or 224
    return size if isinstance(size, int) else size[0]


def stir(module: object) -> None:
    """Give parameters that are zero throughout small random values, but for biases."""
    import torch

    for name, parameter in module.named_parameters():  # type: ignore[attr-defined]
        if not parameter.detach().any() and not name.endswith("bias"):
            with torch.no_grad():
                parameter.fill_(1.0) if parameter.ndim == 1 else parameter.normal_(0, 0.02)


def calibrate(module: object, forward: Callable[[], object]) -> None:
    """Set the statistics of batch norms from one picture: with those of a new network, activations die out."""
    import torch

    norms = [part for part in module.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]  # type: ignore[attr-defined]
    kept = [(norm, norm.momentum) for norm in norms if norm.track_running_stats]
    for norm, _ in kept:
        norm.momentum = 1.0
        norm.train()
    if not kept:
        return
    with torch.no_grad():
        forward()
    for norm, momentum in kept:
        norm.momentum = momentum
        norm.eval()


def in_turn(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Median CPU seconds of two calls, taken alternately: both have run before; slow ones are timed once."""
    times: tuple[list[float], list[float]] = ([], [])
    while len(times[0]) < ROUNDS and sum(times[0]) < ENOUGH:
        for call, taken in zip((first, second), times, strict=True):
            began = time.process_time()
            call()
            taken.append(time.process_time() - began)
    return median(times[0]), median(times[1])


def run_alone(family: str, name: str) -> dict[str, object]:
    """Measure one family in a process of its own; what goes wrong there is the result."""
    context = get_context("fork")  # the frameworks are imported once; no torch operation has run in the parent
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=report, args=(theirs, family, name))
    process.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(LIMIT) else {"model": name, "error": f"took more than {LIMIT} s"}
    except EOFError:
        found = {"model": name, "error": "the process died"}
    process.kill()
    process.join()
    return dict(found)


def report(pipe: Connection, family: str, name: str) -> None:
    """Send the measurement, or the last line of what went wrong."""
    warnings.simplefilter("ignore")
    try:
        pipe.send(measure(family, name))
    except Exception as error:
        pipe.send({"model": name, "error": f"{type(error).__name__}: {error}"[:300]})


def known() -> dict[str, dict[str, object]]:
    """What has been measured so far, by family."""
    if not RESULTS.is_file():
        return {}
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    return {row.pop("family"): row for row in rows}


def table(results: dict[str, dict[str, object]]) -> Iterator[str]:
    """The results as a page."""
    packages = ("torch", "timm", "torchvision", "transformers")
    yield "# Which models can be looked at\n"
    yield "Measured by `python benchmarks/coverage_sweep.py` (its head says how), one thread, untrained networks, with"
    yield f"{', '.join(f'{package} {version(package)}' for package in packages)}."
    yield "*Default layer* is what `classlens cam` looks at if no layer is named; *map* is its resolution; *ratio* is the"
    yield "CPU time of Grad-CAM over that of a plain forward pass. A family that is not listed has not been measured:"
    yield "`python benchmarks/coverage_sweep.py --new` goes on where the last run stopped.\n"
    for framework in ("timm", "torchvision", "hf"):
        mine = {family: row for family, row in sorted(results.items()) if family.startswith(f"{framework}/")}
        good = [row for row in mine.values() if row.get("varies")]
        ratios = [float(str(row["ratio"])) for row in good]
        if not mine:
            yield f"\n## {framework}: not measured yet"
            continue
        share = f"{len(good)} of {len(mine)} ({100 * len(good) / max(1, len(mine)):.0f} %)"
        yield f"\n## {framework}: {share}" + (f", median ratio {median(ratios):.2f}" if ratios else "") + "\n"
        if framework == "hf":
            yield f"Left out: {'; '.join(f'{kind} ({why})' for kind, why in LEFT_OUT.items())}.\n"
        yield "| family | model | input | default layer | map | varies | ratio |"
        yield "|---|---|---|---|---|---|---|"
        for family, row in mine.items():
            name = family.partition("/")[2]
            if "error" in row:
                yield f"| {name} | {row['model']} | | *{str(row['error']).replace('|', '/')}* | | no | |"
                continue
            size, grid = (" x ".join(map(str, row[key])) for key in ("size", "grid"))  # type: ignore[call-overload]
            varies = "yes" if row["varies"] else "no"
            yield f"| {name} | {row['model']} | {size} | `{row['layer']}` | {grid} | {varies} | {row['ratio']} |"


def main() -> None:
    """Measure the families asked for, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("beginnings", nargs="*", help="beginnings of family names; all families if none")
    parser.add_argument("--table", action="store_true", help="write docs/coverage.md and stop")
    parser.add_argument("--new", action="store_true", help="leave out families that have a result")
    arguments = parser.parse_args()
    results = known()
    if not arguments.table:
        every = families()
        beginnings = arguments.beginnings or [""]
        wanted = {family: name for part in beginnings for family, name in every.items() if family.startswith(part)}
        for family, name in wanted.items():
            if arguments.new and "error" not in results.get(family, {"error": "not measured"}):
                continue
            results[family] = run_alone(family, name)
            print(family, results[family], flush=True)
            RESULTS.parent.mkdir(exist_ok=True)
            lines = [json.dumps({"family": key, **row}) for key, row in results.items()]
            RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    TABLE.write_text("\n".join(table(results)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
