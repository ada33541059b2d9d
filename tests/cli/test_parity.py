"""The commands of docs/parity.md run as they stand there, and leave what they promise."""

import re
import shlex
from pathlib import Path

import pytest

from classlens.cli.main import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"`classlens ([^`]*)` \|$", PAGE, flags=re.MULTILINE)
DOCUMENTED = {
    "browse": "--output-dir --phase --show-number --show-interval --mode --rescale-factor --bgr2rgb --cfg-options --not-show "
    "--channel-order",
    "lr": "--dataset-size --ngpus --save-path --title --style --window-size --cfg-options --parameter --log-level --not-show",
    "cam": "--target-layers --preview-model --method --target-category --save-path --eigen-smooth --aug-smooth --vit-like "
    "--num-extra-tokens --device --cfg-options",
}


@pytest.mark.parametrize("command", [command for command in COMMANDS if "..." not in command])
def test_a_command_of_the_page_runs(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    words = [word.replace("OUT", str(tmp_path / "out")) for word in shlex.split(command)]

    assert main(words) == 0
    assert any(tmp_path.iterdir()) == ("OUT" in command)


@pytest.mark.parametrize("command", DOCUMENTED)
def test_every_documented_argument_is_on_the_page(command):
    missing = [option for option in DOCUMENTED[command].split() if f"`{option}" not in PAGE]

    assert missing == []
