"""What published models and data sets have in common: settings behind a name, and whether they can be had at all.

`resnet50?pretrained=false&num_classes=10` is the name and a dict of Python values.
"""

import socket
from ast import literal_eval
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from classlens.errors import ConfigError, DataError, NotFound
from classlens.files import suggest_path

Setting: TypeAlias = Any  # a number, a string, a truth value or a tuple of them, as the framework wants it
LITERALS = {"true": "True", "yes": "True", "false": "False", "no": "False", "none": "None"}

UNTRAINED = "the weights are random unless a checkpoint is given: maps of an untrained network say nothing"
"""The note of a source that is asked for without its published weights."""


def split_settings(rest: str, known: Collection[str] | None = None) -> tuple[str, dict[str, Setting]]:
    """The name before the question mark, and what follows as settings: literals of Python, or the text itself."""
    name, _, query = rest.partition("?")
    settings: dict[str, Setting] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ConfigError(f"{rest!r}: the setting {part!r} has no value", hint="write NAME?key=value&key=value")
        if known is not None and key not in known:
            raise NotFound("setting", key, known, where=name)
        text = unquote(value)
        try:
            settings[key] = literal_eval(LITERALS.get(text.casefold(), text))
        except (ValueError, SyntaxError):
            settings[key] = text
    return name, settings


def refuse_slip(rest: str) -> None:
    """Refuse a path that is no folder, and a name that is almost one of a folder with a model in it.

    It is asked before transformers is imported, which takes seconds.
    """
    name = rest.partition("?")[0]
    is_path = name.count("/") > 1 or name.startswith((".", "~", "/"))
    if Path(name).expanduser().is_dir() or not (is_path or Path(name).parent.is_dir()):
        return
    near = suggest_path(Path(name), lambda one: (one / "config.json").is_file())
    if near.startswith("did you mean "):
        prefix = f"hf:{name[: name.rfind('/') + 1]}"
        near = near.replace("did you mean ", f"did you mean {prefix}").replace(" or ", f" or {prefix}")
        raise DataError(f"no such folder: {name}", hint=near)
    if is_path:
        raise DataError(f"no such folder: {name}", hint="hf: takes a folder, or USER/MODEL on the Hub")


def reachable(url: str) -> bool:
    """Whether the name of a server can be resolved: fails within milliseconds on a machine without a network.

    Behind a proxy the name is the proxy's to resolve, and this machine need not know it.
    """
    parts = urlsplit(url)
    host, proxies = parts.hostname or "", getproxies()
    if (proxies.get(parts.scheme) or proxies.get("all")) and not proxy_bypass(host):
        return True
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True


def is_cached(repository: str, *names: str, revision: str | None = None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    try:
        return any(isinstance(try_to_load_from_cache(repository, name, revision=revision), str) for name in names)
    except ValueError as error:  # its name is none that the Hub allows
        raise DataError(f"no model on the Hub can be called {repository!r}", hint="write USER/MODEL") from error


def hub_answers() -> bool:
    """Whether the Hugging Face Hub can be asked: there is a network, and `HF_HUB_OFFLINE` does not forbid it."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and reachable(constants.ENDPOINT)


def out_of_reach(what: str, hint: str) -> DataError:
    return DataError(f"{what} are not on this machine, and there is no network to get them", hint=hint)
