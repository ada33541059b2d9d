"""Python inside and outside the subset: the same values as Python's own, or one error that names the place."""

import pytest

from classlens.config import read_config
from classlens.errors import ConfigError

from .writing_files import read, write

SAME_AS_PYTHON = """
[1, *range(3), *'ab']
(1,) + (2, 3) * 2
{'a': 1, **dict(b=2)}
dict([('a', 1)], b=2)
{1, 2} | {3}
[x * 2 for x in range(5) if x % 2 if x > 1]
[(x, y) for x in range(2) for y in range(x + 1)]
{k: v for k, v in dict(a=1).items()}
{x % 3 for x in range(9)}
sum(x for x in range(5))
sum([[1], [2]], [])
max(1, 2, 3) - min([4, 5]) + abs(-1)
round(2.5) + round(2.567, 2) + int('7') + float('1e3')
len('abc') + len([1]) + len(dict(a=1))
sorted([3, 1, 2], reverse=True)
list(zip('ab', [1, 2])) + list(enumerate('ab', 5))
list(reversed([1, 2]))
any([0, 1]) and all([])
str(1.5) + str([1, 'a']) + repr_free
bool(0) or tuple([1])
divmod(7, 2) + (pow(2, 5),)
set('a') == {'a'}
f'{1 + 1:03d}|{"x":>4}|{2.5:.1f}|{[1]!r}|{3:{4}}'
'{} {name:>5} {:.2f}'.format('x', 1.25, name='z') + '{0}{0}{1!r}'.format(1, 'a')
'a,b,c'.split(',')[::-1]
' x '.strip().upper() + 'A'.lower()
'-'.join(['a', 'b']).startswith('a')
'a.py'.removesuffix('.py').replace('a', 'bb').rstrip('b')
[1, 2, 3][-1] + (1, 2, 3)[0] + dict(a=1)['a'] + range(10)[3]
[1, 2, 3, 4][1:3] + list('abc'[::-1]) + list(range(10)[2:4])
dict(a=1).get('b', 5) + dict(a=1).pop('a') + len(dict(a=1).keys())
[1, 2, 1].count(1) + [1, 2].index(2) + (1, 2).index(2)
1 if 2 > 1 else 3
1 < 2 < 3 != 4
0 or '' or 'x' and 5
not 3, -2, +2, ~2
7 // 2 + 7 % 4 - 2 ** 3 / 4
1 in [1, 2] and 3 not in (1, 2) and 'b' in 'abc' and 'a' in dict(a=1)
5 & 3 | 8 ^ 1 << 2 >> 1
None is None and [] is not None
1e400 > 5
[[j for j in range(i)] for i in range(3)]
lr_free * 2 if 'lr_free' in ['lr_free'] else 0
"""
FREE = "repr_free = 'r'\nlr_free = 3\n"


@pytest.mark.parametrize("expression", SAME_AS_PYTHON.strip().splitlines())
def test_an_expression_has_the_value_that_python_gives_it(tmp_path, expression):
    expected = eval(expression, {"repr_free": "r", "lr_free": 3})

    value = read(tmp_path, child=f"{FREE}x = {expression}\n")["x"]

    assert value == expected
    assert type(value) is type(expected)


PROGRAMS = {
    "augmented": "a = [1]\nb = a\na += (2,)\nn = 2\nn **= 5\nd = {1}\nd |= {2}\nt = (1,)\nt += (2,)\ns = 'a'\ns *= 3\nl = [0]\nl *= 2",
    "targets": "a, (b, *c), [d] = 1, (2, 3, 4), [5]\n*e, f = range(4)\nx = y = [1]\ny.append(2)",
    "items": "a = [1, 2, 3, 4]\na[0] = 9\na[1:3] = [7]\nb = dict(c=[1])\nb['c'][0] = 5\nb['d'] = b['c']\ndel a[-1]\ndel b['d']",
    "methods": "a = [3, 1]\na.sort()\na.insert(0, 5)\na.extend('xy')\na.remove(1)\na.reverse()\nb = a.copy()\nb.clear()\nc = a.pop()",
    "dicts": "a = dict(x=dict(y=1))\na.update(x=dict(z=2))\nb = a.setdefault('k', [])\nb.append(1)\nc = [k for k in a]\nd = list(a.items())",
    "loops": "a = []\nfor i, (x, y) in enumerate([(1, 2), (3, 4)]):\n    if x == 1:\n        a.append(y)\n    elif i:\n        a += [i]\nelse:\n    a.append('end')",
    "loop variables": "i = 5\na = [i for i in range(3)]\nb = i",
    "while a list grows": "a = [1, 2]\nfor x in list(a):\n    a.append(x)",
    "copies": "import copy\na = [[1]]\nb = copy.deepcopy(a)\nc = copy.copy(a)\na[0].append(2)\ndel copy",
    "mathematics": "import math\nfrom math import sqrt, pi\na = math.floor(2.7) + sqrt(16)\nb = math.pi == pi\ndel math, sqrt, pi",
    "paths": "import os.path as osp\nimport os\na = osp.join('x', 'y')\nb = os.path.basename('x/y.py')\ndel osp, os",
    "asserts": "assert 1 < 2, 'no'\na: int = 3\nb: str\npass",
    "sets": "a = set()\na.add(1)\na.update([2, 3])\na.discard(3)\nb = a.union([5])",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_statements_do_what_python_does(tmp_path, name):
    python = {}
    exec(PROGRAMS[name], python)
    expected = {key: value for key, value in python.items() if not key.startswith("__")}

    config = read(tmp_path, child=PROGRAMS[name])

    assert config == expected


def test_what_a_file_wrote_itself_has_no_attributes(tmp_path):
    with pytest.raises(ConfigError, match=r"child\.py:2: only inherited dicts have attributes, write \['b'\]"):
        read(tmp_path, child="a = dict(b=1)\nc = a.b")
    with pytest.raises(ConfigError, match=r"child\.py:2: only inherited dicts have attributes, write \['b'\]"):
        read(tmp_path, child="a = dict(b=1)\na.b = 2")


def test_a_variable_that_is_not_there_gets_a_suggestion(tmp_path):
    with pytest.raises(ConfigError, match=r"child\.py:2: no variable 'pipelin'") as caught:
        read(tmp_path, child="pipeline = []\nx = pipelin")
    assert caught.value.hint == "did you mean pipeline?"


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("open('/etc/passwd').read()", "a call of open() is not read"),
        ("__import__('os').system('x')", "a call of __import__() is not read"),
        ("eval('1')", "a call of eval() is not read"),
        ("print('x')", "a call of print() is not read"),
        ("x = (lambda: 1)()", "a call of a value is not read"),
        ("x = lambda: 1", "lambda is not read"),
        ("def f():\n    pass", "def is not read"),
        ("class A:\n    pass", "class is not read"),
        ("while True:\n    pass", "while is not read"),
        ("try:\n    x = 1\nexcept E:\n    pass", "try is not read"),
        ("with open('x') as f:\n    pass", "only imports of configs under `with read_base():` are read"),
        ("x = ().__class__", "an attribute of a tuple is not read"),
        ("x = ''.__class__.__mro__", "an attribute of a str is not read"),
        ("x = '{0.__class__}'.format(1)", "the field {0.__class__} of a format is not a plain name or number"),
        ("x = '%s' % 1", "% on a text is not read, an f-string is"),
        ("x = '1'.zfill(3)", "a call of .zfill() on a str is not read"),
        ("x = [1].__len__()", "a call of .__len__() on a list is not read"),
        ("import os\nos.system('x')", "a call of os.system() is not read"),
        ("import os\nx = os.environ['HOME']", "an item of os.environ is not read"),
        ("from subprocess import run\nrun('x')", "a call of subprocess.run() is not read"),
        ("from m import A\nx = A()", "a call of m.A() is not read"),
        ("from os import *", "import * from something that is no base config is not read"),
        ("x = len", "a function as a value is not read"),
        ("x = (y := 1)", ":= is not read"),
        ("x = [1].sort(key=len)", "a function as a value is not read"),
        ("x = getattr(1, 'real')", "a call of getattr() is not read"),
        ("raise ValueError", "raise is not read"),
        ("b = dict(c=1)\ndel b.c", "this kind of del is not read"),
        ("global x", "global is not read"),
        ("x = 1 @ 2", "the operator MatMult is not read"),
        ("import sys\nsys.path.append('x')", "a call of sys.path.append() is not read"),
    ],
)
def test_what_cannot_be_read_safely_is_refused_with_place_and_advice(tmp_path, statement, shown):
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, child=f"a = 1\n{statement}\n"))

    assert shown in str(caught.value)
    assert "child.py:" in str(caught.value)
    assert "`" in str(caught.value)
    if "not read" in str(caught.value):
        assert "--trust-config" in caught.value.hint


def test_whoever_reads_the_environment_is_told_how_configs_do_it(tmp_path):
    with pytest.raises(ConfigError, match=r"a call of os\.environ\.get\(\) is not read") as caught:
        read(tmp_path, child="import os\nx = os.environ.get('DATA', 'data')")

    assert "{{$NAME:default}}" in caught.value.hint


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("x = 1 / 0", "division by zero: `1 / 0`"),
        ("x = [1][5]", "list index out of range: `[1][5]`"),
        ("x = dict(a=1)['b']", "no key 'b': `dict(a=1)['b']`"),
        ("x = 'a' + 1", "can only concatenate str"),
        ("a, b = 1, 2, 3", "3 values for 2 names"),
        ("x = int('a')", "invalid literal for int()"),
        ("x = dict(a=1, **dict(a=2))", "a is given twice"),
        ("x = {[1]: 2}", "unhashable type: 'list'"),
        ("assert 1 > 2, 'too small'", "too small"),
        ("for i in 5:\n    pass", "a int has no items to go through"),
        ("del nothing", "no variable"),
        ("x = {}.update(5)", "'int' "),
    ],
)
def test_faults_of_the_author_name_the_place(tmp_path, statement, shown):
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, child=f"a = 1\n{statement}\n"))

    assert shown in str(caught.value)
    assert "child.py:2: " in str(caught.value)


@pytest.mark.parametrize(("length", "ending"), [(60, "`"), (61, "…`")])
def test_a_long_expression_is_shortened_in_its_error(tmp_path, length, ending):
    expression = f"lambda: {'1' * (length - 8)}"

    with pytest.raises(ConfigError) as caught:
        read(tmp_path, child=f"x = {expression}\n")

    assert f"{expression[:60]}{ending}" in str(caught.value)
