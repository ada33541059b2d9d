"""Many pictures at once: names in grids, pages, class folders, tables, an index, interruptions, two checkpoints."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image as Pillow

import classlens
from classlens import MapOptions, MapRequest, ModelRequest
from classlens.cli.main import main

torch = pytest.importorskip("torch")

NETWORK = """
import time
import torch
from torch import nn

torch.manual_seed(0)
norm = nn.BatchNorm2d(4)
net = nn.Sequential(
    nn.Conv2d(3, 4, 9, 8), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
).eval()
"""
NAMES = ["--classes", "cat,cup,dog", "--target-layers", "1"]


@pytest.fixture
def network(tmp_path):
    (tmp_path / "net.py").write_text(NETWORK)
    return f"py:{tmp_path / 'net.py'}:net"


@pytest.fixture
def checkpoints(tmp_path):
    """Two that predict other classes, and one that does not fit."""
    scope = {}
    exec(NETWORK, scope)
    weights = scope["net"].state_dict()
    for number, bias in enumerate([(9.0, 0, 0), (0, 9.0, 0)]):
        torch.save(weights | {"5.bias": torch.tensor(bias)}, tmp_path / f"epoch_{number}.pth")
    torch.save({"5.bias": torch.zeros(7)}, tmp_path / "other.pth")
    return [str(tmp_path / f"{name}.pth") for name in ("epoch_0", "epoch_1", "other")]


def save_picture(place, seed=0, size=(40, 30)):
    place.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(place)


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(["cat", "cup", "dog"] * 11):
        save_picture(tmp_path / "photos" / name / f"{number:02}.png", number)
    return tmp_path / "photos"


def table_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_many_pictures_are_pages_of_a_sensible_size_and_one_line_of_summary(network, photos, tmp_path, capsys):
    assert main(["cam", str(photos), network, *NAMES, "--save-path", str(tmp_path / "maps.png")]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"33 of 33 pictures; .*; \d+ of 33 labelled right", lines[0])
    assert lines[1:] == [f"wrote {tmp_path / 'maps_1.png'}", f"wrote {tmp_path / 'maps_2.png'}"]
    for number in (1, 2):
        with Pillow.open(tmp_path / f"maps_{number}.png") as page:
            assert max(page.size) < 2300
            assert max(page.size) < 2 * min(page.size)


def test_a_pdf_has_pages_of_paper_and_the_names_of_the_files(network, photos, tmp_path):
    pypdf = pytest.importorskip("pypdf")

    assert main(["cam", str(photos), network, *NAMES, "--save-path", str(tmp_path / "maps.pdf")]) == 0

    pages = pypdf.PdfReader(tmp_path / "maps.pdf").pages
    text = "\n".join(page.extract_text() for page in pages)
    assert len(pages) > 1
    assert all(page.mediabox.width <= 8.27 * 72 and page.mediabox.height <= 11.69 * 72 for page in pages)
    assert all("share of the map's maximum" in page.extract_text() for page in pages)
    assert all(f"{path.parent.name}/{path.name}" in text for path in photos.rglob("*.png"))


def test_a_folder_keeps_its_folders_and_pictures_of_one_name_stay_apart(network, tmp_path):
    for number, place in enumerate(["cat/1.png", "cat/1.jpg", "dog/1.png", "dog/A.png", "dog/a.jpg"]):
        save_picture(tmp_path / "photos" / place, number)
    out = tmp_path / "maps"

    assert main(["cam", str(tmp_path / "photos"), network, *NAMES, "--save-path", str(out)]) == 0

    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    assert len({name.casefold() for name in names}) == 5
    assert {"cat/1.png", "cat/1_2.png", "dog/1.png"} < set(names)


def test_several_folders_each_have_their_own(network, tmp_path):
    for split in ("train", "val"):
        save_picture(tmp_path / split / "cat" / "1.png")
    out = tmp_path / "maps"

    words = [str(tmp_path / "train"), str(tmp_path / "val"), network, *NAMES, "--save-path", str(out)]
    assert main(["cam", *words]) == 0

    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    assert names == ["train/cat/1.png", "val/cat/1.png"]


def test_a_table_has_prediction_label_place_and_what_is_bad(network, photos, tmp_path, monkeypatch):
    (photos / "cat" / "broken.png").write_bytes(b"no picture")
    monkeypatch.chdir(photos / "cat")
    save_picture(photos / "cat" / "=1+1.png")

    assert main(["cam", str(photos), network, *NAMES, "--csv", str(tmp_path / "maps.csv")]) == 0
    rows = table_of(tmp_path / "maps.csv")
    assert main(["cam", "=1+1.png", network, *NAMES, "--csv", str(tmp_path / "one.csv")]) == 0

    assert len(rows) == 35
    assert {row["label"] for row in rows if not row["error"]} == {"cat", "cup", "dog"}
    assert all(row["correct"] == str(row["prediction"] == row["label"]) for row in rows if not row["error"])
    assert all(0 <= int(row["hottest x"]) < 40 and 0 <= int(row["hottest y"]) < 30 for row in rows if row["hottest x"])
    assert "not a picture" in rows[-1]["error"]
    assert table_of(tmp_path / "one.csv")[0]["file"] == "'=1+1.png"


def test_an_annotation_list_may_stand_for_its_pictures_and_knows_their_classes(network, photos, tmp_path, capsys):
    (photos / "val.txt").write_text("cat/00.png 2\ncup/01.png 1\n")

    assert main(["cam", str(photos / "val.txt"), network, *NAMES, "--json"]) == 0

    maps = json.loads(capsys.readouterr().out)["maps"]
    assert [(one["label"], one["label_index"]) for one in maps] == [("dog", 2), ("cup", 1)]
    assert [one["correct"] for one in maps] == [one["predicted"] == one["label_index"] for one in maps]


class Figures(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.tags, self.texts = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img" and not dict(attrs)["src"].startswith("data:"):  # which the scale of colours is
            assert dict(attrs)["loading"] == "lazy"
            self.sources.append(unquote(dict(attrs)["src"], errors="surrogateescape"))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)<", "a & 'b' \"c\" #?%41", "猫 صورة 😀", "two\nlines", "caf\udce9"], ids=ascii
)
def test_the_index_of_a_folder_shows_every_picture_and_its_name_as_text(name, network, tmp_path):
    save_picture(tmp_path / "photos" / name / f"{name}.png")
    save_picture(tmp_path / "photos" / "plain.png")
    out = tmp_path / "maps"

    for place in (out, tmp_path / "maps.png"):
        assert main(["cam", str(tmp_path / "photos"), network, *NAMES, "--save-path", str(place)]) == 0

    page = Figures()
    page.feed((out / "index.html").read_text(encoding="utf-8"))
    assert sorted(out / source for source in page.sources) == sorted(out.rglob("*.png"))
    assert "script" in page.tags  # its own
    assert not any("alert" in text and "<" not in text for text in page.texts)


def test_two_checkpoints_stand_in_one_figure_and_disagreement_is_said(network, photos, checkpoints, tmp_path, capsys):
    words = ["cam", str(photos / "cat" / "00.png"), network, *NAMES, "--checkpoint", *checkpoints[:2]]

    assert main([*words, "--save-path", str(tmp_path / "both.svg"), "--csv", str(tmp_path / "both.csv")]) == 0
    said = capsys.readouterr().out
    assert main([*words, "--target-category", "dog", "--json"]) == 0

    assert "epoch_0: 0 cat" in said
    assert "epoch_1: 1 cup" in said
    drawn = (tmp_path / "both.svg").read_text()
    assert all(f">{word}" in drawn for word in ("epoch_0", "epoch_1", "differ: epoch_0: cat", "00.png"))
    rows = table_of(tmp_path / "both.csv")
    assert [(row["checkpoint"], row["prediction"]) for row in rows] == [("epoch_0", "cat"), ("epoch_1", "cup")]
    told = json.loads(capsys.readouterr().out)
    assert [one["class_name"] for one in told["maps"]] == ["dog", "dog"]
    assert [one["predicted_name"] for one in told["maps"]] == ["cat", "cup"]


def test_a_checkpoint_that_does_not_fit_is_an_error_before_any_work(network, photos, checkpoints, tmp_path, capsys):
    out = tmp_path / "maps"

    assert main(["cam", str(photos), network, *NAMES, "--checkpoint", *checkpoints, "--save-path", str(out)]) == 2

    assert "other.pth does not fit the model" in capsys.readouterr().err
    assert not out.exists()
    assert main(["cam", str(photos), network, "--checkpoint", checkpoints[0], checkpoints[0]]) == 2
    assert "is named twice" in capsys.readouterr().err


def test_checkpoints_are_compared_from_python_too(network, photos, checkpoints):
    model = ModelRequest(network, checkpoints[:2], class_names="cat,cup,dog")

    run = classlens.explain_files(MapRequest([photos / "cat"], model, MapOptions(layers=["1"])))

    assert {(row.values["checkpoint"], row.subject.class_name) for row in run.maps} == {
        ("epoch_0", "cat"),
        ("epoch_1", "cup"),
    }
    assert run.summary().endswith("predictions differ for 11")


@pytest.mark.skipif(sys.platform == "win32", reason="signals end a process at once there")
def test_scores_that_are_stopped_are_kept_and_were_forecast(network, photos, tmp_path):
    words = [str(photos), network, *NAMES, "--evaluate", "--csv", str(tmp_path / "scores.csv"), "--json", "--verbose"]
    command = [sys.executable, "-u", "-m", "classlens", "cam", *words, "--batch-size", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        for line in run.stderr:
            if "scores of 33 pictures take about" in line:
                break
        time.sleep(0.5)
        run.send_signal(signal.SIGTERM)
        told, said = run.communicate(timeout=60)

    done = int(re.search(r"stopped, (\d+) of 33 pictures explained; what was written is whole", said)[1])
    rows = table_of(tmp_path / "scores.csv")
    assert 0 < done == len(rows) < 33
    assert all(float(row["deletion"]) >= 0 for row in rows)
    assert json.loads(told)["stopped"] == {"done": done, "of": 33}
    assert len(json.loads(told)["maps"]) == done
