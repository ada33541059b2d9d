"""Every command that writes, asked to write where nothing can be written: one error that names the place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow

from classlens.cli.main import main
from classlens.files import PHOTOS

CAT = str(PHOTOS / "chelsea.png")
CONFIG = "configs/resnet/resnet50_8xb32_in1k.py"
COMMANDS = [
    ["demo", "--output-dir", "PLACE"],
    ["browse", "demo", "-n", "1", "-o", "PLACE"],
    ["browse", "demo", "-n", "1", "-o", "PLACE", "--grid", "1x1"],
    ["browse", "demo", "-n", "1", "-o", "PLACE", "--batch", "1"],
    ["browse", "demo", "-n", "1", "--html", "PLACE/page.html"],
    ["lr", CONFIG, "-d", "1000", "--save-path", "PLACE/lr.png"],
    ["lr", CONFIG, "-d", "1000", "--html", "PLACE/lr.html"],
    ["lr", CONFIG, "-d", "1000", "--csv", "PLACE/lr.csv"],
    ["cam", CAT, "demo", "--save-path", "PLACE/cam.png"],
    ["cam", CAT, "demo", "--save-path", "PLACE"],
    ["cam", CAT, "demo", "--npz", "PLACE/cam.npz"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(word for word in words if "/" not in word))
@pytest.mark.parametrize("place", ["/proc/nope", "FILE"])
def test_a_place_that_takes_no_files_is_one_error(words, place, tmp_path, capsys):
    if place == "/proc/nope" and not Path("/proc/self").exists():
        pytest.skip("there is no such place here")
    if place == "FILE":
        place = str(tmp_path / "file" / "inside")
        (tmp_path / "file").write_text("not a folder")

    assert main([word.replace("PLACE", place) for word in words]) == 2

    error = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert error.startswith(f"error: cannot write {place}")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_one_error(tmp_path, capsys):
    (tmp_path / "closed").mkdir(mode=0o500)

    assert main(["browse", "demo", "-n", "1", "-o", str(tmp_path / "closed" / "out")]) == 2
    assert "permission denied" in capsys.readouterr().err


def test_the_demo_never_takes_away_pictures_that_it_did_not_make(tmp_path, capsys):
    mine = tmp_path / "photos" / "holiday.jpg"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")

    assert main(["demo", "--output-dir", str(tmp_path)]) == 2

    assert "holiday.jpg in it is not the demo's" in capsys.readouterr().err
    assert mine.read_bytes() == b"mine"


def test_a_rescale_factor_of_one_can_be_asked_for(tmp_path):
    (tmp_path / "photos").mkdir()
    Pillow.new("RGB", (900, 600), (200, 30, 30)).save(tmp_path / "photos" / "0.png")
    widths = {}
    for name, words in {"fitted": [], "one": ["--rescale-factor", "1"], "half": ["--rescale-factor", "0.5"]}.items():
        for kind in (["--grid", "1x1"], ["--mode", "concat"], ["--batch", "1"]):
            out = tmp_path / name / kind[0]
            assert main(["browse", f"folder:{tmp_path / 'photos'}", "-o", str(out), *kind, *words]) == 0
            with Pillow.open(next(out.rglob("*.jpg"))) as made:
                widths[name, kind[0]] = made.size

    assert widths["fitted", "--grid"][0] == 10 + 288 + 10
    assert widths["one", "--grid"][0] == 10 + 900 + 10
    assert widths["half", "--grid"][0] == 10 + 450 + 10
    for kind in ("--mode", "--batch"):
        assert widths["fitted", kind][1] < widths["half", kind][1] < widths["one", kind][1]
        assert widths["one", kind][1] > 600


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no such place here")
def test_a_table_can_go_through_a_pipe():
    command = [sys.executable, "-m", "classlens", "lr", CONFIG, "-d", "1000", "--csv", "/dev/stdout", "--not-show"]

    found = subprocess.run(command, capture_output=True, text=True, check=True)

    assert found.stdout.startswith("step,")
    assert found.stdout.rstrip().endswith("wrote /dev/stdout")
