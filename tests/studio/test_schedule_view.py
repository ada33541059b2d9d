"""The schedule view of a real server: exact values, landmarks, lints, and lengths that the address says."""

import json

import numpy as np
import pytest

import classlens
from classlens.studio.schedule_view import numbers_of
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


@pytest.mark.parametrize(
    ("length", "error"),
    [
        ("epochs=1e9", "epochs is a whole number from 1 to 1000000000000000"),
        ("epochs=999999999999999", "a run of more than 1e+15 steps cannot be drawn"),
        ("gpus=0&epochs=5", "gpus is a whole number from 1 to 1000000000000000"),
    ],
)
def test_a_length_that_cannot_be_used_is_said_beside_the_runs(studio, length, error):
    answer = studio.get(f"/schedule.json?{length}")

    (run,) = answer["runs"]
    assert answer["error"] == error
    assert run["error"] == ""
    assert run["clock"]["steps"] == (70 if "epochs=5" in length else 560)
    assert len(values(studio, run["curves"][0]["values"])) == run["clock"]["steps"]


def test_what_is_said_of_training_and_a_log_reach_schedule_and_findings(tmp_path):
    """A rate that was logged twice as high as intended; the address still decides the length."""
    (tmp_path / "right.py").write_text(WRONG.replace("[3, 12]", "[3, 6]"))
    rates = [0.2 * 0.1 ** sum(epoch >= stone for stone in (3, 6)) for epoch in range(10)]
    lines = [{"lr": rate, "epoch": at + 1, "step": 20 * at + 10} for at, rate in enumerate(rates)]
    log = tmp_path / "run" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    words = ("-d", "400", "-n", "2", "--log", str(tmp_path / "run"))
    with running_studio("folder:.", str(tmp_path / "right.py"), "demo", *words, cwd=tmp_path) as studio:
        schedules = studio.get("/schedule.json")
        longer = studio.get("/schedule.json?dataset_size=1000")["runs"][0]
        logged = schedules["runs"][1]
        drawn = values(studio, logged["curves"][0]["values"])
        findings = studio.wait("/findings.json?target=1")
        session = studio.get("/session.json")

    intended, _, demo = schedules["runs"]
    assert [one["id"] for one in schedules["absent"]] == [0]
    assert (intended["clock"]["steps"], intended["clock"]["gpus"]) == (200, 2)
    assert longer["clock"]["steps"] == 500
    assert demo["curves"]
    assert np.nanmax(drawn) == pytest.approx(0.2)  # between what was logged there is nothing
    assert intended["command"].endswith(f"--dataset-size 400 --ngpus 2 --logged {tmp_path / 'run'}")
    assert [one["code"][0] for one in findings["findings"] if one["code"][0] == "R"]
    assert not [one for one in findings["skipped"] if "--log" in one["why"]]
    assert findings["targets"][1]["state"] == "ready"
    assert findings["targets"][1]["errors"] + findings["targets"][1]["warnings"] == len(findings["findings"])
    assert findings["targets"][2] == {"target": 2, "name": "demo", "state": "idle", "errors": 0, "warnings": 0}
    assert (session["dataset_size"], session["gpus"], session["log"]) == (400, 2, str(tmp_path / "run"))
    assert session["command"].endswith(f"--dataset-size 400 --ngpus 2 --log {tmp_path / 'run'}")


def test_a_run_that_is_too_long_gives_the_steps_of_its_plot(studio):
    run = studio.get("/schedule.json?epochs=40&epoch_length=1000000")["runs"][0]
    curve = next(one for one in run["curves"] if one["name"] == "lr")

    steps, drawn = values(studio, curve["steps"]), values(studio, curve["values"])

    assert run["clock"]["steps"] == 40_000_000
    assert len(steps) == len(drawn) == curve["length"]
    assert (steps[0], steps[-1]) == (0, 39_999_999)


def test_what_a_metric_decides_comes_with_its_lowest_values(tmp_path):
    """Of a rate that is halved whenever an epoch is no better, from the end of the second one on."""
    (tmp_path / "plateau.py").write_text(
        WRONG.replace("dict(type='MultiStepLR', milestones=[3, 12], by_epoch=True, gamma=0.1)",
                      "dict(type='ReduceOnPlateauLR', monitor='acc', factor=0.5, patience=0)")
    )  # fmt: skip
    request = classlens.LrRequest((str(tmp_path / "plateau.py"),), dataset_size=40)
    (curve,) = classlens.plot_schedules(request).runs[0]

    lowest = numbers_of(curve, "lowest")

    assert lowest.tolist() == pytest.approx([0.1] * 8 + [0.1 * 0.5**epoch for epoch in range(1, 9) for _ in range(4)])
    assert numbers_of(curve, "values").tolist() == [0.1] * 40
