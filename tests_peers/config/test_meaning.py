"""Small configs of both styles, each about one rule of the grammar, read by both readers."""

import random
from argparse import ArgumentParser

import pytest
from mmengine.config import Config, DictAction

from classlens.config import parse_overrides, read_config

BASE = """
model = dict(type='ResNet', depth=50, stages=[1, 2], init=dict(std=0.1))
train_pipeline = [dict(type='Load'), dict(type='Flip', prob=0.5)]
loader = dict(batch=32, dataset=dict(pipeline=train_pipeline))
schedule = [dict(type='Linear'), dict(type='Cosine')]
size = (224, 224)
lr = 0.1
"""

OLDER = {
    "nested merge": "model = dict(depth=18, init=dict(mean=0))",
    "lists replace": "model = dict(stages=[3])\nschedule = [dict(type='Step')]",
    "delete": "model = dict(_delete_=True, type='ViT')",
    "delete without effect": "new = dict(_delete_=True, a=1)\nmodel = dict(fresh=dict(_delete_=True, b=2))",
    "delete is false": "model = dict(_delete_=False, depth=1)",
    "reference": "x = {{_base_.model}}\ny = dict(z={{ _base_.lr }}, w=[{{_base_.size}}])",
    "attribute": "x = _base_.model.depth\ny = _base_['loader']['batch'] * 2",
    "write into the base": "_base_.model.depth = 18\n_base_.loader['batch'] = 8\n_base_.model.init = dict(a=dict(b=1))",
    "written values are copies": "d = dict(a=1)\n_base_.model.init = d\nd['a'] = 2",
    "list from the base": "p = _base_.train_pipeline\np[1]['prob'] = 1.0\np.insert(1, dict(type='Crop'))",
    "update goes deep in a base": "_base_.model.update(init=dict(mean=0))",
    "update is flat in a file": "d = dict(a=dict(b=1))\nd.update(a=dict(c=2))",
    "merge": "_base_.model.merge(dict(init=dict(_delete_=True, x=1), depth=3))",
    "pop of a base": "x = _base_.model.pop('depth')\ny = _base_.model.pop('none')",
    "aliases inside a file": "a = [1]\nb = dict(x=a)\na.append(2)",
    "deepcopy": "import copy\na = copy.deepcopy(_base_.train_pipeline)\na[0]['type'] = 'X'",
    "comprehensions": "a = [i * i for i in range(5) if i % 2]\nb = {str(k): v for k, v in zip('ab', (1, 2))}",
    "two loops": "a = [(x, y) for x in range(2) for y in 'ab']",
    "f-strings": "n = 3\na = f'{n:02d}-{n!r:>4}-{1 / 3:.2f}'",
    "format": "a = 'x{}y{:.1f}{name}'.format(1, 2.5, name='z')",
    "unpacking": "a, (b, *c) = 1, (2, 3, 4)\nd = [*c, 5]\ne = dict(**dict(x=1), y=2)\nf = {**e, 'z': 3}",
    "slices": "a = [0, 1, 2, 3][1:-1]\nb = 'abcdef'[::2]\nc = [1, 2, 3]\nc[1:2] = [7, 8]",
    "augmented": "a = [1]\nb = a\na += [2]\nn = 1\nn *= 5\nn -= 2\ns = 'x'\ns += 'y'",
    "if and for": "a = []\nfor i in range(4):\n    if i == 2:\n        a.append('two')\n    else:\n        a.append(i)",
    "del": "a = 1\nb = dict(x=1, y=2)\ndel a\ndel b['x']",
    "chained": "a = b = dict(x=1)\nc = 1 < 2 <= 2 != 3\nd = 0 or 'x' and 5\ne = not 3",
    "numbers": "a = 7 // 2\nb = 7 % 3\nc = 2**10\nd = -1.5e-3\ne = 1 / 4\nf = round(2.567, 1)\ng = 5 & 3 | 8",
    "sets and dicts": "a = {1, 2} | {3}\nb = dict([('x', 1)])\nc = dict(a=1) | dict(b=2)",
    "functions": "a = max([3, 1])\nb = sum([1, 2], 3)\nc = sorted('bca', reverse=True)\nd = list(enumerate('ab', 1))",
    "private names": "_hidden = 1\n__gone = 2",
    "methods of text": "a = 'a,b'.split(',')\nb = '-'.join(['x', 'y']).upper()\nc = 'x.py'.replace('.py', '')",
    "loop variables stay": "for i in range(3):\n    pass",
    "docstring": '"""Words."""\na = 1',
    "conditional": "a = 1 if _base_.lr > 0.05 else 2",
    "file": "a = '{{ fileBasenameNoExtension }}/{{fileExtname}}'",
    "environment": "a = '{{$CLASSLENS_ABSENT:some/default}}/x'\nb = {{'$CLASSLENS_ABSENT:8'}}",
}

NEWER = {
    "star": "",
    "attributes": "model.depth = 18\nmodel.init.std = 2\nmodel['new'] = dict(a=1)",
    "update": "model.update(init=dict(mean=0), head=dict(type=Head))\nloader.update(dict(batch=1))",
    "merge": "model.merge(dict(init=dict(_delete_=True, x=1)))",
    "types": "opt = dict(type=torch.optim.SGD, act=nn.ReLU)\nhead = Head",
    "pipeline": "train_pipeline.insert(1, dict(type=Head))\nloader.dataset.pipeline = train_pipeline",
    "alias of a base": "again = model\nagain.depth = 3",
    "own dicts are flat": "d = dict(a=dict(b=1))\nd.update(a=dict(c=2))",
    "pop": "x = model.pop('depth')\ny = model.pop('none', 5)",
    "delete stays": "new = dict(_delete_=True, a=1)",
    "setdefault": "x = model.setdefault('depth', 3)\ny = model.setdefault('other', dict(a=1))",
}
HEADER = """from mmengine.config import read_base
with read_base():
    from .base import *
import torch
import torch.nn as nn
from some.where import Head
"""


def both(folder, text):
    """What each of the readers makes of a text beside the base."""
    (folder / "base.py").write_text(BASE)
    (folder / "child.py").write_text(text)
    theirs = Config.fromfile(str(folder / "child.py")).to_dict()
    return read_config(folder / "child.py"), theirs


@pytest.mark.parametrize("rule", OLDER)
def test_the_older_style_means_the_same(tmp_path, rule):
    ours, theirs = both(tmp_path, f"_base_ = './base.py'\n{OLDER[rule]}\n")

    assert ours == theirs
    assert list(ours) == list(theirs)


@pytest.mark.parametrize("rule", NEWER)
def test_the_newer_style_means_the_same(tmp_path, rule):
    ours, theirs = both(tmp_path, HEADER + NEWER[rule] + "\n")

    assert ours == theirs


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_data_configs_mean_the_same(tmp_path, form):
    child = {
        "json": '{"_base_": "./base.py", "model": {"depth": 18}, "x": {{_base_.lr}}, "y": [{{ _base_.size }}]}',
        "yaml": "_base_: ./base.py\nmodel: {depth: 18}\nx: {{_base_.lr}}\ny:\n  - {{ _base_.size }}\n",
    }[form]
    (tmp_path / "base.py").write_text(BASE)
    (tmp_path / f"child.{form}").write_text(child)

    theirs = Config.fromfile(str(tmp_path / f"child.{form}")).to_dict()

    assert read_config(tmp_path / f"child.{form}") == theirs


def test_a_base_in_an_installed_package_is_found_and_marked(tmp_path):
    (tmp_path / "child.py").write_text("_base_ = 'mmpretrain::_base_/models/resnet50.py'\nlr = 1\n")

    theirs = Config.fromfile(str(tmp_path / "child.py")).to_dict()

    assert read_config(tmp_path / "child.py") == theirs
    assert theirs["model"]["_scope_"] == "mmpretrain"


def parsed_by_mmengine(words):
    parser = ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    return parser.parse_args(["--cfg-options", *words]).cfg_options


VALUES = [
    "1",
    "-2",
    "1.5",
    "1e-3",
    "true",
    "False",
    "None",
    "none",
    "abc",
    "a b",
    "'q'",
    '"q"',
    "1_000",
    "nan",
    "/a/b.c",
]


@pytest.mark.parametrize("seed", range(20))
def test_values_of_cfg_options_are_parsed_alike(seed):
    chance = random.Random(seed)

    def value(depth):
        if depth == 0 or chance.random() < 0.4:
            return chance.choice(VALUES)
        items = ",".join(value(depth - 1) for _ in range(chance.randint(0, 3)))
        return chance.choice(["[{}]", "({})", "[{}]", " [ {} ] "]).format(items)

    words = [f"k{index}={value(3)}" for index in range(20)] + ["l=1,2", "m=1,", "n=[(a,b),(c,d)]", "o=", "p=a=b"]

    assert repr(parse_overrides(words)) == repr(parsed_by_mmengine(words))


@pytest.mark.parametrize(
    "words",
    [
        ["model.depth=18", "lr=2"],
        ["schedule.1.type=Step", "train_pipeline.0.x=1"],
        ["model._delete_=True", "model.type=Z"],
        ["model.new.deep.key=1"],
        ["loader.dataset.pipeline.1.prob=1", "size=1,2"],
        ["model.init.std=None", "lr=1", "lr=2"],
    ],
)
def test_overrides_change_the_same_settings(tmp_path, words):
    (tmp_path / "base.py").write_text(BASE)
    theirs = Config.fromfile(str(tmp_path / "base.py"))
    theirs.merge_from_dict(parsed_by_mmengine(words))

    ours = read_config(tmp_path / "base.py", overrides=parse_overrides(words))

    assert ours == theirs.to_dict()
