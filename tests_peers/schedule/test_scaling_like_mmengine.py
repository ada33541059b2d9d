"""`auto_scale_lr` against mmengine's runner."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from classlens import open_source, replay
from tests_peers.schedule.stepping import stepped

CONFIG = """
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=2),
    dict(type='CosineAnnealingLR', begin=2, eta_min=0.01),
]
train_cfg = dict(by_epoch=True, max_epochs=6)
train_dataloader = dict(batch_size=32, dataset=dict(type='ImageNet'))
auto_scale_lr = dict(enable=True, base_batch_size=96)
"""


@pytest.mark.parametrize("gpus", [1, 3, 8])
def test_rates_are_scaled_as_by_the_runner(tmp_path, gpus):
    path = tmp_path / "config.py"
    path.write_text(CONFIG)
    source = open_source(str(path))
    wrapper = OptimWrapper(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1))
    runner = SimpleNamespace(
        _train_dataloader={"batch_size": 32}, world_size=gpus, logger=logging.getLogger(), param_schedulers=[]
    )
    Runner.scale_lr(runner, wrapper, {"enable": True, "base_batch_size": 96})
    initial = {"lr": wrapper.param_groups[0]["lr"], "momentum": 0.9, "weight_decay": 0.05}

    curves = replay(source.schedule(), source.clock(dataset_size=32 * 5 * gpus, gpus=gpus))

    schedulers = [
        {"type": "LinearLR", "start_factor": 0.1, "end": 2},
        {"type": "CosineAnnealingLR", "begin": 2, "eta_min": 0.01},
    ]
    theirs = stepped(schedulers, epochs=6, epoch_length=5, initial=initial)
    np.testing.assert_allclose(curves.named("lr")[0].values, theirs["lr"], rtol=1e-9)


def test_the_runner_stops_without_the_batch_size_that_the_rate_was_chosen_for():
    with pytest.raises(AssertionError, match="Lack of `base_batch_size`"):
        Runner.scale_lr(SimpleNamespace(), None, {"enable": True})
