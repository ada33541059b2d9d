import json
import subprocess
import sys

import pytest

from classlens.cli.main import main
from classlens.config import read_config

BASE = "model = dict(type='ResNet', depth=50)\npipeline = [dict(type='Load'), dict(type='Pack')]\n"


@pytest.fixture
def child(tmp_path):
    (tmp_path / "base.py").write_text(BASE)
    path = tmp_path / "child.py"
    path.write_text("_base_ = 'base.py'\nmodel = dict(depth=18)\nsize = (224, 224)\n")
    return path


def test_the_printed_config_is_a_config_with_the_same_meaning(child, tmp_path, capsys):
    assert main(["config", str(child)]) == 0

    (tmp_path / "printed.py").write_text(capsys.readouterr().out)
    assert read_config(tmp_path / "printed.py") == read_config(child)


def test_json_holds_the_resolved_settings(child, capsys):
    assert main(["config", str(child), "--json", "--cfg-options", "model.depth=34", "pipeline.-1.type=X"]) == 0

    assert json.loads(capsys.readouterr().out) == {
        "model": {"type": "ResNet", "depth": 34},
        "pipeline": [{"type": "Load"}, {"type": "X"}],
        "size": [224, 224],
    }


def test_a_difference_has_a_line_for_each_side(child, tmp_path, capsys):
    assert main(["config", str(child), "--diff", str(tmp_path / "base.py")]) == 0

    assert capsys.readouterr().out.splitlines()[2:] == [
        "- model.depth = 18",
        "+ model.depth = 50",
        "- size = (224, 224)",
    ]


def test_differences_can_be_had_as_data(child, tmp_path, capsys):
    assert main(["config", str(child), "--diff", str(tmp_path / "base.py"), "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == [
        {"key": "model.depth", "config": 18, "other": 50},
        {"key": "size", "config": [224, 224]},
    ]


def test_equal_configs_have_no_difference(child, capsys):
    assert main(["config", str(child), "--diff", str(child)]) == 0

    assert capsys.readouterr().out == "no difference\n"


def test_a_probable_slip_in_an_override_is_noted(child, capsys):
    assert main(["config", str(child), "--cfg-options", "model.dept=3"]) == 0

    assert capsys.readouterr().err == "note:  model.dept creates dept; did you mean depth?\n"


def test_a_deprecated_config_is_noted(child, capsys):
    child.write_text("_deprecation_ = dict(expected='new.py')\na = 1\n")

    assert main(["config", str(child)]) == 0

    assert capsys.readouterr().err == "note:  child.py is deprecated by its authors; use new.py\n"


def test_what_is_refused_is_run_only_if_trusted(child, capsys):
    child.write_text("def f():\n    return 5\n\n\nx = f()\n")

    assert main(["config", str(child)]) == 2
    said = capsys.readouterr().err
    assert f"error: {child}:1: def is not read: `def f():…`" in said
    assert "--trust-config" in said

    assert main(["config", str(child), "--trust-config"]) == 0
    assert capsys.readouterr().out == "x = 5\n"


def test_a_documented_config_is_found_from_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert main(["config", "configs/resnet/resnet50_8xb32_in1k.py", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["model"]["backbone"]["depth"] == 50


@pytest.mark.parametrize("words", [["missing.py"], ["."], ["child.py", "--cfg-options", "novalue"]])
def test_bad_words_are_one_error_with_a_hint(child, monkeypatch, words, capsys):
    monkeypatch.chdir(child.parent)

    assert main(["config", *words]) == 2

    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint:  ")


def test_the_command_loads_nothing_heavy(child):
    program = (
        f"from classlens.cli.main import main; main(['config', {str(child)!r}]); import sys; "
        "print([name for name in ('numpy', 'torch', 'matplotlib', 'cv2') if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"
