"""The only place where outside frameworks are known. One module per framework, loaded when named.

An adapter is a function `open_xxx(rest, options) -> Source`. It imports its framework at the top of its own module;
nobody else imports that module. Third parties add addresses with an entry point in the group `classlens.adapters`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from os import PathLike, fspath
from typing import Any

from classlens.errors import ConfigError, MissingDependency, NotFound
from classlens.source import Source

ADAPTERS: Mapping[str, str] = {
    "csv": "classlens.adapters.folder:open_folder",
    "demo": "classlens.adapters.openmm:open_demo",
    "folder": "classlens.adapters.folder:open_folder",
    "hf": "classlens.adapters.huggingface:open_model",
    "hfds": "classlens.adapters.huggingface_data:open_dataset",
    "mm": "classlens.adapters.openmm:open_config",
    "py": "classlens.adapters.python:open_target",
    "schedule": "classlens.adapters.named_schedule:open_named",
    "timm": "classlens.adapters.timm:open_model",
    "torchvision": "classlens.adapters.torchvision:open_model",
    "wds": "classlens.adapters.folder:open_folder",
}
EXTRAS: Mapping[str, str] = {"mm": "cam", "py": "cam"}
"""Which extra brings what an adapter imports; the others have an extra of their own name."""

DEFAULT = "mm"
"""What an address without a scheme is: the path of an OpenMMLab-style config."""


@dataclass(frozen=True)
class Options:
    """What the user says besides the address: overrides of a config, and which code may be run.

    `untrained` takes a network with random weights where a config names none, instead of refusing it.
    `epoch`, counted from 1, is the one whose pipeline and mixing a dataset shows.
    """

    overrides: Mapping[str, Any] = field(default_factory=dict)
    trust_config: bool = False
    trust_checkpoint: bool = False
    count_groups: bool = False
    untrained: bool = False
    epoch: int | None = None


Opener = Callable[[str, Options], Source]


def open_source(address: object, *, options: Options | None = None) -> Source:
    """Open a training setup by its address, e.g. `configs/resnet/resnet50_8xb32_in1k.py`, `timm:resnet50` or `demo`.

    Anything but a string or a path is taken for what `py:` addresses lead to: a module of torch, a Dataset or
    DataLoader, an optimizer with its scheduler, a classlens record, or a tuple or dict of these.

    Raises:
        NotFound: the scheme before the colon is unknown.
        MissingDependency: the framework behind it is not installed.
        ConfigError: the config file is missing or cannot be read, or the object is of no known kind.
    """
    if not isinstance(address, (str, PathLike)):
        from classlens.adapters.python import open_object

        return open_object(address, options or Options())
    scheme, rest = split_address(fspath(address))
    opener = opener_of(scheme, rest)
    return opener(rest, options or Options())


def split_address(address: str) -> tuple[str, str]:
    """`timm:resnet50` is ("timm", "resnet50"); a path, also one with a drive letter, belongs to the default scheme.

    So does a file that is there, whatever is in its name, unless its name begins as the addresses known here do.
    """
    scheme, colon, rest = address.partition(":")
    if address == "demo":
        return "demo", ""
    if colon and scheme not in ADAPTERS and os.path.exists(address):  # noqa: PTH110
        return DEFAULT, address
    if not colon or len(scheme) < 2 or "/" in scheme or "\\" in scheme or "." in scheme:
        return DEFAULT, address
    return scheme, rest


def extra_of(scheme: str, rest: str = "") -> str:
    """The extra that brings what an address needs; for a schedule, what the package needs whose rule it is."""
    if scheme == "schedule":
        return {"timm": "timm", "hf": "hf"}.get(rest.partition(".")[0], "cam")
    return EXTRAS.get(scheme, scheme) if scheme in ADAPTERS else "cam"


def opener_of(scheme: str, rest: str = "") -> Opener:
    """The function that opens addresses of `scheme`.

    Raises:
        NotFound: nobody registered the scheme.
        MissingDependency: its module needs a package that is not installed.
        ConfigError: the same, for a module that another package brings.
    """
    known = dict(ADAPTERS)
    if scheme not in known:
        from importlib.metadata import entry_points  # costs as much as reading a config

        known |= {found.name: found.value for found in entry_points(group="classlens.adapters")}
    if scheme not in known:
        raise NotFound("kind of source", scheme, known)
    module, _, function = known[scheme].partition(":")
    try:
        opener: Opener = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("classlens."):
            raise
        if scheme not in ADAPTERS:
            raise ConfigError(
                f"{scheme}: addresses need {error.name}, which is not installed", hint=f"pip install {error.name}"
            ) from error
        raise MissingDependency(error.name, extra=extra_of(scheme, rest)) from error
    return opener
