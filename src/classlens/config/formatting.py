"""Text made from values: f-strings, `str.format` and `%`, bounded before they are filled in.

The rule of this file: a field is a plain name or number. `{0.__class__}` and `{x[0]}` look inside values and are
refused; `{:999999999}` is refused by its width.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter

from classlens.config.budget import Budget, Refused, TooMuch
from classlens.config.value import Value

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
        raise TooMuch(f"has a field of more than {WIDEST_FIELD} characters")


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
            raise Refused(f"the field {{{field}}} of a format is not a plain name or number")
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
        raise Refused("a width of * in a % format is not read")
    fields = list(PERCENT_FIELD.finditer(template))
    for field in fields:
        bound_width(field["width"])
        bound_width(field["precision"] or "")
        budget.spend(len(field[0]) + int(field["width"] or 0) + int(field["precision"] or 0))
    for _ in fields if isinstance(values, dict) else range(1):
        budget.walk(values)
    return str(template % values)
