"""Single schedulers of `param_scheduler`, without a config around them, against torch's where it has the same."""

from math import inf

import numpy as np
import pytest
import torch

from classlens import Clock
from classlens.adapters.openmm.param_schedulers import check_scheduler, trajectory_of
from classlens.errors import ConfigError


def rates(settings, steps, initial=0.1):
    scheduler = check_scheduler({**settings, "by_epoch": False}, "param_scheduler[0]")
    return trajectory_of([scheduler], Clock.of_steps(steps)).values(np.arange(steps), initial)


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("anneal_strategy", ["cos", "linear"])
def test_a_one_cycle_is_torch_s(three_phase, anneal_strategy):
    settings = dict(
        pct_start=0.25, anneal_strategy=anneal_strategy, div_factor=20.0, final_div_factor=50.0, three_phase=three_phase
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.8, 40, cycle_momentum=False, **settings)
    expected = []
    for _ in range(40):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()

    values = rates({"type": "OneCycleLR", "eta_max": 0.8, "total_steps": 40, **settings}, 40)

    np.testing.assert_allclose(values, expected, rtol=1e-9)


def test_a_polynomial_without_a_minimum_falls_to_zero():
    values = rates({"type": "PolyLR", "power": 2.0, "end": 11}, 11)

    np.testing.assert_allclose(values, 0.1 * (1 - np.arange(11) / 10) ** 2, atol=1e-12)


@pytest.mark.parametrize("end", [-inf, float("nan"), "5"])
def test_an_end_is_a_number_or_never(end):
    with pytest.raises(ConfigError, match="end is a number"):
        check_scheduler({"type": "ExponentialLR", "gamma": 0.9, "end": end}, "param_scheduler[0]")
