"""One HTML page of pictures with captions, beside the picture files it shows.

Links are relative, so that the folder can be moved, zipped or served as it is.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from classlens.files import write_whole

Layout = Literal["tiles", "pairs", "strips"]
"""How wide a picture is shown: four to a row, two to a row, or alone."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fbfbf9; --card: #fff; --line: #dcdcd6; --dim: #63686e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e4; --paper: #16181b; --card: #1f2226; --line: #363a40; --dim: #a0a5ab; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .4rem; } h2 { font-size: 1.2rem; margin: 2.6rem 0 .3rem; }
p { margin: .3rem 0 .6rem; max-width: 46rem; color: var(--dim); }
pre { font: .85rem/1.5 ui-monospace, monospace; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: .5rem .8rem; margin: 0 0 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; align-items: start; }
.pairs { grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
.strips { grid-template-columns: 1fr; }
figure { margin: 0; padding: .6rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; border-radius: 4px; }
figcaption { margin-top: .5rem; font-size: .85rem; color: var(--dim); overflow-wrap: anywhere; }
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
    """Write the page; return where it is.

    Raises:
        DataError: it cannot be written.
    """
    body = "\n".join(section_html(section, path.parent) for section in sections)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(introduction)}</p>\n{body}\n</body>\n</html>\n"
    )
    write_whole(path, page.encode())
    return path


def section_html(section: Section, folder: Path) -> str:
    """One section; pictures are linked relative to `folder`."""
    figures = "\n".join(picture_html(picture, folder) for picture in section.pictures)
    return (
        f"<section>\n<h2>{escape(section.title)}</h2>\n<p>{escape(section.text)}</p>\n"
        f'<pre>{escape(section.command)}</pre>\n<div class="pictures {section.layout}">\n{figures}\n</div>\n</section>'
    )


def picture_html(picture: Picture, folder: Path) -> str:
    """A picture with its caption; it is loaded when it comes near the screen."""
    link = quote(Path(os.path.relpath(picture.path, folder)).as_posix())
    caption = escape(picture.caption)
    return (
        f'<figure><a href="{link}"><img src="{link}" alt="{caption}" loading="lazy"></a>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
