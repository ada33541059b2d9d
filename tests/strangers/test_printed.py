"""What is printed is text: names of strangers give no orders to a terminal, a page, a reader of JSON or a spreadsheet."""

import ast
import csv
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.cli.main import main
from classlens.figures.page import HtmlPage, Picture, Section
from classlens.printed import ONE_LINE, cell_text, join_lines, json_text
from tests.test_architecture import ROOT

ORDERS = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "two\nlines",
    "re\rturn",
    "\x9b2J",
    "\u202egnp.exe",
    "\u2066x",
    "\x7f",
]
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
needs_bytes_in_names = pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")


@pytest.mark.parametrize("name", ORDERS, ids=ascii)
def test_what_a_terminal_obeys_is_spelled_out(name):
    assert not OBEYED.search(join_lines([name]))
    assert "\n" not in join_lines([name])


@pytest.mark.parametrize("name", ["Größe", "猫 · cat", "\U0001f431", "tab-by's"])
def test_other_letters_stay_as_they_are(name):
    assert name.translate(ONE_LINE) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\udcffb", r"a\xffb"),
        ("\ud800", r"\ud800"),
        ("\\udcff", r"\udcff"),
        ("\U0001f431", "\U0001f431"),
        ("\x7f", "\x7f"),
    ],
    ids=ascii,
)
def test_json_can_be_read_by_strict_readers(text, expected):
    written = json_text([text])

    assert written.isascii()
    assert json.loads(written) == [expected]
    assert json.loads(written)[0].encode()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text):
    assert cell_text(text).startswith(("'", "\\"))
    assert cell_text("x" + text) == "x" + text.translate(ONE_LINE)


@pytest.fixture
def folder(tmp_path):
    """Class folders with names that give orders."""
    for name in [
        *ORDERS[:3],
        "<script>alert(1)</script>".replace("/", "\u2215"),
        b"c\xff".decode(errors="surrogateescape"),
    ]:
        place = tmp_path / "data" / name
        place.mkdir(parents=True)
        Pillow.fromarray(np.zeros((9, 9, 3), np.uint8)).save(str(place / "a.png"))
        (place / "bad\x1b[7m.png").write_bytes(b"x")
    return tmp_path / "data"


@needs_bytes_in_names
@pytest.mark.parametrize(
    "words", [[], ["--stats"], ["--batch", "4"], ["--mode", "pipeline"], ["--json"], ["--json", "--stats"]], ids=str
)
def test_browse_prints_such_names_as_text(words, folder, capsys, tmp_path):
    assert (
        main(
            [
                "browse",
                f"folder:{folder}",
                "--not-show",
                *words,
                *([] if "--stats" in words else ["-o", str(tmp_path / "out")]),
            ]
        )
        == 0
    )

    told = capsys.readouterr()
    assert not OBEYED.search(told.out + told.err)
    if "--json" in words:
        json.loads(told.out)
        assert "\\u001b" in told.out
    else:
        assert "x1b" in told.out + told.err


@needs_bytes_in_names
def test_a_page_shows_them_and_stays_one_page(folder, tmp_path, capsys):
    assert main(["browse", f"folder:{folder}", "--html", str(tmp_path / "u.html")]) == 0

    page = (tmp_path / "u.html").read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" class="data">(.*?)</script>', page, re.DOTALL)[1]
    assert page.count("<script") == 3
    assert "<" not in data
    assert {r"c\xff", ORDERS[2]} <= {name for row in json.loads(data)["samples"] for name in row["classes"]}
    assert not OBEYED.search(page)


@pytest.mark.parametrize(
    "name", ["</script><img src=x onerror=alert(1)>", "<!--<script>", "\u2028", "a\udcff", "\x1b[1m"]
)
def test_every_page_escapes_every_name(name, tmp_path):
    picture = Picture(tmp_path / (name.replace("/", "") + ".png"), (name, name))
    page = HtmlPage(name, name, [Section(name, name, name, (picture,))], data=[name]).encode(tmp_path).decode()

    assert page.count("<script") == 3
    assert "<img src=x" not in page
    assert "<!--" not in page
    assert not OBEYED.search(page)


@pytest.mark.parametrize("label", ["=HYPERLINK(1)", "</script><b>", "a\x1b[31m\nb", "\udcff", "<!--"], ids=ascii)
def test_a_label_of_a_schedule_is_text_everywhere(label, tmp_path, capsys):
    files = [tmp_path / name for name in ("a.svg", "a.html", "a.csv")]
    assert main(["lr", "demo", "--label", label, "--save-path", str(tmp_path / "a.pdf"), "--not-show"]) == 0
    for words in (["--save-path", str(files[0]), "--html", str(files[1])], ["--csv", str(files[2])]):
        assert main(["lr", "demo", "demo", "--label", label, "x", *words, "--not-show"]) == 0
    assert main(["lr", "demo", "--label", label, "--json"]) == 0

    told = capsys.readouterr()
    svg, page, table = (file.read_text(encoding="utf-8") for file in files)
    assert not OBEYED.search(told.out + told.err + svg + page)
    assert page.count("</script>") == 3
    assert "<b>" not in svg + page
    first = next(csv.DictReader(table.splitlines(keepends=True)))["run"]
    assert not first.startswith("=")


@needs_bytes_in_names
def test_errors_name_strange_files_on_one_line(tmp_path, capsys):
    name = os.fsdecode(b"no\x1b[31m\nsuch\xff.py")

    for words in (["lr", name], ["config", name], ["browse", f"folder:{name}"], ["cam", name + ".png", "demo"], [name]):
        assert main(words) == 2 if words != [name] else True
    err = capsys.readouterr().err

    assert not OBEYED.search(err)
    assert all(line.startswith(("error: ", "hint:  ")) for line in err.splitlines())


def test_nothing_is_printed_but_through_the_one_place():
    """Pictures of half blocks and lines of progress are made of what a terminal obeys."""
    allowed = {"printed.py": 2, "display.py": 1, "own_process.py": 1, "download.py": 1}
    found = {}
    for path in sorted(Path(ROOT).rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        if count := sum(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls):
            found[path.name] = count

    assert found == allowed
