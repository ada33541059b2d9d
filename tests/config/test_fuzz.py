"""Random programs, inside and outside the subset: read, or refused with a ConfigError; nothing is ever called."""

import json
import tempfile
import time
import warnings
from keyword import iskeyword
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classlens.config import parse_overrides, read_config
from classlens.config.values import Budget
from classlens.config.writing import ConfigRequest, as_python, write_config
from classlens.errors import ConfigError

from .printed import check_printed

NAMES = st.sampled_from(["a", "b", "c", "_base_", "dict", "len", "open", "__import__", "exec", "os", "Spy"])
NUMBERS = st.sampled_from(["0", "1", "-1", "2.5", "10**9", "2**62", "1e308", "True", "None", "1j"])
TEXTS = st.sampled_from(["''", "'a'", "'{0}{}'", "'%s%9999999d'", "b'x'", "f'{a!r:>99999}'", "'__class__'"])
ATTRIBUTES = st.sampled_from(
    [
        "update",
        "append",
        "format",
        "join",
        "pop",
        "merge",
        "__class__",
        "__globals__",
        "system",
        "replace",
        "zfill",
        "x",
    ]
)
OPERATORS = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "<<", "|", "in", "==", "<", "is", "and", "or", "@"])


def compound(inner):
    """Expressions made of smaller ones."""
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.builds("({} {} {})".format, inner, OPERATORS, inner),
        st.builds("{}.{}".format, inner, ATTRIBUTES),
        st.builds("{}({})".format, inner, inner),
        st.builds("{}.{}({}, *{})".format, inner, ATTRIBUTES, inner, inner),
        pair.map("{0[0]}[{0[1]}]".format),
        pair.map("[{0[0]} for a in {0[1]}]".format),
        pair.map("{{{0[0]}: {0[1]}, **{0[1]}}}".format),
        pair.map("[{0[0]}, *{0[1]}]".format),
        pair.map("({0[0]} if {0[1]} else {0[0]})".format),
        inner.map("dict(k={0}, **{0})".format),
        inner.map("{{{{{0}}}}}".format),
        inner.map("f'{{{0}}}'".format),
        inner.map("(lambda: {0})()".format),
        inner.map("range({0})".format),
        inner.map("-{0}".format),
        inner.map("({0},)".format),
    )


EXPRESSIONS = st.recursive(st.one_of(NAMES, NUMBERS, TEXTS), compound, max_leaves=8)
STATEMENTS = st.one_of(
    st.builds("{} = {}".format, NAMES, EXPRESSIONS),
    st.builds("{} = {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("{} += {}".format, NAMES, EXPRESSIONS),
    st.builds("for b in {}:\n    c = {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("if {}:\n    {} = 1".format, EXPRESSIONS, NAMES),
    st.builds("del {}".format, EXPRESSIONS),
    st.builds("import {}".format, NAMES),
    st.builds("from os import {}".format, NAMES),
    st.builds("with {}:\n    pass".format, EXPRESSIONS),
    EXPRESSIONS,
)
PROGRAMS = st.lists(STATEMENTS, min_size=1, max_size=8).map("\n".join)
HEAD = "from spy import Spy\nimport os\na = [1, 'x', dict(k=2)]\nb = dict(x=[1], y=dict(z=3))\nc = 'text'\n"


def outcome(path):
    """The config, or the one kind of error that may come out."""
    try:
        return read_config(path)
    except ConfigError as refusal:
        return refusal


@settings(max_examples=400, deadline=10_000, suppress_health_check=list(HealthCheck))
@given(PROGRAMS)
def test_a_random_program_is_read_or_refused_and_calls_nothing(program):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "spy.py").write_text("raise SystemExit('imported')")
        child = Path(folder, "child.py")
        child.write_text(HEAD + program, encoding="utf-8", errors="replace")

        result = outcome(child)

    if isinstance(result, ConfigError):
        assert "child.py" in str(result)
        assert len(str(result)) < 2000
    else:
        assert "Spy" not in result


@settings(max_examples=200, deadline=10_000)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), st.sampled_from(["py", "json", "yaml"]))
def test_any_text_is_read_or_refused(text, suffix):
    with tempfile.TemporaryDirectory() as folder:
        child = Path(folder, f"child.{suffix}")
        child.write_text(text, encoding="utf-8")

        result = outcome(child)

    assert not isinstance(result, ConfigError) or "child" in str(result)


SAFE_LEAVES = st.sampled_from(
    ["0", "1", "-3", "2.5", "True", "None", "''", "'ab'", "[1, 2]", "('x',)", "dict(a=1)", "{1, 2}", "range(3)"]
)
SAFE_CALLS = [
    "len",
    "str",
    "int",
    "bool",
    "list",
    "tuple",
    "sorted",
    "max",
    "sum",
    "abs",
    "round",
    "any",
    "dict",
]


def safe_compound(inner):
    """Expressions that both Python and the subset have."""
    return st.one_of(
        st.builds(
            "({} {} {})".format,
            inner,
            st.sampled_from(["+", "-", "*", "//", "%", "==", "<", "in", "and", "or", "|"]),
            inner,
        ),
        st.builds("{}({})".format, st.sampled_from(SAFE_CALLS), inner),
        st.builds("[v for v in {} if v != {}]".format, inner, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[{}:]".format, inner, st.sampled_from(["0", "1", "-1"])),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("[{}, *{}]".format, inner, inner),
        st.builds("f'{{{}}}'".format, st.sampled_from(["1", "2.5", "[1]", "None"])),
        st.builds("{}.join({})".format, st.sampled_from(["'-'", "''"]), inner),
        st.builds("{}.get({})".format, st.just("dict(a=1)"), inner),
        st.builds("not {}".format, inner),
    )


@settings(max_examples=400, deadline=10_000)
@given(st.recursive(SAFE_LEAVES, safe_compound, max_leaves=7))
def test_an_expression_that_is_read_has_the_value_that_python_gives_it(expression):
    with tempfile.TemporaryDirectory() as folder:
        child = Path(folder, "child.py")
        child.write_text(f"x = {expression}\n")

        result = outcome(child)

    try:
        with warnings.catch_warnings(action="ignore"):
            expected = eval(expression)
    except (TypeError, ValueError, LookupError, ArithmeticError, SyntaxError, AttributeError):
        return
    if not isinstance(result, ConfigError):
        assert result["x"] == expected


KEYS = st.text(alphabet="abcdef_", min_size=1, max_size=6).filter(
    lambda key: not key.startswith("_") and not iskeyword(key)
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False),
    st.text(alphabet="ab 'é\n\"\\%"),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(st.one_of(st.integers(0, 99), st.text(alphabet="a.-x ", max_size=4)), inner, max_size=3),
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=10_000)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_is_written_reads_back_to_the_same_values(values):
    with tempfile.TemporaryDirectory() as folder:
        child = Path(folder, "child.py")
        child.write_text(as_python(values, Budget()), encoding="utf-8")

        config = read_config(child)

    assert config == values
    assert repr(dict(config)) == repr(values)


# Programs that grow: each line makes something of the lines before it, a loop repeats it, and bases and texts carry it on.
SMALL = st.sampled_from(
    ["0", "7", "2**4000", "'ab'", "[a]", "(a, b)", "{'k': a}", "dict(k=b)", "a", "b", "c", "'k'", "{7}"]
)
GROWING = st.one_of(
    st.builds(
        "{} {} {}".format, SMALL, st.sampled_from(["+", "*", "%", "**", "<<", "//", "in", "==", "|", "-"]), SMALL
    ),
    st.builds("{} * {}".format, SMALL, st.sampled_from(["9", "999", "10**6", "10**12"])),
    st.builds("[{}] * {}".format, SMALL, st.sampled_from(["9", "999", "10**5"])),
    st.builds("[{} for i in range({})]".format, SMALL, st.sampled_from(["9", "999", "10**5", "10**9"])),
    st.builds("f'{{{}:>{}}}'".format, st.sampled_from("abc"), st.sampled_from(["9", "999", "9999", "{a}"])),
    st.builds("'{{0}}{{0:>999}}'.format({})".format, SMALL),
    st.builds("{}.join([{}] * 999)".format, SMALL, SMALL),
    st.builds("{}.replace({}, {})".format, SMALL, SMALL, SMALL),
    st.builds("{}({})".format, st.sampled_from(["str", "sorted", "list", "set", "sum", "tuple", "zip", "len"]), SMALL),
    st.builds("{}({}, {})".format, st.sampled_from(["divmod", "pow", "max", "round", "int", "range"]), SMALL, SMALL),
    st.builds("{{**{}, 'k': {}}}".format, SMALL, SMALL),
    st.builds("-{}".format, SMALL),
    st.builds("{}[{}:]".format, SMALL, SMALL),
)
LINES = st.one_of(
    st.builds("{} = {}".format, st.sampled_from("abc"), GROWING),
    st.builds(
        "for i in range({}):\n    {} = {}".format,
        st.sampled_from(["9", "60", "10**5"]),
        st.sampled_from("abc"),
        GROWING,
    ),
    st.builds("{} {}= {}".format, st.sampled_from("abc"), st.sampled_from("+*|"), GROWING),
    st.builds("assert {}, {}".format, GROWING, SMALL),
    st.builds("{}[{}] = {}".format, st.sampled_from("abc"), SMALL, SMALL),
    st.builds("_base_.a.{}({})".format, st.sampled_from(["update", "merge", "append", "extend"]), SMALL),
)
HOSTILE = st.lists(LINES, min_size=1, max_size=7).map("\n".join)
STARTS = st.sampled_from(["a, b, c = 1, [1], dict(k=1)\n", "a = b = c = dict(k=[1, 2])\n", "a = b = c = 'ab'\n"])
TEXTS_OF_DATA = st.text(st.characters(), max_size=12) | st.sampled_from(
    [
        "x = 1\rimport os",
        "a\nb",
        "{{$A:'+b+'}}",
        "_base_",
        "{{_base_.a}}",
        "import os",
        "a-b",
        "\u2028",
        "\x00",
        "for",
        "_delete_",
    ]
)
DOCUMENTS = st.dictionaries(
    TEXTS_OF_DATA,
    st.recursive(
        st.one_of(TEXTS_OF_DATA, st.floats(), st.integers(), st.none(), st.booleans()),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS_OF_DATA, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)
OPTIONS = st.lists(st.text("ab.=[](),0-1'_{}", max_size=14), max_size=2)


def outcome_within_bounds(folder, name, options=()):
    """The printed config, or nothing if it is refused, which takes one short message; at once in both cases."""
    start = time.process_time()
    try:
        text = write_config(ConfigRequest(str(Path(folder, name)), overrides=parse_overrides(options))).text
    except ConfigError as refusal:
        text = ""
        length = len(str(refusal)) + len(refusal.hint)
    else:
        length = 0
    assert time.process_time() - start < 5
    assert length < 3000
    return text


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(STARTS, HOSTILE, HOSTILE, OPTIONS)
def test_a_hostile_program_over_a_hostile_base_ends_soon_and_prints_values_only(start, base, child, options):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "base.py").write_text(start + base)
        Path(folder, "child.py").write_text("_base_ = 'base.py'\nb, c = _base_.b, _base_.c\na = _base_.a\n" + child)

        printed = [outcome_within_bounds(folder, name, options) for name in ("base.py", "child.py")]

    for text in printed:
        check_printed(text)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(DOCUMENTS, OPTIONS, st.sampled_from(["json", "yaml"]))
def test_a_document_of_anything_is_printed_as_values_only(document, options, suffix):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"child.{suffix}").write_text(json.dumps(document))
        text = outcome_within_bounds(folder, f"child.{suffix}", options)
        check_printed(text)
        Path(folder, "again.py").write_text(text)

        again = outcome_within_bounds(folder, "again.py")

    check_printed(again)


YAML_TAGS = [
    "!!int",
    "!!float",
    "!!bool",
    "!!null",
    "!!timestamp",
    "!!binary",
    "!!set",
    "!!seq",
    "!!map",
    "!!omap",
    "!!str",
    "!x",
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(YAML_TAGS), st.text("0123456789abcdefx:.+-_TZ ~<&*'\"[]{},?#|>", max_size=20))
def test_a_tag_over_anything_is_read_or_refused(tag, text):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "child.yaml").write_text(f"a: {tag} {text}\n")

        check_printed(outcome_within_bounds(folder, "child.yaml"))
