"""The command in a shell: help, widths, colours, previews and messages, as a terminal shows them."""

import contextlib
import os
import re
import subprocess
import sys
from importlib import import_module

import pytest

from classlens.cli.main import COMMANDS, main
from classlens.files import PHOTOS

pty = pytest.importorskip("pty", reason="a terminal of our own")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SLOW = """
import time
from PIL import Image

class Pictures:
    def __len__(self): return 200
    def __getitem__(self, index):
        if index == 3:
            raise KeyboardInterrupt
        return Image.new("RGB", (20, 30)), index % 2

pictures = Pictures()
"""


def in_terminal(words, *, columns=80, lines=24, status=0, **variables):
    """What `classlens` writes on a terminal of that size."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    kept = {
        name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "DISPLAY", "NO_COLOR")
    }
    run = subprocess.Popen(
        [sys.executable, "-m", "classlens", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=kept | {"TERM": "xterm"} | variables,
    )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # the other end was closed
        while part := os.read(ours, 65536):
            written += part
    os.close(ours)
    assert run.wait() == status
    return written.decode().replace("\r\n", "\n")


def help_of(words, capsys):
    with contextlib.suppress(SystemExit):
        assert main([*words]) == 0
    return capsys.readouterr().out


def test_the_bare_command_shows_an_example_of_every_command_and_ends_well(capsys):
    said = help_of([], capsys)

    assert all(re.search(rf"^ +classlens {name}\b", said, re.MULTILINE) for name in COMMANDS)
    assert said == help_of(["--help"], capsys)


@pytest.mark.parametrize("words", [[], *([name, "--help"] for name in COMMANDS), ["sources"]], ids=str)
def test_help_fits_80_columns_and_says_no_default_of_none(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    said = help_of(words, capsys)

    assert [line for line in said.splitlines() if len(line) > 80] == []
    assert "None" not in said


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_in_a_help_text_can_be_typed(command, monkeypatch, capsys):
    """Lines that go on end in a backslash, as a shell has them."""
    module = import_module(f"classlens.cli.{command}")
    examples = re.findall(r"^  classlens .*(?:\n      .*)*", module.__doc__, re.MULTILINE)

    assert all(line.endswith("\\") for one in examples for line in one.splitlines()[:-1])
    assert all(line in help_of([command, "--help"], capsys) for one in examples for line in one.splitlines())


def test_a_long_error_is_broken_between_words_on_a_terminal():
    said = in_terminal(["cam", "demo", str(PHOTOS / "coffee.png"), str(PHOTOS / "chelsea.png")], columns=60, status=2)

    assert "classlens cam" in said
    assert all(len(line) <= 60 or " " not in line.strip() for line in said.splitlines())


@pytest.mark.parametrize("mode", ["original", "concat", "pipeline"])
@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (60, 30)])
def test_a_preview_fits_the_terminal_and_can_be_read(mode, columns, lines):
    said = in_terminal(["browse", "demo", "-n", "1", "-i", "0", "--mode", mode], columns=columns, lines=lines)

    rows = [COLOUR.sub("", line) for line in said.splitlines()]
    assert all(len(row) <= columns for row in rows)
    assert len(rows) < lines
    assert any(row.count("\N{UPPER HALF BLOCK}") > 15 for row in rows)
    if mode == "pipeline":
        assert any(re.search("LoadImageFromFile +RandomResizedCrop", row) for row in rows)
    assert rows[-1] == "1 picture of train"


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_colour_is_kept(variable, tmp_path):
    said = in_terminal(["browse", "demo", "-n", "2", "-i", "0"], **variable)
    said += in_terminal(["browse", "demo", "-n", "2", "-o", str(tmp_path / "out")], **variable)
    said += in_terminal(["lr", "demo"], **variable)

    assert "\x1b" not in said
    assert "\N{UPPER HALF BLOCK}" not in said
    assert "--output-dir DIR saves the pictures" in said
    assert ("\r" in said) is ("TERM" not in variable)
    assert ("no letters to plot with; --save-path FILE draws" in " ".join(said.split())) is ("TERM" in variable)


def test_a_stream_that_lacks_a_letter_shows_its_number(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "classlens", "lr", "demo"]

    done = subprocess.run(command, env=environment, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert "lr: " in done.stdout


def test_messages_count_in_words(tmp_path, capsys):
    out = tmp_path / "out"

    assert main(["browse", "demo", "-n", "1", "-o", str(out)]) == 0
    assert main(["browse", "demo", "-n", "3", "-o", str(out)]) == 0
    assert main(["lr", "demo", "--save-path", str(out / "lr.png")]) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"wrote 1 picture of train to {out}"
    assert said[1] == f"wrote 3 pictures of train to {out}"
    assert said[-1] == f"wrote {out / 'lr.png'}"


STEPS = """
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=0.0))
param_scheduler = [dict(type="MultiStepLR", milestones=[100, 600], gamma=0.01, by_epoch=False)]
train_cfg = dict(by_epoch=False, max_iters=1000)
"""


def test_a_schedule_in_words_says_what_is_constant_and_what_cannot_be_seen(tmp_path, capsys, monkeypatch):
    (tmp_path / "steps.py").write_text(STEPS)
    monkeypatch.chdir(tmp_path)

    assert main(["lr", "steps.py", "-p", "all", "--not-show"]) == 0
    assert main(["lr", str(tmp_path / "steps.py"), "-p", "all", "--not-show"]) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[:5] == [
        "steps: 1,000 steps",
        "  lr: starts at its peak 0.1, ends 1e-05",
        "  momentum: 0.9 throughout",
        "  weight_decay: 0 throughout",
        "  note: lr rests near 0, where this axis shows nothing; --log draws a logarithmic one",
    ]
    assert said[5:] == said[:5]  # the title is the same by any path


@pytest.mark.parametrize(
    ("words", "end"),
    [
        (["-o", "OUT"], "written; what is in OUT is whole"),
        (["--html", "OUT.html"], "drawn; OUT.html is written at the end, and was not"),
        (["--stats"], "measured; numbers are given of all only"),
        ([], "shown"),
    ],
)
def test_a_stopped_run_says_how_far_it_came(words, end, tmp_path, capsys):
    (tmp_path / "own.py").write_text(SLOW)
    out = str(tmp_path / "out")
    target = f"py:{tmp_path / 'own.py'}:pictures"

    assert main(["browse", target, "--in-order", *(word.replace("OUT", out) for word in words)]) == 130

    said = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"stopped, [0-3] of 200 " + re.escape(end.replace("OUT", out)), said)
