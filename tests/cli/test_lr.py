"""`classlens lr` as it is called."""

import csv
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from classlens.cli.main import main
from classlens.figures.chart import MOST_LINES

CONFIG = """
    optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4))
    param_scheduler = dict(type='MultiStepLR', milestones=[3, 6], gamma=0.1)
    train_cfg = dict(by_epoch=True, max_epochs=8)
    train_dataloader = dict(batch_size=32, dataset=dict(type='ImageNet', data_root='nowhere', split='train', pipeline=[]))
    auto_scale_lr = dict(base_batch_size=256)
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(textwrap.dedent(CONFIG))
    return str(path)


@pytest.fixture(autouse=True)
def nobody_watches(monkeypatch):
    """No window, also where the tests run on a desktop."""
    monkeypatch.setattr("classlens.cli.display.has_display", lambda: False)


def lr(*words):
    return main(["lr", *map(str, words)])


@pytest.mark.parametrize(
    "words",
    [
        ("--dataset-size", "1000", "--ngpus", "2", "--save-path", "{}"),
        ("-d", "1000", "-n", "2", "-s", "{}", "-p", "lr", "--not-show", "--log-level", "INFO"),
        (
            "--dataset_size=1000",
            "--ngpus=2",
            "--save_path={}",
            "--title",
            "T",
            "--style",
            "dark",
            "--window-size",
            "6*4",
        ),
    ],
)
def test_the_documented_spellings_of_both_generations_draw(config, tmp_path, capsys, words):
    picture = tmp_path / "lr.png"

    status = lr(config, *(word.format(picture) for word in words))

    assert status == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "128 steps = 8 epochs x 16 steps\n  1,000 samples / (2 GPUs x 32)" in capsys.readouterr().out


def test_without_a_file_the_plot_is_in_the_terminal(config, capsys):
    assert lr(config, "-d", 1000) == 0

    out = capsys.readouterr().out
    assert "learning rate" in out
    assert "⠉" in out
    assert "lr: starts at its peak 0.1, ends 0.001" in out


def test_a_display_that_cannot_be_reached_leaves_the_terminal(config, capsys, monkeypatch):
    pytest.importorskip("tkinter")
    monkeypatch.setattr("classlens.cli.display.has_display", lambda: True)
    monkeypatch.setenv("DISPLAY", ":98765")

    assert lr(config, "-d", 1000) == 0

    assert "⠉" in capsys.readouterr().out


def test_not_show_draws_nothing(config, capsys):
    assert lr(config, "-d", 1000, "--not-show") == 0

    assert "⠉" not in capsys.readouterr().out


def test_json_is_data_alone(config, capsys):
    assert lr(config, "-d", 1000, "--json") == 0

    data = json.loads(capsys.readouterr().out)
    assert data["runs"][0]["steps_per_epoch"] == 32
    assert data["runs"][0]["curves"][0]["final"] == pytest.approx(0.001)


def test_csv_has_every_step(config, tmp_path):
    table = tmp_path / "lr.csv"

    assert lr(config, "-d", 1000, "--csv", table) == 0

    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 256
    assert {name: rows[0][name] for name in ("step", "lr", "momentum", "weight_decay")} == {
        "step": "0", "lr": "0.1", "momentum": "0.9", "weight_decay": "0.0001",
    }  # fmt: skip
    assert float(rows[96]["lr"]) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("word", "title"), [("wd", "weight decay"), ("momentum", "momentum"), ("weight_decay", "weight")]
)
def test_other_values_can_be_drawn(config, capsys, word, title):
    assert lr(config, "-d", 1000, "-p", word) == 0

    assert title in capsys.readouterr().out


def test_several_configs_are_compared_under_their_labels(config, tmp_path, capsys):
    picture = tmp_path / "both.svg"

    assert lr(config, config, "-d", 1000, "--label", "old one", "new one", "--save-path", picture) == 0

    assert "old one" in picture.read_text()
    assert "new one" in picture.read_text()


@pytest.mark.parametrize(
    ("words", "length"),
    [
        (["--steps", "50"], "small: 50 steps\n"),
        (["--epochs", "9", "--epoch-length", "7"], "63 steps = 9 epochs x 7 steps"),
        (["--epoch-length", "7"], "56 steps = 8 epochs x 7 steps"),
        (["--epochs", "9", "-d", "320"], "90 steps = 9 epochs x 10 steps"),
    ],
)
def test_the_length_of_the_run_can_be_said(config, capsys, words, length):
    assert lr(config, *words, "--not-show") == 0

    assert length in capsys.readouterr().out


def test_what_a_metric_decides_ends_between_two_values(config, capsys):
    """Never better than in the first epoch: halved at the ends of epochs 2 to 7, for the eighth."""
    with Path(config).open("a") as file:
        file.write("param_scheduler = dict(type='ReduceOnPlateauLR', monitor='acc', factor=0.5, patience=0)\n")

    assert lr(config, "-d", 1000, "--not-show") == 0

    assert f"ends between {0.1 * 0.5**6:.6g} and 0.1: it " in capsys.readouterr().out


def test_of_many_groups_the_first_are_described_and_the_others_counted(tmp_path, capsys):
    script = tmp_path / "train.py"
    script.write_text(
        "import torch\n"
        "groups = [dict(params=[torch.zeros(1, requires_grad=True)], lr=0.1 + number) for number in range(40)]\n"
        "optimizer = torch.optim.SGD(groups)\n"
        "both = optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2)\n"
    )

    assert lr(f"py:{script}:both", "--epochs", 4, "--epoch-length", 5, "--not-show") == 0

    assert f"  and {40 - MOST_LINES} more (--json lists all)" in capsys.readouterr().out


def test_a_run_of_steps_can_be_divided_into_epochs(config, capsys):
    with Path(config).open("a") as file:
        file.write("train_cfg = dict(by_epoch=False, max_iters=100)\n")

    assert lr(config, "--epoch-length", 10, "--not-show") == 0

    assert "100 steps, 10 passes over the data" in capsys.readouterr().out


def test_targets_of_one_name_are_called_by_their_paths(config, tmp_path, capsys):
    copy = tmp_path / "copy" / Path(config).name
    copy.parent.mkdir()
    copy.write_text(Path(config).read_text())

    assert lr(config, copy, "-d", 1000, "--not-show") == 0

    said = capsys.readouterr().out
    assert f"{config}: 256 steps" in said
    assert f"{copy}: 256 steps" in said


def test_a_target_that_does_not_say_how_long_it_trains_asks_for_it(tmp_path, capsys):
    script = tmp_path / "train.py"
    script.write_text(
        "import torch\n"
        "optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)\n"
        "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)\n"
        "both = optimizer, scheduler\n"
    )

    assert lr(f"py:{script}:both") == 2
    assert "--epochs N --epoch-length N" in capsys.readouterr().err
    assert lr(f"py:{script}:both", "--epochs", 4, "--epoch-length", 5, "--not-show") == 0
    assert "lr: starts at its peak 0.5, ends 0.05" in capsys.readouterr().out


def test_overrides_are_followed(config, capsys):
    assert lr(config, "-d", 1000, "--cfg-options", "optim_wrapper.optimizer.lr=0.5", "--not-show") == 0

    assert "lr: starts at its peak 0.5" in capsys.readouterr().out


def test_rates_are_scaled_on_request(config, capsys):
    assert lr(config, "-d", 1000, "-n", 16, "--auto-scale-lr", "--not-show") == 0

    out = capsys.readouterr().out
    assert "lr: starts at its peak 0.2" in out
    assert "scaled by 2" in out


@pytest.mark.parametrize(
    "length", [("-d", 1000), ("--epoch-length", 7), ("--epochs", 3, "--epoch-length", 7), ("--steps", 40)]
)
def test_rates_that_training_scales_are_scaled_once_whatever_says_the_length(config, capsys, length):
    words = ("--auto-scale-lr", "--cfg-options", "auto_scale_lr.enable=True", "--not-show")

    assert lr(config, *length, "-n", 16, *words) == 0
    assert lr(config, *length, "-n", 16, *words[1:]) == 0

    assert len(re.findall(r"lr: (?:starts at its peak )?0\.2\b", capsys.readouterr().out)) == 2


def test_a_mistake_is_a_warning_and_with_strict_a_failure(config, capsys):
    mistaken = ["--cfg-options", "param_scheduler.milestones=[3,9]", "-d", "1000", "--not-show"]

    assert lr(config, *mistaken) == 0
    assert lr(config, *mistaken, "--strict") == 1
    assert "warning: param_scheduler (MultiStepLR): milestone 9 never fires" in capsys.readouterr().out


def test_strict_is_content_with_a_schedule_without_mistakes(config):
    assert lr(config, "-d", 1000, "--not-show", "--strict") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-d", "1000", "--style", "nice"], "no plot style named 'nice'"),
        (["-d", "1000", "-p", "beta"], "no hyper-parameter named 'beta' in the optimizer of small"),
        (["-d", "1000", "--save-path", "lr"], "cannot write a picture under a name without ending"),
        (["-d", "1000", "--label", "a", "b"], "2 labels for 1 config"),
    ],
)
def test_a_wrong_wish_is_one_line_with_a_hint(config, capsys, words, message):
    assert lr(config, *words) == 2

    error = capsys.readouterr().err
    assert message in error
    assert "hint:" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "words",
    [["-d", "0"], ["-d", "-3"], ["-n", "0"], ["--window-size", "12"], ["--window-size", "0*0"],
     ["--window-size", "9999*9999"], ["--window-size", "12*7*3"], ["--window-size", "nan*7"], ["--nonsense"]],
)  # fmt: skip
def test_a_wrong_argument_ends_with_status_2(config, capsys, words):
    with pytest.raises(SystemExit) as caught:
        lr(config, *words)

    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_config_that_is_not_there_is_told(capsys):
    assert lr("nowhere/lr.py", "-d", 10) == 2

    assert "nowhere/lr.py" in capsys.readouterr().err


def test_a_dataset_that_is_not_there_asks_for_its_size(config, capsys):
    assert lr(config, "--not-show") == 2

    assert "--dataset-size" in capsys.readouterr().err


def test_an_svg_needs_neither_torch_nor_matplotlib(config, tmp_path):
    code = f"""
import sys
from classlens.cli.main import main
main(["lr", {config!r}, "-d", "1000", "-s", {str(tmp_path / "lr.svg")!r}])
print(sorted({{"torch", "matplotlib", "timm", "cv2"}} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert out.splitlines()[-1] == "[]"


def test_a_table_replaces_no_file_of_another_kind(tmp_path, capsys):
    script = tmp_path / "train.py"
    script.write_text("x = 1")

    assert main(["lr", "demo", "--csv", str(script)]) == 2

    assert "which is no table" in capsys.readouterr().err
    assert script.read_text() == "x = 1"
