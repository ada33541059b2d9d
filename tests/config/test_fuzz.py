"""Random programs, inside and outside the subset: read, or refused with a ConfigError; nothing is ever called."""

import tempfile
import warnings
from keyword import iskeyword
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classlens.config import read_config
from classlens.config.values import Budget
from classlens.config.writing import as_python
from classlens.errors import ConfigError

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
