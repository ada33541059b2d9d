"""Every distinct `lr_config` of mmcls 0.25.0, against values recorded from the hooks of mmcv 1.7.2.

mmcv 1.7.2 does not install beside mmcv 2, so its values are recorded; the JSON file beside this one says how.
"""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from classlens import Clock
from classlens.adapters.openmm.lr_config import check_policy, trajectory_of
from classlens.adapters.openmm.setup import read_setup
from classlens.config import read_config
from classlens.errors import ConfigError

CONFIGS = Path(find_spec("mmcls").submodule_search_locations[0]) / ".mim" / "configs"  # mmcls refuses to be imported
RECORDED = json.loads((Path(__file__).parent / "mmcls-0.25.0-lr-configs.json").read_text())


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: case["config"]["policy"])
def test_a_schedule_of_mmcls_gives_the_values_of_its_training(case):
    clock = Clock.of_steps(case["steps"], 101) if case["steps"] else Clock(case["epochs"], 101)
    asked = [step for step in RECORDED["at"] if step < clock.steps]

    course = trajectory_of(check_policy(case["config"], "lr", by_epoch=clock.by_epoch), clock)

    np.testing.assert_allclose(course.values(np.array([*asked, clock.steps - 1]), 0.1), case["values"], rtol=1e-12)


@pytest.mark.filterwarnings("ignore:.*deprecated by its authors:DeprecationWarning")
def test_all_schedules_of_mmcls_are_recorded():
    recorded = {json.dumps([case["config"], case["epochs"], case["steps"]]) for case in RECORDED["cases"]}
    unread, missing = [], []
    for path in sorted(CONFIGS.rglob("*.py")):
        if "_base_" in path.parts:
            continue
        try:
            optimization = read_setup(read_config(path), path).optimization
        except ConfigError:
            unread.append(path.name)
            continue
        key = json.dumps([optimization.lr_config, optimization.epochs, optimization.steps])
        if optimization.lr_config and key not in recorded:
            missing.append(path.name)

    assert missing == []
    assert len(unread) <= 2
    assert len(recorded) == 34
