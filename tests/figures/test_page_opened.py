"""Pages in a real browser: complete without a network, readable without scripts, quick with thousands of pictures."""

import json
import re
import subprocess
import sys
from base64 import b64decode
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.cli.main import main
from classlens.figures.overlay import COLORMAPS, OverlayStyle, color_table
from classlens.figures.page import HtmlPage, Picture, Section, webp_of
from classlens.files import PHOTOS
from classlens.image import Image
from tests.figures.browsing import CHROMIUM, LOOKS, looks_of

MANY = 5000
PER_THOUSAND = 5_000_000  # bytes
FRAME = 30_000  # bytes of every page: its look, its scripts, their words, and seven tables of colours
PAGES = ("report.html", "data.html", "strips.html", "maps.html", "lr.html", "check.html", "index.html", "many.html")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A page of every kind, made by the commands."""
    folder = tmp_path_factory.mktemp("pages")
    photos = PHOTOS
    for words in (
        ["report", "demo", "--output", "report.html", "--pictures", "14"],
        ["browse", "demo", "--html", "data.html", "--show-number", "40"],
        ["browse", "demo", "--mode", "pipeline", "--html", "strips.html", "--show-number", "3"],
        ["cam", str(photos), "demo", "--html", "maps.html", "--save-path", "maps", "--method", "GradCAM", "LayerCAM"],
        ["lr", "demo", "configs/swin_transformer/swin-small_16xb64_in1k.py", "-d", "99", "--html", "lr.html"],
        ["check", f"folder:{photos}", "--html", "check.html"],
    ):
        outputs = {"report.html", "data.html", "strips.html", "maps.html", "maps", "lr.html", "check.html"}
        assert main([str(folder / word) if word in outputs else word for word in words]) in (0, 1)
    (folder / "many.html").write_bytes(many_tiles())
    return [folder / name if name != "index.html" else folder / "maps" / name for name in PAGES]


def many_tiles():
    """A page of crops of photos."""
    photos = [np.asarray(Pillow.open(path).convert("RGB")) for path in sorted(PHOTOS.glob("*.*g"))]
    random, tiles = np.random.default_rng(0), []
    for number in range(MANY // 10):
        photo = photos[number % len(photos)]
        side = int(random.uniform(0.4, 0.9) * min(photo.shape[:2]))
        top, left = (int(random.integers(0, edge - side)) for edge in photo.shape[:2])
        tiles.append(webp_of(Image(np.ascontiguousarray(photo[top : top + side, left : left + side])), 160))
    words = [(f"class {number % 100}", f"photo_{number}.jpg", f"#{number}") for number in range(MANY)]
    pictures = [Picture(tiles[number % len(tiles)], lines) for number, lines in enumerate(words)]
    data = {"samples": [{"index": number, "path": f"photos/photo_{number}.jpg"} for number in range(MANY)]}
    return HtmlPage("Many", f"{MANY} pictures", [Section("", pictures=tuple(pictures))], data=data).encode()


@pytest.fixture(scope="module")
def seen(places):
    """What the browser says of every page."""
    if CHROMIUM is None:
        pytest.skip("no chromium is installed: pages are not opened")
    for package in ("playwright", "axe_playwright_python"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pages are not opened")
    words = [sys.executable, "-m", "tests.figures.browsing", *map(str, places)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("page", "look"), [(page, look) for page in PAGES for look in looks_of(page)])
def test_a_page_opens_without_a_slip_or_a_request(page, look, seen):
    said = seen[page][look]

    assert said["slips"] == []
    assert said["broken"] == 0
    assert not said["wide"]


def test_on_a_telephone_nothing_is_cut_off_and_the_language_stands_apart(seen):
    phone = {page: said["phone"] for page, said in seen.items()}

    assert min(one["gap"] for one in phone.values()) >= 8
    assert {page: one["cut"] for page, one in phone.items() if one["cut"]}.keys() <= {
        "lr.html"
    }  # two runs are too wide


@pytest.mark.parametrize("look", [look for look in LOOKS if look != "plain"])
@pytest.mark.parametrize("page", [page for page in PAGES if page != "many.html"])
def test_everybody_can_use_a_page(page, look, seen):
    assert seen[page][look]["axe"] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_read_without_scripts(page, seen):
    plain, scripted = seen[page]["plain"], seen[page]["light"]

    assert not plain["scripted"]
    assert scripted["scripted"] or page in ("check.html", "strips.html", "index.html")
    assert set(plain["words"].split()) >= {word for word in scripted["words"].split() if word.isalpha()} - {
        *[
            "find",
            "map",
            "colours",
            "中文",
            *COLORMAPS,
            "only",
            "the",
            "marked",
            "ones",
            "of",
            "logarithmic",
            "drag",
            "to",
            "zoom",
            "double-click",
            "see",
            "all",
            "move",
            "read",
            "values",
            "demo",
        ]
    }
    assert plain["pictures"] >= scripted["pictures"] or page == "many.html"


def test_a_search_is_added(seen):
    used = seen["maps.html"]["light"]["used"]

    assert (used["none"], used["after"]) == (0, used["before"])
    assert used["before"] >= 14
    assert seen["report.html"]["light"]["used"]["none"] == 0


def pixels(address):
    """Those of a canvas."""
    return np.asarray(Pillow.open(BytesIO(b64decode(address.partition(",")[2]))).convert("RGB")).astype(int)


@pytest.mark.parametrize("page", ["maps.html", "report.html"])
def test_maps_are_painted_in_the_colours_and_as_strongly_as_the_reader_chooses(page, seen, places):
    """From the bytes in the page, which are fewer than its pixels; the picture below is WebP in a browser and here."""
    text = next(one for one in places if one.name == page).read_text(encoding="utf-8")
    width, heat, picture = re.search(
        r'<div class="stack" data-width="(\d+)" data-heat="([^"]*)"><img src="([^"]*)"', text
    ).groups()
    values, below = np.frombuffer(b64decode(heat), np.uint8).reshape(-1, int(width)), pixels(picture)
    enlarged = cv2.resize(values.astype(np.float32), below.shape[1::-1], interpolation=cv2.INTER_LINEAR).round()
    painted = {name: pixels(one) for name, one in seen[page]["light"]["used"]["painted"].items()}

    for name in ("viridis", "jet"):
        steps = [color_table(OverlayStyle(name))[np.clip(enlarged + by, 0, 255).astype(int)] for by in (-1, 0, 1)]
        assert min(np.abs(painted[f"{name} 1"] - one).mean() for one in steps) < 0.1  # halves may be rounded either way
    assert np.abs(painted["jet 0"] - below).mean() < 2
    assert (pixels(seen[page]["light"]["used"]["ramp"]) == color_table(OverlayStyle("jet"))).all()


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (
            "report.html",
            [
                "demo 的报告",
                "检查结果",
                "学习率调度",
                "参数组",
                "预热结束",
                "标签 tripod",
                "此页面如何生成",
                "随机种子",
            ],
        ),
        ("data.html", ["个样本中的 40 个", "名称"]),
        ("maps.html", ["模型关注的区域", "配色"]),
        ("lr.html", ["对数", "参数组", "学习率"]),
        ("check.html", ["的检查", "未检查的内容", "没有分类器"]),
    ],
)
def test_a_page_speaks_chinese_where_the_browser_does_and_can_be_switched(page, said, seen):
    chinese, english, plain = (seen[page][look] for look in ("chinese", "light", "plain"))

    assert chinese["language"] == "zh"
    words = chinese["words"] + chinese["placeholder"]
    assert [one for one in said if one not in words] == []
    assert set(chinese["switched"].split()) - {"中文"} == set(english["words"].split()) - {"中文"}
    assert not any("\u4e00" <= letter <= "\u9fff" for letter in plain["words"])


def test_pages_can_be_printed(seen):
    assert seen["report.html"]["light"]["printed"] > 100_000


def test_thousands_of_pictures_stay_small(seen, places, capsys):
    size = next(place for place in places if place.name == "many.html").stat().st_size
    with capsys.disabled():
        seconds = {look: round(seen["many.html"][look]["seconds"], 2) for look in looks_of("many.html")}
        print(f"\n{MANY} pictures: {size / MANY * 1000 / 1e6:.2f} MB per 1,000, opened and painted in s: {seconds}")

    assert size <= PER_THOUSAND * MANY / 1000


@pytest.mark.parametrize("page", ["data.html", "maps.html"])
def test_a_page_of_a_command_stays_small(page, places):
    place = next(one for one in places if one.name == page)

    assert place.stat().st_size - FRAME <= PER_THOUSAND / 1000 * place.read_text(encoding="utf-8").count("<figure")
