"""How a run of `classlens cam` goes: options that hold for scores too, names with colons, bad pictures, a run stopped."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import classlens
from classlens.cli.main import main
from tests.audit.tiny_setup import write_network, write_pictures

NETWORK = """
import time
import torch
from torch import nn

FED, WAIT = [], {wait}

class Noting(nn.Module):
    def forward(self, batch):
        FED.append((len(batch), torch.is_autocast_enabled("cpu")))
        time.sleep(WAIT)
        return batch

torch.manual_seed(0)
net = nn.Sequential(
    Noting(), nn.Conv2d(3, 4, 9, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
).eval()
"""


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "noting.py"
    path.write_text(NETWORK.format(wait=0))
    return f"py:{path}:net"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.jpg"
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(path)
    return path


def test_batch_size_and_precision_hold_for_scores_too(network, picture, capsys):
    words = [
        "cam",
        str(picture),
        network,
        "--target-layers",
        "2",
        "--evaluate",
        "--batch-size",
        "3",
        "--precision",
        "bf16",
    ]
    assert main(words) == 0

    fed = sys.modules["classlens_user_noting"].FED
    scoring = fed[fed.index((3, True)) :]
    assert len(scoring) > 100
    assert {size for size, _ in scoring} <= {1, 2, 3}
    # Finding layers and the quickest order in memory looks at one picture; no score is made of it.
    assert all(lower for size, lower in scoring if size > 1)


def test_a_memory_budget_holds_for_scores_too(network, picture):
    words = ["cam", str(picture), network, "--target-layers", "2", "--evaluate", "--memory-budget", "0.1"]
    assert main(words) == 0

    assert {size for size, _ in sys.modules["classlens_user_noting"].FED} == {1}


@pytest.mark.parametrize("name", ["cat:1.jpg", "10:30.png", "https:cat.jpg", "timm:cat.jpg", "a:b"])
def test_a_picture_with_a_colon_in_its_name_is_a_picture(name, network, picture, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(picture.read_bytes())

    assert main(["cam", name, network, "--target-layers", "2", "--save-path", "out.png"]) == 0
    assert name in capsys.readouterr().out


def test_folders_patterns_and_checkpoints_with_a_colon_are_found(network, picture, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trip:rome").mkdir()
    (tmp_path / "trip:rome" / "a.jpg").write_bytes(picture.read_bytes())
    (tmp_path / "10:30.jpg").write_bytes(picture.read_bytes())

    for words in (["trip:rome"], ["10:3?.jpg"], ["trip:rome", "10:30.jpg"]):
        assert main(["cam", *words, network, "--target-layers", "2"]) == 0
    assert main(["cam", "10:30.jpg", network, "no:such.pth"]) == 2
    assert "no such checkpoint: no:such.pth" in capsys.readouterr().err


def test_a_config_with_a_colon_in_its_name_is_opened(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run:2.py").write_text("lr = 1\n")

    assert main(["config", "run:2.py"]) == 0
    assert main(["lr", "run:2.py"]) == 2
    assert "no kind of source" not in capsys.readouterr().err


@pytest.mark.parametrize(("words", "status"), [([], 0), (["--strict"], 1)], ids=str)
def test_bad_pictures_are_counted_and_strict_runs_end_with_one(words, status, network, picture, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")

    assert main(["cam", str(picture), str(tmp_path / "broken.png"), network, "--target-layers", "2", *words]) == status
    assert capsys.readouterr().err.splitlines()[-1] == "1 of 2 pictures could not be read"
    assert main(["cam", str(picture), network, "--target-layers", "2", *words]) == 0


def test_pages_of_maps_name_the_pictures_that_have_none(network, picture, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    words = ["cam", str(picture), str(tmp_path / "broken.jpg"), network, "--target-layers", "2"]

    assert main([*words, "--save-path", f"{tmp_path / 'maps'}/", "--html", str(tmp_path / "one.html")]) == 0

    for page in ("maps/index.html", "one.html"):
        after = (tmp_path / page).read_text(encoding="utf-8").partition(">Bad files<")[2]
        assert "broken.jpg: " in after
        assert "picture.jpg" not in after.partition("</section>")[0]


def test_a_damaged_picture_that_decodes_is_bad_too(network, picture, tmp_path, capsys):
    whole = picture.read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")

    assert main(["cam", str(tmp_path / "cut.jpg"), network, "--target-layers", "2", "--strict"]) == 1
    told = capsys.readouterr()
    assert "cut.jpg: damaged data, shown as decoded" in told.err
    assert "hottest at" in told.out


@pytest.mark.skipif(sys.platform == "win32", reason="signals end a process at once there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_stopped_run_says_how_far_it_came_and_keeps_what_is_whole(number, picture, tmp_path):
    (tmp_path / "slow.py").write_text(NETWORK.format(wait=0.2))
    (tmp_path / "many").mkdir()
    for copy in range(60):
        (tmp_path / "many" / f"{copy:02}.jpg").write_bytes(picture.read_bytes())
    words = [
        str(tmp_path / "many"),
        f"py:{tmp_path / 'slow.py'}:net",
        "--target-layers",
        "2",
        "--batch-size",
        "1",
        "--verbose",
    ]
    command = [sys.executable, "-u", "-m", "classlens", "cam", *words, "--save-path", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.readline()
        run.send_signal(number)
        _, said = run.communicate(timeout=60)

    assert run.returncode == 128 + number
    assert said.splitlines()[-1].startswith("stopped, ")
    assert "of 60 pictures" in said
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert 0 < len(names) < 60
    assert not any(name.startswith(".") for name in names)


def test_of_many_pictures_and_bad_ones_the_first_are_named_and_the_others_counted(network, picture, tmp_path, capsys):
    for number in range(12):
        (tmp_path / "many").mkdir(exist_ok=True)
        (tmp_path / "many" / f"{number}.jpg").write_bytes(picture.read_bytes())
        (tmp_path / "many" / f"bad{number}.jpg").write_bytes(b"no picture")
    words = ["cam", str(tmp_path / "many"), network, "--target-layers", "2", "--save-path", str(tmp_path / "out")]

    assert main([*words, "--csv", str(tmp_path / "maps.csv")]) == 0

    told = capsys.readouterr()
    assert told.out.splitlines()[-3:] == [
        f"wrote 12 pictures in {tmp_path}/out",
        f"wrote {tmp_path}/maps.csv",
        f"wrote {tmp_path}/out/index.html",
    ]
    assert told.err.splitlines()[-2:] == [
        "bad:   and 2 more; --verbose or --csv FILE lists them",
        "12 of 24 pictures could not be read",
    ]


def test_scores_of_two_checkpoints_have_means_of_each(tmp_path, capsys):
    target = write_network(tmp_path)
    write_pictures(tmp_path / "photos", 2)
    net = classlens.open_source(target).classifier().module
    for name, factor in (("sure", 8.0), ("unsure", 0.0)):
        state = {key: value * (factor if key.startswith("6") else 1) for key, value in net.state_dict().items()}
        torch.save(state, tmp_path / f"{name}.pth")
    checkpoints = [str(tmp_path / f"{name}.pth") for name in ("sure", "unsure")]
    words = [
        "cam",
        str(tmp_path / "photos"),
        target,
        "--checkpoint",
        *checkpoints,
        "--target-layers",
        "1",
        "--evaluate",
    ]

    assert main([*words, "--method", "EigenCAM"]) == 0

    said = capsys.readouterr().out
    table = said[said.index("mean of 2 maps each") :].splitlines()
    named = dict.fromkeys(line.split(" at ")[0].strip() for line in table if " at " in line)
    assert list(named) == ["sure: EigenCAM", "unsure: EigenCAM"]
