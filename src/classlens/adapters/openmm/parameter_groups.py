"""Parameter groups of OpenMMLab configs: which parameters start with which values.

`paramwise_cfg` makes a group of every single tensor. Those that start with the same values are one group here, named
after the rules that made them. Without a model the rules themselves are shown, each as a group of unknown size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from classlens.adapters.openmm.setup import Optimization
from classlens.config.settings import Settings
from classlens.errors import ConfigError
from classlens.schedule.schedule import Group

if TYPE_CHECKING:
    from classlens.adapters.openmm.layer_decay import Layers


DEFAULT_LR: Mapping[str, float] = {"SGD": 1e-3, "Adam": 1e-3, "AdamW": 1e-3, "RMSprop": 1e-2, "Adagrad": 1e-2}
DEFAULT_DECAY: Mapping[str, float] = {"AdamW": 1e-2}
"""What torch takes where the config says nothing."""

REST = "all other parameters"
MOST_RULES = 3
"""Rules that a group's name lists before it counts the rest."""


@dataclass(frozen=True)
class Parameter:
    """One tensor of the model: its name, its shape, and what kind of module owns it ("norm", "depthwise", "")."""

    name: str
    shape: tuple[int, ...]
    module: str = ""


@dataclass(frozen=True)
class Rule:
    """What one line of `paramwise_cfg` does: its name on the plot, and factors on lr and weight decay.

    `values` are set as they are, whatever the optimizer says.
    """

    name: str
    lr: float = 1.0
    decay: float = 1.0
    values: Mapping[str, float] | None = None

    def applied(self, initial: Mapping[str, float], *, decays: bool) -> dict[str, float]:
        """The initial values of a parameter under this rule; without `decays` the optimizer's decay stays."""
        decay = initial["weight_decay"] * (self.decay if decays else 1.0)
        values = {**initial, "lr": initial["lr"] * self.lr, "weight_decay": decay}
        return values | {name: value for name, value in (self.values or {}).items() if name in values}


def groups_of(
    optimization: Optimization, parameters: Sequence[Parameter] | None, layers: Layers | None = None
) -> tuple[Group, ...]:
    """The parameter groups, those that start alike put together, in the order of the model.

    Args:
        layers: those of the model, if the rates decay layer by layer.

    Raises:
        ConfigError: there is no optimizer or learning rate.
    """
    initial, paramwise = initial_values(optimization), optimization.paramwise
    decays = "weight_decay" in (optimization.optimizer or {})
    members: list[tuple[Rule, Parameter | None]]
    if not paramwise:
        sizes = [prod(parameter.shape) for parameter in parameters or ()]
        return (Group("all parameters", initial, *((None, None) if parameters is None else (len(sizes), sum(sizes)))),)
    if parameters is not None:
        members = [(rule_for(parameter, paramwise, layers), parameter) for parameter in parameters]
    else:
        members = [(rule, None) for rule in (rules_of(paramwise) if layers is None else layer_rules(paramwise, layers))]
    together: dict[tuple[tuple[str, float], ...], list[tuple[Rule, Parameter | None]]] = {}
    for rule, parameter in members:
        key = tuple(rule.applied(initial, decays=decays).items())
        together.setdefault(key, []).append((rule, parameter))
    groups = []
    for key, alike in together.items():
        sizes = [prod(parameter.shape) for _, parameter in alike if parameter is not None]
        name = name_of([rule for rule, _ in alike])
        groups.append(Group(name, dict(key)) if parameters is None else Group(name, dict(key), len(sizes), sum(sizes)))
    return tuple(groups)


def name_of(rules: Sequence[Rule]) -> str:
    """The rules of a group, the most frequent first."""
    names = [name for name, _ in Counter(rule.name for rule in rules).most_common()]
    more = f" and {len(names) - MOST_RULES} more rules" if len(names) > MOST_RULES else ""
    return ", ".join(names[:MOST_RULES]) + more


def decays_by_layer(optimization: Optimization) -> bool:
    return "LearningRateDecay" in str(optimization.constructor) or "LayerDecay" in str(optimization.constructor)


def rule_for(parameter: Parameter, paramwise: Settings, layers: Layers | None = None) -> Rule:
    """The rule that sets a parameter: a custom key beats all others; then norm, bias, depthwise, one-dimensional."""
    rule = custom_rule(parameter.name, paramwise)
    if layers is None:
        return rule or plain_rule(parameter, paramwise)
    # The constructor of layer-wise decay knows neither factors on rates nor depthwise convolutions.
    known = {key: value for key, value in paramwise.items() if key not in {"bias_lr_mult", "dwconv_decay_mult"}}
    return layer_rule(layers.depth(parameter.name), rule or plain_rule(parameter, known), known, layers)


def layer_rule(layer: int, rule: Rule, paramwise: Settings, layers: Layers) -> Rule:
    """The rule of a layer for what `rule` names: only the weight decay, and what else it sets, is left of that."""
    scale = number(paramwise, "layer_decay_rate", 1.0) ** (layers.count - layer - 1)
    decay = "" if rule.decay == 1 else ", no decay" if rule.decay == 0 else f", decay x{rule.decay:g}"
    values = {name: value for name, value in (rule.values or {}).items() if name != "lr"}
    return Rule(f"layer {layer} (x{scale:.3g}){decay}", scale, rule.decay, values)


def custom_rule(name: str, paramwise: Settings) -> Rule | None:
    """The longest custom key that the name holds; of equally long ones the first in the alphabet."""
    custom = paramwise.get("custom_keys") or {}
    for key in sorted(sorted(custom), key=len, reverse=True):
        if key in name:
            return rule_of(key, custom[key])
    return None


def rule_of(key: str, settings: Settings) -> Rule:
    """A custom key as a rule."""
    values = {name: value for name, value in settings.items() if name not in {"lr_mult", "decay_mult"}}
    return Rule(key, number(settings, "lr_mult", 1.0), number(settings, "decay_mult", 1.0), values)


def plain_rule(parameter: Parameter, paramwise: Settings) -> Rule:
    """The rule by kind of module and of tensor, as the optimizer's constructor decides."""
    is_norm, is_bias = parameter.module == "norm", parameter.name.rsplit(".", 1)[-1] == "bias"
    rate = paramwise.get("bias_lr_mult") if is_bias and not is_norm else None
    for applies, key in (
        (is_norm, "norm_decay_mult"),
        (is_bias, "bias_decay_mult"),
        (parameter.module == "depthwise", "dwconv_decay_mult"),
        (len(parameter.shape) == 1, "flat_decay_mult"),
    ):
        if applies and paramwise.get(key) is not None:
            return Rule(FACTORS[key], 1.0 if rate is None else float(rate), number(paramwise, key, 1.0))
    return Rule(REST) if rate is None else Rule("biases", float(rate))


FACTORS: Mapping[str, str] = {
    "bias_lr_mult": "biases (rate)",
    "bias_decay_mult": "biases",
    "norm_decay_mult": "norm layers",
    "dwconv_decay_mult": "depthwise convolutions",
    "flat_decay_mult": "one-dimensional",
}
"""Factors of `paramwise_cfg` on the weight decay, the first on the rate, and what each is for."""


def rules_of(paramwise: Settings) -> list[Rule]:
    """All rules that are written, and one for what none of them names."""
    rules = [Rule(REST)]
    for key, name in FACTORS.items():
        if paramwise.get(key) is not None:
            factor = number(paramwise, key, 1.0)
            rules.append(Rule(name, lr=factor) if key == "bias_lr_mult" else Rule(name, decay=factor))
    return rules + [rule_of(key, settings) for key, settings in (paramwise.get("custom_keys") or {}).items()]


def layer_rules(paramwise: Settings, layers: Layers) -> list[Rule]:
    """One rule for every layer and weight decay, from the last layer to the first."""
    decays = {rule.decay: rule for rule in reversed(rules_of(paramwise)) if rule.lr == 1}
    return [
        layer_rule(layer, decays[decay], paramwise, layers)
        for layer in reversed(layers.used)
        for decay in sorted(decays, reverse=True)
    ]


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
    values = {"lr": number(optimizer, "lr", DEFAULT_LR.get(kind))}
    betas = optimizer.get("betas", (0.9, 0.999) if "Adam" in kind or kind in {"Lamb", "Lion"} else None)
    momentum = betas[0] if betas else optimizer.get("momentum", 0.0 if kind in {"SGD", "RMSprop"} else None)
    if momentum is not None:
        values["momentum"] = number({"momentum": momentum}, "momentum", None)
    values["weight_decay"] = number(optimizer, "weight_decay", DEFAULT_DECAY.get(kind, 0.0))
    return values


def number(settings: Settings, name: str, default: float | None) -> float:
    """A number of the config.

    Raises:
        ConfigError: it is something else, or missing without a default.
    """
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"optimizer: {name} is a number, not {value!r}", hint=f"set optimizer.{name}")
    return float(value)
