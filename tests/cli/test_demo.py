"""The README's first command, as a user gets it: real photos, really trained weights, real files."""

import json
import re
import shutil
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from classlens.cli.main import main


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--output-dir", str(folder)]) == 0
    return folder


def test_the_demo_shows_every_tool_on_one_page(demo):
    page = (demo / "index.html").read_text()

    for made in ("browse/original/", "browse/pipeline/", "lr.png", "lr-resnet50.png", "cam-two-classes.png"):
        assert f'src="{made}' in page
    assert "classlens cam" in page
    headings = re.findall(r"<h[12].*?>", page)
    assert len(headings) > 8
    assert [one for one in headings if "data-zh" not in one] == []


def test_every_picture_of_the_demo_opens_and_is_not_empty(demo):
    files = [path for path in demo.rglob("*") if path.suffix in {".png", ".jpg"} and "photos" not in path.parts]

    assert len(files) >= 4 + 3 * 7 + 4
    for file in files:
        with Image.open(file) as picture:
            assert np.asarray(picture.convert("L")).std() > 5, file


def test_all_that_the_page_shows_are_pictures(demo):
    shown = re.findall(r'<img[^>]* src="([^"]+)"', (demo / "index.html").read_text())

    assert len(shown) == 4 + 7 * 3 + 4
    for name in shown:
        with Image.open(demo / unquote(name)) as picture:
            picture.verify()


def test_pictures_of_equal_name_in_different_classes_are_all_kept(demo):
    assert len(list((demo / "browse" / "transformed").rglob("*.jpg"))) == 7


def test_a_step_that_fails_ends_the_demo_with_its_status(demo, tmp_path, capsys):
    shutil.copytree(demo / "photos", tmp_path / "photos")
    (tmp_path / "browse").write_text("no folder")

    assert main(["demo", "--output-dir", str(tmp_path)]) == 2
    assert "browse" in capsys.readouterr().err
    assert not (tmp_path / "index.html").exists()


def test_the_demo_may_be_repeated_and_says_as_data_what_it_made(demo, capsys):
    capsys.readouterr()
    assert main(["demo", "--output-dir", str(demo), "--json"]) == 0

    result = json.loads(capsys.readouterr().out)
    assert result["page"] == str(demo / "index.html")
    assert len(result["pictures"]) >= 4 + 3 * 7 + 4
