"""Schedulers that accelerate has wrapped, against training loops that really step them."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import classlens
from classlens.adapters import Options
from classlens.adapters.python import source_of
from classlens.schedule.schedule import Clock

accelerate = pytest.importorskip("accelerate")
state_of = pytest.importorskip("accelerate.state")
EPOCHS, BATCHES = 3, 7


@pytest.fixture
def fresh_state():
    """accelerate keeps its state for the whole process."""
    yield
    state_of.AcceleratorState._reset_state(True)
    state_of.GradientState._reset_state()


SCHEDULERS = {
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50),
    "steps": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5),
    "lambda": lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "one cycle": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=60),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("summed", [1, 3])
def test_the_curve_is_what_accelerate_steps_through(fresh_state, name, processes, summed):
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=summed)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = DataLoader(TensorDataset(torch.zeros(BATCHES, 1)), batch_size=1)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, SCHEDULERS[name](optimizer))
    source = source_of({"optimizer": optimizer, "scheduler": scheduler}, "train", Options())
    clock = Clock(EPOCHS, BATCHES, gpus=processes)
    curve = classlens.replay(source.schedule(), clock).curves[0]
    drawn = np.interp(np.arange(clock.steps), *curve.points)
    values = curve.trajectory.values(np.arange(clock.steps), curve.group.initial["lr"])

    state_of.PartialState._shared_state["num_processes"] = processes  # they need not talk to each other
    ran = []
    for _ in range(EPOCHS):
        for (batch,) in loader:
            ran.append(optimizer.param_groups[0]["lr"])
            with accelerator.accumulate(model):
                accelerator.backward(model(batch).sum())
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()

    np.testing.assert_allclose(values, ran, rtol=1e-6)
    np.testing.assert_allclose(drawn, ran, rtol=1e-6)
    updates = EPOCHS * -(-BATCHES // summed)
    assert curve.clock.updates == updates


def test_the_axis_says_what_a_step_is():
    assert Clock(2, 10).step_words == "step"
    assert Clock(2, 10, gpus=8).step_words == "step: a batch on each of 8 GPUs"


def test_a_scheduler_that_accelerate_leaves_to_the_loop_is_stepped_as_any_other(fresh_state):
    accelerator = accelerate.Accelerator(cpu=True, step_scheduler_with_optimizer=False)
    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), 0.1)
    optimizer, scheduler = accelerator.prepare(optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5))
    source = source_of({"optimizer": optimizer, "scheduler": scheduler}, "train", Options())

    curve = classlens.replay(source.schedule(), Clock(EPOCHS, BATCHES, gpus=2)).curves[0]

    expected = [0.1 * 0.5 ** (epoch * BATCHES) for epoch in range(EPOCHS)]  # not twice for two processes
    assert curve.values[::BATCHES].tolist() == pytest.approx(expected)
