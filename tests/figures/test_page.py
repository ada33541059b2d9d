"""Pages: what is in them is text, they ask nobody for anything, and they are the same for the same content."""

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html import escape
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from classlens.figures.page import Bar, Heat, HtmlPage, Picture, Section, island, table_of, webp_of
from classlens.image import Image

WEBP = webp_of(Image(np.zeros((4, 6, 3), np.uint8)), 100)
HEAT = Heat(np.arange(6, dtype=np.uint8).reshape(2, 3), WEBP)
EVIL = [
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "</noscript></style>",
    "\u2028",
    "a\udcff",
    '" onload="x',
]


class Parts(HTMLParser):
    """Every element with its attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def named(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def test_pictures_are_linked_relative_to_the_page_whatever_their_names(tmp_path):
    picture = tmp_path / "browse" / "a cat & <a dog>.jpg"
    section = Section("Data", "as <seen>", "classlens browse demo", (Picture(picture, ("cat & dog",)),))
    parts = Parts(HtmlPage("Demo", "what it shows", [section]).encode(tmp_path).decode())

    assert [(tmp_path / unquote(one["src"])) for one in parts.named("img")] == [picture]
    assert "as <seen>" in parts.text


@pytest.mark.parametrize("name", EVIL, ids=ascii)
def test_every_word_on_a_page_is_text(name):
    picture = Picture(WEBP, (name, name), heat=HEAT, is_marked=True)
    sections = [Section(name, name, name, (picture,), html=table_of((name,), [(name,)]) + island("x", [name]))]
    page = HtmlPage(name, name, sections, {name: name}, data={name: name}, contents=True).encode().decode()
    usual = Parts(
        HtmlPage(
            "a",
            "a",
            [
                Section(
                    "a",
                    "a",
                    "a",
                    (Picture(WEBP, ("a", "a"), HEAT, is_marked=True),),
                    html=table_of(("a",), [("a",)]) + island("x", ["a"]),
                )
            ],
            {"a": "a"},
            data={"a": "a"},
            contents=True,
        )
        .encode()
        .decode()
    )

    assert [tag for tag, _ in Parts(page).elements] == [tag for tag, _ in usual.elements]
    assert [set(attrs) for _, attrs in Parts(page).elements] == [set(attrs) for _, attrs in usual.elements]
    for data in re.findall(r'type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL):
        assert "<" not in data


def test_a_page_runs_its_own_script_only_and_asks_nobody():
    page = HtmlPage("a", "b", [Section("c", pictures=(Picture(WEBP, ("d",)),))]).encode().decode()
    policy = Parts(page).named("meta")[1]["content"]

    for tag, kind in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{tag}(?: type=\"module\")?>(.*?)</{tag}>", page, re.DOTALL)
        assert f"{kind} 'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; img-src 'self' data:; ")
    assert "unsafe" not in policy
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert " style=" not in page
    assert " on" not in "".join(f" {name}" for _, attrs in Parts(page).elements for name in attrs)


def test_the_same_content_is_the_same_bytes():
    section = Section("c", pictures=(Picture(WEBP, ("d",)),))

    assert HtmlPage("a", "b", [section]).encode() == HtmlPage("a", "b", [section]).encode()


def test_a_picture_and_its_map_are_held_by_the_page():
    (picture, heat), page = Parts(Picture(WEBP, ("cat",), heat=HEAT).html("")).named("img"), None

    assert page is None
    assert b64decode(picture["src"].partition(",")[2]) == WEBP
    assert (picture["width"], picture["height"], picture["alt"]) == ("6", "4", "cat")
    assert (heat["class"], heat["alt"]) == ("heat", "")
    (stack,) = Parts(Picture(WEBP, ("cat",), heat=HEAT).html("")).named("div")
    assert (b64decode(stack["data-heat"]), stack["data-width"]) == (bytes(range(6)), "3")


def test_numbers_of_a_table_are_exact_and_stand_to_the_right():
    table = table_of(("name", "count", "value", ""), [("a & b", 1234, 0.1 + 0.2, Bar(0.5))])

    assert "1,234" in table
    assert "0.30000000000000004" in table
    assert escape("a & b") in table
    assert 'width="80.0"' in table
