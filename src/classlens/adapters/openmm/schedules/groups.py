"""Parameter groups of OpenMMLab configs: what the optimizer starts with, for which parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from classlens.adapters.openmm.setup import Optimization, Setup
from classlens.errors import ConfigError
from classlens.schedule.schedule import Group

DEFAULT_LR: Mapping[str, float] = {"SGD": 1e-3, "Adam": 1e-3, "AdamW": 1e-3, "RMSprop": 1e-2, "Adagrad": 1e-2}
DEFAULT_DECAY: Mapping[str, float] = {"AdamW": 1e-2}
"""What torch takes where the config says nothing."""


@dataclass(frozen=True)
class Parameter:
    """One tensor of the model: its name, its shape, and the type of the module that owns it."""

    name: str
    shape: tuple[int, ...]
    module: str


def groups_of(setup: Setup, parameters: Sequence[Parameter] | None) -> tuple[Group, ...]:
    """The parameter groups, those with equal values put together.

    Raises:
        ConfigError: the config has no optimizer, or the optimizer has no learning rate.
    """
    return (Group("all parameters", initial_values(setup.optimization)),)


def initial_values(optimization: Optimization) -> dict[str, float]:
    """What the optimizer starts with: lr, momentum (Adam's first beta) where it has one, and weight decay.

    Raises:
        ConfigError: there is no optimizer, or no learning rate.
    """
    optimizer = optimization.optimizer
    if optimizer is None:
        raise ConfigError(
            "the config has no optimizer, so there is no learning rate",
            hint="optim_wrapper.optimizer (0.x: optimizer) sets it",
        )
    kind = str(optimizer.get("type", "")).rsplit(".", 1)[-1]
    rate = optimizer.get("lr", DEFAULT_LR.get(kind))
    if not isinstance(rate, int | float) or isinstance(rate, bool):
        raise ConfigError(f"the learning rate of optimizer {kind} is a number, not {rate!r}", hint="set optimizer.lr")
    values = {"lr": float(rate)}
    betas = optimizer.get("betas", (0.9, 0.999) if "Adam" in kind or kind in {"Lamb", "Lion"} else None)
    momentum = betas[0] if betas else optimizer.get("momentum", 0.0 if kind in {"SGD", "RMSprop"} else None)
    if momentum is not None:
        values["momentum"] = float(momentum)
    values["weight_decay"] = float(optimizer.get("weight_decay", DEFAULT_DECAY.get(kind, 0.0)))
    return values
