"""What the user's own code raises is told in one line, with the user's own file and line."""

import textwrap

import pytest

from classlens.adapters import open_source
from classlens.cli.main import main
from classlens.errors import ConfigError, MissingDependency, install_command


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def written(text):
        (tmp_path / "train.py").write_text(textwrap.dedent(text), encoding="utf-8")

    return written


def test_a_function_that_raises_is_told_with_its_line(write):
    write(
        """
        def model():
            return build(3)

        def build(depth):
            raise ValueError(f"no network of depth {depth}")
        """
    )

    with pytest.raises(ConfigError) as caught:
        open_source("py:train.py:model")

    assert str(caught.value) == "py:train.py:model fails at train.py:6: ValueError: no network of depth 3"
    assert caught.value.hint == 'the line is: raise ValueError(f"no network of depth {depth}")'


def test_an_error_inside_a_package_is_told_at_the_users_line_that_led_there(write):
    write("import torch\n\nlayer = torch.nn.Conv2d(3, 4, 'five')\n")

    with pytest.raises(ConfigError, match=r"fails at train\.py:3: ") as caught:
        open_source("py:train.py:layer")

    assert "Conv2d(3, 4, 'five')" in caught.value.hint


def test_a_file_that_is_no_python_is_told_with_its_line(write):
    write("value = 1\ndef broken(:\n")

    with pytest.raises(ConfigError, match=r"fails at train\.py:2: SyntaxError: "):
        open_source("py:train.py:value")


def test_a_file_that_ends_the_program_is_told_what_guards_against_it(write):
    write("import sys\nsys.exit(0)\n")

    with pytest.raises(ConfigError, match=r"ends the program at train\.py:2") as caught:
        open_source("py:train.py:value")

    assert "__main__" in caught.value.hint


@pytest.mark.parametrize(
    ("package", "hint"),
    [
        ("a_package_nobody_has", "pip install a_package_nobody_has"),
        ("kornia.nowhere", ""),  # one that an extra brings; the command depends on the folder
    ],
)
def test_a_package_that_the_file_needs_is_told_with_how_to_get_it(write, package, hint):
    write(f"import {package}\n")

    with pytest.raises(MissingDependency, match=r"py:train\.py:value at train\.py:1: \w+ is not installed") as caught:
        open_source("py:train.py:value")

    assert caught.value.hint == (hint or install_command("kornia"))


def test_a_module_of_ours_that_there_is_not_is_a_mistake_in_the_file(write):
    write("import classlens.no_such_module\n")

    with pytest.raises(ConfigError, match=r"fails at train\.py:1: ModuleNotFoundError: .*classlens\.no_such_module"):
        open_source("py:train.py:model")


def test_on_the_command_line_it_is_two_lines_and_status_2(write, capsys):
    write("def data():\n    return open('nowhere.csv')\n")

    status = main(["browse", "py:train.py:data", "--output-dir", "out"])

    told = capsys.readouterr().err.splitlines()
    assert status == 2
    assert told == [
        "error: py:train.py:data fails at train.py:2: FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.csv'",
        "hint:  the line is: return open('nowhere.csv')",
    ]
