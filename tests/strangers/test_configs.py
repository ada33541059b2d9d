"""Configs that strangers made to hang the reader, to fill the memory, or to be more than they seem.

Every case is a real command on real files. They run in one process that starts once and is copied for each, under the
limits of `limits.py`; a config may take less than that: two seconds and 300 MB.
"""

import json
import subprocess
import sys

import pytest

from .limits import MACHINE, PATIENCE, Ending, assert_refused, assert_survived, needs_prlimit

SECONDS, MEGABYTES = 2, 300
SLACK = 1.5  # on a machine with other work, a second of CPU does less

RUNNER = """
import json, os, resource, sys, time
from pathlib import Path
import classlens.config.writing, classlens.cli.config, yaml, json, difflib
from classlens.cli.main import main

folder = Path(sys.argv[1])
idle = os.fork()
if not idle:
    os._exit(0)
start = os.wait4(idle, 0)[2].ru_maxrss
for place in sorted(folder.iterdir()):
    words = json.loads((place / "words.json").read_bytes())
    child = os.fork()
    if not child:
        os.chdir(place)
        resource.setrlimit(resource.RLIMIT_CPU, (8, 9))
        resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]), int(sys.argv[2])))
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), number)
        status = 1
        try:
            status = main(words)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    _, status, used = os.wait4(child, 0)
    taken = [os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, (used.ru_maxrss - start) / 1024]
    (place / "taken.json").write_text(json.dumps(taken))
"""


def nested(inner, times=10, levels=12):
    """A list that holds itself ten times, ten times over: a few bytes that print as a terabyte."""
    return "[" * levels + inner + f"]*{times}" * levels


HUGE = nested("0")
WIDE = "s = 'f' * 200000\na = int(s, 16)\n"
GROW = "x = {'a': 'k' * 2000}\nfor i in range(11):\n    x = dict(a=x, b=x)\n"
LAUGHS = "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
LAUGHS = f"a0: &a0 [{','.join(['x'] * 10)}]\n{LAUGHS}"

PROGRAMS = {
    # Values in messages.
    "assert": f"assert False, {HUGE}",
    "assert with a text": "assert False, 'a' * 400000",
    "base": f"_base_ = {HUGE}",
    "base that is a dict": f"_base_ = dict(a={HUGE})",
    "base in a list": f"_base_ = ['x.py', {HUGE}]",
    "deprecation": f"_deprecation_ = dict(expected={HUGE})",
    "missing key": f"x = {{}}\ny = x[({HUGE}, 1)[1:]]\nz = x['k' * 300000]",
    "key of a list": f"x = {{{HUGE}: 1}}",
    "unpacking": f"a, b = {HUGE}, *[1]\nc, d, e = 1, 2",
    "name": "x = " + "a" * 300_000,
    "method": "x = [].a" + "b" * 300_000 + "()",
    "call": "import a" + "b" * 200_000 + " as c\nx = c.d()",
    "word for a number": "x = float('1' * 400000 + 'x')",
    "near names": "".join(f"a{n:04}{'b' * 90} = 1\n" for n in range(900)) + "x = a" + "b" * 95,
    "reserved name": "filename = 1",
    # Whole numbers.
    "negate": f"{WIDE}x = [-a for i in range(100000)]",
    "invert": f"{WIDE}x = [~a for i in range(100000)]",
    "absolute": f"{WIDE}x = [abs(a) for i in range(100000)]",
    "divmod": f"{WIDE}x = [divmod(a, 3) for i in range(100000)]",
    "remainder": f"{WIDE}x = [a % 3 for i in range(100000)]",
    "copy of a number": f"{WIDE}x = [int(a) for i in range(100000)]",
    "literal": f"a = 0x{'f' * 200_000}\nx = [-a for i in range(100000)]",
    "literal in a comparison": f"a = 0x{'f' * 200_000}\nx = [a == -a for i in range(100000)]",
    "literal that is printed": f"a = 0x{'f' * 200_000}\nx = f'{{a}}'",
    "literal as an exponent": f"a = 0x{'f' * 200_000}\nx = [1 ** a for i in range(100000)]",
    "literal that is rounded": f"a = 0x{'f' * 200_000}\nx = [round(a, -4000) for i in range(100000)]",
    "literal that is shifted": f"a = 0x{'f' * 200_000}\nx = [a >> 1 for i in range(100000)]",
    "literal that is kept": f"a = 0x{'f' * 200_000}",
    "many wide numbers": "a = 2 ** 4000\nx = [a + i for i in range(150000)]",
    "many wide numbers as text": "a = 2 ** 4000\nx = [str(a) for i in range(150000)]",
    "gcd": "from math import gcd\na = 3 ** 2500\nb = 2 ** 4000\nx = [gcd(a, b) for i in range(100000)]",
    "power of powers": "x = [7 ** 1400 for i in range(200000)]",
    "sum of wide numbers": "a = 2 ** 4000\nx = sum([a] * 200000)",
    # Texts.
    "percent": "x = '%" + "0" * 300_000 + "' % 1",
    "wide fields": "x = ''.join([f'{1:>999}' for i in range(150000)])",
    "wide fields of a format": "x = ('{0:\U00010348>999}' * 60000).format(1)",
    "fields": "x = ('{0}' * 100000).format('a' * 1000)",
    "join": "x = ('a' * 500).join(['b'] * 100000)",
    "replace": "x = ('a' * 1000).replace('a', 'b' * 1000)",
    "one text many times": "a = 'x' * 300000\nx = [" + "a, " * 100_000 + "]",
    "one text in many lists": "a = 'x' * 300000\nx = [[a] for i in range(90000)]",
    "one name many times": "import a" + "b" * 200_000 + " as c\nx = [" + "c, " * 80_000 + "]",
    "imports from a long name": "from a" + "b" * 300_000 + " import " + ", ".join(["c"] * 80_000),
    "imports from dots": "from " + "." * 300_000 + " import " + ", ".join(["c"] * 80_000),
    "cut to pieces": "x = [('a ' * 100000).split() for i in range(50)]",
    "reprs": f"x = f'{{{HUGE}}}'",
    # Collections.
    "dicts": "x = [{} for i in range(400000)]",
    "sets": "x = [set() for i in range(400000)]",
    "sets by copying": "x = [set()] * 450000",
    "dicts by copying": "x = [dict(a=1)] * 450000",
    "grown by sharing": GROW,
    "zip": "x = zip(*[range(1000)] * 1000)",
    "enumerate": "x = [enumerate(range(100000)) for i in range(50)]",
    "sort": "x = [sorted([[0] * 1000] * 900) for i in range(50)]",
    "sort of shared lists": f"x = sorted([{nested('0', 10, 7)}, {nested('0', 10, 7)}])",
    "pairs instead of a mapping": "x = {**[((i, i), 1) for i in range(50000)]}",
    "extend by a range": "x = []\nfor i in range(100):\n    x += range(100000)",
    "search": f"x = {HUGE} in [{HUGE}]",
    "compare": f"x = {HUGE} == {HUGE}",
    "slices": "x = [0] * 100000\ny = [x[::2] for i in range(1000)]",
    "many names in every round": "".join(f"a{n} = 1\n" for n in range(9000))
    + "x = [[i for i in range(2)] for j in range(1000)]",
    "range": "x = range(10 ** 9)",
    # Sources.
    "statements": ";".join("a" for _ in range(490_000)),
    "lines": "a\n" * 490_000,
    "lists": "x = [" + "[]," * 300_000 + "]",
    "lambdas": "lambda:0;" * 100_000,
    "annotations": "a:b\n" * 240_000,
    "slices in the source": "a[:];" * 190_000,
    "calls": "a();" * 240_000,
    "fields of an f-string": "x = f'" + "{a}" * 320_000 + "'",
    "fields of a smaller f-string": "a = 1\nx = f'" + "{a}" * 20_000 + "'",
    "brackets": "x = " + "(" * 400_000,
    "closed brackets": "x = " + "[" * 90 + "]" * 90,
    "not": "x = " + "not " * 200_000 + "1",
    "operators": "x = 1" + " + 1" * 200_000,
    "powers": "x = 1" + " ** 1" * 100_000,
    "attributes": "x = a" + ".b" * 400_000,
    "items": "x = a" + "[0]" * 300_000,
    "calls of calls": "x = a" + "()" * 400_000,
    "lambda in lambda": "x = " + "lambda: " * 100_000 + "1",
    "texts side by side": "x = " + "'a' " * 240_000,
    "conditions": "x = " + "1 if 1 else " * 80_000 + "1",
    "else if": "if 0:\n    pass\n" + "elif 0:\n    pass\n" * 50_000,
    "blocks": "".join(" " * n + "if 1:\n" for n in range(200)) + " " * 200 + "x = 1",
    "comparisons": "x = 1" + " < 1" * 240_000,
    "escapes": "x = '" + "\\d" * 490_000 + "'",
    "texts with odd escapes": "x = [" + "'\\d', " * 150_000 + "]",
    "a long number": "x = " + "1" * 900_000,
    "a long number in hexadecimals": "x = 0x" + "f" * 900_000,
    "too large": "# " + "a" * 1_000_001,
    "bytes that are no text": b"x = '\xff'",
    "nothing": b"\0",
    "variables": "x = '" + "{{fileDirname}}" * 60_000 + "'",
    # Printing.
    "deep": "x = " + "[" * 60 + "[1]*180000" + "]" * 60,
    "deep dicts": "x = " + "dict(a=" * 60 + "[1]*180000" + ")" * 60,
    "many that are nearly too long": "x = " + "[" * 55 + "['" + "a" * 90 + "', 1, 2, 3]*40000" + "]" * 55,
    "unprintable": "a = '\\x00\\U0010ffff' * 100000\nx = [" + "a, " * 100 + "]",
}
DATA = {
    "bool.yaml": "a: !!bool abc",
    "timestamp.yaml": "a: !!timestamp abc",
    "date.yaml": "a: 2001-99-99",
    "int.yaml": "a: !!int ''",
    "int of words.yaml": "a: !!int '0b'",
    "long int.yaml": f"a: !!int '{'1:' * 100_000}1'",
    "long hexadecimal.yaml": f"a: !!int '0x{'f' * 150_000}'",
    "float.yaml": f"a: 1{':59' * 1300}.5",
    "float of words.yaml": "a: !!float ''",
    "null.yaml": "? !!null x\n: !!float .",
    "list that is none.yaml": "a: !!seq abc",
    "dict that is none.yaml": "a: !!map abc",
    "set that is none.yaml": "a: !!set abc",
    "set.yaml": "a: !!set {x, y}",
    "pairs.yaml": "a: !!omap abc",
    "binary.yaml": "a: !!binary '#'",
    "unknown tag.yaml": f"a: !{'t' * 100_000} abc",
    "unknown alias.yaml": f"a: *{'t' * 100_000}",
    "laughs.yaml": LAUGHS,
    "laughs as a base.yaml": f"{LAUGHS}_base_: *a8\n",
    "laughs as keys.yaml": f"{LAUGHS}? *a8\n: 1\n",
    "laughs merged.yaml": f"{LAUGHS}b: {{<<: *a8}}\n",
    "many lists.yaml": f"a: [{'[],' * 80_000}]",
    "many dicts.yaml": f"a: [{'{},' * 80_000}]",
    "many anchors.yaml": "".join(f"a{n}: &a{n} 1\n" for n in range(20_000)),
    "deep.yaml": f"a: {'[' * 200_000}",
    "deep blocks.yaml": "\n".join(" " * n + "a:" for n in range(600)),
    "colons.yaml": f"a: {'1:' * 100_000}",
    "dots.yaml": f"a: {'1' * 4000}.{'_' * 90}e",
    "one text.yaml": f"a: &a {'x' * 100_000}\nb: [{'*a,' * 30_000}]",
    "empty.yaml": "",
    "no mapping.yaml": "[1]",
    "surrogate.json": '{"\\ud800": 1}',
    "surrogate in a text.json": '{"a": "\\udfff"}',
    "deep.json": '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "rather deep.json": '{"a": ' + "[" * 100 + "]" * 100 + "}",
    "many lists.json": '{"a": [' + "[]," * 300_000 + "[]]}",
    "many dicts.json": '{"a": [' + "{}," * 300_000 + "{}]}",
    "long number.json": '{"a": ' + "1" * 4000 + "}",
    "longer number.json": '{"a": ' + "1" * 900_000 + "}",
    "number with an exponent.json": '{"a": 1e999999999}',
    "long key.json": '{"' + "k" * 400_000 + '": {' + ",".join(f'"{n}": 1' for n in range(20_000)) + "}}",
    "base that is a number.json": '{"_base_": 1}',
    "base that is a dict.json": '{"_base_": {"a": 1}}',
    "cut.json": '{"a": ',
    "too large.json": '{"a": "' + "x" * 1_000_000 + '"}',
    "references.json": '{"a": "' + "{{_base_.x}}" * 50_000 + '"}',
    "references without end.json": '{"a": "' + "{{ _base_." * 90_000 + '"}',
    "spaces in references.json": '{"a": "{{' + " " * 900_000 + '"}',
    "bytes.json": b'{"a": "\xff"}',
}
LONG = "a" * 300
BASES = {
    "main": {"x.py": "_base_ = '__main__::x.py'"},
    "main, imported": {"x.py": "with read_base():\n    from __main__.x import *"},
    "a module": {"x.py": "_base_ = 'json::x.py'"},
    "no module": {"x.py": f"_base_ = '{'a' * 100_000}::x.py'"},
    "long": {"x.py": f"_base_ = '{LONG}.py'"},
    "longer": {"x.py": f"_base_ = '{'a' * 400_000}.py'"},
    "long folder": {"x.py": f"_base_ = '{LONG}/b.py'"},
    "long module": {"x.py": f"with read_base():\n    from .{LONG} import *"},
    "many dots": {"x.py": f"with read_base():\n    from {'.' * 9000}a import *"},
    "many folders": {"x.py": f"_base_ = '{'a/' * 200_000}b.py'"},
    "surrogate": {"x.py": "_base_ = '\\ud800.py'"},
    "deep": {**{f"{n}.py": f"_base_ = '{n + 1}.py'" for n in range(300)}, "x.py": "_base_ = '0.py'", "300.py": "a = 1"},
    "deep, imported": {
        **{f"c{n}.py": f"with read_base():\n    from .c{n + 1} import *" for n in range(300)},
        "x.py": "with read_base():\n    from .c0 import *",
        "c300.py": "a = 1",
    },
    "deep in YAML": {
        **{f"{n}.yaml": f"_base_: {n + 1}.yaml" for n in range(300)},
        "x.py": "_base_ = '0.yaml'",
        "300.yaml": "a: 1",
    },
    "circle": {"x.py": "_base_ = 'y.py'", "y.py": "_base_ = './x.py'"},
    "doubling": {
        **{f"{n}.py": f"_base_ = ['{n + 1}.py'] * 2" for n in range(40)},
        "40.py": "",
        "x.py": "_base_ = '0.py'",
    },
    "a dict over it": {"b.py": f"x = {HUGE}", "x.py": "_base_ = 'b.py'\nx = dict(a=1)"},
    "a dict over a long text": {"b.py": "x = 'a' * 400000", "x.py": "_base_ = 'b.py'\nx = dict(a=1)"},
    "a dict over a dict of it": {"b.py": f"x = dict(a={HUGE})", "x.py": "_base_ = 'b.py'\nx = dict(a=dict(b=1))"},
    "wide, again and again": {
        "0.py": "x = {i: i for i in range(60000)}",
        **{f"{n + 1}.py": f"_base_ = '{n}.py'\nx = dict(a=1)" for n in range(45)},
        "x.py": "_base_ = '45.py'",
    },
    "replaced": {
        "b.py": "".join(f"x{n} = dict(a=1)\n" for n in range(900)),
        "x.py": "_base_ = 'b.py'\nx = {i: i for i in range(30000)}\nx['_delete_'] = True\n"
        + "".join(f"x{n} = x\n" for n in range(900)),
    },
    "put into a text": {"b.py": f"x = {HUGE}", "x.yaml": "_base_: b.py\na: 'a {{_base_.x}}'"},
    "put into a text many times": {
        "b.py": "x = [1] * 1000",
        "x.yaml": f"_base_: b.py\na: 'a {'{{_base_.x}}' * 5000}'",
    },
    "put into a program": {"b.py": f"x = {HUGE}", "x.py": "_base_ = 'b.py'\na = f'{_base_.x}'"},
    "referred to": {"b.py": f"x = {HUGE}", "x.py": "_base_ = 'b.py'\na = [{{_base_.x}}, {{_base_.x}}]"},
    "merged into itself": {
        "b.py": GROW,
        "x.py": "_base_ = 'b.py'\n_base_.x.merge(_base_.x)\n_base_.x.update(_base_.x)",
    },
    "two with one name": {"a.json": '{"' + "k" * 300_000 + '": 1}', "x.py": "_base_ = ['a.json', './a.json']"},
    "parsing each": {
        **{f"{n}.py": f"a{n} = 1\n" + "a\n" * 30_000 for n in range(14)},
        "x.py": f"_base_ = {[f'{n}.py' for n in range(14)]}",
    },
}
DIFF = ["--diff", "y.json"]
PIPES, OTHERS = ({"a": [{"type": "ab"[n % step == 0]} for n in range(3000)]} for step in (3, 5))
COMMANDS = {
    "no such user": ({}, ["~nosuchuser/x.py"]),
    "a long name": ({}, [LONG]),
    "a long name of a config": ({}, [f"{LONG}.py"]),
    "a long path": ({}, ["a/" * 5000 + "x.py"]),
    "a long name of a package": ({}, [f"{'a' * 9000}::x.py"]),
    "the program as a package": ({}, ["__main__::x.py"]),
    "a pipe": ({}, ["/dev/stdin"]),
    "a device": ({}, ["/dev/zero"]),
    "dots": ({"x.py": "a = 1"}, ["x.py", "--cfg-options", "a." * 2000 + "a=1"]),
    "dots in a value": ({"x.py": "a = 1"}, ["x.py", "--cfg-options", "a=" + "[" * 2000 + "]" * 2000]),
    "commas": ({"x.py": "a = 1"}, ["x.py", "--cfg-options", "a=" + "1," * 60_000]),
    "nested commas": ({"x.py": "a = 1"}, ["x.py", "--cfg-options", "a=" + "[" * 60 + "1," * 20_000 + "]" * 60]),
    "brackets": ({"x.py": "a = 1"}, ["x.py", "--cfg-options", "a=" + "(" * 100_000]),
    "no value": ({"x.py": "a = 1"}, ["x.py", "--cfg-options", "a" * 100_000]),
    "a key of a value": ({"x.py": "a = [1] * 400000"}, ["x.py", "--cfg-options", "a.b.c=1"]),
    "a key of a text": ({"x.py": "a = 'b' * 400000"}, ["x.py", "--cfg-options", "a.b=1"]),
    "near names": (
        {"x.json": "{" + ",".join(f'"{"ab" * 20}{n}": 1' for n in range(20_000)) + "}"},
        ["x.json", "--cfg-options", "ab" * 20 + "=1"],
    ),
    "range as JSON": ({"x.py": "x = range(10 ** 9)"}, ["x.py", "--json"]),
    "ranges as JSON": ({"x.py": "r = range(90000)\nx = [r] * 1000"}, ["x.py", "--json"]),
    "deep as JSON": ({"x.py": PROGRAMS["deep"]}, ["x.py", "--json"]),
    "one text as JSON": ({"x.py": "a = '\\U00010348' * 100000\nx = [" + "a, " * 900 + "]"}, ["x.py", "--json"]),
    "wide dicts as JSON": ({"x.py": "x = [dict(a=i) for i in range(70000)]"}, ["x.py", "--json"]),
    "difference of pipelines": ({"x.json": json.dumps(PIPES), "y.json": json.dumps(OTHERS)}, ["x.json", *DIFF]),
    "difference of deep ones": ({"x.py": PROGRAMS["deep"], "y.json": "{}"}, ["x.py", *DIFF]),
    "difference of long keys": ({"x.json": DATA["long key.json"], "y.json": "{}"}, ["x.json", *DIFF]),
    "difference of laughs": ({"x.yaml": LAUGHS, "y.json": "{}"}, ["x.yaml", *DIFF]),
    "schedule": ({"x.py": f"lr_config = dict(policy='step', step={HUGE})"}, ["x.py"]),
}
CASES = {
    **{f"program: {name}": ({"x.py": text}, ["x.py"]) for name, text in PROGRAMS.items()},
    **{f"data: {name}": ({name: text}, [name]) for name, text in DATA.items()},
    **{
        f"bases: {name}": (files, [list(files)[-1] if "x.py" not in files else "x.py"]) for name, files in BASES.items()
    },
    **{f"command: {name}": case for name, case in COMMANDS.items()},
}


@pytest.fixture(scope="module")
def endings(tmp_path_factory):
    """How each case ended."""
    folder = tmp_path_factory.mktemp("configs")
    for number, (files, words) in enumerate(CASES.values()):
        place = folder / f"{number:03}"
        place.mkdir()
        for name, content in files.items():
            (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        (place / "words.json").write_text(json.dumps(["config", *words]))
    command = [sys.executable, "-c", RUNNER, str(folder), str(MACHINE)]
    subprocess.run(command, check=True, timeout=10 * PATIENCE, stdin=subprocess.DEVNULL)
    found = {}
    for name, place in zip(CASES, sorted(folder.iterdir()), strict=True):
        out, err = ((place / name).read_text(errors="surrogateescape") for name in ("out", "err"))
        status, seconds, megabytes = json.loads((place / "taken.json").read_bytes())
        found[name] = Ending(status, out, err, seconds, megabytes)
    return found


RIGHT = {
    "program: deprecation",
    "program: fields of a smaller f-string",
    "data: binary.yaml",
    "data: dots.yaml",
    "data: surrogate.json",
    "data: surrogate in a text.json",
    "data: number with an exponent.json",
    "command: wide dicts as JSON",
}
"""Those that are read and printed as they are."""


@needs_prlimit
@pytest.mark.parametrize("name", CASES)
def test_a_hostile_config_is_one_short_error_or_is_read_within_the_bounds(endings, name):
    ending = endings[name]

    assert ending.seconds < SECONDS * SLACK
    assert ending.megabytes < MEGABYTES
    if name in RIGHT:
        assert_survived(ending)
    else:
        assert_refused(ending)
