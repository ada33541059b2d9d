"""Running the user's code: whatever it raises becomes one error that names the user's own file and line."""

import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from classlens.errors import ClasslensError, ConfigError, DataError, MissingDependency, ModelError

EXTRAS: Mapping[str, str] = {
    "albumentations": "albumentations", "datasets": "hfds", "kornia": "kornia", "lightning": "lightning",
    "pytorch_lightning": "lightning", "timm": "timm", "torch": "cam", "torchvision": "torchvision",
    "transformers": "hf",
}  # fmt: skip
"""Packages that one of our extras brings."""

NOT_THE_USERS = (Path(__file__).parents[1], Path(sysconfig.get_path("stdlib")))
INSTALLED = {"site-packages", "dist-packages"}
UNGUARDED = "put what starts the training under: if __name__ == '__main__'"


@contextmanager
def users_code(
    what: str, kind: type[ConfigError | DataError | ModelError] = ConfigError, *, hint: str = ""
) -> Iterator[None]:
    """Run code that is not ours; `what` says in the error which address or object it belongs to.

    `hint` is for errors outside the user's files; for others it is the line that failed.

    Raises:
        MissingDependency: it imports a package that is not installed.
        ConfigError: it raises anything else, or ends the program; or an error of another `kind`.
    """
    try:
        yield
    except ClasslensError:
        raise
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package == "classlens":
            raise ConfigError(f"{what} fails{at(error)}: {said(error)}") from error
        raise MissingDependency(package, extra=EXTRAS.get(package), where=f"{what}{at(error)}") from error
    except SystemExit as error:
        raise ConfigError(f"{what} ends the program{at(error)}", hint=UNGUARDED) from error
    except Exception as error:  # the one place where anything may come: what the user wrote is the user's to mend
        raise kind(told(what, error), hint=line_of(error) or hint) from error


def told(what: str, error: BaseException) -> str:
    return f"{what} fails{at(error)}: {said(error)}" if place(error) else f"{what.rstrip(',')}: {said(error)}"


def said(error: BaseException) -> str:
    """The kind of an error and its first line."""
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__


def at(error: BaseException) -> str:
    """Where in the user's files an error comes from: ` at train.py:12`."""
    found = place(error)
    return f" at {shortened(found[0])}:{found[1]}" if found else ""


def line_of(error: BaseException) -> str:
    """The user's own line that failed."""
    found = place(error)
    return f"the line is: {found[2]}" if found and found[2] else ""


def place(error: BaseException) -> tuple[str, int, str] | None:
    """File, line number and line where the error left the user's code, innermost; None if it was never in it."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0, (error.text or "").strip()
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_the_users(frame.filename)]
    return (own[-1].filename, own[-1].lineno or 0, own[-1].line or "") if own else None


def is_the_users(path: str) -> bool:
    """Whether a file belongs neither to Python, nor to an installed package, nor to classlens."""
    if path.startswith("<") or INSTALLED & set(Path(path).parts):
        return False
    return not any(Path(path).is_relative_to(folder) for folder in NOT_THE_USERS)


def shortened(path: str) -> str:
    """A path below the working folder, seen from there."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
