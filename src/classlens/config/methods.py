"""The methods of lists, dicts, texts and sets that a config may call, with bounded work.

The rule of this file: a method is in `METHODS` under the type of its object, or it cannot be called. Methods that can
make something larger than their object, or that look deep into it, pay first.
"""

from collections.abc import Callable, Mapping

from classlens.config.budget import Budget, Refused
from classlens.config.formatting import fill_braces
from classlens.config.functions import Arguments, Keywords, items_of
from classlens.config.inherited import Inherited
from classlens.config.value import Value

Payment = Callable[[Value, Arguments, Budget], None]


def call_method(value: Value, name: str, arguments: Arguments, keywords: Keywords, budget: Budget) -> Value:
    """The value of `value.name(*arguments, **keywords)`; views of a dict are lists.

    Raises:
        Refused: objects of this type have no such method here.
        TooMuch: the result would be too large.
    """
    pay = METHODS.get(type(value), {}).get(name)
    if pay is None:
        raise Refused(f"a call of .{name}() on a {type(value).__name__} is not read")
    if name == "format":
        return fill_braces(value, arguments, keywords, budget)
    if name == "join" or (name == "extend" and arguments):
        arguments = [items_of(arguments[0], budget), *arguments[1:]]
    pay(value, [*arguments, *keywords.values()], budget)
    result = getattr(value, name)(*arguments, **keywords)
    return list(result) if name in VIEWS else result


VIEWS = ("keys", "values", "items")


def nothing(value: Value, arguments: Arguments, budget: Budget) -> None:
    """The step itself has been paid for."""


def length(value: Value, arguments: Arguments, budget: Budget) -> None:
    """As much as the object is long."""
    budget.spend(len(value))


def everything(value: Value, arguments: Arguments, budget: Budget) -> None:
    """For every part of the object and of the arguments: they are compared, hashed or copied."""
    budget.walk(value)
    budget.walk(list(arguments))


def others(value: Value, arguments: Arguments, budget: Budget) -> None:
    """For every part of the arguments."""
    budget.walk(list(arguments))


def popping(value: Value, arguments: Arguments, budget: Budget) -> None:
    """The last item comes for nothing; behind any other, all items move."""
    budget.spend(len(value) if arguments else 1)


def width(value: str, arguments: Arguments, budget: Budget) -> None:
    """As much as the text will be wide."""
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
    **dict.fromkeys(("lower", "upper", "title", "capitalize", "strip", "lstrip", "rstrip", "casefold"), length),
    **dict.fromkeys(("split", "rsplit", "splitlines", "partition", "rpartition"), length),
    **dict.fromkeys(("startswith", "endswith", "find", "rfind", "index", "count"), length),
    **dict.fromkeys(("removeprefix", "removesuffix", "isdigit", "isalpha", "isdecimal", "isidentifier"), length),
}

DICT: Mapping[str, Payment] = {
    **dict.fromkeys(("get", "pop", "setdefault", "update"), others),
    **dict.fromkeys(("keys", "values", "items", "copy", "clear"), length),
}

SET: Mapping[str, Payment] = {
    **dict.fromkeys(("add", "discard", "remove"), others),
    **dict.fromkeys(("update", "union", "intersection", "difference", "copy"), everything),
}

METHODS: Mapping[type, Mapping[str, Payment]] = {
    list: LIST,
    tuple: dict.fromkeys(("index", "count"), everything),
    str: TEXT,
    dict: DICT,
    Inherited: {**DICT, "update": everything, "merge": everything},
    set: SET,
    frozenset: SET,
}
