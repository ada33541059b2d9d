"""Which file a config address means, what a file says, and what to say if there is none.

The rule of this file: a package is looked up, never imported; a text is read, never evaluated.
"""

import ast
import codecs
import os
import re
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from classlens.config.budget import ALLOWANCE, Budget, LimitExceeded
from classlens.errors import LISTED, ConfigError, suggestion
from classlens.files import CONFIGS
from classlens.sharing import unwarned

SUFFIXES = (".py", ".json", ".yaml", ".yml")
MANY = 1000
"""How many configs of a folder are counted before counting stops."""


def find_config(address: str | Path) -> Path:
    """The file that the user names: a path, `package::path` for the configs of an installed package.

    The documented name of a config that comes with Classlens, `configs/...`, is found wherever the user is.

    Raises:
        ConfigError: there is no such file, it is a folder, or it is no config.
    """
    if "::" in str(address):
        return packaged_config(str(address))
    path = absolute(Path(address).expanduser())
    if path.is_file():
        return path
    if path.is_dir():
        raise error_for_folder(path, str(address))
    name = str(address).removeprefix("./")
    if name.startswith("configs/") and (shipped := CONFIGS / name.removeprefix("configs/")).exists():
        return shipped
    raise ConfigError(f"no such config: {address}", hint=nearest(path))


def absolute(path: Path) -> Path:
    # Unlike `Path.resolve` this follows no links, so that a base is found beside its link.
    return Path(os.path.abspath(path))  # noqa: PTH100


def packaged_config(address: str) -> Path:
    """`mmpretrain::resnet/resnet50_8xb32_in1k.py` is that file among the configs of the installed package."""
    package, _, name = address.partition("::")
    folder = package_folder(package, address)
    for configs in (folder / ".mim" / "configs", folder / "configs"):
        path = absolute(configs / name)
        if path.is_file() and path.is_relative_to(configs):
            return path
    raise ConfigError(f"no such config: {address}", hint=nearest(absolute(folder / ".mim" / "configs" / name)))


def package_folder(package: str, address: str) -> Path:
    """Where an installed package lies; it is looked up, not imported."""
    spec = find_spec(package) if package.isidentifier() else None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise ConfigError(
            f"{address} lies in the package {package}, which is not installed",
            hint=f"install {package} (its code is not run), or name the config by its path",
        )
    return Path(folders[0])


def error_for_folder(folder: Path, address: str) -> ConfigError:
    """The error for a folder where a config is needed: what is in it and one folder further in, and how to choose."""
    paths = (path for pattern in ("*", "*/*") for path in sorted(folder.glob(pattern)))
    # Folders such as `_base_` hold only parts.
    whole = (one for one in paths if one.suffix in SUFFIXES and not one.parent.name.startswith(("_", ".")))
    configs = list(islice(whole, MANY))
    if not configs:
        return ConfigError(
            f"{address} is a folder without configs",
            hint=f"name a config file, or browse its pictures as folder:{address}",
        )
    count = f"{len(configs)} configs" if len(configs) < MANY else f"{MANY} configs or more"
    names = [path.relative_to(folder).as_posix() for path in configs[:LISTED]]
    more = f" and {len(configs) - len(names)} more" if len(configs) > len(names) else ""
    return ConfigError(
        f"{address} is a folder with {count}, not a config",
        hint=f"choose one, e.g. {Path(address, names[0]).as_posix()}; there is: {', '.join(names)}{more}",
    )


def nearest(path: Path) -> str:
    """The names most like the missing one, in its folder or, if that is missing too, the folders like it."""
    missing = path
    while not missing.parent.is_dir():
        missing = missing.parent
    if missing == path:
        beside = (part.name for part in path.parent.iterdir() if part.suffix in SUFFIXES)
        return suggestion(path.name, beside) or f"there is no config in {path.parent}"
    folders = [part.name for part in missing.parent.iterdir() if part.is_dir() and not part.name.startswith(".")]
    near = suggestion(missing.name, folders)
    return f"there is no folder {missing}" + (f"; {near}" if near else "")


LEAST_COST = 200
"""What opening a file costs, however small it is."""

Stamp = tuple[Path, int, int, int]
"""A file as it was when it was read: its path, time of change, size and inode."""


def stamp(path: Path) -> Stamp:
    state = path.stat()
    return path, state.st_mtime_ns, state.st_size, state.st_ino


def read_text(path: Path, budget: Budget) -> tuple[str, Stamp]:
    """The text of a file, with its stamp."""
    try:
        state = stamp(path)
        budget.spend(max(state[2], LEAST_COST))
        return path.read_bytes().removeprefix(codecs.BOM_UTF8).decode(), state
    except LimitExceeded:
        raise ConfigError(f"{path} and its bases are longer than {ALLOWANCE:,} characters") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} cannot be read: {getattr(fault, 'strerror', None) or fault}") from None


def parse(source: str, path: Path) -> list[ast.stmt]:
    """The statements of a Python config."""
    try:
        with unwarned():
            return ast.parse(source).body
    except SyntaxError as fault:
        shown = (fault.text or "").strip()[:60]
        raise ConfigError(f"{path}:{fault.lineno or 1}: {fault.msg}: `{shown}`") from None
    except (RecursionError, MemoryError):
        raise ConfigError(f"{path} cannot be parsed: it is nested too deeply") from None
    except ValueError as fault:
        raise ConfigError(f"{path} cannot be parsed: {fault}") from None


FILE_VARIABLE = re.compile(r"\{\{\s*(fileDirname|fileBasename|fileBasenameNoExtension|fileExtname)\s*\}\}")
ENVIRONMENT = re.compile(r"""\{\{['"]?\s{0,20}\$(\w+)\s{0,20}:\s{0,20}([^\s{]*?)\s{0,20}['"]?\}\}""")
"""No two repeats can match the same text: one of nothing but `{{$A:` would take hours otherwise."""


def fill_variables(text: str, path: Path) -> str:
    """The text with file variables and environment variables put in."""
    values = {
        "fileDirname": path.parent.as_posix(),
        "fileBasename": path.name,
        "fileBasenameNoExtension": path.stem,
        "fileExtname": path.suffix,
    }
    text = FILE_VARIABLE.sub(lambda match: values[match[1]], text)

    def from_environment(match: re.Match[str]) -> str:
        value = os.environ.get(match[1], match[2])
        if not value:
            line = text.count("\n", 0, match.start()) + 1
            raise ConfigError(
                f"{path}:{line}: the environment variable {match[1]} is not set: `{match[0]}`",
                hint=f"set it, or give a default: {{{{${match[1]}:default}}}}",
            )
        return value

    return ENVIRONMENT.sub(from_environment, text)
