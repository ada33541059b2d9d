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


@pytest.mark.parametrize("page", ["audit.md", "audit-answers.md"])
def test_commands_about_audits_run_in_a_fresh_clone_or_say_what_is_to_be_filled_in(page):
    """What they read is the demo, in the repository, made by a command above, or a word in capitals."""
    made, text = set(), (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    commands = [
        line.partition("  #")[0].split()[1:] for line in "".join(blocks).splitlines() if line[:9] == "classlens"
    ]
    for command, target, *words in commands:
        made |= {words[at + 1] for at, word in enumerate(words) if word in ("-o", "--html")}
        made |= {"out/audit"} if command == "audit" else set()
        named = [word.rpartition(":")[2] for word in words if re.search(r"[/:]", word) and "=" not in word]
        assert target in {"demo", *made} or target.rpartition(":")[2].isupper()
        assert [name for name in named if not (name in made or name.isupper() or (ROOT / name).exists())] == []
    assert commands
