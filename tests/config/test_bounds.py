"""Configs that would hang the reader or fill the memory: each is one short error, at once."""

import time
from contextlib import suppress
from itertools import pairwise

import pytest

from classlens.config import read_config
from classlens.errors import ConfigError

from .writing_files import read, write

BOMBS = {
    "repeat a text": "x = 'a' * 10**9",
    "repeat a list": "x = [1] * 10**10",
    "repeat in place": "x = [1]\nx *= 10**10",
    "bytes": "x = b'a' * 10**9",
    "power": "x = 9 ** 9 ** 9",
    "negative power": "x = (-9) ** 10**9",
    "power function": "x = pow(9, 9**9)",
    "square": "x = 2**4000\ny = x * x",
    "shift": "x = 1 << 10**10",
    "round": "x = round(5, -10**9)",
    "huge literal": "x = 0x" + "f" * 100_000,
    "replace": "x = 'a' * 1000\nfor i in range(100):\n    x = x.replace('a', 'aaaa')",
    "join": "x = ('a' * 1000).join(['b'] * 100000)",
    "double": "x = [1]\nfor i in range(100):\n    x += x",
    "extend": "x = [1]\nfor i in range(100):\n    x.extend(x)",
    "f-string width": "x = f'{1:999999999}'",
    "format width": "x = '{:>999999999}'.format(1)",
    "format width from a value": "x = '{:{}}'.format(1, 10**9)",
    "percent width": "x = '%999999999d' % 1",
    "percent width from a value": "x = '%*d' % (10**9, 1)",
    "percent on bytes": "x = b'%999999999d' % 1",
    "precision": "x = f'{1.5:.999999999f}'",
    "zfill": "x = '1'.zfill(10**10)",
    "repeat a field": "x = 'a' * 100000\ny = ('{0}' * 1000).format(x)",
    "repeat a percent field": "x = 'a' * 100000\ny = ('%(a)s' * 1000) % {'a': x}",
    "long range": "x = list(range(10**12))",
    "range without end": "x = range(10**30)",
    "sum of a range": "x = sum(range(10**12))",
    "search in a range": "x = 'a' in range(10**12)",
    "maximum of a range": "x = max(range(10**15))",
    "star of a range": "x = [*range(10**9)]",
    "unpack a range": "a, *b = range(10**9)",
    "zip": "x = zip(range(10**9), range(3))",
    "long loop": "for i in range(10**9):\n    pass",
    "insert in front": "x = [1] * 100000\nfor i in range(100000):\n    x.insert(0, 1)",
    "take from the front": "x = [1] * 100000\nfor i in range(100000):\n    x.pop(0)",
    "insert a slice": "x = [1] * 100000\nfor i in range(100000):\n    x[0:0] = [1]",
    "copy a slice": "x = [1] * 100000\nfor i in range(100000):\n    y = x[:]",
    "strip": "x = ('a' * 300000).strip('b' * 300000 + 'a')",
    "search from the end": "x = ('a' * 200000).rfind('b' + 'a' * 100000)",
    "keys of one hash": "x = {i * (2**61 - 1) for i in range(50000)}",
    "sum of lists": "x = [[1] * 1000] * 1000\ny = sum(x, [])",
    "dicts into one another": "x = {i: i for i in range(9000)}\nfor i in range(50):\n    {" + "**x, " * 1000 + "}",
    "pairs into a dict": "x = {}\nx |= [((i, i), 1) for i in range(50000)]",
    "long names": "import a" + "a" * 9000 + " as x\ny = str([x] * 100000)",
    "tuples as keys": "x = {(i, i): 1 for i in range(50000)}",
    "deep list": "x = []\nfor i in range(1000):\n    x = [x]",
    "list in itself": "x = []\nx.append(x)",
    "dict in itself": "x = {}\nx['a'] = x",
    "brackets": "x = " + "[" * 5000 + "]" * 5000,
    "signs": "x = " + "-" * 50000 + "1",
    "constants again and again": "for i in range(300000):\n    0" + " or 0" * 50000,
    "a chain again and again": "for i in range(300000):\n    0" + " <= 0" * 50000,
    "a dict again and again": "for i in range(300000):\n    {" + "0: 0, " * 50000 + "}",
    "long sum": "x = " + "1+" * 20000 + "1",
    "long chain": "x = a" + ".b" * 20000,
    "environment": "x = '" + "{{$A:" * 20_000 + "}'",
    "text without end": "x = 1 # " + "a" * 1_100_000,
}
SHARED = {
    "result": "",
    "compare": "z = x == y",
    "hash": "z = {x: 1}",
    "print": "z = f'{x}'",
    "search": "z = [x].count(y)",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_one_error(tmp_path, name):
    child = write(tmp_path, child=BOMBS[name])
    if name == "environment":
        assert len(read_config(child)["x"]) == 100_001
        return

    with pytest.raises(ConfigError, match=r"child\.py") as caught:
        read_config(child)

    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", SHARED)
def test_what_grows_by_sharing_is_counted_as_often_as_it_is_reached(tmp_path, name):
    grow = "x = (1,)\ny = (1,)\nfor i in range(60):\n    x = (x, x)\n    y = (y, y)\n"

    with pytest.raises(ConfigError):
        read(tmp_path, child=grow + SHARED[name])


@pytest.mark.parametrize("grow", ["x = {}\nfor i in range(60):\n    x = dict(a=x, b=x)", "x = {}\nx['a'] = x"])
def test_laying_shared_dicts_over_one_another_ends_soon(tmp_path, grow):
    with pytest.raises(ConfigError, match=r"child\.py"):
        read(tmp_path, base=grow, child=f"_base_ = 'base.py'\n{grow}")


YAML = {
    "deep": "a: " + "[" * 50000,
    "laughs": "a: &a [1]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)),
    "itself": "a: &a [*a]",
    "number": "a: " + "9" * 5000,
    "base 60": "a: 1" + ":1" * 50000,
    "keys": "a: {" + ",".join(f"{i * (2**61 - 1)}: 1" for i in range(2000)) + "}",
    "a command": "a: !!python/object/apply:os.system ['echo']",
}


@pytest.mark.parametrize("name", YAML)
def test_a_bomb_in_yaml_is_one_error(tmp_path, name):
    (tmp_path / "child.yaml").write_text(YAML[name])

    with pytest.raises(ConfigError, match=r"child\.yaml"):
        read_config(tmp_path / "child.yaml")


def test_mappings_merged_over_and_over_end_soon(tmp_path):
    """PyYAML before 6.0.4 puts every copy in a row, which is refused; later ones keep each key once, which is cheap."""
    lines = [f"{b}: &{b} {{<<: [{','.join([f'*{a}'] * 9)}]}}\n" for a, b in pairwise("abcdefghij")]
    (tmp_path / "child.yaml").write_text("a: &a {x: 1}\n" + "".join(lines))

    start = time.process_time()
    with suppress(ConfigError):
        assert read_config(tmp_path / "child.yaml")["j"] == {"x": 1}

    assert time.process_time() - start < 10


def test_bases_that_double_at_every_level_end_soon(tmp_path):
    files = {f"f{level}": f"_base_ = ['f{level + 1}.py', 'f{level + 1}.py']" for level in range(40)}
    write(tmp_path, **files, f40="pass")

    with pytest.raises(ConfigError, match=r"more than 1,000,000 steps|longer than 1,000,000 characters"):
        read_config(tmp_path / "f0.py")


def test_the_budget_is_ample_for_real_configs(tmp_path):
    names = [f"class number {index}" for index in range(21_000)]

    config = read(tmp_path, child=f"classes = {names}\nnumbers = list(range(21000))")

    assert len(config["classes"]) == 21_000


def test_a_config_of_everyday_size_opens_in_milliseconds(tmp_path):
    child = write(tmp_path, child="x = [dict(a=i, b=[i] * 3) for i in range(1000)]")

    start = time.process_time()
    read_config(child)

    assert time.process_time() - start < 2
