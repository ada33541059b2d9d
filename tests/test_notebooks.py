"""Notebooks are executed as a front end would, and what their cells show is looked at."""

import base64
import textwrap
from io import BytesIO
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
from PIL import Image as Pillow

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[1]

SHOWN = {
    "trace": 'source = cl.open_source("demo"); cl.trace(source.dataset("train"), index=40, seed=0)',
    "curves": "cl.replay(source.schedule(), cl.Clock(epochs=40, steps_per_epoch=14))",
    "explanation": """
        photo = cl.read_image("demo/photos/chelsea.png")
        maps = cl.explain(source.classifier(), photo, methods=["GradCAM", "LayerCAM"], targets=["tabby", "tiger cat"])
        maps
    """,
    "saliency": "maps[0]",
    "heatmap": "maps[0].heatmap()",
    "image": "photo",
    "batch": """
        from classlens.dataset.batch import mixed_batch
        from classlens.dataset.dataset import BatchPlan, Mixing
        mixed_batch(source.dataset("train"), [0, 40, 80, 120], BatchPlan(4, (Mixing("CutMix", 1.0),)), seed=1)
    """,
}
OWN = """
    from torchvision import transforms

    training = transforms.Compose([transforms.RandomResizedCrop(64), transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    folder = cl.open_source("demo").dataset("train").sample(0).path.rpartition("/")[0].rpartition("/")[0]
    mine = cl.open_source((f"folder:{folder}", training, "timm:test_vit?pretrained=false"))
    strip = cl.trace(mine.dataset(), index=3, seed=1)
    strip
"""


@pytest.fixture(scope="module")
def outputs():
    """What every cell shows, by media type."""
    cells = {"import": "import classlens as cl", **SHOWN, "own": OWN, "own map": "cl.explain(mine.classifier(), photo)"}
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(text).strip()) for text in cells.values()],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    client = nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(ROOT)}})
    client.execute()
    return {
        name: next((output["data"] for output in cell.outputs if "data" in output), {})
        for name, cell in zip(cells, notebook.cells, strict=True)
    }


def picture(data) -> np.ndarray:
    return np.asarray(Pillow.open(BytesIO(base64.b64decode(data["image/png"]))).convert("RGB"))


@pytest.mark.parametrize("name", [*SHOWN, "own", "own map"])
def test_every_result_shows_a_picture_with_something_in_it_and_a_short_text(outputs, name):
    data = outputs[name]

    assert picture(data).std() > 10
    assert data["text/plain"].startswith(("<", "Curves", "Explanation"))
    assert all(len(line) < 300 for line in data["text/plain"].splitlines())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trace", "LoadImageFromFile > RandomResizedCrop > RandomFlip > ColorJitter"),
        ("explanation", "LayerCAM"),
        ("batch", "CutMix"),
        ("own", "original > RandomResizedCrop > RandomHorizontalFlip > ToTensor"),
        ("own map", "GradCAM"),
    ],
)
def test_the_text_of_a_result_says_what_it_is(outputs, name, words):
    assert words in outputs[name]["text/plain"]


def test_everything_that_can_be_drawn_shows_and_saves_itself_in_one_way():
    from classlens.figures import DRAWERS
    from classlens.results import Drawable

    kinds = [resolve_name(name) for name in DRAWERS]
    assert [kind.__name__ for kind in kinds if kind._repr_mimebundle_ is not Drawable._repr_mimebundle_] == []
    assert [kind.__name__ for kind in kinds if kind.save is not Drawable.save] == []


def test_importing_classlens_in_a_plain_interpreter_loads_no_notebook_code():
    import subprocess
    import sys

    code = "import classlens, sys; print('classlens.figures' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "False"
