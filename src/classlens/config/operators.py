"""Operators and text fields, each paid for before its result is made.

The rule of this file: numbers and text are bounded by what they would become, `9 ** 9 ** 9` and `f'{1:999999999}'`
included. `%` on a text is refused: an f-string says the same.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping

from classlens.config.budget import WIDEST_NUMBER, Budget, LimitExceeded, Unsupported, Value

WIDEST_FIELD = 1000
"""The largest width or precision that a format may ask for."""

CONVERSIONS: Mapping[str, Callable[[object], str]] = {"r": repr, "s": str, "a": ascii}


def format_value(value: Value, conversion: str | None, form: str, budget: Budget) -> str:
    """One field of an f-string or of `str.format`: `value`, converted by !r, !s or !a if asked for, in the given form."""
    for number in re.findall(r"\d+", form):
        if len(number) > 4 or int(number) > WIDEST_FIELD:
            raise LimitExceeded(f"has a field of more than {WIDEST_FIELD} characters")
    budget.walk(value)
    text = format(CONVERSIONS[conversion](value) if conversion else value, form)
    budget.spend(len(text))
    return text


SEQUENCES = (str, bytes, list, tuple)
Operator = Callable[[Value, Value], Value]


def compute(kind: type[ast.operator], left: Value, right: Value, budget: Budget, *, in_place: bool = False) -> Value:
    """The value of `left OP right`, or of `left` after `left OP= right`, which changes lists, sets and dicts."""
    if kind not in BINARY:
        raise Unsupported(f"the operator {kind.__name__} is not read")
    if kind is ast.Mod and isinstance(left, str | bytes):
        raise Unsupported("% on a text is not read, an f-string is")
    if in_place and kind in IN_PLACE and isinstance(left, list | set | dict):
        if isinstance(right, range):
            budget.spend(len(right))
        bound_result(kind, left, right, budget)
        return IN_PLACE[kind](left, right)
    bound_result(kind, left, right, budget)
    return BINARY[kind](left, right)


def bound_result(kind: type[ast.operator], left: Value, right: Value, budget: Budget) -> None:
    """Pay for the result of an operator before it is made."""
    if isinstance(left, int) and isinstance(right, int):
        bound_number(kind, left, right)
    elif kind is ast.Mult:
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, SEQUENCES) and isinstance(times, int):
                budget.spend(len(sequence) * max(times, 0))
    else:
        for side in (left, right):
            if isinstance(side, SEQUENCES):
                budget.spend(len(side))
            elif isinstance(side, set | frozenset | dict):
                budget.walk(side)


def bound_number(kind: type[ast.operator], left: int, right: int) -> None:
    """Refuse a whole number with more than `WIDEST_NUMBER` bits."""
    bits = left.bit_length()
    if kind is ast.Mult:
        bits += right.bit_length()
    elif kind is ast.Pow and bits > 1:
        bits *= abs(right)
    elif kind is ast.LShift:
        bits += abs(right)
    if bits > WIDEST_NUMBER:
        raise LimitExceeded(f"is a number of more than {WIDEST_NUMBER} bits")


def compare(kind: type[ast.cmpop], left: Value, right: Value, budget: Budget) -> Value:
    """The value of `left OP right` for one comparison of a chain.

    Raises:
        LimitExceeded: the values are too large to be compared.
    """
    # Python answers `number in range` by arithmetic, but goes through the range for anything else.
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
