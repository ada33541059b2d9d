"""HTML pages, all in one look: pages that lie beside the picture files which they show, and those that need no other file.

A page is plain HTML that can be read, printed and searched without scripts; scripts add a search, curves to zoom in, and
colours of maps, and put its own words (`words`) into the reader's language. It says itself what may run: a browser asks nobody for anything, and runs no other script. Links are relative, so
that a folder can be moved, zipped or served as it is.

A page of thousands of pictures opens within a second, as they are decoded when they come near the screen.
"""

import os
import shlex
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote

from PIL import Image as Pillow
from PIL import WebPImagePlugin  # noqa: F401 - without it Pillow imports all of its formats to write this one

from classlens.printed import LINES, json_text
from classlens.words import Phrase, say, table

if TYPE_CHECKING:
    import numpy as np

    from classlens.arrays import UInt8
    from classlens.image import Image

Said: TypeAlias = str | Phrase
Text: TypeAlias = Said | Sequence[Said]
"""Lines, which a str holds in itself."""

Layout = Literal["tiles", "pairs", "strips"]  # how wide a picture is shown: many to a row, two or three, or alone

PACKAGES = ("numpy", "pillow", "opencv-python-headless", "torch")
FEW = 200  # pictures that a browser has decoded before anybody could notice
OPACITY = 0.5  # of maps over their pictures


def tag(name: str, said: Said, kind: str = "") -> str:
    """The HTML of an element with a text, which scripts put into the reader's language."""
    chinese = f' data-zh="{escape(said.spell("zh"))}"' if isinstance(said, Phrase) else ""
    return f"<{name}{kind}{chinese}>{escape(str(said))}</{name}>"


def paragraphs(text: Text) -> str:
    """The HTML of lines."""
    lines = text.splitlines() if isinstance(text, str) else [text] if isinstance(text, Phrase) else text
    return "".join(f"{tag('p', line)}\n" for line in lines)


def link_from(folder: Path, path: Path) -> str:
    """Where a page in `folder` finds a file; its name need not be UTF-8."""
    return quote(os.fsencode(Path(os.path.relpath(path, folder)).as_posix()))


def webp_of(image: "Image", longest: int, *, quality: int = 50, smallest: int = 0, exact: bool = False) -> bytes:
    """A picture as WebP, no longer than `longest` pixels; tiny ones are enlarged, pixel by pixel, to about `smallest`.

    With `exact` every pixel is kept as it is.
    """
    picture, content = Pillow.fromarray(image.pixels), BytesIO()
    picture.thumbnail((longest, longest))
    factor = max(1, smallest // max(picture.size))
    picture = picture.resize((picture.width * factor, picture.height * factor), Pillow.Resampling.NEAREST)
    picture.save(content, "WEBP", quality=quality, method=0 if exact else 2, lossless=exact)
    return content.getvalue()


@dataclass(frozen=True, eq=False)
class Heat:
    """A map over a picture: a byte for each of its positions, which scripts paint, and a small picture of it (WebP)."""

    values: "UInt8[np.ndarray, 'rows columns']"
    picture: bytes


@dataclass(frozen=True)
class Picture:
    """A picture: a file that the page links to, or the content of one (WebP) that it holds itself.

    `lines` are said below it, the first in bold. `heat` lies over it. One that is marked is worth a look.
    """

    path: Path | bytes
    lines: tuple[Said, ...]
    heat: Heat | None = None
    is_marked: bool = False

    def html(self, folder: Path, *, is_lazy: bool = False) -> str:
        """The picture in a page in `folder`; one `is_lazy` is decoded when it comes near the screen."""
        first, *others = self.lines or ("",)
        said = escape(str(first or "picture"))
        if isinstance(self.path, bytes):
            shown = img(self.path, said, is_lazy=is_lazy)
            if self.heat:
                values = f'data-width="{self.heat.values.shape[1]}" data-heat="{base64_of(self.heat.values.tobytes())}"'
                heat = img(self.heat.picture, "", is_lazy=is_lazy, kind="heat")
                shown = f'<div class="stack" {values}>{shown}{heat}</div>'
        else:
            link = link_from(folder, self.path)
            shown = f'<a href="{link}"><img src="{link}" alt="{said}" loading="lazy"></a>'
        below = tag("b", first) + "".join(tag("span", line) for line in others if line)
        marked = ' class="marked"' if self.is_marked else ""
        return f"<figure{marked}>{shown}<figcaption>{below}</figcaption></figure>\n"


def base64_of(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def img(content: bytes, said: str, *, is_lazy: bool = False, kind: str = "") -> str:
    """A picture that the page holds."""
    width, height = Pillow.open(BytesIO(content)).size
    data, lazy = base64_of(content), ' decoding="async" loading="lazy"' * is_lazy
    of_kind = f' class="{kind}"' if kind else ""
    return f'<img{of_kind} src="data:image/webp;base64,{data}" width="{width}" height="{height}" alt="{said}"{lazy}>'


@dataclass(frozen=True)
class Section:
    """A heading, lines of text, the command that makes what is shown, and that: HTML, and pictures as wide as `layout` says.

    A `rank` of 3 is below the last of 2. `kind` is that of a finding.
    """

    title: Said
    text: Text = ""
    command: str = ""
    pictures: tuple[Picture, ...] = ()
    layout: Layout = "tiles"
    html: str = ""
    rank: int = 2
    kind: str = ""


def table_of(heading: Sequence[Said], rows: Iterable[Sequence[object]]) -> str:
    """The HTML of a table: texts to the left, numbers to the right; a share, which is a `Bar`, as a bar."""

    def cell(value: object) -> str:
        if isinstance(value, Bar):
            return f"<td>{value.html()}</td>"
        if isinstance(value, int | float):
            return (
                f'<td class="number">{value:,}</td>' if isinstance(value, int) else f'<td class="number">{value!r}</td>'
            )
        return tag("td", value if isinstance(value, Phrase) else str(value))

    body = [list(row) for row in rows]
    numbers = [isinstance(value, int | float) for value in body[0]] if body else [False] * len(heading)
    head = "".join(
        tag("th", name, f' scope="col"{" class=number" if number else ""}')
        for name, number in zip(heading, numbers, strict=True)
    )
    lines = "".join(f"<tr>{''.join(map(cell, row))}</tr>\n" for row in body)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody></table></div>\n'


@dataclass(frozen=True)
class Bar:
    """A share of the largest, from 0 to 1."""

    share: float

    def html(self) -> str:
        bar = f'<rect class="bar" width="{160 * self.share:.1f}" height="10"/>'
        return f'<svg width="160" height="10" viewBox="0 0 160 10" aria-hidden="true">{bar}</svg>'


def sections_of(sections: Iterable[Section], folder: Path = Path()) -> str:
    """The HTML of sections for a page that will lie in `folder`."""
    body = ""
    for number, one in enumerate(sections):
        opens = "</section>\n" * bool(number) + f'<section id="part-{number}">\n' if one.rank == 2 or not number else ""
        kind = f' class="{one.kind}"' if one.kind else ""
        body += opens + (f"{tag(f'h{one.rank}', one.title, kind)}\n" if one.title else "")
        body += paragraphs(one.text)
        body += f"<pre>{escape(one.command)}</pre>\n" if one.command else ""
        body += one.html
        is_lazy = len(one.pictures) > FEW
        pictures = "".join(picture.html(folder, is_lazy=is_lazy) for picture in one.pictures)
        if one.layout == "strips":  # may be wider than the screen, and are moved by the arrow keys
            pictures = pictures.replace("<figure", '<figure tabindex="0"')
        body += f'<div class="pictures {one.layout}{" many" * is_lazy}">\n{pictures}</div>\n' if pictures else ""
    return f"{body}</section>\n" if body else ""


@dataclass(frozen=True)
class HtmlPage:
    """A page: what it is about, its sections, and how it was `made`, beside the command and versions; `data` is for programs.

    A page that lists its `contents` begins with links to its sections. `opacity` is that of maps.
    """

    title: Said
    introduction: Text
    sections: Sequence[Section]
    made: Mapping[str, str] = field(default_factory=dict)
    data: object = None
    contents: bool = False
    opacity: float = OPACITY

    def encode(self, folder: Path = Path()) -> bytes:
        """The page, to lie in `folder`; the same content is the same bytes."""
        made = {"command": command_line(), **self.made, "versions": versions()}
        heading = say("report.made.what"), say("report.made.which")
        names = {name: say(key) if (key := f"report.made.{name}") in table() else name for name in made}
        how = table_of(heading, [(names[name], what) for name, what in made.items() if what])
        sections = [*self.sections, Section(say("report.made"), html=how)]
        body = sections_of(sections, folder)
        links = [(k, one.title) for k, one in enumerate(sections) if one.rank == 2 and one.title]
        nav = "".join(tag("a", title, f' href="#part-{k}"') for k, title in links)
        style = asset("figures/page.css").replace("@OPACITY@", f"{self.opacity:g}")
        script = asset("figures/page.js")
        script += asset("figures/curves.js") if 'class="chart"' in body else ""
        script += asset("studio/static/heat.js") + asset("figures/maps.js") if 'class="heat"' in body else ""
        parts = {
            "STYLE": style,
            "POLICY": policy_of(style, script),
            "TITLE": tag("title", self.title).translate(LINES).replace("\n", " "),
            "HEADING": tag("h1", self.title).translate(LINES).replace("\n", " "),
            "INTRODUCTION": paragraphs(self.introduction) + (f"<nav>{nav}</nav>\n" if self.contents else ""),
            "BODY": body,
            "DATA": "" if self.data is None else island("data", self.data),
            "WORDS": island(
                "words", {key: both for key, both in table().items() if key.startswith(("script.", "work."))}
            ),
            "SCRIPT": script,
        }
        before, *others = asset("figures/page.html").split("@")
        text = before + "".join(parts.get(part, part) for part in others)
        return text.translate(LINES).encode()


def island(name: str, data: object, default: Callable[[object], object] | None = None) -> str:
    """Data for scripts; nothing in it can end its element, or begin another one."""
    text = json_text(data, default=default).replace("<", r"\u003c")
    return f'<script type="application/json" class="{name}">{text}</script>\n'


def policy_of(style: str, script: str) -> str:
    """What a page may do: show pictures of its own and of its folder, nothing from anywhere else."""
    hashes = [f"'sha256-{base64_of(sha256(text.encode()).digest())}'" for text in (style, script)]
    return f"default-src 'none'; img-src 'self' data:; style-src {hashes[0]}; script-src {hashes[1]}; base-uri 'none'; form-action 'none'"


@cache
def asset(name: str) -> str:
    """A file that pages are made of; maps are painted by the script that the studio loads, too."""
    return files("classlens").joinpath(name).read_text(encoding="utf-8")


def command_line() -> str:
    """The command of this process, if it is one of ours."""
    place = Path(sys.argv[0])
    if place.name != "classlens" and place.parent.name not in ("classlens", "visualizations"):
        return ""
    return shlex.join([place.name.replace("__main__.py", "classlens"), *sys.argv[1:]])


@cache
def versions() -> str:
    """Those of what decides the pixels; neither time nor machine, so that the same is always the same page."""
    import classlens

    parts = [f"classlens {classlens.__version__}", f"Python {python_version()}"]
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            parts.append(f"{package} {version(package)}")
    return ", ".join(parts)
