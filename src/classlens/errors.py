"""Errors that a user can act on. One class per actor, so a caller knows who must move.

ClasslensError
├── ConfigError        the file the user wrote is wrong            (says file, line and key)
├── DataError          a picture, list or checkpoint is unusable   (says which file and why)
├── NotFound           the user named something that is absent     (says what exists instead)
├── NotOffered         this source has no such part                (says what it does offer)
├── ModelError         the model cannot be looked at this way      (says what was seen)
└── MissingDependency  a package must be installed                 (says the exact command)

Each carries one line (what, where, what was seen) and a `hint` (what to do next); the command line prints both and
exits with status 2; a notebook shows both instead of a traceback. Wrong calls from Python code raise TypeError,
ValueError or IndexError, as Python does; those of what a user calls (`WrongType`, `WrongValue`, `WrongIndex`) are both.

The rule of this file: an error is short, whatever it is about. Values that strangers wrote are put into it by
`short_repr`, which stops when it has enough: `repr` of a list that holds itself ten times, ten times over, would never end.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

NEAREST = 3  # how many names an error suggests
LISTED = 12  # how many existing names an error lists before it stops and counts the rest
LONGEST = 1200  # characters of a message or a hint; beyond, its middle is left out
SHOWN = 200  # characters of a value in a message
LONGEST_NAME = 100  # characters of a name that is compared with others: comparing takes length times length
SOURCES = Path(__file__).parents[2]  # the top of a checkout, if this is one
COMPARED = 20_000  # how many names are compared


class ClasslensError(Exception):
    """Base of all errors meant for the user. `hint` is one sentence on what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(cut_middle(message))
        self.hint = cut_middle(hint)

    @property
    def place(self) -> str:
        """The file of the user and the number of the line that it is about, if that is how it begins."""
        match = re.match(r"[^\n]+?\.\w+:\d+(?=: )", str(self))
        return match[0] if match else ""

    def _render_traceback_(self) -> list[str]:
        """What IPython and notebooks show: message, hint and the line that called; all of it if `%xmode` was set."""
        from traceback import extract_tb

        reporter = sys.modules["IPython"].get_ipython().InteractiveTB
        if reporter.mode != "Context":
            lines: list[str] = reporter.structured_traceback(type(self), self, self.__traceback__)
            return lines
        frames, own = extract_tb(self.__traceback__), __file__.removesuffix("errors.py")
        inside = next((place for place, one in enumerate(frames) if one.filename.startswith(own)), len(frames))
        place = [f"line {one.lineno}: {one.line}" for one in frames[max(inside - 1, 0) : inside] if one.line]
        return [f"{type(self).__name__}: {self}", *([f"hint: {self.hint}"] if self.hint else []), *place]


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
        super().__init__(f"no {kind} named {short_repr(name)}{place}", hint=suggestion(name, known))


class MissingDependency(ClasslensError):
    """A package is not installed: one that an extra of classlens brings, or one that `where`, the user's code, needs."""

    def __init__(self, package: str, *, extra: str | None, where: str = "") -> None:
        hint = install_command(extra) if extra else f"pip install {package}"
        super().__init__(f"{where}{': ' if where else ''}{package} is not installed", hint=hint)


class WrongType(ClasslensError, TypeError):
    """A call from Python with a thing of another kind."""


class WrongValue(ClasslensError, ValueError):
    """A call from Python with a value that there is not."""


class WrongIndex(ClasslensError, IndexError):
    """A call from Python for a place where nothing is."""


def install_command(extra: str) -> str:
    """The command that brings an extra, from where Classlens itself was installed: a folder, an address, or an index.

    Source: the Direct URL data structure of the PyPA specifications (PEP 610).
    """
    import json  # nobody who lacks nothing needs these
    from importlib import metadata
    from urllib.parse import unquote, urlsplit

    try:
        origin = json.loads(metadata.distribution("classlens").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):  # it runs from its sources
        origin = {"url": SOURCES.as_uri(), "dir_info": {"editable": True}}
    url, editable = str(origin.get("url", "")), origin.get("dir_info", {}).get("editable")
    folder = Path(unquote(urlsplit(url).path))
    if "dir_info" in origin and (folder / "pyproject.toml").is_file():
        with suppress(OSError):
            folder = Path() if Path.cwd() == folder.resolve() else folder
        return f"pip install {'-e ' if editable else ''}'{folder}[{extra}]'"
    if url and "dir_info" not in origin:
        system = origin.get("vcs_info", {}).get("vcs")
        return f"pip install 'classlens[{extra}] @ {f'{system}+' if system else ''}{url}'"
    return f"pip install 'classlens[{extra}]'"


def cut_middle(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 3 :]}"


def short_repr(value: object, most: int = SHOWN) -> str:
    """`repr(value)`, cut after `most` characters; no more of the value is looked at than is shown."""
    text = ""
    for piece in repr_pieces(value, most):
        text += piece
        if len(text) > most:
            return text[:most] + "…"
    return text


def repr_pieces(value: object, most: int) -> Iterator[str]:
    """What `repr(value)` consists of, piece by piece, none much longer than `most`."""
    kind = type(value)
    if kind in (str, bytes):
        yield repr(value[: most + 1])  # type: ignore[index]
    elif kind is int and value.bit_length() > 4096:  # type: ignore[attr-defined]
        yield f"a number of {value.bit_length()} bits"  # type: ignore[attr-defined]
    elif isinstance(value, dict | list | tuple | set | frozenset) and value:
        opening, closing = "[]" if isinstance(value, list) else "()" if isinstance(value, tuple) else "{}"
        yield opening
        for count, item in enumerate(value):
            yield ", " if count else ""
            yield from repr_pieces(item, most)
            if isinstance(value, dict):
                yield ": "
                yield from repr_pieces(value[item], most)
        yield ("," if isinstance(value, tuple) and len(value) == 1 else "") + closing
    else:
        yield repr(value)


def placed_errors(parts: Iterable[Callable[[], object]]) -> list[ClasslensError]:
    """The errors about lines of the user's file that come of opening these parts, each once.

    Raises:
        ClasslensError: no part can be opened, and that is about no line.
    """
    errors: dict[str, ClasslensError] = {}
    opened = False
    for open_part in parts:
        try:
            open_part()
            opened = True
        except ClasslensError as error:
            errors.setdefault(str(error), error)
    placed = [error for error in errors.values() if error.place]
    if errors and not (opened or placed):
        raise next(iter(errors.values()))
    return placed


def near_names(name: str, known: Iterable[object], *, most: int = NEAREST, alike: float = 0.6) -> list[str]:
    """The known names that are most like `name`, the nearest first."""
    from difflib import get_close_matches  # a command without errors starts faster without it

    names = [one for one in known if isinstance(one, str) and len(one) <= LONGEST_NAME][:COMPARED]
    return get_close_matches(name, names, n=most, cutoff=alike) if len(name) <= LONGEST_NAME else []


def suggestion(name: object, known: Iterable[str], *, compared: Callable[[str], str] = str, alike: float = 0.6) -> str:
    """The nearest known names as a question, or the first few that exist; `compared` leaves out what all names share."""
    name = name if isinstance(name, str) else short_repr(name)
    names = sorted(known)
    folded = {compared(candidate.casefold()): candidate for candidate in names}
    close = [folded[match] for match in near_names(compared(name.casefold()), folded, alike=alike)]
    pattern = rf"(?<!\w){re.escape(name)}(?!\w)" if 2 < len(name) <= LONGEST_NAME else r"(?!)"
    inside = [known for known in names if re.search(pattern, known, re.IGNORECASE)]
    near = list(dict.fromkeys([*inside[:NEAREST], *close]))[:NEAREST]
    if near:
        return f"did you mean {' or '.join(near)}?"
    if not names:
        return ""
    return f"there is: {join_first(names, LISTED)}"


def join_first(names: Sequence[str], number: int = 5, between: str = ", ") -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return between.join(names[:number]) + more


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()


def describe_error(error: BaseException) -> str:
    """What went wrong in one line: an error of ours says it all, any other one is called by its type."""
    words = str(error).strip().splitlines()
    if isinstance(error, ClasslensError):
        return str(error)
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__


def count_of(number: int, what: str) -> str:
    """`1 picture`, `2 pictures`, `20,000 pictures`, `0 classes`."""
    ending = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{ending}"
