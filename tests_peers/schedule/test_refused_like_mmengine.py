"""What mmengine refuses in a scheduler is an error here, before the run has a length."""

import pytest

from classlens.adapters.openmm.param_schedulers import check_scheduler
from classlens.errors import ClasslensError
from tests_peers.schedule.stepping import stepped

NEEDED = {
    "ReduceOnPlateauLR": {"monitor": "loss"},
    "OneCycleLR": {"eta_max": 0.5},
    "OneCycleMomentum": {"eta_max": 0.5},
    "OneCycleParamScheduler": {"eta_max": 0.5, "param_name": "momentum"},
    "CosineRestartLR": {"periods": [3, 3], "restart_weights": [1, 0.5], "eta_min": 0.0},
    "StepLR": {"step_size": 2},
    "StepWeightDecay": {"step_size": 2},
}
REFUSED = [
    ("ReduceOnPlateauLR", {"rule": "lower"}),
    ("ReduceOnPlateauLR", {"rule": ["less"]}),
    ("ReduceOnPlateauLR", {"threshold_rule": "relative"}),
    ("ReduceOnPlateauLR", {"threshold": -1e-4}),
    ("ReduceOnPlateauLR", {"threshold": "1e-4"}),
    ("ReduceOnPlateauLR", {"min_value": [0.1, 0.2]}),
    ("ReduceOnPlateauLR", {"min_value": []}),
    ("ReduceOnPlateauLR", {"factor": 1.0}),
    ("ReduceOnPlateauLR", {"by_epoch": False}),
    ("ReduceOnPlateauLR", {"convert_to_iter_based": True}),
    ("ReduceOnPlateauLR", {"monitor": None}),
    ("ReduceOnPlateauLR", {"eps": "small", "patience": 0}),
    ("ReduceOnPlateauWeightDecay", {}),
    ("OneCycleLR", {"total_steps": -1}),
    ("OneCycleLR", {"total_steps": 0}),
    ("OneCycleLR", {"total_steps": 100.0}),
    ("OneCycleLR", {"pct_start": 1}),
    ("OneCycleLR", {"pct_start": 1.5}),
    ("OneCycleLR", {"pct_start": "0.3"}),
    ("OneCycleLR", {"anneal_strategy": "cosine"}),
    ("OneCycleLR", {"anneal_strategy": ["cos"]}),
    ("OneCycleLR", {"div_factor": 0}),
    ("OneCycleLR", {"final_div_factor": 0}),
    ("OneCycleMomentum", {}),
    ("OneCycleParamScheduler", {}),
    ("StepLR", {"step_size": 0}),
    ("StepLR", {"step_size": "2"}),
    ("StepLR", {"end": None}),
    ("StepLR", {"begin": None}),
    ("StepLR", {"last_step": 3}),
    ("StepLR", {"last_step": -2}),
    ("StepLR", {"last_step": None}),
    ("StepWeightDecay", {}),
    ("PolyLR", {"power": -1}),
    ("ConstantLR", {"factor": 1.5}),
    ("LinearLR", {"start_factor": -0.1}),
    ("LinearLR", {"end_factor": 2}),
    ("CosineAnnealingLR", {"eta_min": 0.1, "eta_min_ratio": 0.1}),
    ("CosineRestartLR", {"restart_weights": [1]}),
    ("CosineRestartLR", {"eta_min": None}),
    ("CosineRestartLR", {"eta_min_ratio": 0.1}),
]


@pytest.mark.parametrize(("kind", "settings"), REFUSED)
def test_what_stops_mmengine_is_an_error_at_once(kind, settings):
    config = {"type": kind, **NEEDED.get(kind, {}), **settings}

    with pytest.raises((ValueError, TypeError, AssertionError, KeyError, AttributeError, ZeroDivisionError)):
        stepped([config], epochs=6, epoch_length=4, loss=lambda epoch: 1.0)
    with pytest.raises(ClasslensError):
        check_scheduler(config, "param_scheduler")
