"""Trusted configs are run; everybody else's are not."""

import pytest

from classlens.config import read_config
from classlens.errors import ConfigError

from .writing_files import write

BASE = "model = dict(type='R', depth=50)\nlr = 0.1"
OLDER = """_base_ = 'base.py'
import os


def double(x):
    return 2 * x


model = dict(depth=double(9))
same = {{_base_.model}}
width = _base_.model.depth
here = os.path.exists(__file__)
"""


def test_a_trusted_config_may_do_what_the_subset_leaves_out(tmp_path):
    child = write(tmp_path, base=BASE, child=OLDER)

    with pytest.raises(ConfigError, match="def is not read"):
        read_config(child)

    assert read_config(child, trust=True) == {
        "model": {"type": "R", "depth": 18},
        "lr": 0.1,
        "same": {"type": "R", "depth": 50},
        "width": 50,
        "here": True,
    }


def test_a_trusted_config_of_the_newer_style_keeps_imported_types_as_names(tmp_path):
    child = write(
        tmp_path,
        base=BASE,
        child="with read_base():\n    from .base import *\nfrom nowhere.at_all import Head\n"
        "model.update(head=dict(type=Head))\nodd = (lambda x: x + 1)(2)\n",
    )

    config = read_config(child, trust=True)

    assert config == {"model": {"type": "R", "depth": 50, "head": {"type": "nowhere.at_all.Head"}}, "lr": 0.1, "odd": 3}


def test_a_fault_in_a_trusted_config_names_its_line(tmp_path):
    child = write(tmp_path, child="a = 1\n\ndef f():\n    return a.x\n\nb = f()\n")

    with pytest.raises(ConfigError, match=r"child\.py:4: AttributeError"):
        read_config(child, trust=True)


def test_running_leaves_no_trace_for_those_who_do_not_trust(tmp_path):
    write(tmp_path, base="value = (lambda: 5)()")
    child = write(tmp_path, child="_base_ = 'base.py'")

    assert read_config(child, trust=True) == {"value": 5}
    with pytest.raises(ConfigError, match="not read"):
        read_config(child)


METHODS = """import nowhere
with read_base():
    from .base import *
model.width = 3
kind, copied = model.pop('type'), model.copy()
copied.width, act = 5, nowhere.nn.ReLU
head = model.setdefault('head', dict(type='H'))
neck = model.setdefault('head', 'no second one')
has = [hasattr(model, 'depth'), hasattr(model, 'type'), hasattr(nowhere.nn, '__len__')]
printed = f'{act}'
del model.depth
"""


def test_a_trusted_config_uses_inherited_dicts_and_imported_names_as_python_does(tmp_path):
    """The methods of mmengine's ConfigDict and LazyObject, in a config that is run."""
    config = read_config(write(tmp_path, base=BASE, child=METHODS), trust=True)

    assert config["model"] == {"width": 3, "head": {"type": "H"}}
    assert config["copied"] == {"width": 5, "depth": 50}
    assert (config["kind"], config["neck"], config["has"]) == ("R", {"type": "H"}, [True, False, False])
    assert (config["act"], config["printed"]) == ("nowhere.nn.ReLU", "nowhere.nn.ReLU")


@pytest.mark.parametrize("trust", [False, True])
def test_an_expression_that_is_nested_too_deeply_is_one_error(tmp_path, trust):
    with pytest.raises(ConfigError, match=r"is nested too deeply|cannot be parsed"):  # newer Pythons stop earlier
        read_config(write(tmp_path, child=f"x = {'-' * 900}1"), trust=trust)
