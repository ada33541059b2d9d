"""The documented `vis_pipeline.py` of mmcls 0.25, called as there."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.cli.main import main

SCRIPT = Path(__file__).parents[2] / "tools" / "visualizations" / "vis_pipeline.py"


def stages(*words, capsys):
    assert main(["browse", "demo", "--number", "1", "--mode", "pipeline", "--json", *words]) == 0
    return [one["stage"] for one in json.loads(capsys.readouterr().out)["samples"][0]["stages"]]


def test_its_arguments_draw_pairs_and_open_no_window(tmp_path):
    words = ["demo", "--skip-type", "ToTensor", "Normalize", "ImageToTensor", "Collect", "--phase", "val"]
    words += ["--output-dir", str(tmp_path / "out"), "--number", "3", "--bgr2rgb", "--window-size", "12*7"]

    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote 3 pictures of val to {tmp_path / 'out'}\n"
    assert json.loads((tmp_path / "out" / "browse.json").read_bytes())["mode"] == "concat"
    numbers = sorted(path.name.partition("_")[0] for path in (tmp_path / "out").rglob("*.jpg"))
    assert [int(number) for number in numbers] == [0, 1, 2]


def test_skipped_stages_are_left_out(capsys):
    every = stages(capsys=capsys)

    assert "RandomFlip" in every
    assert stages("--skip-type", "RandomFlip", "Normalize", capsys=capsys) == [
        one for one in every if one != "RandomFlip"
    ]


def test_a_stage_that_is_not_there_cannot_be_skipped(capsys):
    assert main(["browse", "demo", "--skip-type", "RandomFlp"]) == 2

    assert capsys.readouterr().err.endswith("hint:  did you mean RandomFlip?\n")


def test_pictures_of_other_stages_do_not_mix(tmp_path, capsys):
    words = ["browse", "demo", "-n", "1", "-o", str(tmp_path)]

    assert main(words) == main(words) == 0
    assert main([*words, "--adaptive"]) == 2
    assert main([*words, "--skip-type", "RandomFlip"]) == 2

    assert "made with skip-type not given (now RandomFlip)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "edges"), [((32, 64), (200, 400)), ((400, 2000), (160, 800)), ((300, 400), (300, 400))]
)
def test_adaptive_brings_the_edges_between_two_lengths(size, edges, tmp_path):
    (tmp_path / "photos").mkdir()
    Pillow.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "photos" / "one.png")
    words = ["browse", f"folder:{tmp_path / 'photos'}", "--mode", "original", "--adaptive", "-o", str(tmp_path / "out")]

    assert main(words) == 0

    (drawn,) = (tmp_path / "out").rglob("*.jpg")
    pixels = np.asarray(Pillow.open(drawn).convert("L"))
    dark = pixels < 40  # the heading lies above, on white
    assert abs(dark.all(axis=1).sum() - edges[0]) <= 2 or abs(dark[:, : edges[1]].all(axis=1).sum() - edges[0]) <= 2
