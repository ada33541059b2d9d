"""The Tab key in real shells."""

import os
import pty
import select
import shutil
import subprocess
import time

import pytest

from classlens.cli.completion import SHELLS
from classlens.cli.main import COMMANDS, main

SETUP = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], ["source {script}"]),
    "zsh": (["zsh", "-f", "-i"], ["autoload -U compinit; compinit -u -d {script}.dump", 'eval "$(cat {script})"']),
}
LONGEST = 20.0  # seconds until an answer is given up


@pytest.fixture(params=SHELLS)
def press_tab(request, tmp_path, capsys):
    """A function that says what a shell makes of a line when Tab is pressed behind it."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    script = tmp_path / f"script.{shell}"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    place = tmp_path / "work"
    (place / "pictures").mkdir(parents=True)
    (place / "config_x.py").touch()

    def ask_fish(line):
        words = [shell, "-N", "-c", f"source {script}; complete -C '{line}'"]
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=True)
        return "\n".join(one.partition("\t")[0] for one in done.stdout.splitlines())

    return ask_fish if shell == "fish" else lambda line: type_and_read(shell, script, place, f"{line}\t\t")


def type_and_read(shell, script, place, line):
    """What stands on the terminal of a shell after a line was typed."""
    words, setup = SETUP[shell]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(place)
        os.environ.update(TERM="dumb", PS1="", PROMPT_EOL_MARK="")
        os.execvp(words[0], words)

    def read_until(word):
        seen, end = b"", time.monotonic() + LONGEST
        while time.monotonic() < end and word not in seen.replace(b"\r", b"").replace(b"\n", b""):
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 65536)
        return seen.decode(errors="replace")

    try:
        for one in (*(step.format(script=script) for step in setup), "echo rea''dy"):
            os.write(terminal, f"{one}\n".encode())
        read_until(b"ready")
        os.write(terminal, line.encode())
        time.sleep(0.5)
        os.write(terminal, b"\x15echo do''ne\n")  # takes the line back
        return read_until(b"done")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def test_commands_are_completed(press_tab):
    answer = press_tab("classlens c")

    assert all(name in answer for name in COMMANDS if name.startswith("c"))
    assert "browse" not in answer


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("classlens browse --show-n", "--show-number"),
        ("classlens browse --mode pi", "pipeline"),
        ("classlens cam a.png demo --method LayerC", "LayerCAM"),
        ("classlens lr con", "config_x.py"),
        ("classlens browse demo --output-dir pic", "pictures"),
    ],
)
def test_options_their_values_and_names_of_files_are_completed(line, completed, press_tab):
    assert completed in press_tab(line)
