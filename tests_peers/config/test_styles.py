"""Reserved names, and what happens where configs of both styles meet: upstream opens a config if and only if we do."""

from itertools import product
from types import ModuleType

import pytest
from mmengine.config import Config

from classlens.config import read_config
from classlens.errors import ConfigError

PARTS = "model = dict(type='R', depth=50, init=dict(std=0.1))\nstages = [dict(type='A'), dict(type='B')]\nlr = 0.1\n"
BASES = {
    "either.py": PARTS,
    "stdlib.py": f"import time\n{PARTS}",
    "reader.py": f"from mmengine.config import read_base\n{PARTS}",
    "older.py": "_base_ = ['./either.py']\nextra = 1\n",
    "newer.py": "from mmengine.config import read_base\nwith read_base():\n    from .either import *\nextra = 1\n",
    "typed.py": f"from mmengine.model import BaseModel\n{PARTS}kind = dict(type=BaseModel)\n",
    "nested.py": f"{PARTS}if lr:\n    import torch.nn as nn\n    act = nn.ReLU\n",
    "older_of_newer.py": "_base_ = './newer.py'\n",
    "newer_of_older.py": "with read_base():\n    from .older import *\n",
    "data.json": '{"model": {"type": "R", "depth": 50, "init": {"std": 0.1}}, "stages": [], "lr": 0.1}',
    "older.yaml": "_base_: ./either.py\nextra: 1\n",
    "yaml_of_newer.yaml": "_base_: ./newer.py\n",
}
CHANGES = {
    "nothing": "",
    "merge": "model = dict(depth=18, init=dict(mean=0))",
    "delete": "model = dict(_delete_=True, type='V')",
    "delete inside": "model = dict(init=dict(_delete_=True, x=1))",
    "delete in a list": "stages = [dict(_delete_=True, type='C')]",
    "delete of what is not there": "fresh = dict(_delete_=True, a=dict(_delete_=True, b=1))",
    "delete is false": "model = dict(_delete_=False, depth=1)",
    "delete something else": "lr = dict(_delete_=True, base=1)",
    "replace a list": "stages = []",
}


def both(folder, name):
    """What both readers make of a file: its settings, or None where it is refused."""
    try:
        settings = Config.fromfile(str(folder / name)).to_dict()
        theirs = {key: value for key, value in settings.items() if not isinstance(value, ModuleType)}  # no setting
    except Exception:  # upstream stops in many ways
        theirs = None
    try:
        ours = read_config(folder / name)
    except ConfigError:
        ours = None
    return ours, theirs


@pytest.fixture
def folder(tmp_path):
    for name, text in BASES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", BASES)
def test_a_file_is_opened_if_upstream_opens_it(folder, name):
    ours, theirs = both(folder, name)

    assert ours == theirs


@pytest.mark.parametrize(("base", "change"), list(product(BASES, CHANGES)))
def test_a_child_of_the_older_style_means_what_it_means_upstream(folder, base, change):
    (folder / "child.py").write_text(f"_base_ = './{base}'\n{CHANGES[change]}\n")

    ours, theirs = both(folder, "child.py")

    assert ours == theirs


@pytest.mark.parametrize(("base", "change"), list(product([name for name in BASES if name.endswith(".py")], CHANGES)))
def test_a_child_of_the_newer_style_means_what_it_means_upstream(folder, base, change):
    (folder / "child.py").write_text(
        "from mmengine.config import read_base\n"
        f"with read_base():\n    from .{base.removesuffix('.py')} import *\n{CHANGES[change]}\n"
    )

    ours, theirs = both(folder, "child.py")

    assert ours == theirs


@pytest.mark.parametrize("base", BASES)
def test_a_child_as_data_means_what_it_means_upstream(folder, base):
    (folder / "child.json").write_text(f'{{"_base_": "./{base}", "model": {{"_delete_": true, "type": "V"}}}}')

    ours, theirs = both(folder, "child.json")

    assert ours == theirs


TWO_STYLES = {
    "types first": "from mmengine.model import BaseModel\n_base_ = './either.py'\nx = dict(type=BaseModel)\n",
    "types later": "_base_ = './either.py'\nimport time\n",
    "reader first": "from mmengine.config import read_base\n_base_ = './either.py'\n",
    "bases first": "_base_ = './either.py'\nfrom mmengine.config import read_base\nwith read_base():\n    from .either import *\n",
    "two blocks": "from mmengine.config import read_base\n"
    "with read_base():\n    from .either import *\nwith read_base():\n    from .stdlib import *\n",
    "one block of two": "from mmengine.config import read_base\n"
    "with read_base():\n    from .either import *\n    from .stdlib import *\n",
    "two modules": "from mmengine.config import read_base\nimport torch, time\nx = 1\n",
    "two modules of python": "import itertools, time\nx = 1\n",
}


@pytest.mark.parametrize("text", TWO_STYLES.values(), ids=TWO_STYLES)
def test_two_styles_in_one_file_are_refused_where_upstream_refuses_them(folder, text):
    (folder / "child.py").write_text(text)

    ours, theirs = both(folder, "child.py")

    assert ours == theirs


RESERVED = ["filename", "text", "pretty_text", "env_variables"]


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize(
    "text",
    [
        "{name} = 1\n",
        "model = 1\nfor {name} in [1, 2]:\n    pass\n",
        "x = [1 for {name} in [1, 2]]\n",
        "{name} = 1\ndel {name}\n",
        "model = dict({name}=1)\n",
        "_base_ = './reserved.py'\n",
        "_base_ = './reserved.py'\n_base_.pop('{name}')\n",
        "with read_base():\n    from .reserved import *\n",
        "with read_base():\n    from .reserved import {name} as other\n",
        "from mmengine.model import BaseModel as {name}\n",
        "import torch.nn as {name}\n",
        "import time as {name}\n",
        "_{name} = 1\n",
    ],
)
def test_reserved_names_are_refused_where_upstream_refuses_them(folder, text, name):
    (folder / "reserved.py").write_text(f"{name} = 1\nmodel = 2\n")
    (folder / "child.py").write_text(text.format(name=name))

    ours, theirs = both(folder, "child.py")

    assert ours == theirs
    if ours is None:
        with pytest.raises(KeyError, match=f"{name} is reserved for config file"):
            Config.fromfile(str(folder / "child.py"))
        with pytest.raises(ConfigError, match=f"{name} is reserved for config file"):
            read_config(folder / "child.py")
