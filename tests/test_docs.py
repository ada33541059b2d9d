"""What the program offers, the documentation names."""

import re
import subprocess
import sys
from argparse import SUPPRESS
from importlib import import_module
from pathlib import Path

import pytest

from classlens.adapters import ADAPTERS
from classlens.cam.methods import METHODS
from classlens.cli.main import COMMANDS
from classlens.cli.parsing import Parser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    "browse": "browse.md",
    "lr": "lr.md",
    "cam": "cam.md",
    "check": "check.md",
    "studio": "studio.md",
    "audit": "audit.md",
    "compare": "audit-answers.md",
    "verify": "audit.md",
    "report": "report.md",
    "config": "configs.md",
    "sources": "sources.md",
}
ANYWHERE = {"--help", "--json", "--cfg-options", "--trust-config"}


def long_options(command):
    parser = Parser()
    import_module(f"classlens.cli.{command}").add_arguments(parser)
    shown = [action for action in parser._actions if action.help != SUPPRESS]
    return {name for action in shown for name in action.option_strings if name.startswith("--")}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_on_its_page(command):
    page = DOCS / PAGES[command] if command in PAGES else ROOT / "README.md"
    text = page.read_text(encoding="utf-8")

    assert [name for name in sorted(long_options(command) - ANYWHERE) if f"{name}" not in text] == []


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_on_the_methods_page(method):
    assert METHODS[method].name in (DOCS / "methods.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", sorted(set(ADAPTERS) - {"mm"}))
def test_every_kind_of_address_is_on_the_sources_page(scheme):
    assert f"`{scheme}" in (DOCS / "sources.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_gallery_pages_are_those_that_their_script_writes():
    assert subprocess.run([sys.executable, ROOT / "scripts" / "make_gallery.py", "--check"]).returncode == 0


def test_the_readme_starts_with_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert readme.index("make demo") < readme.index("make test") < readme.index("## ")
