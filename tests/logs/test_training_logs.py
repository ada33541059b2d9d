"""What a run has logged beside what was intended: in one plot, on the same clock."""

import json

import numpy as np
import pytest

import classlens
from classlens.cli.main import main
from classlens.figures.terminal import terminal_plot
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
