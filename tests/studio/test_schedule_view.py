"""The schedule view of a real server: exact values, landmarks, lints, and lengths that the address says."""

import numpy as np
import pytest

import classlens
from tests.studio.running import running_studio

WRONG = """
model = dict(type='ImageClassifier')
train_cfg = dict(by_epoch=True, max_epochs=10)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4))
param_scheduler = dict(type='MultiStepLR', milestones=[3, 12], by_epoch=True, gamma=0.1)
train_dataloader = dict(batch_size=10, dataset=dict(type='CustomDataset', data_root='nowhere', pipeline=[]))
"""


def values(studio, address):
    status, headers, body = studio.ask(address)
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    return np.frombuffer(body, "<f8")


def test_every_step_of_every_curve_is_exact(studio):
    (wanted,) = classlens.plot_schedules(classlens.LrRequest(("demo",), parameter="all")).runs

    (run,) = studio.get("/schedule.json")["runs"]

    assert run["clock"]["steps"] == 560
    assert {one["name"] for one in run["curves"]} == {"lr", "momentum", "weight_decay"}
    for one in run["curves"]:
        np.testing.assert_array_equal(values(studio, one["values"]), wanted[one["id"]].values)
    peak = next(one for one in run["landmarks"] if one["name"] == "peak" and one["curve"] == 0)
    assert (peak["step"], peak["value"]) == wanted[0].peak


def test_lints_come_with_the_codes_of_the_linter_and_lengths_from_the_address(tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    with running_studio(str(tmp_path / "wrong.py"), "demo") as studio:
        unknown, demo = studio.get("/schedule.json")["runs"]
        run = studio.get("/schedule.json?dataset_size=1000&gpus=2")["runs"][0]
        drawn = values(studio, run["curves"][0]["values"])

    assert "nowhere" in unknown["error"]
    assert demo["curves"]
    assert run["clock"]["steps"] == len(drawn) == 10 * 50
    assert [(one["code"], one["parameter"]) for one in run["lints"]] == [("S002", "lr")]
    assert "milestone 12 never fires" in run["lints"][0]["message"]
    assert run["command"].endswith("--dataset-size 1000 --ngpus 2")
    assert drawn[0] == pytest.approx(0.1)


def test_a_run_that_is_too_long_gives_the_steps_of_its_plot(studio):
    run = studio.get("/schedule.json?epochs=40&epoch_length=1000000")["runs"][0]
    curve = next(one for one in run["curves"] if one["name"] == "lr")

    steps, drawn = values(studio, curve["steps"]), values(studio, curve["values"])

    assert run["clock"]["steps"] == 40_000_000
    assert len(steps) == len(drawn) == curve["length"]
    assert (steps[0], steps[-1]) == (0, 39_999_999)
