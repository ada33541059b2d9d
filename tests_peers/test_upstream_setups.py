"""Every supervised classification config of both upstream releases becomes a setup, and its pipelines become stages."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from classlens.adapters.openmm.dataset_kinds import KINDS
from classlens.adapters.openmm.datasets import SETTINGS, WRAPPERS
from classlens.adapters.openmm.setup import read_setup
from classlens.adapters.openmm.stages.build_stages import build_stages
from classlens.adapters.openmm.stages.rules import arguments, named
from classlens.config import read_config
from classlens.errors import ClasslensError, ConfigError


def setups(package):
    root = Path(find_spec(package).submodule_search_locations[0]) / ".mim" / "configs"
    for path in sorted(root.rglob("*.py")):
        if "_base_" in path.parts:
            continue
        try:
            config = read_config(path)
        except ConfigError:
            continue  # listed by name in tests_peers/config
        yield read_setup(config, path)


def wrapped_datasets(dataset):
    return [*(dataset.get("datasets") or ()), *([dataset["dataset"]] if "dataset" in dataset else [])]


def types_in(dataset):
    """The type of a dataset and of those inside it."""
    found = {named(dataset)["type"]}
    return found.union(*(types_in(one) for one in wrapped_datasets(dataset)))


def innermost(dataset):
    """The first dataset inside all wrappers."""
    return next((innermost(one) for one in wrapped_datasets(dataset)), dataset)


def refusals(package):
    """Number of supervised configs, and those with a stage or a dataset that is not native, with the reason."""
    count, refused = 0, {}
    for setup in setups(package):
        if not str((setup.model or {}).get("type", "")).endswith("ImageClassifier"):
            continue
        count += 1
        try:
            for name, split in setup.splits.items():
                build_stages(split.pipeline, where=name)
                if unknown := types_in(split.dataset) - {*KINDS, *WRAPPERS}:
                    raise ConfigError(f"no dataset named {unknown}")
                assert arguments(innermost(split.dataset)).keys() <= set(SETTINGS), setup.path
        except ClasslensError as error:
            refused[setup.path.name] = str(error)
    return count, refused


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("package", "generation", "least"), [("mmpretrain", "1.x", 430), ("mmcls", "0.x", 270)])
def test_pipelines_and_datasets_of_upstreams_configs_are_native(package, generation, least):
    count, refused = refusals(package)

    assert count >= least
    assert len(refused) / count <= 0.01, refused
    print(f"{package}: {count - len(refused)} of {count}, not {refused}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("package", "generation"), [("mmpretrain", "1.x"), ("mmcls", "0.x")])
def test_every_config_that_trains_has_an_optimizer_a_length_and_a_batch_size(package, generation):
    trained = [setup for setup in setups(package) if "train" in setup.splits]

    assert {setup.generation for setup in trained} == {generation}
    for setup in trained:
        length = setup.optimization.epochs or setup.optimization.steps
        assert length or setup.optimization.optimizer is None, setup.path
        assert setup.splits["train"].batch_size, setup.path
