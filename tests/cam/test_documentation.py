from pathlib import Path

import pytest

from classlens.cam.methods import METHODS
from classlens.cli import cam
from classlens.cli.parsing import Parser

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_documented_with_its_source(name):
    (line,) = [line for line in (DOCS / "methods.md").read_text().splitlines() if line.startswith(f"| `{name}` |")]

    assert line.endswith(f"| {METHODS[name].paper} |")


def test_every_option_of_the_command_is_documented():
    parser = Parser()
    cam.add_arguments(parser)
    text = (DOCS / "cam.md").read_text()

    options = {max(action.option_strings, key=len) for action in parser._actions if action.option_strings}

    assert {option for option in options if option not in text} == {"--help"}
