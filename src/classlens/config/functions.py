"""The functions and methods that a config may call: pure ones, on values, with bounded work.

The rule of this file: a function is known by its full name (`len`, `math.sqrt`, `copy.deepcopy`) and looked up in
`FUNCTIONS`; what is not there cannot be called. No iterator exists as a value: whatever Python gives lazily
(`zip`, `enumerate`) is a list here, paid for item by item.
"""

import ast
import math
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from string import Formatter

from classlens.config.budget import WIDEST_NUMBER, Budget, LimitExceeded, Unsupported, Value
from classlens.config.operators import compute, format_value
from classlens.config.scope import Inherited, copy_value

Arguments = Sequence[Value]
Keywords = Mapping[str, Value]
Function = Callable[[Arguments, Keywords, Budget], Value]


def list_items(value: Value, budget: Budget) -> list[Value]:
    """What a loop over `value` sees, as a list."""
    if not isinstance(value, list | tuple | set | frozenset | dict | str | range):
        raise TypeError(f"a {type(value).__name__} has no items to go through")
    budget.spend(len(value))
    return list(value)


def make_dict(arguments: Arguments, keywords: Keywords, budget: Budget) -> dict[Value, Value]:
    """`dict(...)` of another dict, of pairs, or of keywords."""
    result: dict[Value, Value] = {}
    if len(arguments) > 1:
        raise TypeError(f"dict() takes one collection, not {len(arguments)}")
    for argument in arguments:
        budget.spend(len(argument))
        pairs = argument.items() if isinstance(argument, dict) else argument
        for key, value in pairs:
            budget.key(key)
            result[key] = value
    budget.spend(len(keywords))
    result.update(keywords)
    return result


def make_set(values: Iterable[Value], budget: Budget) -> set[Value]:
    result = set()
    for value in values:
        budget.key(value)
        result.add(value)
    return result


def set_of(arguments: Arguments, keywords: Keywords, budget: Budget) -> set[Value]:
    """`set(...)`, and `frozenset(...)`, which is no different here."""
    (values,) = arguments or ([],)
    return make_set(list_items(values, budget), budget)


def round_number(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """`round(number, digits)`; digits that reach far beyond any number would take as long as they are many."""
    digits = arguments[1] if len(arguments) > 1 else keywords.get("ndigits")
    if isinstance(digits, int) and abs(digits) > WIDEST_NUMBER:
        raise LimitExceeded(f"rounds to more than {WIDEST_NUMBER} digits")
    return round(*arguments, **keywords)


def make_range(arguments: Arguments, keywords: Keywords, budget: Budget) -> range:
    """`range(...)`, which holds no items until somebody goes through it."""
    result = range(*arguments, **keywords)
    len(result)  # raises OverflowError now, not later, where the length does not fit into a machine word
    return result


def shallow_copy(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """`copy.copy(value)`."""
    (value,) = arguments
    if not isinstance(value, list | dict | set):
        return value
    budget.spend(len(value))
    return value.copy()


def add_up(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """`sum(items, start)`, each addition being bounded like any other."""
    items, *rest = arguments
    total = rest[0] if rest else keywords.get("start", 0)
    for item in list_items(items, budget):
        total = compute(ast.Add, total, item, budget)
    return total


def power(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """`pow(x, y)`, bounded like `x ** y`."""
    left, right = arguments
    return compute(ast.Pow, left, right, budget)


def of_one_value(apply: Callable[[Value, Budget], Value], *default: Value) -> Function:
    """A function of a single value, which may have a default."""

    def call(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
        (value,) = arguments or default
        return apply(value, budget)

    return call


def of_values(choose: Callable[..., Value]) -> Function:
    """`min` and `max`, of one collection or of several values."""

    def call(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
        candidates = list_items(arguments[0], budget) if len(arguments) == 1 else list(arguments)
        budget.walk(candidates)
        return choose(candidates, **keywords)

    return call


def of_collections(make: Callable[..., Value]) -> Function:
    """A function of collections, e.g. `tuple` or `zip`; what it gives lazily becomes a list."""

    def call(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
        lists = [list_items(argument, budget) if not isinstance(argument, int) else argument for argument in arguments]
        budget.walk(lists)
        result = make(*lists, **keywords)
        return result if isinstance(result, list | tuple | bool) else list(result)

    return call


def of_scalars(function: Callable[..., Value]) -> Function:
    """A function whose work and result are as small as its arguments."""

    def call(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
        for argument in arguments:
            if isinstance(argument, str):
                budget.spend(len(argument))
        return function(*arguments, **keywords)

    return call


CONSTANTS: Mapping[str, float] = {f"math.{name}": getattr(math, name) for name in ("pi", "tau", "e", "inf", "nan")}

MATHEMATICS = ("sqrt", "ceil", "floor", "exp", "log", "log2", "log10", "pow", "sin", "cos", "tan", "isclose", "gcd")
PATHS = ("join", "basename", "dirname", "splitext", "normpath")

FUNCTIONS: Mapping[str, Function] = {
    "dict": make_dict,
    "collections.OrderedDict": make_dict,
    "set": set_of,
    "frozenset": set_of,
    "range": make_range,
    "round": round_number,
    "str": of_one_value(lambda value, budget: format_value(value, "s", "", budget), ""),
    "sum": add_up,
    "pow": power,
    "min": of_values(min),
    "max": of_values(max),
    "copy.copy": shallow_copy,
    "copy.deepcopy": of_one_value(copy_value),
    **{function.__name__: of_collections(function) for function in (list, tuple, zip, enumerate, reversed)},
    **{function.__name__: of_collections(function) for function in (sorted, any, all)},
    **{function.__name__: of_scalars(function) for function in (int, float, bool, len, abs, divmod)},
    **{f"math.{name}": of_scalars(getattr(math, name)) for name in MATHEMATICS},
    **{f"os.path.{name}": of_scalars(getattr(posixpath, name)) for name in PATHS},
}

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
VIEWS = ("keys", "values", "items")


def call_method(value: Value, name: str, arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """The value of `value.name(*arguments, **keywords)`; views of a dict are lists."""
    kind = type(value)
    if name not in METHODS.get(kind, ()):
        raise Unsupported(f"a call of .{name}() on a {kind.__name__} is not read")
    if name == "format":
        return fill_fields(value, arguments, keywords, budget)
    if name in ("join", "extend"):
        arguments = [list_items(argument, budget) for argument in arguments]
    elif name in ("update", "union", "intersection", "difference"):
        make: Function = set_of if kind is set else make_dict
        arguments = [make([argument], {}, budget) for argument in arguments]
    operands = [*arguments, *keywords.values()]
    if kind is str:
        # No text method does or makes more than (length of the text) x (length of the arguments), searching included.
        budget.spend(
            (len(value) + 1) * (1 + sum(len(part) for part in operands if isinstance(part, str | list | tuple)))
        )
        budget.walk(operands)
    elif name in OF_KEYS and kind is not list:
        for key in operands[:1]:
            budget.key(key)
        budget.walk(operands[1:])
    elif name not in ("append", "extend"):  # these cost what they add, which has been paid for
        budget.walk([value, *operands])
    result = getattr(value, name)(*arguments, **keywords)
    return list(result) if name in VIEWS else result


def fill_fields(template: str, arguments: Arguments, keywords: Keywords, budget: Budget) -> str:
    """`template.format(*arguments, **keywords)`."""
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
        value = arguments[int(field)] if field.isdecimal() else keywords[field]
        pieces.append(format_value(value, conversion, form or "", budget))
    return "".join(pieces)


def unpack_targets(target: ast.expr, value: Value, budget: Budget) -> list[tuple[ast.expr, Value]]:
    """Single targets and what each of them gets, from left to right."""
    if not isinstance(target, ast.Tuple | ast.List):
        return [(target, value)]
    targets = target.elts
    values = list_items(value, budget)
    starred = next((index for index, part in enumerate(targets) if isinstance(part, ast.Starred)), None)
    if starred is not None and len(values) >= len(targets) - 1:
        after = len(values) - (len(targets) - 1 - starred)
        values = [*values[:starred], values[starred:after], *values[after:]]
    if len(values) != len(targets):
        raise ValueError(f"{len(values)} values for {len(targets)} names")
    pairs = []
    for part, item in zip(targets, values, strict=True):
        pairs += unpack_targets(part.value if isinstance(part, ast.Starred) else part, item, budget)
    return pairs
