r"""Print what lets a shell complete commands, options, their values and file names by the Tab key.

For example, in the file that your shell reads when it starts:

  bash:  eval "$(classlens completion bash)"
  zsh:   eval "$(classlens completion zsh)"          (behind compinit)
  fish:  classlens completion fish | source
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from classlens.cli.parsing import Parser
from classlens.printed import print_text

SHELLS = ("bash", "zsh", "fish")
FOLDERS, FILES = {"DIR"}, {"FILE", "TARGET", "CONFIG", "CONFIG_FILE", "CHECKPOINT", "RUN", "OTHER"}
"""How commands call arguments that are folders or files in most cases."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which shell."""
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh or fish")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import shtab  # loads what no other command needs

    print_text(shtab.complete(whole_parser(), arguments.shell))
    return 0


def whole_parser() -> Parser:
    """All commands as one parser, whose arguments say how they are completed."""
    import shtab

    from classlens.cli.main import COMMANDS, parser_of

    parser = Parser("classlens")
    commands, values = parser.add_subparsers(), values_of_options()
    for name, (what, _) in COMMANDS.items():
        command = parser_of(name, f"classlens {name}")
        for action in command._actions:
            called = set(re.findall(r"\w+", str(action.metavar)))
            if action.dest in values and action.choices is None:
                action.choices = values[action.dest]
            elif called & FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif called & FILES or action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        commands.add_parser(name, help=what, parents=[command], add_help=False)
    return parser


def values_of_options() -> Mapping[str, Sequence[str]]:
    """What can stand behind options that take names in any case, and so have no choices."""
    from classlens.cam.methods import METHODS
    from classlens.cli.browse import MODES
    from classlens.figures.chart import STYLES
    from classlens.figures.overlay import COLORMAPS

    methods = [*(method.name for method in METHODS.values()), "all", "every"]
    return {"method": methods, "methods": methods, "mode": MODES, "style": list(STYLES), "colormap": list(COLORMAPS)}
