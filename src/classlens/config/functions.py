"""The operators, functions and methods that a config may use: pure ones, on values, with bounded work.

The rules of this file: what takes more work, or becomes more, than the values at hand is paid for before it is done, so
that `9 ** 9 ** 9` and `f'{1:999999999}'` are refused. A function is known by its full name (`len`, `math.sqrt`) and
looked up in `FUNCTIONS`; what is not there cannot be called. No iterator exists as a value: what Python gives lazily
(`zip`, `enumerate`) is a list here.
"""

import ast
import math
import operator
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from string import Formatter

from classlens.config.values import WIDEST_NUMBER, Budget, Inherited, LimitExceeded, Unsupported, Value, copy_value

BINARY: Mapping[type[ast.operator], tuple[Callable[..., Value], Callable[..., Value]]] = {
    ast.Add: (operator.add, operator.iadd),
    ast.Sub: (operator.sub, operator.isub),
    ast.Mult: (operator.mul, operator.imul),
    ast.Div: (operator.truediv, operator.itruediv),
    ast.FloorDiv: (operator.floordiv, operator.ifloordiv),
    ast.Mod: (operator.mod, operator.imod),
    ast.Pow: (operator.pow, operator.ipow),
    ast.BitOr: (operator.or_, operator.ior),
    ast.BitAnd: (operator.and_, operator.iand),
    ast.BitXor: (operator.xor, operator.ixor),
    ast.LShift: (operator.lshift, operator.ilshift),
    ast.RShift: (operator.rshift, operator.irshift),
}
"""`left OP right`, and `left OP= right`, which changes lists, sets and dicts."""


def compute(kind: type[ast.operator], left: Value, right: Value, budget: Budget, *, in_place: bool = False) -> Value:
    """The value of `left OP right`, or of `left` after `left OP= right`."""
    if kind not in BINARY:
        raise Unsupported(f"the operator {kind.__name__} is not read")
    if kind is ast.Mod and isinstance(left, str | bytes):
        raise Unsupported("% on a text is not read, an f-string is")
    if isinstance(left, int) and isinstance(right, int):
        budget.spend_on_number(left)
        budget.spend_on_number(right)
        if bits_of_result(kind, left, right) > WIDEST_NUMBER:
            raise LimitExceeded(f"is a number of more than {WIDEST_NUMBER} bits")
    elif kind is ast.Mult:
        items, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(items, Sized) and isinstance(times, int):
            budget.spend(len(items) * max(times, 0))
    elif isinstance(left, set | dict):
        if not isinstance(right, set | dict):  # `dict |= pairs` would take keys that nobody has paid for
            raise TypeError(f"a {type(right).__name__} beside a {type(left).__name__}")
        budget.walk([left, right])
    result = BINARY[kind][in_place](left, right)
    if isinstance(result, Sized):
        budget.spend(len(result))
    return result


def bits_of_result(kind: type[ast.operator], left: int, right: int) -> int:
    bits = left.bit_length()
    if kind is ast.Mult:
        return bits + right.bit_length()
    if kind is ast.LShift:
        return bits + abs(right)
    return bits * abs(right) if kind is ast.Pow and bits > 1 else bits


def pay_for_field(form: str, value: Value, budget: Budget) -> None:
    """Pay for one field of an f-string or of `str.format`, such as the `:>9` of `{value:>9}`."""
    for width in re.findall(r"\d+", form) if form else ():
        if len(width) > 3:
            raise LimitExceeded("has a field of a thousand characters or more")
        budget.spend(int(width))
    budget.walk(value)


def list_items(value: Value, budget: Budget) -> list[Value]:
    if not isinstance(value, list | tuple | set | dict | str | range):
        raise TypeError(f"a {type(value).__name__} has no items to go through")
    budget.spend(len(value))
    return list(value)


def bounded(function: Callable[..., Value]) -> Callable[..., Value]:
    """A function whose work and result are no larger than its arguments; what it gives lazily becomes a list."""

    def call(budget: Budget, /, *arguments: Value, **keywords: Value) -> Value:
        budget.walk([*arguments, *keywords.values()])
        result = function(*arguments, **keywords)
        return list(result) if isinstance(result, Iterator) else result

    return call


def make_dict(budget: Budget, other: Value = (), /, **settings: Value) -> dict[Value, Value]:
    budget.spend(len(other))
    result = {}
    for key, value in other.items() if isinstance(other, dict) else other:
        budget.spend_on_key(key)
        result[key] = value
    return result | settings


def make_set(budget: Budget, values: Iterable[Value] = (), /) -> set[Value]:
    result = set()
    for value in list_items(values, budget):
        budget.spend_on_key(value)
        result.add(value)
    return result


def round_number(budget: Budget, number: Value, ndigits: int | None = None) -> Value:
    budget.walk(number)
    if ndigits is not None and abs(ndigits) > WIDEST_NUMBER:  # would take as long as the digits are many
        raise LimitExceeded(f"rounds to more than {WIDEST_NUMBER} digits")
    return round(number, ndigits)


def add_up(budget: Budget, items: Value, /, start: Value = 0) -> Value:
    """`sum`, each addition being bounded like any other."""
    for item in list_items(items, budget):
        start = compute(ast.Add, start, item, budget)
    return start


CONSTANTS: Mapping[str, float] = {f"math.{name}": getattr(math, name) for name in ("pi", "tau", "e", "inf", "nan")}

PLAIN = (str, int, float, bool, abs, divmod, min, max, list, tuple, range, zip, enumerate, reversed, sorted, any, all)
MATHEMATICS = ("sqrt", "ceil", "floor", "exp", "log", "log2", "log10", "pow", "sin", "cos", "tan", "isclose", "gcd")
PATHS = ("join", "basename", "dirname", "splitext", "normpath")

FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "dict": make_dict,
    "collections.OrderedDict": make_dict,
    "set": make_set,
    "frozenset": make_set,  # which is no different here
    "len": lambda budget, value: len(value),
    "round": round_number,
    "sum": add_up,
    "pow": lambda budget, base, exp: compute(ast.Pow, base, exp, budget),
    "copy.copy": bounded(lambda value: value.copy() if isinstance(value, list | dict | set) else value),
    "copy.deepcopy": lambda budget, value: copy_value(value, budget),
    **{function.__name__: bounded(function) for function in PLAIN},
    **{f"math.{name}": bounded(getattr(math, name)) for name in MATHEMATICS},
    **{f"os.path.{name}": bounded(getattr(posixpath, name)) for name in PATHS},
}
"""What they are called with follows the budget."""

OF_DICT = "get pop setdefault update keys values items copy clear"
METHODS: Mapping[type, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        list: "append extend insert pop remove index count sort reverse copy clear",
        tuple: "index count",
        str: "format join replace split strip lstrip rstrip startswith endswith removeprefix removesuffix lower upper",
        dict: OF_DICT,
        Inherited: f"{OF_DICT} merge",
        set: "add discard remove update union intersection difference copy",
    }.items()
}
"""The methods of each type; those that pad a text are not among them: an f-string says the same."""

OF_KEYS = ("get", "pop", "setdefault", "add", "discard", "remove")


def call_method(
    value: Value, name: str, arguments: Sequence[Value], keywords: Mapping[str, Value], budget: Budget
) -> Value:
    """The value of `value.name(*arguments, **keywords)`; views of a dict are lists."""
    kind = type(value)
    if name not in METHODS.get(kind, ()):
        raise Unsupported(f"a call of .{name}() on a {kind.__name__} is not read")
    if name in ("update", "union", "intersection", "difference"):
        make = make_set if kind is set else make_dict
        arguments = [make(budget, argument) for argument in arguments]
    operands = [*arguments, *keywords.values()]
    size = sum(len(part) for part in operands if isinstance(part, Sized))
    if name in ("append", "extend"):
        budget.spend(size)
    elif kind is str:
        # No text method does or makes more than (length of the text) x (length of the arguments), searching included.
        budget.spend((len(value) + 1) * (1 + size))
        budget.walk(operands)
    elif name in OF_KEYS and kind is not list:
        for key in operands[:1]:
            budget.spend_on_key(key)
        budget.walk(operands[1:])
    else:
        budget.walk([value, *operands])
    for _, field, form, _ in Formatter().parse(value) if name == "format" else ():
        if "{" in (form or "") or not re.fullmatch(r"\w*", field or ""):
            raise Unsupported(f"the field {{{field}}} of a format is not a plain name or number")
        pay_for_field(form or "", operands, budget)
    result = getattr(value, name)(*arguments, **keywords)
    return list(result) if name in ("keys", "values", "items") else result
