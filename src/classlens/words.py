"""What pages say, in English and in Simplified Chinese: a key of the one table of both, and the values in its text.

    say("report.labelled", name="espresso")

The page of the studio reads the same table. Names of files, classes and layers are values: they are shown as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Phrase:
    """A text of the table. Values may be words themselves, or several things in a row; numbers are grouped.

    Of "one picture|{count} pictures" the first is said where `count` is 1. To `str` it is English.
    """

    key: str
    values: Mapping[str, object]

    def __str__(self) -> str:
        return self.spell("en")

    def spell(self, language: str) -> str:
        """The text in one of the `LANGUAGES`."""
        one, *more = table()[self.key][LANGUAGES.index(language)].split("|")
        form = more[0] if more and self.values["count"] != 1 else one
        return re.sub(r"\{(\w+)\}", lambda hole: spell(self.values[hole[1]], language), form)


def spell(value: object, language: str) -> str:
    """A value in a text."""
    if isinstance(value, tuple):
        return (", " if language == "en" else "、").join(spell(one, language) for one in value)
    return (
        value.spell(language) if isinstance(value, Phrase) else f"{value:,}" if isinstance(value, int) else f"{value}"
    )


def say(key: str, /, **values: object) -> Phrase:
    return Phrase(key, values)


def known(text: str) -> str | Phrase:
    """A text that an engine has made, as words where the table has it."""
    key = "work." + re.sub(r"\W+", "_", text)
    return Phrase(key, {}) if key in table() else text


@cache
def table() -> Mapping[str, tuple[str, str]]:
    """Every text in both languages, by its key."""
    entries: Mapping[str, tuple[str, str]] = json.loads(
        files("classlens").joinpath("studio/static/text.json").read_text(encoding="utf-8")
    )
    return entries
