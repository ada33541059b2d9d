"""HTML pages of pictures: in sections, beside the picture files that they show, or in one file that holds everything.

Links are relative, so that the folder can be moved, zipped or served as it is.
"""

import json
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

Layout = Literal["tiles", "pairs", "strips"]
"""How wide a picture is shown: four to a row, two to a row, or alone."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fbfbf9; --card: #fff; --line: #dcdcd6; --dim: #63686e;
  --bad: #b03020; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e4; --paper: #16181b; --card: #1f2226; --line: #363a40; --dim: #a0a5ab; --bad: #f28b82; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); }
figure { margin: 0; } img { display: block; max-width: 100%; height: auto; }
figcaption { color: var(--dim); overflow-wrap: anywhere; }
"""
"""What all pages share."""

SECTIONS_STYLE = """
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 4rem; font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .4rem; } h2 { font-size: 1.2rem; margin: 2.6rem 0 .3rem; }
p { margin: .3rem 0 .6rem; max-width: 46rem; color: var(--dim); }
pre { font: .85rem/1.5 ui-monospace, monospace; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: .5rem .8rem; margin: 0 0 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; align-items: start; }
.pairs { grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
.strips { grid-template-columns: 1fr; }
figure { padding: .6rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
img { margin: 0 auto; border-radius: 4px; }
figcaption { margin-top: .5rem; font-size: .85rem; }
"""


@dataclass(frozen=True)
class Picture:
    """A picture file and what it shows."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading, the command that makes its pictures, and the pictures, each as wide as `layout` says."""

    title: str
    text: str
    command: str
    pictures: tuple[Picture, ...]
    layout: Layout = "tiles"


def write_page(path: Path, title: str, introduction: str, sections: Sequence[Section]) -> Path:
    """Write a page of sections; return where it is.

    Raises:
        DataError: it cannot be written.
    """
    body = "\n".join(section_html(section, path.parent) for section in sections)
    head = f"<style>{SECTIONS_STYLE}</style>\n<h1>{escape(title)}</h1>\n<p>{escape(introduction)}</p>"
    write_whole(path, page_html(title, f"{head}\n{body}\n"))
    return path


def page_html(title: str, body: str) -> bytes:
    """A whole page around its body, in UTF-8."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    ).encode()


def section_html(section: Section, folder: Path) -> str:
    """One section; pictures are linked relative to `folder`, and loaded when they come near the screen."""
    figures = []
    for picture in section.pictures:
        link, caption = quote(Path(os.path.relpath(picture.path, folder)).as_posix()), escape(picture.caption)
        figures.append(
            f'<figure><a href="{link}"><img src="{link}" alt="{caption}" loading="lazy"></a>'
            f"<figcaption>{caption}</figcaption></figure>\n"
        )
    return (
        f"<section>\n<h2>{escape(section.title)}</h2>\n<p>{escape(section.text)}</p>\n<pre>{escape(section.command)}</pre>"
        f'\n<div class="pictures {section.layout}">\n{"".join(figures)}</div>\n</section>'
    )


def write_gallery(path: Path, title: str, cells: Iterable[tuple[Mapping[str, Any], bytes]]) -> None:
    """Write a page that needs no other file: a cell for each sample, from its facts and its picture as WebP.

    Pictures travel as data beside the text; cells are made at once but filled only when they come into sight, so that
    a thousand tiles open within a second.

    Raises:
        DataError: it cannot be written.
    """
    rows = []
    for facts, webp in cells:
        width, height = Pillow.open(BytesIO(webp)).size
        shown = {key: value for key, value in facts.items() if key not in ("stages", "file")}
        rows.append({**shown, "width": width, "height": height, "image": b64encode(webp).decode("ascii")})
    data = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    before, _, after = (
        files("classlens.figures").joinpath("gallery.html").read_text(encoding="utf-8").partition("@DATA@")
    )
    write_whole(path, page_html(title, before.replace("@TITLE@", escape(title)) + data + after))
