"""How deep a parameter sits, for rates that decay layer by layer.

Depth 0 is the stem, the last depth is what follows the backbone's layers: its final norm, neck and head. The depths
are those that upstream's backbones give themselves, with their oddities; `FAMILIES` lists the backbones that do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from classlens.config.settings import Settings
from classlens.errors import ConfigError

PREFIX = "backbone."
STEMS = ("cls_token", "pos_embed", "patch_embed")
Blocks = Sequence[int]
"""How many blocks each stage has; a backbone without stages is one stage."""


@dataclass(frozen=True)
class Layers:
    """The depth of a parameter by its name, how many depths there are, and those at which there is a parameter."""

    depth: Callable[[str], int]
    count: int
    used: Sequence[int]


def layered(count: int, inside: Callable[[list[str]], int], *, neck: int | None = None) -> Layers:
    """Layers whose depth inside the backbone is known from the words of a name; what follows is the last.

    `neck` is the depth of a neck that is not the last.
    """

    def depth(name: str) -> int:
        if name.startswith(PREFIX):
            return inside(name.removeprefix(PREFIX).split("."))
        return neck if neck is not None and name.startswith("neck") else count - 1

    return Layers(depth, count, range(count))


def transformer(blocks: Blocks) -> Layers:
    """ViT, BEiT, SAM: every block is a layer."""
    last = blocks[0] + 1

    def inside(words: list[str]) -> int:
        return 0 if words[0] in STEMS else int(words[1]) + 1 if words[0] == "layers" else last

    return layered(last + 1, inside)


def hierarchical(blocks: Blocks) -> Layers:
    """HiViT: upstream looks for `layers`, but its blocks are called otherwise, so all of them train at the last rate."""
    last = 1 + (blocks[0] if len(blocks) == 1 else 2 * sum(blocks[:2]) + 2 + blocks[2])
    layers = layered(last + 1, lambda words: 0 if words[0] in {"pos_embed", "patch_embed"} else last)
    return replace(layers, used=(0, last))


def swin(blocks: Blocks) -> Layers:
    """Swin: every block is a layer; the patch merging after a stage sits as deep as the last block of it."""
    last = sum(blocks) + 1

    def inside(words: list[str]) -> int:
        return 0 if words[0] == "patch_embed" else staged(words, blocks) if words[0] == "stages" else last

    return layered(last + 1, inside)


def mixmim(blocks: Blocks) -> Layers:
    """MixMIM: as Swin, but its final norm and the neck sit as deep as the last block."""
    last = sum(blocks)

    def inside(words: list[str]) -> int:
        stem = any("patch_embed" in word or "pos_embed" in word for word in words)
        return 0 if stem else staged(words, blocks) if words[0] == "layers" else last

    return layered(last + 2, inside, neck=last)


def staged(words: Sequence[str], blocks: Blocks) -> int:
    """The depth of `stages.S.blocks.B...`, or of what else a stage holds."""
    stage = int(words[1])
    return sum(blocks[:stage]) + (int(words[3]) + 1 if words[2] == "blocks" else blocks[stage])


def convnext(blocks: Blocks) -> Layers:
    """ConvNeXt: every stage is a layer, and of the long third stage every three blocks."""
    deepest = 12 if blocks[2] > 9 else 6

    def inside(words: list[str]) -> int:
        if words[0] not in {"stages", "downsample_layers"}:
            return deepest + 1
        stage = int(words[1])
        if stage == 3:
            return deepest
        if words[0] == "downsample_layers":
            return stage + 1 if stage else 0
        return 3 + int(words[2]) // 3 if stage == 2 else stage + 1

    return layered(deepest + 2, inside)


GROUPED: Mapping[tuple[int, int], tuple[int, int]] = {
    (4, 6): (2, 3),
    (4, 23): (2, 3),
    (8, 36): (4, 4),
    (24, 36): (4, 4),
    (30, 48): (5, 6),
}
"""By the blocks of a ResNet's second and third stage: how many of either are one layer."""


def resnet(blocks: Blocks) -> Layers:
    """ResNet: every stage is a layer, and of the second and third stage every few blocks.

    Raises:
        ConfigError: upstream has no rule for a ResNet with so many blocks.
    """
    if (blocks[1], blocks[2]) not in GROUPED:
        raise ConfigError(
            f"upstream has no layers for a ResNet of {'-'.join(map(str, blocks))} blocks, and training stops"
        )
    second, third = GROUPED[blocks[1], blocks[2]]
    middle = 2 + ceil(blocks[1] / second)
    deepest = middle + ceil(blocks[2] / third)

    def inside(words: list[str]) -> int:
        if not words[0].startswith("layer"):
            return 0
        stage, block = int(words[0].removeprefix("layer")), int(words[1])
        return {1: 1, 2: 2 + block // second, 3: middle + block // third}.get(stage, deepest)

    return layered(deepest + 2, inside)


@dataclass(frozen=True)
class Family:
    """How a family names its blocks (by stage, if it has two numbers), and what its layers are.

    `archs` has the blocks of the architectures of a family whose networks are not built here.
    """

    names: str
    layers: Callable[[Blocks], Layers]
    archs: Mapping[str, Blocks] = field(default_factory=dict)


BEIT = {
    "small": (8,),
    "base": (12,),
    "large": (24,),
    "eva-giant": (40,),
    "deit-tiny": (12,),
    "deit-small": (12,),
    "deit-base": (12,),
}
SAM = {"base": (12,), "large": (24,), "huge": (32,)}
MIXMIM = {"base": (2, 2, 18, 2), "large": (2, 2, 18, 2), "huge": (2, 2, 18, 2)}
HIVIT = {"tiny": (1, 1, 10), "small": (2, 2, 20), "base": (2, 2, 24), "large": (2, 2, 40)}
PLAIN = Family(r"layers\.(\d+)\.", transformer)
CONVNEXT = {"tiny": (3, 3, 9, 3), "small": (3, 3, 27, 3), "base": (3, 3, 27, 3), "large": (3, 3, 27, 3)}
RESNET = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3), "200": (3, 24, 36, 3), "269": (3, 30, 48, 8)}
PYRAMID = Family(r"stages\.(\d+)\.(\d+)\.", convnext, CONVNEXT)
RESIDUAL = Family(r"layer(\d+)\.(\d+)\.", resnet, RESNET)

FAMILIES: Mapping[str, Family] = {
    "BEiTViT": Family(PLAIN.names, transformer, BEIT),
    "ConvNeXt": PYRAMID,
    "DeiT3": PLAIN,
    "DistilledVisionTransformer": PLAIN,
    "HiViT": Family(r"blocks\.(\d+)\.", hierarchical, HIVIT),
    "MixMIMTransformer": Family(r"layers\.(\d+)\.blocks\.(\d+)\.", mixmim, MIXMIM),
    "RegNet": RESIDUAL,
    "Res2Net": RESIDUAL,
    "ResNeSt": RESIDUAL,
    "ResNeXt": RESIDUAL,
    "ResNet": RESIDUAL,
    "ResNetV1c": RESIDUAL,
    "ResNetV1d": RESIDUAL,
    "ResNet_CIFAR": RESIDUAL,
    "SEResNet": RESIDUAL,
    "SEResNeXt": RESIDUAL,
    "SparseConvNeXt": PYRAMID,
    "SparseResNet": RESIDUAL,
    "SwinTransformer": Family(r"stages\.(\d+)\.blocks\.(\d+)\.", swin),
    "ViTEVA02": PLAIN,
    "ViTSAM": Family(PLAIN.names, transformer, SAM),
    "VisionTransformer": PLAIN,
}


def has_layers(backbone: Settings) -> bool:
    return plain_type(backbone) in FAMILIES


def plain_type(backbone: Settings) -> str:
    return str(backbone.get("type", "")).rsplit(".", 1)[-1]


def layers_of(backbone: Settings, names: Sequence[str] | None) -> Layers:
    """The layers of a backbone, by the names of the model's parameters, or else by its architecture.

    Raises:
        ConfigError: upstream has none for it, or the architecture is unknown.
    """
    if not has_layers(backbone):
        kind = plain_type(backbone) or "a missing backbone"
        raise ConfigError(f"upstream has no layers (get_layer_depth) for {kind}, and training stops")
    family = FAMILIES[plain_type(backbone)]
    if names is not None:
        return family.layers(blocks_in(names, family.names))
    arch = backbone.get("arch", backbone.get("depth", "base"))
    if isinstance(arch, Mapping):
        return family.layers((arch["num_layers"],) if "num_layers" in arch else tuple(arch["depths"]))
    known = [name for name in family.archs if str(arch).lower() in {name, short(name)}]
    if not known:
        raise ConfigError(f"the layers of {plain_type(backbone)} {arch!r} are not known here")
    return family.layers(family.archs[known[0]])


def short(arch: str) -> str:
    """The abbreviation of an architecture: b for base, eva-g for eva-giant."""
    head, dash, size = arch.rpartition("-")
    return head + dash + size[0]


def blocks_in(names: Sequence[str], pattern: str) -> Blocks:
    """How many blocks each stage of the backbone has."""
    matches = (re.match(re.escape(PREFIX) + pattern, name) for name in names)
    blocks = {tuple(map(int, match.groups())) for match in matches if match}
    if not blocks:
        raise ConfigError("the layers of this backbone cannot be read from its parameters' names")
    stages = Counter(block[0] if len(block) > 1 else 0 for block in blocks)
    return [stages[stage] for stage in sorted(stages)]
