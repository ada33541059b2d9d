"""How many of upstream's own classification configs the zoo builds natively, with the names that their checkpoints have.

Run with the environment of the peers, which holds both generations: `.venv-peers/bin/python benchmarks/coverage.py`.
Every config is read by our reader and its network built without numbers; with `--against-mmpretrain` the parameter
names and shapes are compared with those of the network that mmpretrain builds (slow; networks of more than 100 million parameters are left out).
"""

import argparse
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import torch

from classlens.adapters.openmm.setup import read_setup
from classlens.config import read_config
from classlens.config.settings import Settings
from classlens.errors import ClasslensError, NotOffered
from classlens.zoo.build import PARTS, build_network
from classlens.zoo.units import plain_type

LARGEST = 100_000_000
"""Parameters of the largest network that is also built by mmpretrain, with numbers: its giants do not fit in memory."""

GENERATIONS = {"mmpretrain": "1.x", "mmcls": "0.x"}


def main() -> int:
    """Print one line per generation and per type that is not built."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against-mmpretrain", action="store_true", help="compare every key and shape")
    arguments = parser.parse_args()
    for package, generation in GENERATIONS.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            print(f"{package} is not installed", file=sys.stderr)
            continue
        measure(Path(spec.origin).parent / ".mim" / "configs", generation, compare=arguments.against_mmpretrain)
    return 0


def measure(folder: Path, generation: str, *, compare: bool) -> None:
    """Count the supervised classification configs in `folder`, and those whose network is built."""
    outcomes: Counter[str] = Counter()
    paths = (path for path in sorted(folder.rglob("*.py")) if "_base_" not in path.parts)
    for path, model in ((path, classifier_of(path)) for path in paths):
        if model is not None:
            outcomes[outcome_of(model, path.name, compare=compare)] += 1
    built = sum(count for outcome, count in outcomes.items() if outcome.startswith("built"))
    total = outcomes.total()
    print(f"{generation}: {built} of {total} built natively ({built / total:.1%})")
    for outcome, count in outcomes.most_common():
        print(f"  {count:3d}  {outcome}")


def outcome_of(model: Settings, name: str, *, compare: bool) -> str:
    """Built, and compared how; or why not."""
    for part, native in PARTS.items():
        if model.get(part) and plain_type(model[part]) not in native:
            return f"no native {part} {plain_type(model[part])}"
    try:
        with torch.device("meta"):
            network = build_network(model)
    except NotOffered:
        return "no head"
    except ClasslensError as error:
        return str(error)
    size = sum(parameter.numel() for parameter in network.parameters())
    if not compare or size > LARGEST:
        return "built" if not compare else "built, too large to be compared"
    if same_keys(network, model):
        return "built, with mmpretrain's names and shapes"
    print(f"  other names or shapes: {name}")
    return "built, with other names or shapes"


def classifier_of(path: Path) -> Settings | None:
    """The model of a config that classifies pictures; None for the others."""
    try:
        model = read_setup(read_config(path), path).model
    except ClasslensError as error:
        print(f"  {path.name}: {error}", file=sys.stderr)
        return None
    return model if model is not None and model.get("type") == "ImageClassifier" else None


def same_keys(network: torch.nn.Module, model: Settings) -> bool:
    """Whether mmpretrain's network has the same parameters and buffers."""
    from mmpretrain.models import build_classifier

    peer = build_classifier({key: value for key, value in model.items() if key != "train_cfg"})
    ours = {name: tensor.shape for name, tensor in network.state_dict().items()}
    theirs = {name: tensor.shape for name, tensor in peer.state_dict().items()}
    return ours == theirs


if __name__ == "__main__":
    sys.exit(main())
