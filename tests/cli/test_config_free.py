"""A folder of photos, a pipeline of one's own and a model by name, from the shell: no config, no class, no source read."""

import json

import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.cli.main import main

pytest.importorskip("timm")
pytest.importorskip("torchvision")

MINE = """
import math
from torchvision import transforms

compose = transforms.Compose([
    transforms.RandomResizedCrop(64), transforms.RandomHorizontalFlip(), transforms.RandAugment(), transforms.ToTensor(),
])
data = ("folder:photos", compose)

def lr(position):
    return 0.1 * (1 + math.cos(math.pi * position)) / 2
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for place, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            noise = np.random.default_rng(2 * place + number).integers(0, 256, (90, 120, 3), dtype=np.uint8)
            Pillow.fromarray(noise).save(tmp_path / "photos" / name / f"{number}.jpg")
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pipeline_is_shown_on_the_photos_stage_by_stage(folder, capsys):
    words = ["browse", "py:mine.py:data", "--mode", "pipeline", "--output-dir", "out", "--not-show"]

    assert main(words) == 0

    sheets = sorted(path.relative_to(folder / "out") for path in (folder / "out").rglob("*.jpg"))
    assert [str(path.parent) for path in sheets] == ["cat", "cat", "dog", "dog"]
    with Pillow.open(folder / "out" / sheets[0]) as sheet:
        assert sheet.width > 4 * 64


def test_the_model_is_looked_at_by_name(folder, capsys):
    words = ["cam", "photos/cat/0.jpg", "timm:test_resnet?pretrained=false", "--save-path", "map.png"]

    assert main(words) == 0

    assert (folder / "map.png").is_file()
    assert "GradCAM at layer4.0," in capsys.readouterr().out


def test_the_schedule_is_a_function_in_the_same_file(folder, capsys):
    assert main(["lr", "py:mine.py:lr", "--epochs", "10", "--epoch-length", "10", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert "0.1" in json.dumps(told)


def test_a_transform_alone_asks_for_its_pictures(capsys):
    assert main(["browse", "py:mine.py:compose"]) == 2

    assert capsys.readouterr().err == (
        "error: py:mine.py:compose is a transform without pictures\n"
        'hint:  give the pictures, too: data = ("folder:PATH", transform)\n'
    )
