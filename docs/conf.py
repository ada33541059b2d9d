"""The documentation as a site: `make docs` writes it to `out/docs`, in English with the Chinese pages below `zh/`.

Nothing is fetched by a reader's browser: theme, fonts and search lie beside the pages. The references of commands and of
Python are written from the program itself, before the pages are read.
"""

import re
import sys
from importlib import import_module
from pathlib import Path

from furo.navigation import get_navigation_tree
from sphinx.application import Sphinx

import classlens
from classlens.cli.main import COMMANDS
from classlens.cli.parsing import Help, Parser

project, author, copyright = "Classlens", "the Classlens contributors", "the Classlens contributors, Apache-2.0"
version = release = classlens.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository, which stay links to files
html_theme = "furo"
html_title = "Classlens"
html_theme_options = {"source_directory": "docs/"}
autodoc_default_options = {"members": True, "undoc-members": False}
autodoc_typehints = "description"
default_role = "code"


HAN = "[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"


def join_chinese_lines(app: Sphinx, name: str, source: list[str]) -> None:
    """A line break between two Chinese characters is no space, which it would become in HTML."""
    source[0] = re.sub(f"(?<={HAN})\n(?={HAN})", "", source[0])


def list_chinese_pages(app: Sphinx, page: str, _template: str, context: dict[str, object], _tree: object) -> None:
    """Beside a Chinese page stand the Chinese pages."""
    if not page.startswith("zh/"):
        return
    pages = ["zh/index", *app.env.toctree_includes["zh/index"]]
    items = (
        f'<li class="toctree-l1{" current current-page" if name == page else ""}">'
        f'<a class="reference internal" href="{app.builder.get_relative_uri(page, name)}">'
        f"{app.env.titles[name].astext()}</a></li>"
        for name in pages
    )
    context["furo_navigation_tree"] = get_navigation_tree(f"<ul>{''.join(items)}</ul>")


def setup(app: Sphinx) -> None:
    app.connect("source-read", join_chinese_lines)
    app.connect("html-page-context", list_chinese_pages, priority=900)  # after the theme, which lists all pages


def write_references() -> None:
    """Write `reference/commands.md` from the parsers, and `reference/python.md` from the public names."""
    folder = Path(__file__).parent / "reference"
    folder.mkdir(exist_ok=True)
    sys.argv[0] = "classlens"
    text = "# Commands\n\nAs `--help` prints them.\n"
    for name in COMMANDS:
        command = import_module(f"classlens.cli.{name}")
        parser = Parser(f"classlens {name}", description=command.__doc__, formatter_class=Help)
        command.add_arguments(parser)
        text += f"\n## {name}\n\n```text\n{parser.format_help()}```\n"
    (folder / "commands.md").write_text(text, encoding="utf-8")
    names = "\n".join(
        f"```{{eval-rst}}\n.. {kind_of(name)}:: classlens.{name}\n```\n" for name in sorted(classlens.__all__)
    )
    (folder / "python.md").write_text(f"# Python\n\nEvery public name.\n\n{names}", encoding="utf-8")


def kind_of(name: str) -> str:
    """How autodoc documents a public name."""
    thing = getattr(classlens, name)
    return "autoclass" if isinstance(thing, type) else "autofunction" if callable(thing) else "autodata"


write_references()
