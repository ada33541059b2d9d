"""Errors that a user can act on. One class per actor, so a caller knows who must move.

ClasslensError
├── ConfigError        the file the user wrote is wrong            (says file, line and key)
├── DataError          a picture, list or checkpoint is unusable   (says which file and why)
├── NotFound           the user named something that is absent     (says what exists instead)
├── NotOffered         this source has no such part                (says what it does offer)
├── ModelError         the model cannot be looked at this way      (says what was seen)
└── MissingDependency  a package must be installed                 (says the exact command)

Each carries one line (what, where, what was seen) and a `hint` (what to do next); the command line prints both and
exits with status 2. Wrong calls from Python code raise TypeError or ValueError, as Python does.
"""

import re
from collections.abc import Iterable

NEAREST = 3  # how many names an error suggests
LISTED = 12  # how many existing names an error lists before it stops and counts the rest


class ClasslensError(Exception):
    """Base of all errors meant for the user. `hint` is one sentence on what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(ClasslensError):
    """A config file says something that classlens cannot follow."""


class DataError(ClasslensError):
    """A picture, an annotation list or a checkpoint is missing, unreadable or not what it claims to be."""


class NotOffered(ClasslensError):
    """The source exists but has no such part, e.g. a timm model has no schedule."""


class ModelError(ClasslensError):
    """The model's structure or output does not allow the requested look."""


class NotFound(ClasslensError):
    """A name that does not exist, reported with the nearest ones that do."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        place = f" in {where}" if where else ""
        super().__init__(f"no {kind} named {name!r}{place}", hint=suggestion(name, known))


class MissingDependency(ClasslensError):
    """A package is not installed: one that an extra of classlens brings, or one that `where`, the user's code, needs."""

    def __init__(self, package: str, *, extra: str | None, where: str = "") -> None:
        hint = f"pip install 'classlens[{extra}]'" if extra else f"pip install {package}"
        super().__init__(f"{where}{': ' if where else ''}{package} is not installed", hint=hint)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The nearest known names as a question, or the first few that exist."""
    from difflib import get_close_matches  # a command without errors starts faster without it

    names = sorted(known)
    folded = {candidate.casefold(): candidate for candidate in names}
    close = [folded[match] for match in get_close_matches(name.casefold(), folded, n=NEAREST, cutoff=0.6)]
    inside = [
        known
        for known in names
        if len(name) > 2 and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", known, re.IGNORECASE)
    ]
    near = list(dict.fromkeys([*inside[:NEAREST], *close]))[:NEAREST]
    if near:
        return f"did you mean {' or '.join(near)}?"
    if not names:
        return ""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"there is: {', '.join(names[:LISTED])}{more}"


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()


def count_of(number: int, what: str) -> str:
    """`1 picture`, `2 pictures`, `20,000 pictures`, `0 classes`."""
    ending = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{ending}"
