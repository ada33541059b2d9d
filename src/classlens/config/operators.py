"""Operators on config values, each bounded before it is computed.

`"a" * 10**9`, `9 ** 9 ** 9` and a comparison of lists that contain one another a thousand times are one short error
each. The rule of this file: `BINARY` and `COMPARISONS` are the only operators that exist.
"""

import ast
import operator
from collections.abc import Callable, Mapping

from classlens.config.budget import WIDEST_NUMBER, Budget, Refused, TooMuch
from classlens.config.formatting import fill_percent
from classlens.config.value import Value

SEQUENCES = (str, bytes, list, tuple)
Operator = Callable[[Value, Value], Value]


def compute(kind: type[ast.operator], left: Value, right: Value, budget: Budget) -> Value:
    """The value of `left OP right`.

    Raises:
        Refused: the operator is not part of the subset.
        TooMuch: the result would be too large.
    """
    if kind not in BINARY:
        raise Refused(f"the operator {kind.__name__} is not read")
    if kind is ast.Mod and isinstance(left, str):
        return fill_percent(left, right, budget)
    if kind is ast.Mod and isinstance(left, bytes):
        raise Refused("% on bytes is not read")
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
        raise TooMuch(f"is a number of more than {WIDEST_NUMBER} bits")


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
