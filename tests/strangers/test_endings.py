"""However the world around a command is, it ends with one error at most, and a status that says whose turn it is."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image as Pillow

from classlens.cli.main import COMMANDS, UNFORESEEN, is_refused, main, report_unforeseen
from classlens.cli.parsing import Parser
from classlens.files import PHOTOS
from tests.strangers.limits import needs_prlimit

CONFIG = str(Path("configs/resnet/resnet50_8xb32_in1k.py").resolve())
COFFEE = str(PHOTOS / "coffee.png")
LISTED = ["browse", f"folder:{PHOTOS}", "-n", "1", "--json"]
PRINTING = [
    ["--help"],
    ["--version"],
    ["lr", "--help"],
    ["sources"],
    ["config", CONFIG, "--json"],
    ["lr", "demo"],
    LISTED,
]
needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="there is no shell")


def run(words, *, redirect="", before="", env=None):
    """A shell runs the command, as users do; its status, and standard error unless that goes elsewhere."""
    line = f'{before} "$0" -m classlens "$@" {redirect}'
    command = ["bash", "-c", line, sys.executable, *words]
    whole = {**os.environ, **(env or {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=whole)


def assert_one_error(done, match):
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    assert match in lines[0]
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr


@needs_shell
@pytest.mark.parametrize("words", PRINTING, ids=lambda words: " ".join(words)[-30:])
def test_what_cannot_be_printed_is_one_error_and_closed_streams_are_nobodys_business(words):
    full, closed, nowhere = (run(words, redirect=one) for one in (">/dev/full", ">&-", ">&- 2>&- <&-"))

    assert_one_error(full, "standard output: no space left on device")
    assert (closed.returncode, closed.stderr) == (0, "")
    assert nowhere.returncode == 0


@needs_shell
@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_reader_that_goes_away_and_full_streams_leave_no_words(buffered):
    env = {"PYTHONUNBUFFERED": buffered}
    gone = run(["sources"], redirect="| head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", env=env)
    both = run(["sources"], redirect=">/dev/full 2>/dev/full", env=env)

    assert (gone.returncode, gone.stderr) in ((0, ""), (141, ""))
    assert both.returncode == 2


@needs_shell
@pytest.mark.parametrize(
    "words", [LISTED, ["lr", CONFIG, "-d", "999"], ["sources"], ["config", CONFIG]], ids=lambda one: one[0]
)
@pytest.mark.parametrize(
    ("before", "env"),
    [
        ("ulimit -n 24;", {}),
        ('cd "$(mktemp -d)"; rmdir "$PWD";', {}),
        ("unset HOME;", {}),
        ("", {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        ("", {"PYTHONWARNINGS": "error"}),
        ("", {"TMPDIR": "/nonexistent"}),
    ],
    ids=["few files", "no folder", "no home", "ascii", "warnings", "no tmp"],
)
def test_a_poor_place_to_work_in_does_not_matter(words, before, env):
    done = run(words, before=before, env={**env, "PYTHONPATH": str(Path("src").resolve())})

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@needs_shell
def test_files_that_run_out_are_one_error(tmp_path):
    done = run([*LISTED, "--workers", "2"], before="ulimit -n 12;")

    assert_one_error(done, "too many open files")


@needs_prlimit
@pytest.mark.parametrize(
    "words",
    [
        ["lr", "demo", "--csv", "OUT/a.csv"],
        ["browse", f"folder:{PHOTOS}", "-n", "2", "-o", "OUT"],
        ["browse", f"folder:{PHOTOS}", "--html", "OUT/a.html"],
    ],
    ids=["csv", "pictures", "page"],
)
def test_a_disk_that_takes_no_more_is_one_error_and_nothing_is_left(words, tmp_path):
    command = [sys.executable, "-m", "classlens", *(word.replace("OUT", str(tmp_path)) for word in words), "--not-show"]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))  # noqa: E731

    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)

    assert_one_error(done, "file too large")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] in ([], ["browse.json"])


ABSURD = [
    "0", "-1", "1", str(10**18), "1" + "0" * 400, "9" * 5000, "-" + "9" * 5000, "nan", "inf", "-inf", "1e400", "1e-400",
    "\u0663", "\u00b2", "\u00bd", "0x10", "", " ", "1.5", "1x1", "nanxnan", "1x" + "9" * 5000, "\x1b[1m", "\udcff", "1\n2",
]  # fmt: skip


def typed_options():
    for command in COMMANDS:
        parser = Parser()
        import_module(f"classlens.cli.{command}").add_arguments(parser)
        for action in parser._actions:
            if action.option_strings and action.type not in (None, Path):
                yield pytest.param(command, action, id=f"{command} {action.option_strings[-1]}")


@pytest.mark.parametrize(("command", "action"), list(typed_options()))
def test_absurd_numbers_are_refused_where_they_are_read_or_are_numbers(command, action, capsys):
    for text in ABSURD:
        try:
            value = action.type(text)
        except ArgumentTypeError:
            continue
        for number in value if isinstance(value, tuple) else (value,):
            assert abs(number) < float("inf"), text  # NaN is not


@pytest.mark.parametrize("number", ABSURD, ids=lambda text: ascii(text[:12]))
@pytest.mark.parametrize("option", ["--epoch-length", "--steps", "--epochs", "-d", "-n", "--window-size"])
def test_absurd_lengths_of_a_run_end_well(option, number, capsys):
    try:
        status = main(["lr", CONFIG, *(() if option == "-d" else ("-d", "1000")), f"{option}={number}", "--json"])
    except SystemExit as stop:
        status = stop.code

    err = capsys.readouterr().err
    assert status in (0, 2)
    assert err.count("error: ") == (status == 2)
    assert len(err) < 2000


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["browse", "demo", "--repeat", str(10**18)], "from 1 to 1,000,000"),
        (["browse", "demo", "--workers", str(10**18)], "from 0 to 256"),
        (["browse", "demo", "--show-interval", "nan"], "seconds, a day at most"),
        (["browse", "demo", "--seed", "9" * 5000], "is not a whole number"),
    ],
    ids=lambda one: one[2] if isinstance(one, list) else "",
)
def test_numbers_without_sense_say_what_makes_sense(words, match, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)

    assert match in capsys.readouterr().err


def fail(error):
    try:
        raise error
    except Exception as caught:
        return report_unforeseen(caught)


@pytest.mark.parametrize(
    "error", [KeyError("x\x1b[1m\ny"), RecursionError("deep " * 1000), MemoryError(), AssertionError()], ids=repr
)
def test_what_nobody_thought_of_is_one_line_with_a_place_to_report_it(error, capsys, monkeypatch):
    monkeypatch.delenv("CLASSLENS_DEBUG", raising=False)

    assert fail(error) == UNFORESEEN == 70

    first, hint = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: classlens failed, which is a mistake in it: {type(error).__name__}")
    assert "test_endings.py:" in first
    assert "please report it to" in hint
    assert len(first) < 500


def test_the_traceback_of_a_mistake_can_be_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("CLASSLENS_DEBUG", "1")

    assert fail(KeyError("x")) == UNFORESEEN

    assert "Traceback" in capsys.readouterr().err


def test_what_the_system_refuses_is_no_mistake_of_ours():
    assert is_refused(OSError(28, "No space left on device"))
    assert is_refused(ImportError("libtorch.so: cannot open shared object file: Too many open files"))
    assert not is_refused(ImportError("cannot import name 'x'"))
    assert not is_refused(KeyError("x"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals end a process at once there")
@pytest.mark.parametrize(
    "words",
    [["cam", COFFEE, "demo"], ["lr", "demo", "--not-show"], ["browse", "demo", "-n", "1"]],
    ids=lambda one: one[0],
)
def test_a_signal_while_packages_are_imported_leaves_no_traceback(words):
    chance = random.Random(words[0])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        command = [sys.executable, "-m", "classlens", *words]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(0.3 + chance.random())
            process.send_signal(number)
            _, err = process.communicate(timeout=60)

        # Python takes a while until it runs a line of ours, and again after the last one: the system ends it then.
        assert process.returncode in (0, 128 + number, -number), err
        assert "Traceback" not in err
        assert "ignored" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals end a process at once there")
@pytest.mark.parametrize("command", [["browse"], ["browse", "--workers", "0"]], ids=len)
def test_ctrl_c_while_the_process_ends_leaves_no_traceback(command, tmp_path):
    (tmp_path / "late.py").write_text(
        "import atexit, os, signal\nfrom PIL import Image\n\natexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "class Pictures:\n    def __len__(self): return 1\n"
        "    def __getitem__(self, index): return Image.new('RGB', (9, 9)), 0\n\npictures = Pictures()\n"
    )

    done = run([*command, f"py:{tmp_path / 'late.py'}:pictures"])

    assert done.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr


def test_names_over_all_limits_are_one_error(tmp_path, capsys):
    Pillow.new("RGB", (9, 9)).save(tmp_path / "a.png")
    long = str(tmp_path / ("n" * 300))

    for words in (
        ["lr", f"{long}.py"],
        ["browse", f"folder:{long}"],
        ["cam", f"{long}.png", "demo"],
        ["lr", "demo", "--csv", f"{long}.csv"],
    ):
        assert main(words) == 2, words
        assert capsys.readouterr().err.count("error: ") == 1
