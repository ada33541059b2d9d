"""Parameter groups of OpenMMLab configs: which parameters start with which values.

`paramwise_cfg` makes a group of every single tensor. Those that start with the same values are one group here, named
after the rules that made them. Without a model the rules themselves are shown, each as a group of unknown size.

Rates may decay layer by layer. Depth 0 is the stem, the last depth is what follows the backbone's layers: its final
norm, neck and head. The depths are those that upstream's backbones give themselves, with their oddities; `FAMILIES`
lists the backbones that do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, prod

from classlens.adapters.openmm.setup import Optimization
from classlens.config.settings import Settings
from classlens.errors import ConfigError, short_repr
from classlens.schedule.schedule import Group

DEFAULT_LR: Mapping[str, float] = {"SGD": 1e-3, "Adam": 1e-3, "AdamW": 1e-3, "RMSprop": 1e-2, "Adagrad": 1e-2}
DEFAULT_DECAY: Mapping[str, float] = {"AdamW": 1e-2}  # what torch takes where the config says nothing
REST = "all other parameters"
MOST_RULES = 3  # rules that a group's name lists before it counts the rest


@dataclass(frozen=True)
class Parameter:
    """One tensor of the model: its name, its shape, and what kind of module owns it ("norm", "depthwise", "")."""

    name: str
    shape: tuple[int, ...]
    module: str = ""


@dataclass(frozen=True)
class GroupRule:
    """What one line of `paramwise_cfg` does: its name on the plot, and factors on lr and weight decay.

    `values` are set as they are, whatever the optimizer says.
    """

    name: str
    lr: float = 1.0
    decay: float = 1.0
    values: Mapping[str, float] = field(default_factory=dict)


def groups_of(
    optimization: Optimization, parameters: Sequence[Parameter] | None, layers: Layers | None = None
) -> tuple[Group, ...]:
    """The parameter groups, those that start alike put together, in the order of the model.

    `layers` are those of the model, if the rates decay layer by layer; without parameters they come from the last to the
    first, once for every weight decay.
    """
    initial, paramwise = initial_values(optimization), optimization.paramwise
    if not paramwise:
        rules = [GroupRule("all parameters")] * (1 if parameters is None else len(parameters))
    elif parameters is not None:
        rules = [rule_for(parameter, paramwise, layers) for parameter in parameters]
    else:
        rules = rules_of(paramwise)
        if layers is not None:
            decays = {rule.decay: rule for rule in reversed(rules) if rule.lr == 1}
            alike = [decays[decay] for decay in sorted(decays, reverse=True)]
            rules = [layer_rule(layer, rule, paramwise, layers) for layer in reversed(layers.used) for rule in alike]
    sizes = [0] * len(rules) if parameters is None else [prod(parameter.shape) for parameter in parameters]
    together: dict[tuple[float, ...], list[tuple[str, int]]] = {}
    for rule, size in zip(rules, sizes, strict=True):
        values = {**initial, "lr": initial["lr"] * rule.lr}
        if "weight_decay" in (optimization.optimizer or {}):  # another default is not scaled
            values["weight_decay"] *= rule.decay
        values |= {name: value for name, value in rule.values.items() if name in values}
        together.setdefault(tuple(values.values()), []).append((rule.name, size))
    groups = []
    for key, members in together.items():
        names = [name for name, _ in Counter(name for name, _ in members).most_common()]
        name = ", ".join(names[:MOST_RULES])
        name += f" and {len(names) - MOST_RULES} more rules" if len(names) > MOST_RULES else ""
        counts = (None, None) if parameters is None else (len(members), sum(size for _, size in members))
        groups.append(Group(name, dict(zip(initial, key, strict=True)), *counts))
    return tuple(groups)


def initial_values(optimization: Optimization) -> dict[str, float]:
    """What the optimizer starts with: lr, momentum (Adam's first beta) where it has one, and weight decay."""
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
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"optimizer: {name} is a number, not {short_repr(value)}", hint=f"set optimizer.{name}")
    return float(value)


def rule_for(parameter: Parameter, paramwise: Settings, layers: Layers | None = None) -> GroupRule:
    """The rule that sets a parameter: a custom key beats all others; then norm, bias, depthwise, one-dimensional.

    Of the custom keys that its name holds it is the longest, of equally long ones the first in the alphabet.
    """
    if layers is not None:
        # The constructor of layer-wise decay knows neither factors on rates nor depthwise convolutions.
        paramwise = {key: value for key, value in paramwise.items() if key not in {"bias_lr_mult", "dwconv_decay_mult"}}
    custom = paramwise.get("custom_keys") or {}
    keys = sorted(sorted(custom), key=len, reverse=True)
    key = next((key for key in keys if key in parameter.name), None)
    rule = plain_rule(parameter, paramwise) if key is None else custom_rule(key, custom[key])
    return rule if layers is None else layer_rule(layers.depth(parameter.name), rule, paramwise, layers)


def custom_rule(key: str, settings: Settings) -> GroupRule:
    values = {name: value for name, value in settings.items() if name not in {"lr_mult", "decay_mult"}}
    return GroupRule(key, number(settings, "lr_mult", 1.0), number(settings, "decay_mult", 1.0), values)


def plain_rule(parameter: Parameter, paramwise: Settings) -> GroupRule:
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
            return GroupRule(FACTORS[key], 1.0 if rate is None else float(rate), number(paramwise, key, 1.0))
    return GroupRule(REST) if rate is None else GroupRule("biases", float(rate))


FACTORS: Mapping[str, str] = {
    "bias_lr_mult": "biases (rate)",
    "bias_decay_mult": "biases",
    "norm_decay_mult": "norm layers",
    "dwconv_decay_mult": "depthwise convolutions",
    "flat_decay_mult": "one-dimensional",
}
"""Factors of `paramwise_cfg` on the weight decay, the first on the rate, and what each is for."""


def rules_of(paramwise: Settings) -> list[GroupRule]:
    """All rules that are written, and one for what none of them names."""
    rules = [GroupRule(REST)]
    for key, name in FACTORS.items():
        if paramwise.get(key) is not None:
            factor = number(paramwise, key, 1.0)
            rules.append(GroupRule(name, lr=factor) if key == "bias_lr_mult" else GroupRule(name, decay=factor))
    return rules + [custom_rule(key, settings) for key, settings in (paramwise.get("custom_keys") or {}).items()]


def layer_rule(layer: int, rule: GroupRule, paramwise: Settings, layers: Layers) -> GroupRule:
    """The rule of a layer for what `rule` names: only the weight decay, and what else it sets, is left of that."""
    scale = number(paramwise, "layer_decay_rate", 1.0) ** (layers.count - layer - 1)
    decay = "" if rule.decay == 1 else ", no decay" if rule.decay == 0 else f", decay x{rule.decay:g}"
    values = {name: value for name, value in rule.values.items() if name != "lr"}
    return GroupRule(f"layer {layer} (x{scale:.3g}){decay}", scale, rule.decay, values)


@dataclass(frozen=True)
class Layers:
    """The depth of a parameter by its name, how many depths there are, and those at which there is a parameter."""

    depth: Callable[[str], int]
    count: int
    used: Sequence[int]


Blocks = Sequence[int]  # how many blocks each stage has; a backbone without stages is one stage
Depth = Callable[[list[str], Blocks, int], int]
"""The depth of a parameter of the backbone by the words of its name, the blocks, and the depth of what follows."""

PREFIX = "backbone."
STEMS = ("cls_token", "pos_embed", "patch_embed")


def in_transformer(words: list[str], blocks: Blocks, last: int) -> int:
    """ViT, BEiT, SAM: every block is a layer."""
    return 0 if words[0] in STEMS else int(words[1]) + 1 if words[0] == "layers" else last


def in_hierarchy(words: list[str], blocks: Blocks, last: int) -> int:
    """HiViT: upstream looks for `layers`, but its blocks are called otherwise, so all of them train at the last rate."""
    return 0 if words[0] in {"pos_embed", "patch_embed"} else last


def in_swin(words: list[str], blocks: Blocks, last: int) -> int:
    """Swin: every block is a layer; the patch merging after a stage sits as deep as the last block of it."""
    return 0 if words[0] == "patch_embed" else in_stage(words, blocks) if words[0] == "stages" else last


def in_mixmim(words: list[str], blocks: Blocks, last: int) -> int:
    """MixMIM: as Swin, but its final norm sits as deep as the last block, and so does the neck."""
    is_stem = any("patch_embed" in word or "pos_embed" in word for word in words)
    return 0 if is_stem else in_stage(words, blocks) if words[0] == "layers" else last - 1


def in_stage(words: Sequence[str], blocks: Blocks) -> int:
    """The depth of `stages.S.blocks.B...`, or of what else a stage holds."""
    stage = int(words[1])
    return sum(blocks[:stage]) + (int(words[3]) + 1 if words[2] == "blocks" else blocks[stage])


def in_convnext(words: list[str], blocks: Blocks, last: int) -> int:
    """ConvNeXt: every stage is a layer, and of the long third stage every three blocks."""
    if words[0] not in {"stages", "downsample_layers"}:
        return last
    stage = int(words[1])
    if stage == 3:
        return last - 1
    if words[0] == "downsample_layers":
        return stage + 1 if stage else 0
    return 3 + int(words[2]) // 3 if stage == 2 else stage + 1


GROUPED = {(4, 6): (2, 3), (4, 23): (2, 3), (8, 36): (4, 4), (24, 36): (4, 4), (30, 48): (5, 6)}
"""By the blocks of a ResNet's second and third stage: how many of either are one layer."""


def in_resnet(words: list[str], blocks: Blocks, last: int) -> int:
    """ResNet: every stage is a layer, and of the second and third stage every few blocks; all else is the stem."""
    if not words[0].startswith("layer"):
        return 0
    stage, block, (second, third) = int(words[0].removeprefix("layer")), int(words[1]), GROUPED[blocks[1], blocks[2]]
    return {1: 1, 2: 2 + block // second, 3: 2 + ceil(blocks[1] / second) + block // third}.get(stage, last - 1)


def last_in_resnet(blocks: Blocks) -> int:
    """Three more than the groups of the second and third stage; upstream has no rule for other numbers of blocks."""
    if (blocks[1], blocks[2]) not in GROUPED:
        numbers = "-".join(map(str, blocks))
        raise ConfigError(f"upstream has no layers for a ResNet of {numbers} blocks, and training stops")
    second, third = GROUPED[blocks[1], blocks[2]]
    return 3 + ceil(blocks[1] / second) + ceil(blocks[2] / third)


def last_in_hierarchy(blocks: Blocks) -> int:
    """Upstream counts the blocks of the first two stages twice, and what merges patches after them."""
    return 1 + (blocks[0] if len(blocks) == 1 else 2 * sum(blocks[:2]) + 2 + blocks[2])


@dataclass(frozen=True)
class Family:
    """How a family names its blocks (by stage, if it has two numbers), and how deep its parameters sit.

    `last` is the depth of what follows the backbone. `archs` has the blocks of the architectures of a family whose
    networks are not built here.
    """

    names: str
    depth: Depth
    archs: Mapping[str, Blocks] = field(default_factory=dict)
    last: Callable[[Blocks], int] = lambda blocks: sum(blocks) + 1


BEIT = {"small": (8,), "base": (12,), "large": (24,), "eva-giant": (40,)}
DEIT = {"deit-tiny": (12,), "deit-small": (12,), "deit-base": (12,)}
SAM = {"base": (12,), "large": (24,), "huge": (32,)}
MIXMIM = {"base": (2, 2, 18, 2), "large": (2, 2, 18, 2), "huge": (2, 2, 18, 2)}
HIVIT = {"tiny": (1, 1, 10), "small": (2, 2, 20), "base": (2, 2, 24), "large": (2, 2, 40)}
CONVNEXT = {"tiny": (3, 3, 9, 3), "small": (3, 3, 27, 3), "base": (3, 3, 27, 3), "large": (3, 3, 27, 3)}
RESNET = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3), "200": (3, 24, 36, 3), "269": (3, 30, 48, 8)}
PLAIN = Family(r"layers\.(\d+)\.", in_transformer)
PYRAMID = Family(r"stages\.(\d+)\.(\d+)\.", in_convnext, CONVNEXT, lambda blocks: 13 if blocks[2] > 9 else 7)
RESIDUAL = Family(r"layer(\d+)\.(\d+)\.", in_resnet, RESNET, last_in_resnet)
HIERARCHY = Family(r"blocks\.(\d+)\.", in_hierarchy, HIVIT, last_in_hierarchy)
MIXED = Family(r"layers\.(\d+)\.blocks\.(\d+)\.", in_mixmim, MIXMIM)

FAMILIES: Mapping[str, Family] = {
    "BEiTViT": Family(PLAIN.names, in_transformer, {**BEIT, **DEIT}),
    "HiViT": HIERARCHY,
    "MixMIMTransformer": MIXED,
    "SwinTransformer": Family(r"stages\.(\d+)\.blocks\.(\d+)\.", in_swin),
    "ViTSAM": Family(PLAIN.names, in_transformer, SAM),
    **dict.fromkeys(("DeiT3", "DistilledVisionTransformer", "ViTEVA02", "VisionTransformer"), PLAIN),
    **dict.fromkeys(("ConvNeXt", "SparseConvNeXt"), PYRAMID),
    **dict.fromkeys(("RegNet", "Res2Net", "ResNeSt", "ResNeXt", "ResNet", "ResNetV1c", "ResNetV1d"), RESIDUAL),
    **dict.fromkeys(("ResNet_CIFAR", "SEResNet", "SEResNeXt", "SparseResNet"), RESIDUAL),
}


def has_layers(backbone: Settings) -> bool:
    return kind_of(backbone) in FAMILIES


def kind_of(settings: Settings) -> str:
    return str(settings.get("type", "nothing")).rsplit(".", 1)[-1]


def layers_of(backbone: Settings, names: Sequence[str] | None) -> Layers:
    """The layers of a backbone, by the names of the model's parameters, or else by its architecture."""
    if not has_layers(backbone):
        raise ConfigError(f"upstream has no layers (get_layer_depth) for {kind_of(backbone)}, and training stops")
    family = FAMILIES[kind_of(backbone)]
    blocks = blocks_of_arch(backbone, family.archs) if names is None else blocks_in(names, family.names)
    last = family.last(blocks)

    def depth(name: str) -> int:
        inside = name.removeprefix(PREFIX)
        if inside != name:
            return family.depth(inside.split("."), blocks, last)
        return last - 1 if family is MIXED and name.startswith("neck") else last

    return Layers(depth, last + 1, (0, last) if family is HIERARCHY else range(last + 1))


def blocks_of_arch(backbone: Settings, archs: Mapping[str, Blocks]) -> Blocks:
    """How many blocks each stage of an architecture has, by its name, its abbreviation (b for base) or its settings."""
    arch = backbone.get("arch", backbone.get("depth", "base"))
    if isinstance(arch, Mapping):
        return (arch["num_layers"],) if "num_layers" in arch else tuple(arch["depths"])
    for name, blocks in archs.items():
        head, dash, size = name.rpartition("-")
        if str(arch).lower() in {name, head + dash + size[0]}:
            return blocks
    raise ConfigError(f"the layers of {kind_of(backbone)} {short_repr(arch)} are not known here")


def blocks_in(names: Sequence[str], pattern: str) -> Blocks:
    """How many blocks each stage of the backbone has."""
    matches = (re.match(re.escape(PREFIX) + pattern, name) for name in names)
    blocks = {tuple(map(int, match.groups())) for match in matches if match}
    if not blocks:
        raise ConfigError("the layers of this backbone cannot be read from its parameters' names")
    stages = Counter(block[0] if len(block) > 1 else 0 for block in blocks)
    return [stages[stage] for stage in sorted(stages)]
