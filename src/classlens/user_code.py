"""Running the user's code: whatever it raises becomes one error that names the user's own file and line."""

import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from classlens.errors import ClasslensError, ConfigError, DataError, MissingDependency, ModelError, describe_error

EXTRAS: Mapping[str, str] = {
    "albumentations": "albumentations", "datasets": "hfds", "kornia": "kornia", "lightning": "lightning",
    "pytorch_lightning": "lightning", "timm": "timm", "torch": "cam", "torchvision": "torchvision",
    "transformers": "hf",
}  # fmt: skip
"""Packages that one of our extras brings."""

NOT_THE_USERS = (Path(__file__).parents[1], Path(sysconfig.get_path("stdlib")))
INSTALLED = {"site-packages", "dist-packages"}


@contextmanager
def users_code(
    what: str, kind: type[ConfigError | DataError | ModelError] = ConfigError, *, hint: str = ""
) -> Iterator[None]:
    """Run code that is not ours; `what` says in the error which address or object it belongs to.

    What it raises becomes an error of a `kind`, or a MissingDependency. `hint` is for errors outside the user's files;
    for others it is the line that failed.
    """
    try:
        yield
    except ClasslensError:
        raise
    except ModuleNotFoundError as error:
        where, _ = place_of(error)
        package = (error.name or "").partition(".")[0]
        if not package or package == "classlens":
            raise ConfigError(f"{what} fails{where}: {describe_error(error)}") from error
        raise MissingDependency(package, extra=EXTRAS.get(package), where=f"{what}{where}") from error
    except SystemExit as error:
        hint = "put what starts the training under: if __name__ == '__main__'"
        raise ConfigError(f"{what} ends the program{place_of(error)[0]}", hint=hint) from error
    except Exception as error:  # the one place where anything may come: what the user wrote is the user's to mend
        where, line = place_of(error)
        start = f"{what} fails{where}" if where else what.rstrip(",")
        raise kind(f"{start}: {describe_error(error)}", hint=f"the line is: {line}" if line else hint) from error


@contextmanager
def importable(folder: str) -> Iterator[None]:
    """Let modules be imported from a folder, for the time of one `with`."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def place_of(error: BaseException) -> tuple[str, str]:
    """Where an error left the user's code, innermost, as ` at train.py:12`, and that line; empty if it was never in it."""
    if isinstance(error, SyntaxError) and error.filename:
        path, number, line = error.filename, error.lineno or 0, (error.text or "").strip()
    else:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if is_the_users(frame.filename)]
        if not own:
            return "", ""
        path, number, line = own[-1].filename, own[-1].lineno or 0, own[-1].line or ""
    here = Path.cwd()
    return f" at {Path(path).relative_to(here) if Path(path).is_relative_to(here) else path}:{number}", line


def is_the_users(path: str) -> bool:
    """Whether a file belongs neither to Python, nor to an installed package, nor to classlens."""
    if path.startswith("<") or INSTALLED & set(Path(path).parts):
        return False
    return not any(Path(path).is_relative_to(folder) for folder in NOT_THE_USERS)
