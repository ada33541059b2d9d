"""Reading a network's settings out of a config's `dict(type=..., ...)`.

Each family states what it understands as a frozen dataclass. A setting that it does not know is an error and never
skipped, because a network built without it would still run and give other logits. Settings that act in training only
(initial values, dropout rates, frozen stages) are the exception: a classifier that is only looked at does not need them.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TypeVar

from classlens.adapters.openmm.setup import Settings
from classlens.errors import ConfigError, suggestion

Options = TypeVar("Options")

TRAINING_ONLY = frozenset(
    [
        "init_cfg",
        "pretrained",
        "frozen_stages",
        "norm_eval",
        "with_cp",
        "zero_init_residual",
        "_scope_",
        "drop_path_rate",
        "drop_rate",
        "attn_drop_rate",
        "loss",
        "topk",
        "cal_acc",
    ]
)
"""Settings without effect on the logits of a trained network in evaluation mode."""

SCOPES = ("mmpretrain.", "mmcls.", "mmengine.", "mmcv.")


def plain_type(settings: Settings) -> str:
    """The `type` of a config's dict without the scope of the library that registered it.

    Raises:
        ConfigError: there is no `type`.
    """
    name = settings.get("type")
    if not isinstance(name, str):
        raise ConfigError(f"part of the model has no type: {dict(settings)!r}", hint="write dict(type='ResNet', ...)")
    for scope in SCOPES:
        name = name.removeprefix(scope)
    return name


def read_options(kind: type[Options], settings: Settings) -> Options:
    """Fill the dataclass `kind` from a config's dict; lists become tuples.

    Raises:
        ConfigError: a setting is unknown, or a required one is missing.
    """
    family = plain_type(settings)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    given = {name: value for name, value in settings.items() if name != "type"}
    for name in given:
        if name not in known and name not in TRAINING_ONLY:
            raise ConfigError(f"{family} has no setting {name!r}", hint=suggestion(name, known))
    for name, field in known.items():
        if field.default is MISSING and field.default_factory is MISSING and name not in given:
            raise ConfigError(f"{family} needs the setting {name!r}", hint=f"add {name}=... to dict(type={family!r})")
    indices = given.get("out_indices")
    if isinstance(indices, int) and isinstance(getattr(known.get("out_indices"), "default", None), tuple):
        given["out_indices"] = (indices,)
    return kind(**{name: frozen(value) for name, value in given.items() if name in known})


def frozen(value: object) -> object:
    """Lists, at any depth, as tuples, so that options can be compared and shared."""
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    return value


def chosen_arch(family: str, arch: object, table: Mapping[str, Options]) -> Options:
    """The row of an architecture table, by name in any case.

    Raises:
        ConfigError: the name is not in the table.
    """
    rows = {name.casefold(): row for name, row in table.items()}
    if not isinstance(arch, str) or arch.casefold() not in rows:
        raise ConfigError(f"{family} has no arch {arch!r}", hint=suggestion(str(arch), table))
    return rows[arch.casefold()]


def only(family: str, **required: tuple[object, object]) -> None:
    """Refuse settings that this family reads but does not build: each given as (value seen, value supported).

    Raises:
        ConfigError: a value seen differs from the one supported.
    """
    for name, (seen, supported) in required.items():
        if seen != supported:
            raise ConfigError(
                f"{family} with {name}={seen!r} is not built natively",
                hint=f"native networks have {name}={supported!r}; pip install mmpretrain to build others",
            )
