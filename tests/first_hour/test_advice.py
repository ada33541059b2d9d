"""What a new user was told, and followed: every word of advice has to work when it is taken."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import classlens as cl
from classlens.cam.saliency import ExplainedClass
from classlens.cli.main import main
from classlens.errors import DataError
from classlens.figures.filmstrip import name_of
from classlens.files import CONFIGS, PHOTOS
from classlens.image import Encoding, pictures_in
from classlens.runs.explain_files import MapRow

CAT = str(PHOTOS / "chelsea.png")
LITE = str(CONFIGS / "demo" / "efficientnet-lite0_photos.py")


@pytest.mark.parametrize("layer", ["backbone.layers.3", "backbone.layers.0.bn", "backbone.layers.5.0.linear_conv"])
def test_the_layer_that_a_warning_recommends_can_be_used_and_warns_no_more(layer, capsys):
    assert main(["cam", CAT, LITE, "--method", "FEM", "--target-layers", layer]) == 0
    (advised,) = re.findall(r"e\.g\. --target-layers (\S+)", capsys.readouterr().err)

    assert main(["cam", CAT, LITE, "--method", "FEM", "--target-layers", advised]) == 0
    assert "negative" not in capsys.readouterr().err


def test_a_list_of_layers_is_told_as_one_that_does_not_run(capsys):
    assert main(["cam", CAT, LITE, "--target-layers", "backbone.layers"]) == 2
    assert "layer 'backbone.layers' did not run, or put out no tensor" in capsys.readouterr().err


def test_the_line_the_table_and_the_json_name_one_hottest_place_in_pixels_of_the_picture(tmp_path, capsys):
    words = ["cam", CAT, "demo", "--csv", str(tmp_path / "maps.csv")]
    assert main(words) == 0
    x, y = re.search(r"hottest at x (\d+), y (\d+)", capsys.readouterr().out).groups()
    with (tmp_path / "maps.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["hottest x"], row["hottest y"]) == (x, y)

    main([*words, "--json"])
    (one,) = json.loads(capsys.readouterr().out)["maps"]
    assert one["hottest_in_picture"] == [int(x), int(y)]


def refused(words, capsys):
    """The hint of a command that is refused."""
    try:
        status = main(words)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    return capsys.readouterr().err.partition("\nhint:  ")[2].strip()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["cam", "demo", "--no-such-option"], "classlens cam --help lists every option"),
        (["browse", "demo", "--save-path", "x.pdf"], "classlens browse --help lists every option"),
        (["cam", "demo", "--save-pth", "x.png"], "did you mean --save-path?"),
        (["cam", str(PHOTOS / "chelsae.png"), "demo"], "did you mean chelsea.png?"),
        (["cam", CAT, "demo", "a.pth", "b.pth"], "several weights are compared by --checkpoint a.pth b.pth"),
    ],
)
def test_only_close_names_are_suggested(words, hint, capsys):
    assert refused(words, capsys) == hint


def test_a_missing_checkpoint_lists_no_files_that_are_unlike_it(tmp_path, capsys):
    for name in ("x.pth", "golden.pkl"):
        (tmp_path / name).write_bytes(b"")
    assert "x.pth" not in refused(["cam", CAT, "demo", str(tmp_path / "nope.pth")], capsys)


@pytest.mark.parametrize("name", ["strip.pdf", "strip.svg", "a.PNG", "page.html"])
def test_a_folder_of_browse_that_is_called_like_a_file_is_refused_by_name(name, tmp_path, capsys):
    hint = refused(["browse", "demo", "-m", "pipeline", "--index", "3", "--output-dir", str(tmp_path / name)], capsys)
    assert "in Python, cl.draw(cl.trace(dataset, 0)).save(" in hint
    assert not (tmp_path / name).exists()


def test_a_page_of_pictures_without_labels_names_their_files(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(CAT, folder / "cat.png")
    assert main(["browse", f"folder:{folder}", "--html", str(tmp_path / "page.html")]) == 0
    assert "<figcaption><b>cat.png</b>" in (tmp_path / "page.html").read_text()
    assert name_of((), str(folder / "cat.png")) == "cat.png"
    assert name_of(("cat",), "cat.png") == "cat"
    assert name_of((), None) == "no label"


def test_a_batch_says_whether_it_is_mixed_and_what_was_written(tmp_path, capsys):
    assert main(["browse", "demo", "--batch", "4", "--output-dir", str(tmp_path / "b")]) == 0
    assert f"batch 1: 4 samples, not mixed; wrote {tmp_path / 'b' / 'batch_001.jpg'}" in capsys.readouterr().out


def test_a_class_without_a_name_is_told_once():
    row = MapRow(
        Path("a.png"),
        ExplainedClass(1, 0.5, 0.66, "1"),
        {"empty": True, "method": "GradCAM", "layers": ["2"]},
    )
    assert str(row).startswith("a.png: class 1 (66.0%), ")


@pytest.mark.parametrize("shape", [(20, 30, 3), (3, 20, 30), (20, 30), (2, 20, 30, 3), (2, 3, 20, 30)])
@pytest.mark.parametrize("kind", ["0..1", "0..255", "uint8", "uint16", "tensor", "bytes"])
def test_the_encoding_that_a_hint_proposes_reads_the_array_when_it_is_copied(shape, kind):
    values = np.random.default_rng(0).random(shape)
    values.flat[0] = 1.0
    made = {
        "0..1": values,
        "0..255": values * 255,
        "uint8": (values * 255).astype(np.uint8),
        "uint16": (values * 65535).astype(np.uint16),
        "tensor": torch.from_numpy(values),
        "bytes": torch.from_numpy((values * 255).astype(np.uint8)),
    }[kind]
    expected = (values * 255).round()
    try:
        pictures_in(made, None, where="images")
    except DataError as error:
        proposed = eval(re.search(r"cl\.(Encoding\(.*?\))", error.hint)[1], {"Encoding": Encoding})
    else:
        return  # uint8 with channels last can be read in one way only
    (picture, _), *_ = pictures_in(made, proposed, where="images")
    first = expected[0] if expected.ndim == 4 else expected
    first = np.stack([first] * 3, -1) if first.ndim == 2 else first.transpose(1, 2, 0) if first.shape[0] == 3 else first
    assert np.abs(picture.pixels - first).max() <= 1


def test_wrong_calls_are_short_errors_and_those_that_python_has():
    classifier, dataset = cl.open_source("demo").classifier(), cl.open_source("demo").dataset("train")
    calls = {
        TypeError: [
            lambda: cl.explain("demo", CAT),
            lambda: cl.explain(classifier, 3),
            lambda: cl.draw(3),
            lambda: cl.trace("demo", 0),
        ],
        ValueError: [lambda: cl.explain(classifier, []), lambda: cl.explain(classifier, CAT, targets=(1, 2))],
        IndexError: [lambda: cl.trace(dataset, index=99_999)],
    }
    for kind, wrong in calls.items():
        for call in wrong:
            with pytest.raises(cl.ClasslensError) as caught:
                call()
            assert isinstance(caught.value, kind)


def test_maps_are_found_by_the_synonym_that_they_were_asked_for():
    result = cl.explain(cl.open_source("demo").classifier(), CAT, targets=["tabby", "tiger cat"])
    assert len(result.where(target="tabby")) == 1
    assert result.where(target="tabby cat")[0].subject.class_name == "tabby, tabby cat"


def test_maps_save_themselves_as_the_table_that_the_command_writes(tmp_path):
    assert main(["cam", CAT, "demo", "--csv", str(tmp_path / "command.csv")]) == 0
    cl.explain(cl.open_source("demo").classifier(), CAT).save(tmp_path / "python.csv")

    rows = []
    for name in ("command.csv", "python.csv"):
        with (tmp_path / name).open(newline="") as file:
            (row,) = csv.DictReader(file)
        rows.append(row)
    same = [name for name in rows[1] if not name.startswith(("hottest", "label", "correct", "file"))]
    assert list(rows[0])[:-1] == list(rows[1])
    assert [rows[0][name] for name in same] == [rows[1][name] for name in same]
    assert Path(rows[1]["file"]).name == "chelsea.png"
