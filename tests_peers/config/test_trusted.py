"""Trusted configs are run by Classlens: to the same values as by mmengine, and where mmengine itself fails."""

import re
import sys
import warnings
from pathlib import Path

import pytest
from mmengine.config import Config

from classlens.config import load_config, read_config
from classlens.errors import ConfigError

BASE = "model = dict(type='R', depth=50)\nlr = 0.1\n"
NEWER = "from mmengine.config import read_base\nwith read_base():\n    from .base import *\n"
FUNCTION = "\ndef double(x):\n    return 2 * x\n\n"


def run_text(folder, text):
    (folder / "base.py").write_text(BASE)
    (folder / "child.py").write_text(text)
    return load_config(folder / "child.py", {}, trust=True)


@pytest.mark.parametrize(
    "text",
    [
        f"_base_ = './base.py'\n{FUNCTION}lr = double(0.1)\nmodel = dict(depth=double(9))\n",
        "_base_ = './base.py'\nsame = {{_base_.model}}\nempty = [f() for f in [dict, list]]\n",
        "_base_ = './base.py'\nclass A:\n    size = 3\nsizes = [A.size, _base_.model.depth]\ndel A\n",
        "_base_ = './base.py'\nimport os\nwork_dir = os.path.join('a', os.environ.get('CLASSLENS_ABSENT', 'b'))\n",
        f"{NEWER}import torch.nn as nn\nfrom some.where import Head\n"
        "model.update(act=dict(type=nn.ReLU), head=dict(type=Head))\nlr = (lambda x: 2 * x)(lr)\n",
        f"{NEWER}import torch\nmodel.merge(dict(optimizer=dict(type=torch.optim.SGD)))\nwhile lr < 1:\n    lr *= 2\n",
    ],
)
def test_a_config_that_is_run_means_what_it_means_to_mmengine(tmp_path, text):
    config = run_text(tmp_path, text)

    assert config == Config.fromfile(str(tmp_path / "child.py")).to_dict()


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
def test_what_mmengine_fails_on_is_run_all_the_same(tmp_path, text):
    config = run_text(tmp_path, text)

    assert config == read_config(tmp_path / "child.py")
    with pytest.raises((RuntimeError, re.error)):
        Config.fromfile(str(tmp_path / "child.py"))


def test_what_needs_running_is_run_where_mmengine_fails(tmp_path):
    config = run_text(tmp_path, f"import os\n{NEWER}name = os.path.join('a', (lambda: 'b')())\n")

    assert config["name"] == "a/b"


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
def test_what_both_refuse_is_one_error_with_its_line(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        run_text(tmp_path, text)

    with warnings.catch_warnings(action="ignore"), pytest.raises(Exception, match=r"."):
        Config.fromfile(str(tmp_path / "child.py"))


def test_a_broken_file_of_data_is_one_error(tmp_path):
    path = Path(tmp_path, "child.yaml")
    path.write_text("a: [1\nb: }\n")

    with pytest.raises(ConfigError, match=r"child\.yaml cannot be read"):
        load_config(path, {}, trust=True)
