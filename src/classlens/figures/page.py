"""HTML pages of pictures: in sections, beside the picture files that they show, or in one file that holds everything.

Links are relative, so that the folder can be moved, zipped or served as it is.
"""

import os
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from PIL import Image as Pillow

from classlens.files import write_whole
from classlens.printed import LINES, json_text

Layout = Literal["tiles", "pairs", "strips"]  # how wide a picture is shown: four to a row, two to a row, or alone


def link_from(folder: Path, path: Path) -> str:
    """Where a page in `folder` finds a file; its name need not be UTF-8."""
    return quote(os.fsencode(Path(os.path.relpath(path, folder)).as_posix()))


@dataclass(frozen=True)
class Picture:
    """A picture and what it shows: a file that the page links to, or the content of one (WebP) that it holds itself."""

    path: Path | bytes
    caption: str

    def link(self, folder: Path) -> str:
        """Where a page in `folder` finds it."""
        if isinstance(self.path, bytes):
            return f"data:image/webp;base64,{b64encode(self.path).decode('ascii')}"
        return link_from(folder, self.path)


@dataclass(frozen=True)
class Section:
    """A heading, lines of text, the command that makes its pictures, and these, each as wide as `layout` says."""

    title: str
    text: str
    command: str
    pictures: tuple[Picture, ...]
    layout: Layout = "tiles"


def write_page(path: Path, title: str, introduction: str, sections: Sequence[Section]) -> Path:
    """Write a page of sections; return where it is."""
    body = f"<p>{escape(introduction)}</p>\n{sections_of(sections, path.parent)}"
    write_whole(path, page_of("sections.html", title, body))
    return path


def sections_of(sections: Iterable[Section], folder: Path = Path()) -> str:
    """The HTML of sections for a page that will lie in `folder`."""
    body = ""
    for one in sections:
        text = "".join(f"<p>{escape(line)}</p>\n" for line in one.text.splitlines())
        body += f"<section>\n<h2>{escape(one.title)}</h2>\n{text}<pre>{escape(one.command)}</pre>\n"
        body += f'<div class="pictures {one.layout}">\n'
        for picture in one.pictures:  # loaded when it comes near the screen
            link, caption = picture.link(folder), escape(picture.caption)
            shown = f'<img src="{link}" alt="{caption}" loading="lazy">'
            shown = shown if isinstance(picture.path, bytes) else f'<a href="{link}">{shown}</a>'
            body += f"<figure>{shown}<figcaption>{caption}</figcaption></figure>\n"
        body += "</div>\n</section>\n"
    return body


@dataclass(frozen=True)
class Card:
    """A picture file in a page of many: what it is called, the folder it belongs to, and lines of what is known of it.

    One that is marked is worth a look.
    """

    path: Path
    name: str
    folder: str
    lines: tuple[str, ...]
    is_marked: bool = False


def write_index(
    path: Path, title: str, introduction: Sequence[str], cards: Sequence[Card], colours: str, layout: Layout
) -> None:
    """Write a page of many pictures that lie beside it, folder by folder, with a search and a scale of `colours`.

    It is shown without scripts, too; names are text wherever they stand, bytes that are no letters are spelled out.
    """
    body = "".join(f"<p>{escape(line)}</p>\n" for line in introduction)
    body += (
        f'<div class="scale"><span>0</span><i style="background: linear-gradient(90deg, {colours})"></i><span>1</span>'
    )
    body += "<span>share of the map's maximum</span></div>\n"
    folder = None
    for card in cards:
        if card.folder != folder:
            body += "</div></section>\n" if folder is not None else ""
            folder = card.folder
            heading = f"<h2>{escape(folder)}</h2>" if folder else ""
            body += f'<section>{heading}<div class="pictures {layout}">\n'
        link = link_from(path.parent, card.path)
        first, *more = card.lines or ("",)
        body += f'<figure{" class=marked" if card.is_marked else ""}><a href="{link}">'
        body += f'<img src="{link}" alt="{escape(card.name)}" loading="lazy"></a><figcaption><b>{escape(first)}</b>'
        body += "".join(f"<span>{escape(line)}</span>" for line in (*more, card.name)) + "</figcaption></figure>\n"
    body += "</div></section>\n"
    write_whole(path, page_of("index.html", title, body))


def write_gallery(path: Path, title: str, cells: Iterable[tuple[Mapping[str, Any], bytes]]) -> None:
    """Write a page that needs no other file: a cell for each sample, from its facts and its picture as WebP.

    Pictures travel as data beside the text; cells are made at once but filled only when they come into sight, so that
    a thousand tiles open within a second.
    """
    rows = []
    for facts, webp in cells:
        width, height = Pillow.open(BytesIO(webp)).size
        shown = {key: value for key, value in facts.items() if key not in ("stages", "file")}
        rows.append({**shown, "width": width, "height": height, "image": b64encode(webp).decode("ascii")})
    data = json_text(rows).replace("<", "\\u003c")
    write_whole(path, page_of("gallery.html", title, data))


def page_of(kind: str, title: str, body: str) -> bytes:
    for template in (kind, "page.html"):
        before, after = files("classlens.figures").joinpath(template).read_text(encoding="utf-8").split("@BODY@")
        body = before.replace("@TITLE@", escape(title)) + body + after
    return body.translate(LINES).encode()
