"""The functions that a config may call: pure ones, on values, with bounded work.

The rule of this file: a function is known by its full name (`len`, `math.sqrt`, `copy.deepcopy`) and looked up in
`FUNCTIONS`; what is not there cannot be called. No iterator exists as a value: whatever Python gives lazily
(`zip`, `enumerate`) is a list here, paid for item by item.
"""

import ast
import math
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence

from classlens.config.budget import WIDEST_NUMBER, Budget, LimitExceeded, Unsupported, Value
from classlens.config.operators import compute, fill_braces, formatted
from classlens.config.scope import Inherited, copied

Arguments = Sequence[Value]
Keywords = Mapping[str, Value]
Function = Callable[[Arguments, Keywords, Budget], Value]


def function_named(name: str) -> Function:
    """The function that a config means by `name`.

    Raises:
        Refused: it is not one of `FUNCTIONS`.
    """
    if name not in FUNCTIONS:
        raise Unsupported(f"a call of {name}() is not read")
    return FUNCTIONS[name]


def items_of(value: Value, budget: Budget) -> list[Value]:
    """What a loop over `value` sees, as a list.

    Raises:
        TooMuch: there are too many items.
    """
    if not isinstance(value, list | tuple | set | frozenset | dict | str | range):
        raise TypeError(f"a {type(value).__name__} has no items to go through")
    budget.spend(len(value))
    return list(value)


def make_dict(arguments: Arguments, keywords: Keywords, budget: Budget) -> dict[Value, Value]:
    """`dict(...)` of another dict, of pairs, or of keywords."""
    made: dict[Value, Value] = {}
    if len(arguments) > 1:
        raise TypeError(f"dict() takes one collection, not {len(arguments)}")
    for argument in arguments:
        budget.spend(len(argument))
        pairs = argument.items() if isinstance(argument, dict) else argument
        for key, value in pairs:
            budget.key(key)
            made[key] = value
    budget.spend(len(keywords))
    made.update(keywords)
    return made


def members(values: Iterable[Value], budget: Budget) -> set[Value]:
    """The values as a set."""
    made = set()
    for value in values:
        budget.key(value)
        made.add(value)
    return made


def make_set(arguments: Arguments, keywords: Keywords, budget: Budget) -> set[Value]:
    """`set(...)`, and `frozenset(...)`, which is no different here."""
    (values,) = arguments or ([],)
    return members(items_of(values, budget), budget)


def make_round(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """`round(number, digits)`; digits that reach far beyond any number would take as long as they are many."""
    digits = arguments[1] if len(arguments) > 1 else keywords.get("ndigits")
    if isinstance(digits, int) and abs(digits) > WIDEST_NUMBER:
        raise LimitExceeded(f"rounds to more than {WIDEST_NUMBER} digits")
    return round(*arguments, **keywords)


def make_range(arguments: Arguments, keywords: Keywords, budget: Budget) -> range:
    """`range(...)`, which holds no items until somebody goes through it; `len` must fit into a machine word."""
    made = range(*arguments, **keywords)
    len(made)
    return made


def make_text(arguments: Arguments, keywords: Keywords, budget: Budget) -> str:
    """`str(value)`."""
    (value,) = arguments or ("",)
    return formatted(value, "s", "", budget)


def make_copy(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """`copy.deepcopy(value)`."""
    (value,) = arguments
    return copied(value, budget)


def make_shallow_copy(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """`copy.copy(value)`."""
    (value,) = arguments
    if not isinstance(value, list | dict | set):
        return value
    budget.spend(len(value))
    return Inherited(value) if isinstance(value, Inherited) else value.copy()


def add_up(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """`sum(items, start)`, each addition being bounded like any other."""
    items, *rest = arguments
    total = rest[0] if rest else keywords.get("start", 0)
    for item in items_of(items, budget):
        total = compute(ast.Add, total, item, budget)
    return total


def power(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """`pow(x, y)`, bounded like `x ** y`."""
    left, right = arguments
    return compute(ast.Pow, left, right, budget)


def extremum(choose: Callable[..., Value]) -> Function:
    """`min` and `max`, of one collection or of several values."""

    def call(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
        candidates = items_of(arguments[0], budget) if len(arguments) == 1 else list(arguments)
        budget.walk(candidates)
        return choose(candidates, **keywords)

    return call


def collected(make: Callable[..., Value]) -> Function:
    """A function of collections, e.g. `tuple` or `zip`; what it gives lazily becomes a list."""

    def call(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
        lists = [items_of(argument, budget) if not isinstance(argument, int) else argument for argument in arguments]
        budget.walk(lists)
        made = make(*lists, **keywords)
        return made if isinstance(made, list | tuple | bool) else list(made)

    return call


def scalar(function: Callable[..., Value]) -> Function:
    """A function whose work and result are as small as its arguments."""

    def call(arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
        for argument in arguments:
            if isinstance(argument, str):
                budget.spend(len(argument))
        return function(*arguments, **keywords)

    return call


CONSTANTS: Mapping[str, float] = {
    "math.pi": math.pi,
    "math.tau": math.tau,
    "math.e": math.e,
    "math.inf": math.inf,
    "math.nan": math.nan,
}

MATHEMATICS = ("sqrt", "ceil", "floor", "exp", "log", "log2", "log10", "pow", "sin", "cos", "tan", "isclose", "gcd")
PATHS = ("join", "basename", "dirname", "splitext", "normpath")

FUNCTIONS: Mapping[str, Function] = {
    "dict": make_dict,
    "collections.OrderedDict": make_dict,
    "set": make_set,
    "frozenset": make_set,
    "range": make_range,
    "round": make_round,
    "str": make_text,
    "sum": add_up,
    "pow": power,
    "min": extremum(min),
    "max": extremum(max),
    "copy.copy": make_shallow_copy,
    "copy.deepcopy": make_copy,
    **{made.__name__: collected(made) for made in (list, tuple, zip, enumerate, reversed)},
    **{made.__name__: collected(made) for made in (sorted, any, all)},
    **{function.__name__: scalar(function) for function in (int, float, bool, len, abs, divmod)},
    **{f"math.{name}": scalar(getattr(math, name)) for name in MATHEMATICS},
    **{f"os.path.{name}": scalar(getattr(posixpath, name)) for name in PATHS},
}


Payment = Callable[[Value, Arguments, Budget], None]


def call_method(value: Value, name: str, arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """The value of `value.name(*arguments, **keywords)`; views of a dict are lists.

    Raises:
        Refused: objects of this type have no such method here.
        TooMuch: the result would be too large.
    """
    pay = METHODS.get(type(value), {}).get(name)
    if pay is None:
        raise Unsupported(f"a call of .{name}() on a {type(value).__name__} is not read")
    if name == "format":
        return fill_braces(value, arguments, keywords, budget)
    if name in ("join", "extend"):
        arguments = [items_of(argument, budget) for argument in arguments]
    elif name in ("update", "union", "intersection", "difference"):
        arguments = [keyed(argument, value, budget) for argument in arguments]
    pay(value, [*arguments, *keywords.values()], budget)
    result = getattr(value, name)(*arguments, **keywords)
    return list(result) if name in VIEWS else result


def keyed(argument: Value, owner: Value, budget: Budget) -> Value:
    return make_dict([argument], {}, budget) if isinstance(owner, dict) else make_set([argument], {}, budget)


VIEWS = ("keys", "values", "items")


def nothing(value: Value, arguments: Arguments, budget: Budget) -> None:
    """The step itself has been paid for."""


def length(value: Value, arguments: Arguments, budget: Budget) -> None:
    budget.spend(len(value))


def everything(value: Value, arguments: Arguments, budget: Budget) -> None:
    """For every part of the object and of the arguments: they are compared, hashed or copied."""
    budget.walk(value)
    budget.walk(list(arguments))


def searching(value: str, arguments: Arguments, budget: Budget) -> None:
    budget.spend(len(value) * max([1, *(len(wanted) for wanted in arguments if isinstance(wanted, str))]))


def looking_up(value: Value, arguments: Arguments, budget: Budget) -> None:
    """For the key; and for every part of what is put under it."""
    if arguments:
        budget.key(arguments[0])
        budget.walk(list(arguments[1:]))


def popping(value: Value, arguments: Arguments, budget: Budget) -> None:
    budget.spend(len(value) if arguments else 1)


def width(value: str, arguments: Arguments, budget: Budget) -> None:
    budget.spend(max([len(value), *(number for number in arguments if isinstance(number, int))]))


def joining(value: str, arguments: Arguments, budget: Budget) -> None:
    """For the joined texts and all separators."""
    (pieces,) = arguments
    budget.spend(len(value) * len(pieces))
    budget.walk(pieces)


def replacing(value: str, arguments: Arguments, budget: Budget) -> None:
    """For the text as it will be: each occurrence of the old text costs the length of the new one."""
    old, new, *_ = arguments
    budget.spend(len(value) + value.count(old) * len(new))


LIST: Mapping[str, Payment] = {
    "append": nothing,
    "extend": length,
    "pop": popping,
    **dict.fromkeys(("insert", "copy", "reverse", "clear"), length),
    **dict.fromkeys(("remove", "index", "count", "sort"), everything),
}

TEXT: Mapping[str, Payment] = {
    "format": nothing,
    "join": joining,
    "replace": replacing,
    **dict.fromkeys(("zfill", "ljust", "rjust", "center"), width),
    **dict.fromkeys(("lower", "upper", "title", "capitalize", "casefold"), length),
    **dict.fromkeys(("split", "splitlines", "partition"), length),
    **dict.fromkeys(("strip", "lstrip", "rstrip", "rsplit", "rpartition", "rfind"), searching),
    **dict.fromkeys(("startswith", "endswith", "find", "index", "count"), length),
    **dict.fromkeys(("removeprefix", "removesuffix", "isdigit", "isalpha", "isdecimal", "isidentifier"), length),
}

DICT: Mapping[str, Payment] = {
    "update": everything,
    **dict.fromkeys(("get", "pop", "setdefault"), looking_up),
    **dict.fromkeys(("keys", "values", "items", "copy", "clear"), length),
}

SET: Mapping[str, Payment] = {
    **dict.fromkeys(("add", "discard", "remove"), looking_up),
    **dict.fromkeys(("update", "union", "intersection", "difference", "copy"), everything),
}

METHODS: Mapping[type, Mapping[str, Payment]] = {
    list: LIST,
    tuple: dict.fromkeys(("index", "count"), everything),
    str: TEXT,
    dict: DICT,
    Inherited: {**DICT, "merge": everything},
    set: SET,
}


def shared_out(target: ast.expr, value: Value, budget: Budget) -> list[tuple[ast.expr, Value]]:
    """Single targets and what each of them gets, from left to right.

    Raises:
        ValueError: there are more targets or fewer than values.
    """
    if not isinstance(target, ast.Tuple | ast.List):
        return [(target, value)]
    targets = target.elts
    values = items_of(value, budget)
    starred = next((index for index, part in enumerate(targets) if isinstance(part, ast.Starred)), None)
    if starred is not None and len(values) >= len(targets) - 1:
        after = len(values) - (len(targets) - 1 - starred)
        values = [*values[:starred], values[starred:after], *values[after:]]
    if len(values) != len(targets):
        raise ValueError(f"{len(values)} values for {len(targets)} names")
    pairs = []
    for part, item in zip(targets, values, strict=True):
        pairs += shared_out(part.value if isinstance(part, ast.Starred) else part, item, budget)
    return pairs
