"""The user's own Python: `py:FILE.py:NAME` or `py:package.module:NAME`, and objects that are already there.

What NAME is decides what is offered: a module of torch is a classifier, a Dataset or DataLoader is data, an optimizer
with its scheduler is a schedule; a tuple or a dict of such things offers all of them. A function is called first.
This is the one place that runs the user's file: as a module of its own, with its folder on the import path for as long
as it runs, as `python FILE` would have it.
"""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from classlens.adapters import Options
from classlens.adapters.python.classify_object import source_of
from classlens.adapters.python.progress_functions import NAMES
from classlens.errors import ConfigError, NotFound
from classlens.sharing import ALONE
from classlens.source import Source
from classlens.user_code import users_code

USAGE = "write py:FILE.py:NAME or py:package.module:NAME, where NAME is a function without arguments or an object"


def open_target(rest: str, options: Options) -> Source:
    """Run the user's file or import the module, and offer what the name in it stands for.

    Raises:
        ConfigError: the address names no file or module, or running it failed.
        NotFound: there is no such name in it.
    """
    return source_of(find_object(rest), f"py:{rest}", options)


def open_object(thing: object, options: Options) -> Source:
    """Offer what an object is that the caller already has.

    Raises:
        ConfigError: it is nothing that classlens can look at.
    """
    return source_of(thing, type(thing).__name__, options)


def find_object(rest: str) -> object:
    """The object that the address names; a function or class is called without arguments first.

    A function of that name that sets a value by the position in the run (`lr`, `momentum`) is handed on as it is.

    Raises:
        ConfigError: the address is incomplete, there is no such file or module, the function needs arguments, or the
            user's code fails.
        NotFound: the module has no such name.
        MissingDependency: the module needs a package that is not installed.
    """
    place, _, name = rest.rpartition(":")
    if not place or not name:
        raise ConfigError(f"{rest!r} names no object in a file or module", hint=USAGE)
    folder = str(Path(place).resolve().parent if place.endswith(".py") else Path.cwd())
    with importable(folder), users_code(f"py:{rest}"):
        found: object = run_file(Path(place)) if place.endswith(".py") else import_named(place)
        for step in name.split("."):
            if not hasattr(found, step):
                public = (
                    [known for known in vars(found) if not known.startswith("_")] if hasattr(found, "__dict__") else []
                )
                raise NotFound("name", step, public, where=place)
            found = getattr(found, step)
        if step in NAMES and not takes_nothing(found):
            return found  # a function of the position in the run, not one that makes something
        if not (inspect.isroutine(found) or inspect.isclass(found)):
            return found
        try:
            inspect.signature(found).bind()
        except TypeError as error:
            raise ConfigError(f"py:{rest} cannot be called without arguments: {error}", hint=USAGE) from error
        return found()


def run_file(path: Path) -> ModuleType:
    """Run a file as a module.

    Raises:
        ConfigError: there is no such file.
    """
    if not path.is_file():
        raise ConfigError(f"no such file: {path}", hint=USAGE)
    name = f"classlens_user_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be run as Python", hint=USAGE)
    module = module_from_spec(spec)
    with ALONE:
        sys.modules[name] = module  # dataclasses and pickle look their module up there
        spec.loader.exec_module(module)
    return module


def import_named(name: str) -> ModuleType:
    """Import a module by its dotted name.

    Raises:
        ConfigError: there is no such module.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and not name.startswith(error.name):
            raise
        raise ConfigError(f"no module named {name!r}", hint=USAGE) from error


def takes_nothing(found: object) -> bool:
    try:
        inspect.signature(found).bind()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


@contextmanager
def importable(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
