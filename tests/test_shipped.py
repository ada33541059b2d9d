import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classlens.files import CONFIGS, PHOTOS

ROOT = Path(__file__).parents[1]
TEXT = {".py", ".md", ".toml", ".txt", ".js", ".css", ".html", ".yml", ""}
MACHINE_PATHS = re.compile(r"/(?:work|root|home/\w+|Users/\w+)/\w")


def text_files():
    for folder in ("src", "docs", "configs", "tools", "benchmarks", "examples", ".ci"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in TEXT and path.is_file())
    yield from (path for path in ROOT.iterdir() if path.suffix in TEXT and path.is_file() and path.name != ".git")


@pytest.mark.parametrize("folder", [PHOTOS, PHOTOS.parent], ids=lambda folder: folder.name)
def test_every_shipped_photo_has_an_author_and_a_licence(folder):
    attribution = (folder / "ATTRIBUTION.md").read_text(encoding="utf-8")

    photos = [path.name for path in folder.iterdir() if path.is_file() and path.name != "ATTRIBUTION.md"]
    assert [name for name in photos if f"| {name}" not in attribution and f", {name} (" not in attribution] == []


def test_the_wheel_carries_small_copies_of_the_photos():
    names = {path.stem for path in PHOTOS.iterdir()}
    small = {path.stem: path for path in (PHOTOS.parent / "small").iterdir()}

    assert small.keys() == names
    assert sum(path.stat().st_size for path in small.values()) < 70_000
    for path in PHOTOS.glob("*.*g"):
        copy = Image.open(small[path.stem]).convert("RGB")
        photo = Image.open(path).convert("RGB").resize(copy.size, Image.Resampling.LANCZOS)
        assert max(copy.size) == 320
        assert (
            np.sqrt(np.square(np.asarray(photo, float) - copy).mean()) < 16
        )  # grass is noise, which WebP does not keep


def test_the_documented_configs_are_shipped():
    assert (CONFIGS / "resnet/resnet50_8xb32_in1k.py").is_file()
    assert (CONFIGS / "resnet/resnet18_8xb16_cifar10.py").is_file()


def test_no_file_names_a_place_on_somebodys_machine():
    named = [path for path in text_files() if MACHINE_PATHS.search(path.read_text(encoding="utf-8", errors="replace"))]

    assert named == []
