"""mmengine trains now, as it did when the logs in tests/check/logs were made."""

import numpy as np
import pytest

import classlens
from classlens.check.examine import examine
from classlens.check.inspection import Inspection
from classlens.check.rule import choose_rules
from classlens.logs.training_logs import read_training_log
from classlens.runs.schedule_plots import LrRequest
from tests_peers.check.mmengine_runs import CONFIG, LOGS, RUNS, run_mmengine

CAUSES = {"healthy": [], "healthy_resume": [], "no_state_at_resume": ["R008"], "scaled": ["R003"]}


@pytest.mark.parametrize("name", CAUSES)
def test_a_run_of_mmengine_logs_what_is_stored_and_is_explained(name, tmp_path):
    (tmp_path / "config.py").write_text(RUNS[name].get("config", CONFIG))
    place = run_mmengine(tmp_path / name, **RUNS[name])

    source = classlens.open_source(str(tmp_path / "config.py"))
    findings = examine(Inspection(source, log=place, dataset_size=80), choose_rules(["R"])).findings

    stored, live = read_training_log(LOGS / f"mmengine_{name}.json"), read_training_log(tmp_path / name)
    np.testing.assert_allclose(live.rates[0].values, stored.rates[0].values)
    assert [one.code for one in findings] == CAUSES[name]


def test_a_checkpoint_of_mmengine_says_where_it_is_resumed(tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    (tmp_path / "edited.py").write_text(CONFIG.replace("lr=0.1", "lr=0.2"))
    run_mmengine(tmp_path / "run", resume=True)

    plots = [
        classlens.plot_schedules(
            LrRequest((str(tmp_path / name),), dataset_size=80, resume=str(tmp_path / "run" / "epoch_4.pth"))
        )
        for name in ("config.py", "edited.py")
    ]

    assert plots[0].findings == ()
    assert "resumed at step 40" in plots[1].findings[0].what
