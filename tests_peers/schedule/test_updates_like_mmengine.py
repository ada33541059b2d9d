"""How many updates of the optimizer a run with summed gradients has, against mmengine's OptimWrapper."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper

import classlens
from classlens.adapters.openmm.schedules import open_schedule
from classlens.adapters.openmm.setup import read_setup
from classlens.schedule.schedule import Clock

CONFIG = {
    "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}, "accumulative_counts": 4},
    "param_scheduler": {"type": "MultiStepLR", "by_epoch": False, "milestones": [9]},
    "train_cfg": {"max_epochs": 2},
}


@pytest.mark.parametrize("batches", [8, 11])
def test_updates_are_counted_as_mmengine_does_them(batches):
    model, done = torch.nn.Linear(1, 1), []
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), 0.1), accumulative_counts=4)
    wrapper.optimizer.register_step_post_hook(lambda *_: done.append(1))
    wrapper.initialize_count_status(model, 0, 2 * batches)
    for _ in range(2 * batches):
        with wrapper.optim_context(model):
            wrapper.update_params(model(torch.ones(1, 1)).sum())

    curves = classlens.replay(open_schedule(read_setup(CONFIG, Path("config.py"))), Clock(2, batches))

    assert curves.clock.updates == len(done)
    assert curves.curves[0].trajectory.values(torch.arange(8, 10).numpy(), 0.1).tolist() == pytest.approx([0.1, 0.01])
    assert curves.clock.step_words == "step: a batch, 4 to an update of the optimizer"
