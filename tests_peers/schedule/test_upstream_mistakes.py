"""The checks, run over upstream's own configs: its ten real mistakes are found, and nothing else is."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import mmpretrain

from classlens import replay
from classlens.adapters.openmm.schedules import clock_of, open_schedule
from classlens.adapters.openmm.setup import read_setup
from classlens.config import read_config
from classlens.errors import ConfigError

CONFIGS = Path(mmpretrain.__file__).parent / ".mim" / "configs"
IMAGENET = 1_281_167


def setups():
    """Everything that is read out of upstream's configs."""
    for path in sorted(CONFIGS.rglob("*.py")):
        if "_base_" not in path.parts:
            with suppress(ConfigError):  # broken upstream, or made for another package
                yield path, read_setup(read_config(path), path)


def findings():
    """Every finding, as (kind, config), over all configs that train with a schedule; and how many those are."""
    found, replayed = set(), 0
    for path, setup in setups():
        optimization = replace(setup.optimization, constructor=None)  # no networks: they change no finding
        if optimization.optimizer is None or not optimization.param_scheduler:
            continue
        try:
            clock = clock_of(setup, IMAGENET, 8)
        except ConfigError:  # it does not say how long it trains, or with which batches
            continue
        replayed += 1
        curves = replay(open_schedule(replace(setup, optimization=optimization)), clock)
        found |= {(finding.kind, path.stem) for finding in curves.findings}
    return found, replayed


def test_the_ten_mistakes_of_upstream_are_found_and_nothing_else():
    found, replayed = findings()

    assert replayed == 488  # all but four whose base mmengine refuses, too
    assert found == {
        ("dead milestone", "densenet121_4xb256_in1k"),
        ("dead milestone", "densenet161_4xb256_in1k"),
        ("dead milestone", "densenet169_4xb256_in1k"),
        ("dead milestone", "densenet201_4xb256_in1k"),
        ("dead milestone", "lenet5_mnist"),
        ("long cosine", "resnet50_8xb128_coslr-90e_in21k"),
        ("long cosine", "swin-large-w14_8xb256-coslr-100e_in1k"),
        ("restored", "t2t-vit-t-14_8xb64_in1k"),
        ("restored", "t2t-vit-t-19_8xb64_in1k"),
        ("restored", "t2t-vit-t-24_8xb64_in1k"),
    }


def test_rates_that_decay_layer_by_layer_below_an_absolute_minimum_are_found(monkeypatch):
    monkeypatch.setattr("classlens.adapters.openmm.classifiers.find_spec", lambda name: None)  # layers by architecture
    found, layers = set(), {}
    for path, setup in setups():
        if "LearningRateDecay" not in str(setup.optimization.constructor) or not setup.optimization.param_scheduler:
            continue
        curves = replay(open_schedule(setup), clock_of(setup, IMAGENET, 8), names=["lr"])
        layers[path.stem] = len({curve.group.initial["lr"] for curve in curves})
        found |= {path.stem for finding in curves.findings if finding.kind == "minimum above start"}

    assert len(layers) >= 16
    assert layers["beit-base-p16_8xb128-coslr-100e_in1k"] == 14
    assert layers["resnet50_8xb256-coslr-300e_in1k"] == 8
    assert layers["convnextv2-tiny_8xb256-coslr-300e_in1k"] == 8
    assert found == {
        "mixmim-base_8xb128-coslr-100e_in1k",
        "swin-large-w14_8xb256-coslr-100e_in1k",
        "vit-huge-p14_32xb8-coslr-50e_in1k-448px",
        "vit-huge-p14_8xb128-coslr-50e_in1k",
        "vit-huge-p14_8xb128-ds-coslr-50e_in1k",
        "vit-huge-p14_8xb128-fsdp-coslr-50e_in1k",
    }
