"""Settings behind a name: `resnet50?pretrained=false&num_classes=10` is the name and a dict of Python values."""

from ast import literal_eval
from typing import Any, TypeAlias
from urllib.parse import unquote

from classlens.errors import ConfigError, NotFound

Setting: TypeAlias = Any
"""A number, a string, a truth value or a tuple of them, as the framework wants it."""

WORDS = {"true": True, "yes": True, "false": False, "no": False, "none": None}


def split_settings(rest: str) -> tuple[str, dict[str, Setting]]:
    """The name before the question mark, and what follows as settings.

    Raises:
        ConfigError: a setting has no value.
    """
    name, _, query = rest.partition("?")
    settings: dict[str, Setting] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ConfigError(f"{rest!r}: the setting {part!r} has no value", hint="write NAME?key=value&key=value")
        settings[key] = parsed(unquote(value))
    return name, settings


def parsed(text: str) -> Setting:
    """`10`, `0.5`, `(224, 224)` and `true` as Python values; anything else is the text itself."""
    if text.casefold() in WORDS:
        return WORDS[text.casefold()]
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def refuse_unknown(settings: dict[str, Setting], known: tuple[str, ...], where: str) -> None:
    """Only settings that do something are accepted.

    Raises:
        NotFound: there is no such setting.
    """
    for key in settings:
        if key not in known:
            raise NotFound("setting", key, known, where=where)


UNTRAINED = "the weights are random unless a checkpoint is given: maps of an untrained network say nothing"
"""What is told of a source that is asked for without its published weights."""
