"""Trusted configs with mmengine installed: what it fails on is run by Classlens, what it rightly refuses is refused."""

import re
import sys
from pathlib import Path

import mmengine
import pytest
from mmengine.config import Config

from classlens.adapters.config_file import open_settings
from classlens.config import read_config
from classlens.errors import ConfigError

BASE = "model = dict(type='R', depth=50)\nlr = 0.1\n"
NEWER = "from mmengine.config import read_base\nwith read_base():\n    from .base import *\n"


def opened(folder, text, *, trust=True):
    (folder / "base.py").write_text(BASE)
    (folder / "child.py").write_text(text)
    return open_settings(folder / "child.py", {}, trust=trust)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="os is frozen since Python 3.11")
@pytest.mark.parametrize(
    "text",
    [
        f"import os.path as osp\n{NEWER}model.depth = 18\nwork_dir = osp.join('a', 'b')\n",
        f"import os\n{NEWER}work_dir = os.path.join('a', 'b')\n",
        f"from os.path import join\n{NEWER}work_dir = join('a', 'b')\n",
        "_base_ = './base.py'\nroot = '{{$CLASSLENS_UNSET:a(b}}'\n",
    ],
)
def test_what_mmengine_fails_on_is_run_by_classlens_with_a_note(tmp_path, text):
    config, notes = opened(tmp_path, text)

    assert config == read_config(tmp_path / "child.py")
    assert len(notes) == 1
    assert notes[0].startswith(f"mmengine {mmengine.__version__} fails on child.py (")
    with pytest.raises((RuntimeError, re.error)):
        Config.fromfile(str(tmp_path / "child.py"))


def test_what_needs_running_is_run_where_mmengine_fails(tmp_path):
    config, notes = opened(tmp_path, f"import os\n{NEWER}name = os.path.join('a', (lambda: 'b')())\n")

    assert config["name"] == "a/b"
    assert len(notes) == 1


def test_what_mmengine_runs_is_left_to_it(tmp_path):
    config, notes = opened(tmp_path, "_base_ = './base.py'\n\ndef double(x):\n    return 2 * x\n\nlr = double(0.1)\n")

    assert config["lr"] == 0.2
    assert notes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename = 'x'\n", r"child\.py:1: filename is reserved for config file"),
        (
            "from mmengine.model import BaseModel\n_base_ = './base.py'\n",
            r"child\.py:2: both styles of config in one file",
        ),
        ("a = 1\n\nb = {}['x']\n", r"child\.py:3: KeyError: 'x'"),
        ("a = (\n", r"child\.py:1: "),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_both_refuse_is_one_error_with_its_line_and_the_reason_of_mmengine(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        opened(tmp_path, text)

    assert caught.value.hint.startswith("mmengine says: ")


def test_modules_of_ones_own_that_are_missing_stay_an_error(tmp_path):
    with pytest.raises(ConfigError, match="ImportError: Failed to import custom modules") as caught:
        opened(tmp_path, "custom_imports = dict(imports=['nowhere_at_all'])\n")

    assert "PYTHONPATH" in caught.value.hint


def test_a_broken_file_of_data_is_one_error(tmp_path):
    path = Path(tmp_path, "child.yaml")
    path.write_text("a: [1\nb: }\n")

    with pytest.raises(ConfigError, match=r"child\.yaml cannot be read"):
        open_settings(path, {}, trust=True)
