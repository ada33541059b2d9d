import ast
import os
import re
from pathlib import Path

import pytest

from classlens.adapters.openmm.datasets import mixings_of
from classlens.adapters.openmm.setup import read_setup
from classlens.config import read_config
from classlens.errors import ConfigError

PATH = Path("config.py")
OLD = dict(
    model=dict(
        type="ImageClassifier",
        train_cfg=dict(
            augments=[dict(type="BatchMixup", alpha=0.8, num_classes=10, prob=0.3), dict(type="Identity", prob=0.7)]
        ),
    ),
    data=dict(
        samples_per_gpu=16,
        train_dataloader=dict(drop_last=True),
        train=dict(type="CustomDataset", data_prefix="data/train", classes=["a", "b"], pipeline=[]),
        test=dict(
            type="CustomDataset",
            data_prefix="data/val",
            pipeline=[dict(type="Normalize", mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])],
        ),
    ),
    optimizer=dict(type="SGD", lr=0.1, paramwise_cfg=dict(bias_decay_mult=0.0)),
    optimizer_config=dict(type="GradientCumulativeOptimizerHook", cumulative_iters=4),
    lr_config=dict(policy="step", step=[3]),
    runner=dict(type="EpochBasedRunner", max_epochs=5),
)
NEW = dict(
    model=dict(
        type="ImageClassifier", train_cfg=dict(augments=[dict(type="Mixup", alpha=1), dict(type="CutMix", alpha=1)])
    ),
    train_dataloader=dict(
        batch_size=32,
        drop_last=True,
        sampler=dict(type="DefaultSampler"),
        dataset=dict(type="RepeatDataset", times=3, dataset=dict(type="CIFAR10", pipeline=[dict(type="RandomFlip")])),
    ),
    val_dataloader=None,
    data_preprocessor=dict(mean=[1, 2, 3], std=[4, 5, 6], to_rgb=True),
    optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1), accumulative_counts=2, constructor="LayerDecay"),
    param_scheduler=dict(type="StepLR", step_size=1),
    train_cfg=dict(by_epoch=True, max_epochs=7),
    auto_scale_lr=dict(base_batch_size=256, enable=True),
)


def test_0x_is_read_into_the_neutral_setup():
    setup = read_setup(OLD, PATH)

    assert (setup.generation, setup.classes) == ("0.x", ("a", "b"))
    assert setup.batch_augments == dict(augments=[dict(type="Mixup", alpha=0.8)], probs=[0.3])
    assert setup.preprocessing == dict(type="Normalize", mean=[1, 2, 3], std=[4, 5, 6], to_rgb=True)
    assert (setup.splits["train"].batch_size, setup.splits["train"].drop_last) == (16, True)
    assert setup.optimization.optimizer == dict(type="SGD", lr=0.1)
    assert setup.optimization.paramwise == dict(bias_decay_mult=0.0)
    assert (setup.optimization.accumulation, setup.optimization.epochs) == (4, 5)
    assert setup.optimization.lr_config == dict(policy="step", step=[3])
    assert setup.optimization.param_scheduler is None


def test_1x_is_read_into_the_neutral_setup():
    setup = read_setup(NEW, PATH)

    assert setup.generation == "1.x"
    assert list(setup.splits) == ["train"]
    assert setup.splits["train"].pipeline == (dict(type="RandomFlip"),)
    assert (setup.splits["train"].batch_size, setup.splits["train"].drop_last) == (32, True)
    assert [mixing.probability for mixing in mixings_of(setup.batch_augments)] == [0.5, 0.5]
    assert setup.preprocessing == dict(mean=[1, 2, 3], std=[4, 5, 6], to_rgb=True)
    assert setup.optimization.param_scheduler == (dict(type="StepLR", step_size=1),)
    assert (setup.optimization.epochs, setup.optimization.accumulation) == (7, 2)
    assert (setup.optimization.base_batch_size, setup.optimization.auto_scale) == (256, True)


def test_a_run_counted_in_iterations_has_steps_and_no_epochs():
    setup = read_setup(NEW | dict(train_cfg=dict(type="mmengine.runner.IterBasedTrainLoop", max_iters=90)), PATH)

    assert (setup.optimization.epochs, setup.optimization.steps) == (None, 90)


def test_a_config_of_one_part_is_enough():
    setup = read_setup(dict(model=dict(type="ImageClassifier")), PATH)

    assert setup.model == dict(type="ImageClassifier")
    assert (setup.splits, setup.batch_augments, setup.optimization.optimizer) == ({}, {}, None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (NEW | dict(model=[1]), "config.py: `model` is of type list, not dict"),
        (NEW | dict(param_scheduler=[dict(step_size=1)]), "`param_scheduler` holds {'step_size': 1}"),
        (OLD | dict(data=dict(train=3)), "`data.train` is of type int, not dict"),
    ],
)
def test_a_section_of_the_wrong_form_is_named(config, message):
    with pytest.raises(ConfigError) as caught:
        read_setup(config, PATH)

    assert message in str(caught.value)


SHIPPED = sorted((Path(__file__).parents[3] / "configs").glob("[!_]*/*.py"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_reading_a_setup_parses_no_file_and_asking_for_places_each_file_once(path, monkeypatch):
    parsed = []
    config = read_config(path)
    monkeypatch.setattr("ast.parse", lambda text, *args, parse=ast.parse: parsed.append(text) or parse(text, *args))

    setup = read_setup(config, path)

    assert parsed == []
    keys = {name: "dataset" if "dataset" in split.dataset else "" for name, split in setup.splits.items()}
    written = [place for name, split in setup.splits.items() for place in split.places(keys[name])]
    assert len(written) >= len(setup.splits)
    assert all(re.search(r"\.py:\d+$", place) for place in written)
    assert len(parsed) == len(set(parsed))


def test_a_file_that_changes_is_parsed_again_for_its_places(tmp_path):
    path = tmp_path / "config.py"
    for blank in ("", "\n\n"):
        path.write_text(f"{blank}a = dict(\n    b=1,\n)\n")
        os.utime(path, ns=(len(blank), len(blank)))
        assert read_config(path).where("a.b") == f"{path}:{2 + len(blank)}"
