"""Which file a config address means, of which style a file is, and what to say if there is none.

The rule of this file: a package is looked up, never imported; a text is parsed, never evaluated.
"""

import ast
import os
import re
import sys
from importlib.util import find_spec
from itertools import islice
from os.path import normpath
from pathlib import Path
from typing import Literal, TypeGuard

from classlens.config.expressions import BASE
from classlens.errors import LISTED, ConfigError, suggestion
from classlens.sharing import unwarned
from classlens.shipped import shipped_config

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
    # Unlike `Path.resolve` this follows no links, so that a base is found beside its link.
    path = Path(normpath(Path(address).expanduser().absolute()))
    if path.is_file():
        return path
    if path.is_dir():
        raise error_for_folder(path, str(address))
    name = str(address).removeprefix("./")
    if name.startswith("configs/") and (shipped := shipped_config(name.removeprefix("configs/"))).exists():
        return shipped
    raise ConfigError(f"no such config: {address}", hint=nearest(path))


def packaged_config(address: str) -> Path:
    """`mmpretrain::resnet/resnet50_8xb32_in1k.py` is that file among the configs of the installed package."""
    package, _, name = address.partition("::")
    folder = package_folder(package, address)
    for configs in (folder / ".mim" / "configs", folder / "configs"):
        path = Path(normpath(configs / name))
        if path.is_file() and path.is_relative_to(configs):
            return path
    raise ConfigError(f"no such config: {address}", hint=nearest(Path(normpath(folder / ".mim" / "configs" / name))))


def package_folder(package: str, where: str) -> Path:
    """Where an installed package lies; it is looked up, not imported."""
    spec = find_spec(package) if package.isidentifier() else None
    if not spec or not spec.submodule_search_locations:
        raise ConfigError(
            f"{where} lies in the package {package}, which is not installed",
            hint=f"install {package} (its code is not run), or name the config by its path",
        )
    return Path(spec.submodule_search_locations[0]).absolute()


def error_for_folder(folder: Path, address: str) -> ConfigError:
    """The error for a folder where a config is needed: what is in it and one folder further in, and how to choose."""
    paths = (path for pattern in ("*", "*/*") for path in sorted(folder.glob(pattern)))
    # Folders such as `_base_` hold only parts.
    whole = (path for path in paths if path.suffix in SUFFIXES and not path.parent.name.startswith(("_", ".")))
    names = [path.relative_to(folder).as_posix() for path in islice(whole, MANY)]
    if not names:
        return ConfigError(
            f"{address} is a folder without configs",
            hint=f"name a config file, or browse its pictures as folder:{address}",
        )
    more = " or more" if len(names) == MANY else ""
    return ConfigError(
        f"{address} is a folder with {len(names)} configs{more}, not a config",
        hint=f"choose one, e.g. {Path(address, names[0]).as_posix()}; there is: {', '.join(names[:LISTED])}"
        + (f" and {len(names) - LISTED} more" if len(names) > LISTED else ""),
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


def module_file(node: ast.ImportFrom, path: Path) -> Path:
    """The config file that a module name means; dots at its start count folders upwards."""
    where = f"{path}:{node.lineno}"
    parts = (node.module or "").split(".")
    if node.level:
        candidates = [Path(path.parent, *[".."] * (node.level - 1), *parts)]
    else:
        folder = package_folder(parts[0], where)
        candidates = [folder.joinpath(*parts[1:]), folder.joinpath(".mim", *parts[1:])]
    files = [Path(f"{normpath(candidate)}.py") for candidate in candidates]
    for file in files:
        if file.is_file():
            return file
    raise ConfigError(f"{where}: no such base config: {files[0]}", hint=nearest(files[0]))


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


Style = Literal["older", "newer", "either"]
"""How a config inherits: by `_base_`, as JSON and YAML do, or by imports; a file without bases and types may be either."""

ONE_STYLE = (
    "all files of an inheritance chain are of one style: `_base_ = [...]`, or `with read_base():` and imported types"
)


def parse(text: str, path: Path) -> tuple[Style, list[ast.stmt]]:
    """The style and the statements of a Python config; the first statement that belongs to one style decides.

    `_base_ = ...` is of the older style; `with read_base():` and imports of what is not part of Python are of the newer.

    Raises:
        ConfigError: it is no Python, both styles are in it, or its bases are in two blocks.
    """
    try:
        with unwarned():
            module = ast.parse(text)
    except SyntaxError as fault:
        shown = (fault.text or "").strip()[:60]
        raise ConfigError(f"{path}:{fault.lineno or 1}: {fault.msg}: `{shown}`") from None
    except (RecursionError, MemoryError, ValueError) as fault:
        raise ConfigError(f"{path} cannot be parsed: {str(fault) or 'it is nested too deeply'}") from None
    style: Style = "either"
    for node in ast.walk(module):
        if assigns_base(node):
            style = "older"
        elif isinstance(node, ast.With) or (
            isinstance(node, ast.Import | ast.ImportFrom) and imports_types(node) and not imports_reader(node)
        ):
            style = "newer"
        if style != "either":
            break
    named = [node.lineno for node in module.body if assigns_base(node)]
    opened = [node.lineno for node in module.body if isinstance(node, ast.With) and reads_base(node)]
    if named and (opened or style == "newer"):
        raise ConfigError(
            f"{path}:{max(named[:1] + opened[:1])}: both styles of config in one file: `_base_ = ...` beside "
            "`with read_base():` or types imported in front of it",
            hint=ONE_STYLE,
        )
    if opened[1:]:
        hint = "put all imports of bases into the first one"
        raise ConfigError(f"{path}:{opened[1]}: a second `with read_base():`", hint=hint)
    return style, module.body


def assigns_base(node: ast.AST) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == BASE


def imports_types(node: ast.stmt) -> bool:
    """Whether the statement imports what is not part of Python."""
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom):
        modules = ["." * node.level + (node.module or "")]
    return any(module.partition(".")[0] not in sys.stdlib_module_names for module in modules)


def imports_reader(node: ast.AST) -> bool:
    """Whether the statement imports what reads configs, which is no type."""
    match node:
        case ast.ImportFrom(level=0, module="mmengine", names=[ast.alias(name="Config")]):
            return True
        case ast.ImportFrom(level=0, module=str(module)):
            return module.startswith("mmengine.config")
    return False


def reads_base(node: ast.With) -> bool:
    match node.items[0].context_expr:
        case ast.Call(func=ast.Name(id="read_base")):
            return True
    return False
