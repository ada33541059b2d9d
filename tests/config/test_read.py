import os
import re
import sys

import pytest

from classlens.config import read_config
from classlens.errors import ConfigError

from .writing_files import read, write

BASE = """
model = dict(type='ResNet', depth=50, stages=[1, 2], init=dict(std=0.1))
pipeline = [dict(type='Load'), dict(type='Flip', prob=0.5)]
loader = dict(batch=32, dataset=dict(pipeline=pipeline))
lr = 0.1
"""


def test_a_child_is_laid_over_its_base(tmp_path):
    config = read(tmp_path, base=BASE, child="_base_ = 'base.py'\nmodel = dict(depth=18, stages=[3])\nlr = 0.2")

    assert config["model"] == {"type": "ResNet", "depth": 18, "stages": [3], "init": {"std": 0.1}}
    assert config["lr"] == 0.2
    assert config["loader"]["batch"] == 32


def test_delete_replaces_what_the_base_has(tmp_path):
    config = read(tmp_path, base=BASE, child="_base_ = 'base.py'\nmodel = dict(_delete_=True, type='ViT')")

    assert config["model"] == {"type": "ViT"}


def test_several_bases_are_put_together_and_may_inherit_themselves(tmp_path):
    config = read(
        tmp_path,
        one="a = 1",
        two="_base_ = ['one.py']\nb = 2",
        three="c = 3",
        child="_base_ = ['two.py', './three.py']",
    )

    assert config == {"a": 1, "b": 2, "c": 3}


def test_bases_in_other_folders_are_found_from_the_file_that_names_them(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "runs").mkdir()
    write(tmp_path / "parts", inner="a = 1", outer="_base_ = 'inner.py'")
    child = write(tmp_path / "runs", child="_base_ = '../parts/outer.py'")

    assert read_config(child) == {"a": 1}


@pytest.mark.parametrize("reads", [1, 2])  # the second one finds it in memory
def test_a_base_may_be_named_by_its_whole_path(reads, tmp_path):
    base = write(tmp_path, base="lr = 0.1")
    os.utime(base, (0, 0))  # only files that have settled are kept

    for _ in range(reads):
        assert read(tmp_path, child=f"_base_ = {str(base)!r}\nb = 2") == {"lr": 0.1, "b": 2}


def test_two_bases_must_not_define_the_same_setting(tmp_path):
    child = write(tmp_path, one="a = 1", two="a = 2", child="_base_ = ['one.py', 'two.py']")

    with pytest.raises(ConfigError, match=r"two of its bases define a, the second is two\.py"):
        read_config(child)


def test_a_dict_over_something_else_names_the_line_and_the_key(tmp_path):
    child = write(tmp_path, base=BASE, child="_base_ = 'base.py'\n\nmodel = dict(depth=dict(x=1))")

    with pytest.raises(ConfigError, match=r"child\.py:3: model\.depth is a dict, but in the base it is 50") as caught:
        read_config(child)
    assert "_delete_=True" in caught.value.hint


@pytest.mark.parametrize("reference", ["{{_base_.lr}}", "{{ _base_.lr }}", "_base_.lr", "_base_['lr']"])
def test_a_base_can_be_referred_to(tmp_path, reference):
    assert read(tmp_path, base=BASE, child=f"_base_ = 'base.py'\nx = [{reference}]")["x"] == [0.1]


def test_a_reference_inside_quotes_is_an_error_rather_than_a_surprise(tmp_path):
    child = write(tmp_path, base=BASE, child="_base_ = 'base.py'\nx = '{{_base_.lr}}/y'")

    with pytest.raises(ConfigError, match=r"child\.py:2: a reference to the base inside a text"):
        read_config(child)


def test_a_reference_to_nothing_names_the_key(tmp_path):
    child = write(tmp_path, base=BASE, child="_base_ = 'base.py'\nx = _base_.model.deep")

    with pytest.raises(ConfigError, match=r"child\.py:2: no key 'deep': `_base_\.model\.deep`"):
        read_config(child)


def test_writing_into_the_base_changes_what_is_inherited(tmp_path):
    config = read(tmp_path, base=BASE, child="_base_ = 'base.py'\n_base_.model.depth = 18\n_base_.pipeline.pop()")

    assert config["model"]["depth"] == 18
    assert config["pipeline"] == [{"type": "Load"}]
    assert len(config["loader"]["dataset"]["pipeline"]) == 2


def test_a_base_that_was_changed_by_one_config_is_unchanged_for_the_next(tmp_path):
    first = write(tmp_path, base=BASE, child="_base_ = 'base.py'\n_base_.model.depth = 18\n_base_.pipeline.pop()")
    second = write(tmp_path, other="_base_ = 'base.py'")

    for _ in range(2):
        assert read_config(first)["model"]["depth"] == 18
        assert read_config(second)["model"]["depth"] == 50
        assert len(read_config(second)["pipeline"]) == 2


def test_a_base_that_changes_on_disk_is_read_again(tmp_path):
    child = write(tmp_path, base="a = 1", child="_base_ = 'base.py'")

    for number in range(5):
        write(tmp_path, base=f"a = {number}")
        assert read_config(child) == {"a": number}


def test_bases_are_kept_in_memory_while_they_are_there_and_not_too_many(tmp_path, monkeypatch):
    child = write(tmp_path, base="a = 1", child="_base_ = 'base.py'")
    os.utime(tmp_path / "base.py", (1_000_000_000, 1_000_000_000))
    kept = {str(number): (None, 0) for number in range(512)}
    monkeypatch.setattr("classlens.config.read.KEPT", kept)

    assert read_config(child) == {"a": 1}
    assert list(kept) == [str(tmp_path / "base.py")]
    (tmp_path / "base.py").unlink()
    with pytest.raises(ConfigError, match="no such base config"):
        read_config(child)


@pytest.mark.parametrize("child", ["_base_ = 'middle.py'", "with read_base():\n    from .middle import *"])
def test_a_base_of_a_base_that_changes_on_disk_is_read_again(tmp_path, child):
    middle = child.replace("middle", "base")
    path = write(tmp_path, base="a = 0", middle=middle, child=child)
    for number in range(3):
        write(tmp_path, base=f"a = {number}")
        for name in ("base", "middle", "child"):
            long_ago = 1_000_000_000 + (number if name == "base" else 0)
            os.utime(tmp_path / f"{name}.py", (long_ago, long_ago))

        assert read_config(path) == {"a": number}


def test_what_a_config_gives_can_be_changed_without_harm(tmp_path):
    child = write(tmp_path, base=BASE, child="_base_ = 'base.py'")

    read_config(child)["model"]["init"]["std"] = 5

    assert read_config(child)["model"]["init"]["std"] == 0.1


def test_nothing_in_the_result_is_shared(tmp_path):
    config = read(tmp_path, child="p = [dict(a=1)]\nq = dict(p=p, r=p)")

    config["p"][0]["a"] = 2

    assert config["q"] == {"p": [{"a": 1}], "r": [{"a": 1}]}


def test_the_newer_style_imports_its_bases(tmp_path):
    config = read(
        tmp_path,
        base=BASE,
        child="""
from somewhere.config import read_base
with read_base():
    from .base import *
from some.models import Head
model.depth = 18
del model.stages
model.update(dict(init=dict(mean=0)), head=dict(type=Head))
model.merge(dict(depth=dict(_delete_=True, of='stages')))
name = '{{ fileBasename }}'
loader.merge(dict(dataset=dict(_delete_=True, pipeline=pipeline)))
""",
    )

    assert config["model"] == {
        "type": "ResNet",
        "depth": {"of": "stages"},
        "init": {"std": 0.1, "mean": 0},
        "head": {"type": "some.models.Head"},
    }
    assert config["name"] == "{{ fileBasename }}"  # upstream puts variables into files of the older style only
    assert config["loader"]["batch"] == 32
    assert "Head" not in config
    assert "read_base" not in config


def test_the_newer_style_finds_bases_in_parent_folders(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    write(tmp_path / "a", base="x = dict(y=1)\nz = 2")
    child = write(tmp_path / "a" / "b", child="with read_base():\n    from ..base import x as w, z\n")

    assert read_config(child) == {"w": {"y": 1}, "z": 2}


def test_the_newer_style_names_what_a_base_lacks(tmp_path):
    child = write(tmp_path, base="model = 1", child="with read_base():\n    from .base import modle\n")

    with pytest.raises(ConfigError, match=r"child\.py:2: no modle in \.base") as caught:
        read_config(child)
    assert caught.value.hint == "did you mean model?"


def test_imported_names_stay_names(tmp_path):
    config = read(
        tmp_path, child="import torch.nn as nn\nimport torch\nact = nn.ReLU\nopt = torch.optim.SGD\nt = (nn.GELU,)"
    )

    assert config == {"act": "torch.nn.ReLU", "opt": "torch.optim.SGD", "t": ("torch.nn.GELU",)}


@pytest.mark.parametrize("name", ["json", "yaml", "yml"])
def test_data_files_inherit_and_refer_too(tmp_path, name):
    text = {
        "json": '{"_base_": "base.py", "model": {"depth": 18}, "x": {{ _base_.lr }}, "y": "{{_base_.lr}}", "z": "r{{_base_.lr}}"}',
        "yaml": "_base_: [base.py]\nmodel: {depth: 18}\nx: {{_base_.lr}}\ny: '{{ _base_.lr }}'\nz: r{{_base_.lr}}\n",
    }[name.replace("yml", "yaml")]
    write(tmp_path, base=BASE)
    (tmp_path / f"child.{name}").write_text(text)

    config = read_config(tmp_path / f"child.{name}")

    assert config["model"]["depth"] == 18
    assert config["model"]["type"] == "ResNet"
    assert (config["x"], config["y"], config["z"]) == (0.1, 0.1, "r0.1")


def test_file_variables_and_environment_are_put_in(tmp_path, monkeypatch):
    monkeypatch.setenv("CLASSLENS_SET", "7")
    config = read(
        tmp_path,
        run_1="a = '{{ fileBasenameNoExtension }}'\nb = '{{fileDirname}}/x'\nc = '{{fileExtname}}'\n"
        "d = {{'$CLASSLENS_SET:1'}}\ne = '{{$CLASSLENS_UNSET:data/x}}/y'\nf = '{{ fileBasename }}'",
    )

    assert config == {"a": "run_1", "b": f"{tmp_path}/x", "c": ".py", "d": 7, "e": "data/x/y", "f": "run_1.py"}


def test_an_environment_variable_without_value_names_the_line(tmp_path):
    with pytest.raises(ConfigError, match=r"child\.py:2: the environment variable CLASSLENS_UNSET is not set"):
        read(tmp_path, child="a = 1\nb = '{{$CLASSLENS_UNSET:}}'")


def test_a_deprecated_config_says_what_replaces_it(tmp_path):
    child = write(tmp_path, child="_deprecation_ = dict(expected='new.py')\na = 1")

    with pytest.warns(DeprecationWarning, match=r"child\.py is deprecated by its authors; use new\.py"):
        assert read_config(child) == {"a": 1}


def test_a_file_that_inherits_from_itself_is_one_error(tmp_path):
    child = write(tmp_path, one="_base_ = 'two.py'", two="_base_ = 'one.py'")

    with pytest.raises(ConfigError, match=re.escape("inherits from itself: two.py -> one.py -> two.py")):
        read_config(child)


def test_a_missing_base_names_the_file_that_wants_it_and_the_nearest(tmp_path):
    child = write(tmp_path, resnet50="a = 1", child="_base_ = 'resnet5O.py'")

    with pytest.raises(ConfigError, match=r"child\.py: no such base config: resnet5O\.py") as caught:
        read_config(child)
    assert caught.value.hint == "did you mean resnet50.py?"


def test_a_base_of_a_package_that_is_not_installed_says_so(tmp_path):
    child = write(tmp_path, child="_base_ = 'nobody_has_this::resnet/a.py'")

    with pytest.raises(ConfigError, match="lies in the package nobody_has_this, which is not installed"):
        read_config(child)


def test_a_base_of_an_installed_package_is_found_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "lent_models"
    (package / ".mim" / "configs" / "resnet").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    text = "model = dict(type='R', neck=dict(type='N'))\nlr = 1\nloader = dict(stages=[dict(type='S'), 2])"
    write(package / ".mim" / "configs" / "resnet", a=text)
    monkeypatch.syspath_prepend(tmp_path)

    config = read(tmp_path, child="_base_ = 'lent_models::resnet/a.py'")

    lent = {"_scope_": "lent_models"}
    assert config["model"] == {"type": "R", "neck": {"type": "N"}, **lent}
    assert (config["lr"], config["loader"]) == (1, {"stages": [{"type": "S", **lent}, 2]})
    newer = read(tmp_path, child="with read_base():\n    from lent_models.configs.resnet.a import lr\n")
    assert newer == {"lr": 1}
    assert "lent_models" not in sys.modules


def test_a_package_cannot_be_left_through_its_config_path(tmp_path, monkeypatch):
    package = tmp_path / "lent_models"
    (package / ".mim" / "configs").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    write(tmp_path, secret="a = 1")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match="no such config"):
        read(tmp_path, child="_base_ = 'lent_models::../../../secret.py'")


def test_a_missing_file_names_the_nearest(tmp_path):
    write(tmp_path, resnet50_in1k="a = 1")

    with pytest.raises(ConfigError, match=r"no such config: .*resnet50_ink\.py") as caught:
        read_config(tmp_path / "resnet50_ink.py")
    assert caught.value.hint == "did you mean resnet50_in1k.py?"


def test_a_missing_folder_names_the_nearest(tmp_path):
    (tmp_path / "resnet").mkdir()

    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / "resnext" / "a.py")
    assert caught.value.hint.endswith("did you mean resnet?")


def test_a_folder_lists_its_configs_and_says_how_to_choose(tmp_path):
    (tmp_path / "resnet").mkdir()
    (tmp_path / "_base_").mkdir()
    write(tmp_path / "resnet", a="x = 1", b="x = 2")
    write(tmp_path / "_base_", part="x = 3")

    with pytest.raises(ConfigError, match="is a folder with 2 configs, not a config") as caught:
        read_config(tmp_path)
    assert caught.value.hint == f"choose one, e.g. {tmp_path}/resnet/a.py; there is: resnet/a.py, resnet/b.py"


@pytest.mark.parametrize("content", [b"a = (", b"a = 1\n  b = 2", b"\xff\xfe", b"a = '\x00'"])
def test_a_file_that_is_not_python_is_one_error(tmp_path, content):
    (tmp_path / "child.py").write_bytes(content)

    with pytest.raises(ConfigError, match=r"child\.py"):
        read_config(tmp_path / "child.py")


@pytest.mark.parametrize("content", ["[1]", "{", '{"a": }', ""])
def test_json_without_settings_is_one_error(tmp_path, content):
    (tmp_path / "child.json").write_text(content)

    with pytest.raises(ConfigError, match=r"child\.json"):
        read_config(tmp_path / "child.json")


def test_files_with_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    (tmp_path / "child.py").write_bytes(b"\xef\xbb\xbfa = 1\r\nb = dict(\r\n    c=2)\r\n")

    assert read_config(tmp_path / "child.py") == {"a": 1, "b": {"c": 2}}


def test_a_file_of_another_kind_is_no_config(tmp_path):
    (tmp_path / "notes.txt").write_text("a = 1")

    with pytest.raises(ConfigError, match=r"notes\.txt is no config"):
        read_config(tmp_path / "notes.txt")


def test_reading_configs_loads_nothing_heavy(tmp_path):
    import subprocess

    child = write(tmp_path, base=BASE, child="_base_ = 'base.py'")
    program = (
        f"from classlens.config import read_config; read_config({str(child)!r}); import sys; "
        "print([name for name in ('numpy', 'torch', 'yaml', 'cv2', 'matplotlib') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_chain_of_bases_without_end_is_one_error(tmp_path):
    longer = {f"c{number}": f"_base_ = 'c{number - 1}.py'" for number in range(1, 60)}
    child = write(tmp_path, c0="a = 1", **longer)

    with pytest.raises(ConfigError, match="more than 50 configs inherit from one another"):
        read_config(child)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b: {<<: 3}", "<< is followed by no mapping"),
        ("b: {[1]: 2}", "a key that is no text or number"),
        ("b: " + "1" * 9_999, "a very long value without quotes"),
        ("b: !!int '" + "1" * 9_999 + "'", "a very long value that is no text"),
    ],
)
def test_what_yaml_allows_and_no_config_means_is_one_error(text, message, tmp_path):
    (tmp_path / "child.yaml").write_text(f"a: 1\n{text}\n")

    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "child.yaml")


def test_a_merge_key_of_yaml_yields_to_the_keys_beside_it(tmp_path):
    (tmp_path / "child.yaml").write_text("a: &a {x: 1, y: 1}\nb: {<<: *a, y: 2}\n")

    assert read_config(tmp_path / "child.yaml")["b"] == {"x": 1, "y": 2}
