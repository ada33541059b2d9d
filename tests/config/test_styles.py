"""What stops mmengine from opening a config is an error at once: mixed styles and reserved names."""

import pytest

from classlens.config import read_config
from classlens.errors import ConfigError

from .writing_files import read, write

NEWER = "with read_base():\n    from .part import *\n"


@pytest.mark.parametrize("name", ["filename", "text", "pretty_text", "env_variables"])
def test_reserved_names_are_refused_with_their_line_inherited_ones_too(tmp_path, name):
    child = write(tmp_path, base=f"lr = 1\n{name} = 'x'", child="_base_ = 'base.py'")

    with pytest.raises(ConfigError, match=rf"base\.py:2: {name} is reserved for config file"):
        read_config(child)
    assert read(tmp_path, other=f"model = dict({name}=1)") == {"model": {name: 1}}


@pytest.mark.parametrize(
    ("child", "message"),
    [
        (
            "lr = 1\n_base_ = 'newer.py'",
            r"child\.py:2: newer\.py is of the newer style, what inherits from it of the older",
        ),
        ("_base_ = 'typed.py'", r"child\.py:1: typed\.py is of the newer style"),
        ("with read_base():\n    from .older import *", r"child\.py:2: older\.py is of the older style"),
        ("from some.where import Head\n_base_ = 'part.py'", r"child\.py:2: both styles of config in one file"),
        (f"_base_ = 'part.py'\n{NEWER}", r"child\.py:2: both styles of config in one file"),
        (f"{NEWER}_base_ = 'part.py'", r"child\.py:3: both styles of config in one file"),
        (f"{NEWER}{NEWER}", r"child\.py:3: a second `with read_base\(\):`"),
        (f"import torch, numpy\n{NEWER}", r"child\.py:1: several modules in one import"),
    ],
)
def test_styles_that_mmengine_does_not_take_together_are_refused(tmp_path, child, message):
    write(tmp_path, part="a = 1", older="_base_ = 'part.py'", newer=NEWER, typed="from some.where import Head\na = 1")

    for trust in (False, True):
        with pytest.raises(ConfigError, match=message):
            read_config(write(tmp_path, child=child), trust=trust)


def test_data_inherits_the_older_style_only(tmp_path):
    write(tmp_path, part="a = 1", newer=NEWER)
    (tmp_path / "child.json").write_text('{"_base_": "newer.py"}')

    with pytest.raises(ConfigError, match=r"child\.json: newer\.py is of the newer style"):
        read_config(tmp_path / "child.json")


def test_files_without_bases_and_types_serve_both_styles(tmp_path):
    write(tmp_path, part="from mmengine.config import read_base\nimport math\na = 1")

    assert read(tmp_path, older="_base_ = 'part.py'") == read(tmp_path, newer=NEWER) == {"a": 1}
