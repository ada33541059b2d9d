"""Maps of many files from Python: what the command does, without its words."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import classlens
from classlens import MapFiles, MapOptions, MapRequest, ModelRequest
from classlens.errors import DataError, NotFound
from classlens.image import Image
from classlens.runs.map_files import find_places
from classlens.runs.picture_origins import list_pictures, true_classes

NETWORK = """
import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 4, 9, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1)
).eval()
"""
LAYERS = MapOptions(layers=["1"])


@pytest.fixture
def model(tmp_path):
    (tmp_path / "net.py").write_text(NETWORK)
    return ModelRequest(f"py:{tmp_path / 'net.py'}:net", class_names="cat,cup,dog")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_maps_of_a_folder_are_written_told_and_listed(model, photos, tmp_path):
    rows, notes = [], []

    run = classlens.explain_files(
        MapRequest([photos], model, LAYERS, MapFiles(tmp_path / "maps")),
        on_map=rows.append,
        on_note=lambda kind, text: notes.append((kind, text)),
    )

    assert run.written == tuple(tmp_path / "maps" / f"{number}.png" for number in range(3))
    assert all(path.is_file() for path in run.written)
    assert tuple(rows) == run.maps
    assert [(one.picture.name, one.readable) for one in run.bad] == [("broken.png", False)]
    assert any(kind == "note" and "ends in a softmax" in text for kind, text in notes)
    assert [Path(one["picture"]).name for one in run.as_data()["maps"]] == ["0.png", "1.png", "2.png"]
    json.dumps(run.as_data())


def test_a_run_draws_itself_as_a_line_for_every_map_and_every_bad_picture(model, photos):
    run = classlens.explain_files(MapRequest([photos], model, LAYERS))

    lines = str(classlens.draw(run)).splitlines()
    assert ["GradCAM at 1" in line for line in lines] == [True, True, True, False]
    assert lines[-1].startswith("bad: ")
    assert "broken.png" in lines[-1]


def test_a_name_that_is_no_utf8_is_spelled_out_in_json():
    run = classlens.MapRun((), (), (Path("a\udcff.png"),), ())

    assert json.loads(classlens.draw(run).encode(".json"))["written"] == [r"a\xff.png"]


def test_scores_are_a_result_that_draws_itself(model, photos, tmp_path):
    options = dataclasses.replace(LAYERS, evaluate=True, boxes=["0", "0", "40", "60"])

    run = classlens.explain_files(MapRequest([photos / "0.png"], model, options))

    table = classlens.draw(run.scores)
    assert "deletion" in table.text
    assert "sanity:" in table.text
    assert run.scores.means()[0]["own"]["energy"] is not None
    table.save(tmp_path / "scores.txt")
    assert (tmp_path / "scores.txt").read_text() == f"{table.text}\n"


def test_progress_counts_all_pictures_those_that_are_bad_too(model, photos):
    told = []

    classlens.explain_files(MapRequest([photos], model, LAYERS), progress=lambda *step: told.append(step))

    assert told[0] == ("pictures", 3, 4)
    assert told[-1] == ("pictures", 4, 4)


def test_the_layers_of_a_model_draw_themselves_as_a_table(model):
    layers = classlens.preview_model(MapRequest([], model))

    assert "Conv2d" in str(classlens.draw(layers))


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (MapRequest([], ModelRequest("demo")), DataError, "no picture is named"),
        (MapRequest(["nowhere.png"], ModelRequest("demo")), DataError, "no such picture: nowhere.png"),
        (MapRequest(["PHOTO"], ModelRequest("demo", "nowhere.pth")), DataError, "no such checkpoint: nowhere.pth"),
        (MapRequest(["PHOTO"], ModelRequest("demo"), MapOptions(["GradCAN"])), NotFound, "no method named 'GradCAN'"),
        (MapRequest(["PHOTO"], ModelRequest("demo"), files=MapFiles(Path("x.docx"))), DataError, "the ending '.docx'"),
    ],
)
def test_a_slip_is_an_error_before_anything_is_opened(request_, error, message, photos):
    pictures = [str(photos / "0.png") if word == "PHOTO" else word for word in request_.pictures]

    with pytest.raises(error, match=message):
        classlens.explain_files(dataclasses.replace(request_, pictures=pictures))


def test_a_request_is_made_and_checked_without_torch():
    code = """
import sys, classlens
request = classlens.MapRequest(["nowhere.png"], classlens.ModelRequest("demo"))
try:
    classlens.explain_files(request)
except classlens.ClasslensError as error:
    print(error, "torch" in sys.modules, "matplotlib" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "no such picture: nowhere.png False False\n"


def test_a_plain_overlay_is_written_without_matplotlib(photos, tmp_path):
    code = f"""
import sys
from pathlib import Path
import classlens
classlens.explain_files(classlens.MapRequest([{str(photos / "0.png")!r}], classlens.ModelRequest("demo"),
    files=classlens.MapFiles(Path({str(tmp_path / "map.png")!r}))))
print("matplotlib" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "False\n"


def test_a_table_of_boxes_without_any_of_the_pictures_is_refused(model, photos, tmp_path):
    (tmp_path / "boxes.csv").write_text("name,left,top,right,bottom\nanother.png,1,2,3,4\n")

    with pytest.raises(DataError, match="has a box for none of the pictures"):
        classlens.explain_files(
            MapRequest([photos], model, dataclasses.replace(LAYERS, evaluate=True, boxes=[str(tmp_path / "boxes.csv")]))
        )


def test_contours_are_on_the_pictures_of_a_page(model, photos, tmp_path):
    def page(**style):
        files = MapFiles(page=tmp_path / "page.html", style=classlens.OverlayStyle(**style))
        classlens.explain_files(MapRequest([photos / "0.png"], model, LAYERS, files))
        return (tmp_path / "page.html").read_text()

    assert "data-heat" in page()
    assert "data-heat" not in page(contour=0.5)


@pytest.mark.parametrize("is_grey", [False, True])
def test_a_pipeline_says_where_pixels_come_from_also_where_pictures_become_grey(is_grey):
    def crop(image):
        pixels = image.pixels[:, 20:40]
        grey = pixels.mean(axis=2, keepdims=True).round().repeat(3, axis=2).astype(np.uint8)
        return Image(np.ascontiguousarray(grey if is_grey else pixels))

    places = find_places(crop, (16, 80))

    np.testing.assert_allclose(places[0, :, 0], np.linspace(0, 255, 80)[20:40], atol=0.5)
    np.testing.assert_allclose(places[:, 0, 1], np.linspace(0, 255, 16), atol=0.5)


def test_addresses_of_lists_and_folders_name_their_pictures_with_labels(photos, tmp_path):
    (tmp_path / "list.csv").write_text("path,class\nphotos/0.png,cup\nphotos/1.png,cat\nphotos/2.png,bird\n")

    listed = list_pictures([f"csv:{tmp_path / 'list.csv'}"])
    known = true_classes(listed, ("cat", "cup"), 2)

    assert known == {photos / "0.png": ("cup", 1), photos / "1.png": ("cat", 0), photos / "2.png": ("bird", None)}
    assert list(list_pictures([f"folder:{photos}"])) == [photos / f"{name}.png" for name in (0, 1, 2, "broken")]


def test_as_many_folders_as_classes_are_these_in_order(tmp_path):
    """As ImageNet's n01440764 and its like, where a network knows other names."""
    for folder in ("n02", "n01"):
        (tmp_path / folder).mkdir()
        Pillow.new("RGB", (4, 4)).save(tmp_path / folder / "a.png")

    known = true_classes(list_pictures([tmp_path]), ("tench", "goldfish"), 2)

    assert known == {tmp_path / "n01/a.png": ("n01", 0), tmp_path / "n02/a.png": ("n02", 1)}
