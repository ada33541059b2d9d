"""The methods of lists, dicts, texts and sets that a config may call, with bounded work.

The rule of this file: a method is in `METHODS` under the type of its object, or it cannot be called. Methods that can
make something larger than their object, or that look deep into it, pay first.
"""

from collections.abc import Callable, Mapping

from classlens.config.budget import Budget, Refused
from classlens.config.formatting import fill_braces
from classlens.config.functions import Arguments, Keywords, items_of, make_dict, make_set
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
    if name in ("join", "extend"):
        arguments = [items_of(argument, budget) for argument in arguments]
    elif name in ("update", "union", "intersection", "difference"):
        arguments = [keyed(argument, value, budget) for argument in arguments]
    pay(value, [*arguments, *keywords.values()], budget)
    result = getattr(value, name)(*arguments, **keywords)
    return list(result) if name in VIEWS else result


def keyed(argument: Value, owner: Value, budget: Budget) -> Value:
    """What is added to a dict or a set, with all its keys paid for."""
    return make_dict([argument], {}, budget) if isinstance(owner, dict) else make_set([argument], {}, budget)


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


def searching(value: str, arguments: Arguments, budget: Budget) -> None:
    """As many comparisons as the text and what is looked for have letters: Python looks from the end step by step."""
    budget.spend(len(value) * max([1, *(len(wanted) for wanted in arguments if isinstance(wanted, str))]))


def looking_up(value: Value, arguments: Arguments, budget: Budget) -> None:
    """For the key; and for every part of what is put under it."""
    if arguments:
        budget.key(arguments[0])
        budget.walk(list(arguments[1:]))


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
