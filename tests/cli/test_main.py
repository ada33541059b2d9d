import gc
import json
import signal
import subprocess
import sys
from argparse import SUPPRESS
from importlib import import_module
from pathlib import Path

import pytest

from classlens.cli import main as cli_main
from classlens.cli.main import COMMANDS, main, report_unforeseen
from classlens.cli.parsing import Parser
from classlens.runs import own_process
from classlens.runs.own_process import collecting_later

TOOLS = Path(__file__).parents[2] / "tools" / "visualizations"


def output_of(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code, *capsys.readouterr()


@pytest.mark.parametrize(
    "words", [["--cfg_options", "a_b=c_d"], ["--cfg_options=a_b=c_d"], ["--cfg-options", "a_b=c_d"]]
)
def test_underscores_in_option_names_are_dashes_and_those_of_values_stay(words, tmp_path, capsys):
    (tmp_path / "model_a.py").write_text("a_b = 1")

    assert main(["config", str(tmp_path / "model_a.py"), *words, "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == {"a_b": "c_d"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text(command):
    parser = Parser()
    import_module(f"classlens.cli.{command}").add_arguments(parser)

    assert [action.dest for action in parser._actions if not action.help] == []


def test_commands_are_listed_with_what_they_do(capsys):
    code, out, _ = output_of(["--help"], capsys)

    assert code == 0
    assert all(name in out for name in COMMANDS)


def test_an_unknown_command_is_one_error_with_a_hint(capsys):
    code, (_, err) = main(["brows"]), capsys.readouterr()

    assert code == 2
    assert err == "error: no command named 'brows'\nhint:  did you mean browse?\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_option_is_refused_with_a_hint(command, capsys):
    code, _, err = output_of([command, "--no-such-option"], capsys)

    assert code == 2
    assert err.startswith("error: ")
    assert "hint:  " in err  # the nearest option, or where all are listed


@pytest.mark.parametrize(
    "words",
    [
        ["cam", "coffee.png", "demo", "-s", "a.png", "--save-path", "b.png"],
        ["browse", "demo", "-o", "a.png", "-o", "b.png"],
    ],
)
def test_of_two_places_to_write_to_none_is_left_out_without_a_word(words, capsys):
    code, _, err = output_of(words, capsys)

    assert code == 2
    assert "is there twice, for a.png and for b.png" in err


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("browse_dataset", "browse"),
        ("vis_pipeline", "browse"),
        ("vis_lr", "lr"),
        ("vis_scheduler", "lr"),
        ("vis_cam", "cam"),
    ],
)
def test_the_documented_scripts_take_the_arguments_of_the_commands(script, command):
    words = [sys.executable, str(TOOLS / f"{script}.py"), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    parser = Parser(prog=f"{script}.py")
    import_module(f"classlens.cli.{command}").add_arguments(parser)

    assert f"usage: {script}.py" in done.stdout
    shown = [action for action in parser._actions if action.help != SUPPRESS]
    options = [name for action in shown for name in action.option_strings if name.startswith("--")]
    assert [name for name in options if name not in done.stdout] == []


def test_garbage_is_not_looked_for_while_torch_is_imported_and_is_again_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    with collecting_later("torch"):
        assert not gc.isenabled()

    gc.unfreeze()
    assert gc.isenabled()


def test_an_error_of_a_library_after_a_signal_is_that_signal(monkeypatch, capsys):
    """Some turn Ctrl-C into an error of their own."""
    monkeypatch.setattr(own_process, "ASKED", [(signal.SIGTERM, 0.0)])
    monkeypatch.setattr(cli_main, "ASKED", own_process.ASKED)

    assert report_unforeseen(RuntimeError("worker was interrupted")) == 128 + signal.SIGTERM
    assert "worker was interrupted" not in capsys.readouterr().err


def test_a_limit_is_that_of_one_command():
    """Python may call several in one process; a slip in one must not end the next."""
    assert main(["browse", "demo", "-n", "1", "--limit", "pixels=x"]) == 2
    assert main(["browse", "demo", "-n", "1"]) == 0
