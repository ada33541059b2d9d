"""Figures for papers: their text can be selected, their fonts are embedded, their pictures are pictures."""

import re
from io import BytesIO

import pytest

import classlens
from classlens import Clock, Schedule, draw, replay
from classlens.figures.printing import VECTORS
from classlens.schedule.schedule import Group

pypdf = pytest.importorskip("pypdf")

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


@pytest.fixture
def silent(recwarn, caplog):
    """Nothing is warned of, nothing is logged."""
    yield
    assert [str(one.message) for one in recwarn] == []
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
    assert '"steps": 36' in run.save(tmp_path / "lr.json").read_text()
    with pytest.raises(classlens.ClasslensError, match=r"cannot write a picture with the ending '\.docx'") as caught:
        run.save(tmp_path / "lr.docx")
    assert set(VECTORS) <= set(caught.value.hint.split())
