"""Which file a config address means, what its text is, and what to say if there is none.

The rule of this file: a package is looked up, never imported.
"""

import ast
import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from os.path import normpath
from pathlib import Path

from classlens.config.values import Budget
from classlens.errors import ConfigError, count_of, near_names, suggestion
from classlens.files import CHECKPOINT_ENDINGS, CONFIGS, suggest_path

DEMO = "did you mean demo, the network and the photos that come with Classlens?"
SUFFIXES = (".py", ".json", ".yaml", ".yml")


def find_config(address: str | Path) -> Path:
    """The file that the user names: a path, `package::path` for the configs of an installed package.

    The documented name of a config that comes with Classlens, `configs/...`, is found wherever the user is.
    """
    name = str(address).removeprefix("./")
    if "::" in name:
        package, _, name = name.partition("::")
        folder = package_folder(package, str(address))
        folders = (folder / ".mim" / "configs", folder / "configs")
        candidates = [path for inside in folders if (path := Path(normpath(inside / name))).is_relative_to(inside)]
    else:
        # Unlike `Path.resolve` this follows no links, so that a base is found beside its link.
        try:
            candidates = [Path(normpath(Path(address).expanduser().absolute()))]
            is_folder = candidates[0].is_dir()
        except (OSError, RuntimeError) as fault:  # a name that is too long, a user that is not there
            raise ConfigError(f"no such config: {address}: {getattr(fault, 'strerror', None) or fault}") from None
        if is_folder:
            raise error_for_folder(candidates[0], str(address))
        if name.rpartition(":")[0].endswith(".py") and Path(name.rpartition(":")[0]).is_file():
            raise ConfigError(f"no such config: {address}", hint=f"for your own Python, write py:{address}")
        if name.startswith("configs/"):
            candidates.append(CONFIGS / name.removeprefix("configs/"))
    try:
        return first_file(candidates, f"no such config: {address}")
    except ConfigError as error:
        raise ConfigError(
            str(error), hint=DEMO if near_names(name.casefold(), ["demo"], alike=0.75) else error.hint
        ) from None


def first_file(candidates: Sequence[str | Path], complaint: str) -> Path:
    try:
        for path in map(Path, candidates):
            if path.is_file():
                return path
        hint = nearest(Path(candidates[0])) if candidates else ""
    except OSError as fault:  # a name of more than 255 bytes, a folder that may not be entered
        raise ConfigError(f"{complaint}: {fault.strerror or fault}") from None
    raise ConfigError(complaint, hint=hint)


def package_folder(package: str, where: str) -> Path:
    """Where an installed package lies; it is looked up, not imported."""
    try:
        spec = find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):  # a module without a place, such as `__main__`
        spec = None
    if not spec or not spec.submodule_search_locations:
        raise ConfigError(
            f"{where} lies in the package {package}, which is not installed",
            hint=f"install {package} (its code is not run), or name the config by its path",
        )
    return Path(spec.submodule_search_locations[0]).absolute()


def error_for_folder(folder: Path, address: str) -> ConfigError:
    """The error for a folder where a config is needed: what is in it and one folder further in, and how to choose."""
    paths = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.suffix in SUFFIXES]
    # Folders such as `_base_` hold only parts.
    names = [path.relative_to(folder).as_posix() for path in paths if not path.parent.name.startswith(("_", "."))]
    hint = f"name a config file, or browse its pictures as folder:{address}"
    if hf := address_of_hugging_face(folder, address):
        return ConfigError(f"{address} is a folder of Hugging Face, not a config", hint=hf)
    if names:
        hint = f"choose one, e.g. {Path(address, min(names)).as_posix()}; {suggestion('', names)}"
    return ConfigError(f"{address} is a folder with {count_of(len(names), 'config')}, not a config", hint=hint)


def address_of_hugging_face(folder: Path, address: str) -> str:
    """What to write for a folder that transformers or datasets saved; nothing for others."""
    if '"model_type"' in read_start(folder / "config.json"):
        return f"for a model of transformers, write hf:{address}: classlens cam IMG hf:{address}"
    if any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        return f"for a dataset of Hugging Face, write hfds:{address}: classlens browse hfds:{address}"
    return ""


def error_for_file(path: Path) -> ConfigError:
    """The error for a file that is no config, with what it seems to be."""
    from mimetypes import guess_type

    hint = f"a config is a file in {', '.join(SUFFIXES)}"
    if path.name.lower().endswith(CHECKPOINT_ENDINGS):
        hint = "it seems to be a checkpoint, which goes with a config: classlens cam IMG CONFIG CHECKPOINT"
    elif str(guess_type(path.name)[0]).startswith("image/"):
        hint = f"it is a picture: classlens cam IMG CONFIG, or classlens browse folder:{path.parent}"
    return ConfigError(f"{path} is no config", hint=hint)


STATEMENT = re.compile(r"^(?:import|from|def|class)\s|^if __name__", re.MULTILINE)
SETTING = re.compile(
    r"^(?:_base_|model|data|optimizer|\w+_(?:pipeline|dataloader|config|cfg|scheduler))\s*=\s*(?:dict\(|[\[{'\"])"
    r"|read_base\(",
    re.MULTILINE,
)
NAME = re.compile(r"^(?:(?:def|class)\s+(?=[^\W_])(\w+)|(?=[^\W_])(\w+)\s*(?::[^=\n]*)?=(?!=))", re.MULTILINE)


def hint_for_own_python(path: Path) -> str:
    """What to write for a file that is code of the user and sets nothing that a config sets; else nothing."""
    text = read_start(path)
    if path.suffix != ".py" or not STATEMENT.search(text) or SETTING.search(text):
        return ""
    return f"for your own Python, write py:{path}:NAME"


def names_in_file(path: Path) -> list[str]:
    """The public names that a Python file makes at its top level, as far as its text says; nothing is run."""
    return list(dict.fromkeys(match[1] or match[2] for match in NAME.finditer(read_start(path))))


def read_start(path: Path) -> str:
    """The text of a file, of a long one the start; empty if it cannot be read."""
    try:
        if not path.is_file():  # nothing is waited for, such as a pipe
            return ""
        with path.open("rb") as file:
            return file.read(1 << 20).decode(errors="replace")
    except OSError:
        return ""


def nearest(path: Path) -> str:
    """The configs most like the missing one, or the folders like one that is missing."""
    return suggest_path(path, lambda one: one.suffix in SUFFIXES) or f"there is no config in {path.parent}"


def module_file(node: ast.ImportFrom, path: Path) -> Path:
    """The config file that a module name means in the file at `path`; dots at its start count folders upwards."""
    where = f"{path}:{node.lineno}"
    first, *rest = (node.module or "").split(".")
    if node.level:
        candidates = [Path(path.parent, *[".."] * (node.level - 1), first, *rest)]
    else:
        folder = package_folder(first, where)
        candidates = [folder.joinpath(*rest), folder.joinpath(".mim", *rest)]
    files = [Path(f"{normpath(candidate)}.py") for candidate in candidates]
    return first_file(files, f"{where}: no such base config: {files[0]}")


FILE_VARIABLE = re.compile(r"\{\{\s*(fileDirname|fileBasename|fileBasenameNoExtension|fileExtname)\s*\}\}")
ENVIRONMENT = re.compile(r"""\{\{['"]?\s{0,20}\$(\w+)\s{0,20}:\s{0,20}([^\s{]*?)\s{0,20}['"]?\}\}""")
"""No two repeats can match the same text: one of nothing but `{{$A:` would take hours otherwise."""


def fill_variables(text: str, path: Path, budget: Budget) -> str:
    """The text with file variables and environment variables put in; what they add is paid for."""
    values = {
        "fileDirname": path.parent.as_posix(),
        "fileBasename": path.name,
        "fileBasenameNoExtension": path.stem,
        "fileExtname": path.suffix,
    }

    def paid(value: str) -> str:
        budget.spend(len(value))
        return value

    text = FILE_VARIABLE.sub(lambda match: paid(values[match[1]]), text)

    def from_environment(match: re.Match[str]) -> str:
        value = os.environ.get(match[1], match[2])
        if not value:
            line = text.count("\n", 0, match.start()) + 1
            raise ConfigError(
                f"{path}:{line}: the environment variable {match[1]} is not set: `{match[0]}`",
                hint=f"set it, or give a default: {{{{${match[1]}:default}}}}",
            )
        return paid(value)

    return ENVIRONMENT.sub(from_environment, text)
