from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from classlens.figures.page import Picture, Section, write_page


class Images(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources = []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.sources.append(dict(attrs)["src"])


@pytest.fixture
def page(tmp_path) -> Path:
    picture = tmp_path / "browse" / "a cat & <a dog>.jpg"
    picture.parent.mkdir()
    picture.write_bytes(b"jpeg")
    section = Section("Data", "as <seen>", "classlens browse demo", (Picture(picture, "cat & dog"),))
    return write_page(tmp_path / "index.html", "Demo", "what it shows", [section])


def test_pictures_are_linked_relative_to_the_page_whatever_their_names(page):
    images = Images()
    images.feed(page.read_text())

    assert [(page.parent / unquote(source)).read_bytes() for source in images.sources] == [b"jpeg"]


def test_text_is_escaped_and_nothing_unfinished_is_left_beside_the_page(page):
    assert "as &lt;seen&gt;" in page.read_text()
    assert sorted(path.name for path in page.parent.iterdir()) == ["browse", "index.html"]
