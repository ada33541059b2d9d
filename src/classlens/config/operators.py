"""Text made from values: f-strings, `str.format` and `%`, bounded before they are filled in.

The rule of this file: a field is a plain name or number. `{0.__class__}` and `{x[0]}` look inside values and are
refused; `{:999999999}` is refused by its width.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter

from classlens.config.budget import WIDEST_NUMBER, Budget, LimitExceeded, Unsupported, Value

WIDEST_FIELD = 1000
"""The largest width or precision that a format may ask for."""

PERCENT_FIELD = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(?P<width>\d*)(?:\.(?P<precision>\d*))?[a-zA-Z%]")
STAR_WIDTH = re.compile(r"%[^A-Za-z%]*\*")
CONVERSIONS: Mapping[str, Callable[[object], str]] = {"r": repr, "s": str, "a": ascii}


def formatted(value: Value, conversion: str | None, form: str, budget: Budget) -> str:
    """One field: `value`, converted by !r, !s or !a if asked for, in the given form.

    Raises:
        TooMuch: the field is too wide, or the value too large to be printed.
    """
    for number in re.findall(r"\d+", form):
        bound_width(number)
    budget.walk(value)
    text = format(CONVERSIONS[conversion](value) if conversion else value, form)
    budget.spend(len(text))
    return text


def bound_width(number: str) -> None:
    """Refuse a width or precision of more than `WIDEST_FIELD`."""
    if len(number) > 4 or int(number or 0) > WIDEST_FIELD:
        raise LimitExceeded(f"has a field of more than {WIDEST_FIELD} characters")


def fill_braces(template: str, positional: Sequence[Value], named: Mapping[str, Value], budget: Budget) -> str:
    """`template.format(*positional, **named)`.

    Raises:
        Refused: a field looks inside its value, or takes its form from another field.
        TooMuch: the text would be too large.
    """
    pieces = []
    automatic = 0
    budget.spend(len(template))
    for literal, field, form, conversion in Formatter().parse(template):
        pieces.append(literal)
        if field is None:
            continue
        if "{" in (form or "") or not re.fullmatch(r"\w*", field):
            raise Unsupported(f"the field {{{field}}} of a format is not a plain name or number")
        if not field:
            field, automatic = str(automatic), automatic + 1
        value = positional[int(field)] if field.isdecimal() else named[field]
        pieces.append(formatted(value, conversion, form or "", budget))
    return "".join(pieces)


def fill_percent(template: str, values: Value, budget: Budget) -> str:
    """`template % values`.

    Raises:
        Refused: a field takes its width from the values.
        TooMuch: the text would be too large.
    """
    budget.spend(len(template))
    if STAR_WIDTH.search(template):
        raise Unsupported("a width of * in a % format is not read")
    fields = list(PERCENT_FIELD.finditer(template))
    for field in fields:
        bound_width(field["width"])
        bound_width(field["precision"] or "")
        budget.spend(len(field[0]) + int(field["width"] or 0) + int(field["precision"] or 0))
    for _ in fields if isinstance(values, dict) else range(1):
        budget.walk(values)
    return str(template % values)


SEQUENCES = (str, bytes, list, tuple)
Operator = Callable[[Value, Value], Value]


def compute(kind: type[ast.operator], left: Value, right: Value, budget: Budget) -> Value:
    """The value of `left OP right`.

    Raises:
        Refused: the operator is not part of the subset.
        TooMuch: the result would be too large.
    """
    if kind not in BINARY:
        raise Unsupported(f"the operator {kind.__name__} is not read")
    if kind is ast.Mod and isinstance(left, str):
        return fill_percent(left, right, budget)
    if kind is ast.Mod and isinstance(left, bytes):
        raise Unsupported("% on bytes is not read")
    bound_binary(kind, left, right, budget)
    return BINARY[kind](left, right)


def compute_in_place(kind: type[ast.operator], left: Value, right: Value, budget: Budget) -> Value:
    """The value of `left` after `left OP= right`; lists, sets and dicts are changed, as Python does."""
    if kind not in IN_PLACE or not isinstance(left, list | set | dict):
        return compute(kind, left, right, budget)
    if isinstance(right, range):
        budget.spend(len(right))
    bound_binary(kind, left, right, budget)
    return IN_PLACE[kind](left, right)


def bound_binary(kind: type[ast.operator], left: Value, right: Value, budget: Budget) -> None:
    """Pay for the result of an operator before it is made."""
    if isinstance(left, int) and isinstance(right, int):
        bound_number(kind, left, right)
        return
    if kind is ast.Mult:
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, SEQUENCES) and isinstance(times, int):
                budget.spend(len(sequence) * max(times, 0))
        return
    for side in (left, right):
        if isinstance(side, SEQUENCES):
            budget.spend(len(side))
        elif isinstance(side, set | frozenset | dict):
            budget.walk(side)


def bound_number(kind: type[ast.operator], left: int, right: int) -> None:
    """Refuse a whole number with more than `WIDEST_NUMBER` bits."""
    bits, other = left.bit_length(), right.bit_length()
    if kind is ast.Mult:
        bits += other
    elif kind is ast.Pow:
        bits = bits * abs(right) if bits > 1 else bits
    elif kind is ast.LShift:
        bits += abs(right)
    if bits > WIDEST_NUMBER:
        raise LimitExceeded(f"is a number of more than {WIDEST_NUMBER} bits")


def compare(kind: type[ast.cmpop], left: Value, right: Value, budget: Budget) -> Value:
    """The value of `left OP right` for one comparison of a chain.

    Raises:
        TooMuch: the values are too large to be compared.
    """
    if kind in (ast.In, ast.NotIn) and isinstance(right, range) and type(left) is not int:
        budget.spend(len(right))
    else:
        budget.walk(right)
    budget.walk(left)
    return COMPARISONS[kind](left, right)


BINARY: Mapping[type[ast.operator], Operator] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}

IN_PLACE: Mapping[type[ast.operator], Operator] = {
    ast.Add: operator.iadd,
    ast.Mult: operator.imul,
    ast.BitOr: operator.ior,
    ast.Sub: operator.isub,
    ast.BitAnd: operator.iand,
}

COMPARISONS: Mapping[type[ast.cmpop], Operator] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}

UNARY: Mapping[type[ast.unaryop], Callable[[Value], Value]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
