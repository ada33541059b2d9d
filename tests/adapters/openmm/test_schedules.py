"""Configs as schedules and clocks."""

import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classlens import Clock, open_source, replay
from classlens.adapters.openmm.schedules import clock_of, open_schedule
from classlens.adapters.openmm.setup import read_setup
from classlens.config import read_config
from classlens.errors import ConfigError, MissingDependency, NotFound, count_of

NEW = """
    optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, betas=(0.8, 0.999)))
    param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, end=2, convert_to_iter_based=True),
        dict(type='CosineAnnealingLR', begin=2, eta_min_ratio=0.1),
    ]
    train_cfg = dict(by_epoch=True, max_epochs=12)
    train_dataloader = dict(batch_size=16, dataset=dict(type='ImageNet'))
"""
OLD = """
    optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
    lr_config = dict(policy='step', step=[4], warmup='linear', warmup_iters=5, warmup_ratio=0.1)
    momentum_config = dict(policy='step', step=[4], gamma=0.9)
    runner = dict(type='EpochBasedRunner', max_epochs=6)
    data = dict(samples_per_gpu=10, train=dict(type='ImageNet', pipeline=[]))
"""


def setup_of(tmp_path: Path, text: str):
    path = tmp_path / "config.py"
    path.write_text(textwrap.dedent(text))
    return read_setup(read_config(path), path)


def curves_of(setup, size=160, gpus=1):
    return replay(open_schedule(setup), clock_of(setup, size, gpus))


def test_a_new_config_gives_its_rates(tmp_path):
    curves = curves_of(setup_of(tmp_path, NEW))
    (rate,) = curves.named("lr")

    assert curves.clock.steps == 120
    assert rate.at([0, 19, 20, 119]) == pytest.approx([1e-5, 1e-3, 1e-3, 1e-4 + 0.9e-3 * 0.02447174], rel=1e-6)
    assert rate.group.initial == {"lr": 1e-3, "momentum": 0.8, "weight_decay": 0.05}
    assert [(mark.step, mark.what) for mark in rate.trajectory.marks] == [(19, "warm-up ends")]


SCALING = NEW + "    auto_scale_lr = dict(enable=True, base_batch_size=64)\n"


def test_a_config_that_scales_its_rate_does_so_wherever_it_is_replayed(tmp_path):
    (tmp_path / "config.py").write_text(textwrap.dedent(SCALING))
    source = open_source(str(tmp_path / "config.py"))

    curves = replay(source.schedule(), source.clock(dataset_size=1600, gpus=8))

    assert curves.named("lr")[0].peak[1] == pytest.approx(1e-3 * 8 * 16 / 64)
    assert curves.notes == ("learning rates are scaled by 2: batches of 8 x 16 = 128, chosen for 64",)
    assert replay(source.schedule(), Clock(12, 10, gpus=4)).notes == (
        "learning rates are scaled by 1: batches of 4 x 16 = 64, chosen for 64",
    )


def test_a_config_by_its_address_beside_another_length_scales_its_rate_too(tmp_path):
    (tmp_path / "config.py").write_text(textwrap.dedent(SCALING))
    source = open_source({"from": str(tmp_path / "config.py"), "epochs": 3, "steps_per_epoch": 5})

    (rate,) = replay(source.schedule(), source.clock(gpus=8)).named("lr")

    assert rate.group.initial["lr"] == pytest.approx(2e-3)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ("dict(enable=True)", r"auto_scale_lr is enabled, but auto_scale_lr\.base_batch_size is missing"),
        ("dict(enable=True, base_batch_size=0)", r"base_batch_size is a number above 0, not 0"),
        ("dict(enable=True, base_batch_size='64')", r"base_batch_size is a number above 0, not '64'"),
    ],
)
def test_a_rate_that_cannot_be_scaled_as_the_config_says_is_an_error(tmp_path, scaling, message):
    setup = setup_of(tmp_path, NEW + f"    auto_scale_lr = {scaling}\n")

    with pytest.raises(ConfigError, match=message):
        open_schedule(setup)


def test_an_old_config_gives_its_rates_and_its_momentum(tmp_path):
    curves = curves_of(setup_of(tmp_path, OLD), size=40)

    assert curves.named("lr")[0].at([0, 4, 5, 16]) == pytest.approx([0.01, 0.082, 0.1, 0.01])
    assert curves.named("momentum")[0].at([0, 16]) == pytest.approx([0.9, 0.81])


@pytest.mark.parametrize(
    ("size", "gpus", "drop_last", "steps"),
    [(1_281_167, 8, False, 10010), (1_281_167, 1, True, 80072), (33, 2, False, 2), (33, 2, True, 1), (1, 8, False, 1)],
)
def test_steps_are_counted_as_training_counts_them(tmp_path, size, gpus, drop_last, steps):
    setup = setup_of(tmp_path, NEW)
    train = replace(setup.splits["train"], drop_last=drop_last)

    clock = clock_of(replace(setup, training=train), size, gpus)

    assert clock.steps_per_epoch == steps
    assert f": {count_of(steps, 'step')} per epoch" in clock.note


def test_an_infinite_sampler_does_not_share_the_samples_out(tmp_path):
    setup = setup_of(tmp_path, NEW)
    train = replace(setup.splits["train"], sampler={"type": "InfiniteSampler"})

    assert clock_of(replace(setup, training=train), 320, 8).steps_per_epoch == 20


def test_a_run_over_steps_needs_no_size(tmp_path):
    text = NEW.replace("dict(by_epoch=True, max_epochs=12)", "dict(type='IterBasedTrainLoop', max_iters=50)")
    text = text.replace("convert_to_iter_based=True", "by_epoch=False").replace("begin=2,", "begin=2, by_epoch=False,")

    curves = curves_of(setup_of(tmp_path, text), size=None)

    assert (curves.clock.steps, curves.clock.by_epoch) == (50, False)
    assert curves.named("lr")[0].final < 1.2e-4


@pytest.mark.parametrize(
    ("size", "gpus", "message"),
    [
        (0, 1, "the dataset size is a whole number of 1 or more, not 0"),
        (-5, 1, "the dataset size is a whole number of 1 or more, not -5"),
        (10, 0, "the number of GPUs is a whole number of 1 or more, not 0"),
        (None, 1, "the number of training samples is unknown"),
    ],
)
def test_an_impossible_size_is_told(tmp_path, size, gpus, message):
    with pytest.raises(ConfigError, match=message):
        clock_of(setup_of(tmp_path, NEW), size, gpus)


def test_the_known_size_of_a_public_dataset_is_suggested_but_not_assumed(tmp_path):
    with pytest.raises(ConfigError) as caught:
        clock_of(setup_of(tmp_path, NEW), None, 1)

    assert caught.value.hint == "--dataset-size 1281167 is the size of ImageNet"


def test_a_dataset_smaller_than_a_dropped_batch_is_told(tmp_path):
    setup = setup_of(tmp_path, NEW)
    train = replace(setup.splits["train"], drop_last=True)

    with pytest.raises(ConfigError, match="15 samples on 1 GPU do not fill one batch of 16"):
        clock_of(replace(setup, training=train), 15, 1)


def test_no_scheduler_is_a_flat_line_that_says_so(tmp_path):
    text = NEW.replace("param_scheduler", "unused")
    curves = curves_of(setup_of(tmp_path, text))

    assert set(curves.named("lr")[0].values) == {1e-3}
    assert curves.notes == ("the config has no scheduler: every value stays as it starts",)


def test_a_network_for_which_training_knows_no_layers_is_drawn_without_decay_and_says_so(tmp_path):
    text = NEW.replace(
        "optim_wrapper = dict(",
        "model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18), neck=dict(type='GlobalAveragePooling'),"
        "head=dict(type='LinearClsHead', num_classes=5, in_channels=512))\n"
        "    optim_wrapper = dict(constructor='LearningRateDecayOptimWrapperConstructor',"
        "paramwise_cfg=dict(layer_decay_rate=0.5),",
    )
    curves = curves_of(setup_of(tmp_path, text))

    assert [curve.group.initial["lr"] for curve in curves.named("lr")] == [1e-3]
    assert curves.notes[0] == (
        "rates should decay layer by layer, but upstream has no layers for a ResNet of 2-2-2-2 blocks, "
        "and training stops: drawn without decay"
    )


def test_layer_wise_decay_has_a_curve_for_every_layer(tmp_path):
    text = NEW.replace(
        "optim_wrapper = dict(",
        "model = dict(type='ImageClassifier', backbone=dict(type='VisionTransformer', arch='deit-tiny', img_size=32),"
        "head=dict(type='VisionTransformerClsHead', num_classes=5, in_channels=192))\n"
        "    optim_wrapper = dict(constructor='LearningRateDecayOptimWrapperConstructor',"
        "paramwise_cfg=dict(layer_decay_rate=0.5),",
    )
    curves = curves_of(setup_of(tmp_path, text))

    rates = sorted({curve.group.initial["lr"] for curve in curves.named("lr")})
    assert rates == pytest.approx([1e-3 * 0.5**k for k in range(13, -1, -1)])
    assert curves.named("lr")[0].group.tensors


def test_the_layers_of_a_network_that_is_not_built_here_are_drawn_but_not_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("classlens.adapters.openmm.classifiers.find_spec", lambda name: None)
    text = NEW.replace(
        "optim_wrapper = dict(",
        "model = dict(type='ImageClassifier', backbone=dict(type='BEiTViT'), head=dict(type='LinearClsHead'))\n"
        "    optim_wrapper = dict(constructor='LearningRateDecayOptimWrapperConstructor',"
        "paramwise_cfg=dict(layer_decay_rate=0.5),",
    )
    curves = curves_of(setup_of(tmp_path, text))

    assert len(curves.named("lr")) == 14
    assert curves.named("lr")[0].group.tensors is None
    assert curves.notes == ("the parameters of the layers are not counted: no native backbone named 'BEiTViT'",)


def test_counting_parameters_without_torch_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "classlens.adapters.openmm.classifiers", raising=False)

    with pytest.raises(MissingDependency, match="torch is not installed"):
        open_schedule(setup_of(tmp_path, NEW), count_groups=True)


PLATEAU = (
    "dict(type='ReduceOnPlateauLR', monitor='acc', rule='greater', patience=1, factor=0.1, cooldown=1, min_value=5e-5)"
)


def test_a_plateau_is_drawn_as_what_it_can_be(tmp_path):
    text = NEW.replace("dict(type='CosineAnnealingLR', begin=2, eta_min_ratio=0.1)", PLATEAU)
    curve = curves_of(setup_of(tmp_path, text)).named("lr")[0]
    epoch, undecided = curve.clock.steps_per_epoch, curve.trajectory.undecided

    assert (undecided.first, str(undecided)) == (3 * epoch, "depends on 'acc'")
    assert curve.final == pytest.approx(1e-3)
    lowest = undecided.lowest(np.arange(0, curve.clock.steps, epoch), 1e-3)
    assert lowest[2:7].tolist() == pytest.approx([1e-3, 1e-4, 1e-4, 1e-4, 5e-5])
    assert undecided.first in curve.points[0]


def test_in_a_run_over_steps_metrics_arrive_after_steps(tmp_path):
    """After steps 10, 20, ...: the first is never bad, and the second bad one in a row is more than the patience of 1."""
    text = NEW.replace("dict(type='CosineAnnealingLR', begin=2, eta_min_ratio=0.1)", PLATEAU)
    text = text.replace("dict(type='LinearLR', start_factor=0.01, end=2, convert_to_iter_based=True),", "")
    text = text.replace("dict(by_epoch=True, max_epochs=12)", "dict(by_epoch=False, max_iters=50, val_interval=10)")
    curve = curves_of(setup_of(tmp_path, text), size=None).named("lr")[0]

    assert curve.trajectory.undecided.first == 30
    assert curve.trajectory.undecided.lowest(np.array([29, 30]), 1e-3).tolist() == pytest.approx([1e-3, 1e-4])


def test_epochs_cannot_be_converted_to_steps_where_an_epoch_has_no_known_length(tmp_path):
    text = NEW.replace("dict(by_epoch=True, max_epochs=12)", "dict(by_epoch=False, max_iters=50)")

    with pytest.raises(ConfigError, match="the steps of an epoch are unknown") as caught:
        curves_of(setup_of(tmp_path, text), size=None)

    assert "--dataset-size" in caught.value.hint


def test_a_cosine_restarts_with_its_weights(tmp_path):
    """Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5, times the weight of the restart; eta_min is 0."""
    restarts = "dict(type='CosineRestartLR', periods=[3, 9], restart_weights=[1, 0.5], eta_min=0)"
    text = NEW.replace("dict(type='CosineAnnealingLR', begin=2, eta_min_ratio=0.1)", restarts)
    text = text.replace("dict(type='LinearLR', start_factor=0.01, end=2, convert_to_iter_based=True),", "")
    curve = curves_of(setup_of(tmp_path, text)).named("lr")[0]

    assert curve.at([0, 10, 20, 30, 60, 90]) == pytest.approx([1e-3, 0.75e-3, 0.25e-3, 0.5e-3, 0.375e-3, 0.125e-3])


def test_accumulated_gradients_are_said(tmp_path):
    curves = curves_of(
        setup_of(tmp_path, NEW.replace("optim_wrapper = dict(", "optim_wrapper = dict(accumulative_counts=4, "))
    )

    assert "gradients of 4 steps are summed before each update" in curves.notes


def test_metrics_arrive_at_the_configs_intervals(tmp_path):
    text = NEW.replace("dict(type='CosineAnnealingLR', begin=2, eta_min_ratio=0.1)", PLATEAU)
    curve = curves_of(setup_of(tmp_path, text.replace("max_epochs=12", "max_epochs=12, val_interval=2"))).named("lr")[0]

    assert curve.trajectory.undecided.first == 6 * curve.clock.steps_per_epoch


def test_a_plateau_whose_patience_outlasts_the_run_never_acts_and_is_a_finding(tmp_path):
    text = NEW.replace("dict(type='CosineAnnealingLR', begin=2, eta_min_ratio=0.1)", "dict(type='ReduceOnPlateauLR')")
    curves = curves_of(setup_of(tmp_path, text))

    assert [finding.kind for finding in curves.findings] == ["idle plateau"]
    assert curves.named("lr")[0].trajectory.undecided is None


@pytest.mark.parametrize(
    ("scheduler", "error", "message"),
    [
        ({"type": "CosinAnnealingLR"}, NotFound, "no scheduler named 'CosinAnnealingLR'"),
        ({"type": "StepLR"}, ConfigError, r"param_scheduler \(StepLR\): step_size is missing"),
        ({"type": "StepLR", "step_size": 3, "gama": 1}, ConfigError, "unknown argument 'gama'"),
        ({"type": "CosineAnnealingParamScheduler"}, ConfigError, "param_name is missing"),
        (
            {"type": "LinearLR", "by_epoch": False, "convert_to_iter_based": True},
            ConfigError,
            "convert_to_iter_based needs by_epoch=True",
        ),
    ],
)
def test_a_wrong_scheduler_is_told_when_the_config_is_opened(tmp_path, scheduler, error, message):
    setup = setup_of(tmp_path, NEW)

    with pytest.raises(error, match=message):
        open_schedule(replace(setup, optimization=replace(setup.optimization, param_scheduler=(scheduler,))))


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ({"type": "LinearLR", "begin": 5, "end": 5}, r"ends at epoch 5, but begins at 5 \(begin=5, end=5; the run has"),
        ({"type": "LinearLR", "begin": 12}, "end=the end of the run"),
        ({"type": "LinearLR", "start_factor": 2}, "start_factor lies between 0 and 1, not 2"),
        ({"type": "StepLR", "step_size": 0}, "step_size is a whole number of 1 or more, not 0"),
        ({"type": "MultiStepLR", "milestones": 5}, "milestones is a list of numbers, not 5"),
        ({"type": "CosineAnnealingLR", "eta_min": 0, "eta_min_ratio": 0}, "eta_min and eta_min_ratio exclude each"),
        ({"type": "CosineAnnealingLR", "eta_min": "1e-5"}, "eta_min is a number, not '1e-5'"),
        ({"type": "CosineRestartLR", "periods": [3]}, "eta_min or eta_min_ratio is missing"),
        ({"type": "CosineRestartLR", "periods": [3], "restart_weights": [1, 2]}, "1 periods but 2 restart_weights"),
        ({"type": "CosineRestartLR", "periods": [0], "eta_min": 0}, r"periods are above 0, not \[0\]"),
        (
            {"type": "OneCycleParamScheduler", "param_name": "momentum", "eta_max": 1},
            "it works for lr only, not for momentum",
        ),
        ({"type": "ReduceOnPlateauLR", "factor": 1}, "factor lies between 0 and 1, not 1"),
        ({"type": "ReduceOnPlateauLR", "by_epoch": False}, "metrics arrive after epochs: by_epoch=False and"),
        ({"type": "OneCycleLR", "eta_max": 1, "anneal_strategy": "cosine"}, "anneal_strategy is cos or linear"),
        ({"type": "OneCycleLR", "eta_max": 1, "total_steps": -1}, "total_steps is a whole number of 1 or more, not -1"),
        ({"type": "OneCycleLR", "eta_max": 1, "pct_start": 1}, "pct_start is a float between 0 and 1, not 1"),
        ({"type": "OneCycleLR", "eta_max": 1, "div_factor": 0}, "div_factor is a number other than 0, not 0"),
        ({"type": "ReduceOnPlateauLR", "rule": "lower"}, "rule is less or greater, not 'lower'"),
        ({"type": "ReduceOnPlateauLR", "threshold_rule": "x"}, "threshold_rule is rel or abs, not 'x'"),
        ({"type": "ReduceOnPlateauLR", "threshold": -1}, "threshold is a number of 0 or more, not -1"),
        ({"type": "ReduceOnPlateauLR", "min_value": [1, 2]}, r"min_value is one number for all groups, not \[1, 2\]"),
        ({"type": "LinearLR", "last_step": 5}, "last_step is -1 where a run starts, not 5"),
        ({"type": "LinearLR", "end": None}, "end is a number, not None"),
        ({"type": "PolyLR", "power": -1}, "power is a number of 0 or more, not -1"),
        ({"type": "PolyLR", "end": 2.5}, "begin=0 to end=2.5 is no whole number of epochs"),
    ],
)
def test_a_scheduler_that_does_not_fit_is_told_with_its_place(tmp_path, scheduler, message):
    setup = setup_of(tmp_path, NEW)
    setup = replace(setup, optimization=replace(setup.optimization, param_scheduler=(scheduler,)))

    with pytest.raises(ConfigError, match=message):
        curves_of(setup)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_epochs=12", "max_epochs=0", "the number of epochs is a whole number of 1 or more, not 0"),
        ("max_epochs=12", "max_epochs='12'", "the number of epochs is a whole number of 1 or more, not '12'"),
        ("max_epochs=12", "val_interval=1", "the config does not say how long it trains"),
        ("batch_size=16", "batch_size=0", "the batch size is a whole number of 1 or more, not 0"),
        ("batch_size=16, ", "", "the config has no training batch size"),
        ("lr=1e-3", "lr='1e-3'", "optimizer: lr is a number, not '1e-3'"),
        ("batch_size=16", "batch_size=16, sampler='shuffled'", r"a sampler is dict\(type=...\), not 'shuffled'"),
        ("begin=2", "begin='2'", r"param_scheduler\[1\] \(CosineAnnealingLR\): begin is a number, not '2'"),
    ],
)
def test_a_wrong_number_in_a_config_is_told(tmp_path, old, new, message):
    with pytest.raises(ConfigError, match=message):
        curves_of(setup_of(tmp_path, NEW.replace(old, new)))


@pytest.mark.parametrize(
    "text",
    [
        "train_dataloader = dict(batch_size=16, drop_last=True)\ntrain_cfg = dict(max_epochs=4)\n"
        "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))\n",
        "data = dict(samples_per_gpu=16, drop_last=True)\nrunner = dict(max_epochs=4)\n"
        "optimizer = dict(type='SGD', lr=0.1)\n",
        "data = dict(samples_per_gpu=2, train_dataloader=dict(samples_per_gpu=16, drop_last=True))\n"
        "runner = dict(max_epochs=4)\noptimizer = dict(type='SGD', lr=0.1)\n",
    ],
)
def test_batches_count_without_a_dataset(tmp_path, text):
    setup = setup_of(tmp_path, text)

    assert clock_of(setup, 230, 1).steps == 4 * 14
    assert not setup.splits
    with pytest.raises(ConfigError, match="the number of training samples is unknown") as error:
        clock_of(setup, None, 1)
    assert "--dataset-size N" in error.value.hint


def test_a_run_over_steps_of_data_that_are_elsewhere_is_as_long_as_it_says(tmp_path):
    text = NEW.replace("dict(by_epoch=True, max_epochs=12)", "dict(by_epoch=False, max_iters=50)")
    (tmp_path / "config.py").write_text(
        textwrap.dedent(text.replace("type='ImageNet'", "type='CIFAR10', data_root='x'"))
    )

    assert str(open_source(str(tmp_path / "config.py")).clock()) == "50 steps"


def test_a_file_that_sets_nothing_is_the_users_own_python(tmp_path):
    (tmp_path / "train.py").write_text("import os\nlearning_rate = 0.1\n")

    with pytest.raises(ConfigError, match=r"train\.py sets nothing that a config sets") as caught:
        open_source(str(tmp_path / "train.py"))

    assert f"py:{tmp_path / 'train.py'}:NAME" in caught.value.hint


def test_every_documented_config_has_a_schedule():
    configs = Path(__file__).parents[3] / "configs"
    found = [path for path in sorted(configs.rglob("*.py")) if "_base_" not in path.parts and "demo" not in path.parts]

    for path in found:
        setup = read_setup(read_config(path), path)
        curves = replay(open_schedule(setup), clock_of(setup, 50_000, 2), names=["lr"])
        assert 0 < curves[0].peak[1] < 1, path.name

    assert len(found) >= 12
