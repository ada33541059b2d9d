"""What a run has logged beside what was intended: in one plot, on the same clock."""

import json
import sys

import numpy as np
import pytest

import classlens
from classlens.cli.main import main
from classlens.errors import DataError, MissingDependency
from classlens.figures.terminal import terminal_plot
from classlens.logs.training_logs import read_training_log
from tests.check.test_run_rules import WARM, warm
from tests.check.training_runs import with_torch


def test_intended_and_logged_are_drawn_in_one_plot(tmp_path):
    with_torch(tmp_path / "run", warm, resume=50)

    request = classlens.LrRequest((WARM,), logged=tmp_path / "run", picture=tmp_path / "plot.png")
    plots = classlens.plot_schedules(request)

    intended, logged = plots.runs
    assert logged.title == "logged by TensorBoard"
    assert logged[0].at([50])[0] == 0 < intended[0].at([50])[0]
    assert logged.findings == ()
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    assert b"intended and logged" in classlens.draw(plots).encode(".svg")


def test_a_log_for_the_option_of_the_axis_is_pointed_to_its_own(capsys, monkeypatch):
    arguments = ["lr", WARM, "--log", "metrics.csv"]
    monkeypatch.setattr("sys.argv", ["classlens", *arguments])

    with pytest.raises(SystemExit):
        main(arguments)

    assert "did you mean --logged RUN?" in capsys.readouterr().err


def test_a_log_that_begins_late_is_not_drawn_before(tmp_path):
    lines = [json.dumps({"lr": 0.05, "step": step + 1, "epoch": 7}) for step in range(60, 90)]
    (tmp_path / "scalars.json").write_text("\n".join(lines))

    plots = classlens.plot_schedules(classlens.LrRequest((WARM,), logged=tmp_path))
    drawn = terminal_plot(plots.runs[1:], columns=80, lines=12, log=False)

    assert np.isnan(plots.runs[1][0].at([0, 59])).all()
    assert "starts 0.05" in plots.text() or "0.05 throughout" in plots.text()
    assert all(set(line.partition("│")[2][:35]) <= {" "} for line in drawn.splitlines() if "│" in line)


def test_in_a_folder_the_first_log_that_can_be_read_counts(tmp_path):
    for name, text in (("broken", "step,lr\n1,fast\n"), ("whole", "step,lr-SGD\n0,0.1\n1,0.2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(text)

    assert read_training_log(tmp_path).rates[0].values.tolist() == [0.1, 0.2]
    (tmp_path / "whole" / "metrics.csv").unlink()
    with pytest.raises(DataError, match=r"broken/metrics\.csv: "):
        read_training_log(tmp_path)


def test_a_log_that_is_gone_is_named(tmp_path):
    with pytest.raises(DataError, match=r"metrics\.csv: no such file"):
        read_training_log(tmp_path / "metrics.csv")


def test_a_record_that_is_cut_off_is_left_out(tmp_path):
    with_torch(tmp_path / "run", warm, epochs=1)
    (events,) = (tmp_path / "run").iterdir()
    whole = read_training_log(events).rates[0].values
    events.write_bytes(events.read_bytes()[:-2])

    np.testing.assert_array_equal(read_training_log(events).rates[0].values, whole[:-1])


def test_steps_that_begin_anew_in_every_epoch_say_how_long_that_is_at_least(tmp_path):
    """The JSON of mmcv 0.x: `iter` counts from 1 in every epoch."""
    rows = [(epoch, step) for epoch in (1, 2) for step in (5, 10)]
    lines = [json.dumps({"mode": "train", "epoch": epoch, "iter": step, "lr": 0.1 / epoch}) for epoch, step in rows]
    (tmp_path / "20261129.log.json").write_text("\n".join(lines))

    (rates,) = read_training_log(tmp_path).rates

    assert rates.epoch_bounds == (10, 0)
    assert rates.steps(classlens.Clock(2, 12)).tolist() == [4, 9, 16, 21]


def test_event_files_without_tensorboard_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    (tmp_path / "events.out.tfevents.1").write_bytes(bytes(12))

    with pytest.raises(MissingDependency, match="tensorboard is not installed"):
        read_training_log(tmp_path)
