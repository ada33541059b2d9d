"""Which file a config address means, and what to say if there is none.

The rule of this file: it looks at names of files, never into them.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from classlens.errors import LISTED, ConfigError, suggestion

SUFFIXES = (".py", ".json", ".yaml", ".yml")
MANY = 1000
"""How many configs of a folder are counted before counting stops."""


def config_file(address: str | Path) -> Path:
    """The file that the user names: a path, or `package::path` for the configs of an installed package.

    Raises:
        ConfigError: there is no such file, it is a folder, or it is no config.
    """
    if "::" in str(address):
        return packaged_config(str(address))
    path = absolute(Path(address).expanduser() if str(address).startswith("~") else Path(address))
    if path.is_file():
        return path
    if path.is_dir():
        raise folder_named(path, str(address))
    raise ConfigError(f"no such config: {address}", hint=nearest(path))


def absolute(path: Path, folder: Path | None = None) -> Path:
    """The path as seen from a folder, without `..`; links are not followed, so that a base is found beside its link."""
    whole = path if path.is_absolute() else (folder or Path.cwd()) / path
    normal = os.path.normpath(whole)
    return whole if str(whole) == normal else Path(normal)


def packaged_config(address: str) -> Path:
    """`mmpretrain::resnet/resnet50_8xb32_in1k.py` is that file among the configs of the installed package.

    Raises:
        ConfigError: the package is not installed or has no such config.
    """
    package, _, name = address.partition("::")
    folder = package_folder(package, address)
    for configs in (folder / ".mim" / "configs", folder / "configs"):
        path = absolute(configs / name)
        if path.is_file() and path.is_relative_to(configs):
            return path
    raise ConfigError(f"no such config: {address}", hint=nearest(absolute(folder / ".mim" / "configs" / name)))


def package_folder(package: str, address: str) -> Path:
    """Where an installed package lies; it is looked up, not imported.

    Raises:
        ConfigError: it is not installed.
    """
    found = find_spec(package) if package.isidentifier() else None
    folders = list(found.submodule_search_locations or ()) if found else []
    if not folders:
        raise ConfigError(
            f"{address} lies in the package {package}, which is not installed",
            hint=f"install {package} (its code is not run), or name the config by its path",
        )
    return Path(folders[0])


def folder_named(folder: Path, address: str) -> ConfigError:
    """The error for a folder where a config is needed: what is in it, and how to choose."""
    found = list(islice(configs_in(folder), MANY))
    if not found:
        return ConfigError(
            f"{address} is a folder without configs",
            hint=f"name a config file, or browse its pictures as folder:{address}",
        )
    count = f"{len(found)} configs" if len(found) < MANY else f"{MANY} configs or more"
    names = [path.relative_to(folder).as_posix() for path in found[:LISTED]]
    more = f" and {len(found) - len(names)} more" if len(found) > len(names) else ""
    return ConfigError(
        f"{address} is a folder with {count}, not a config",
        hint=f"choose one, e.g. {Path(address, names[0]).as_posix()}; there is: {', '.join(names)}{more}",
    )


def configs_in(folder: Path) -> Iterator[Path]:
    """The configs in a folder and, behind them, those one folder further in; `_base_` folders hold only parts."""
    for pattern in ("*", "*/*"):
        for path in sorted(folder.glob(pattern)):
            if path.suffix in SUFFIXES and not path.parent.name.startswith(("_", ".")):
                yield path


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
