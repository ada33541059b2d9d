"""How deep a parameter sits, for rates that decay layer by layer: told from the names of the parameters alone.

Depth 0 is the stem, the last depth is what follows the backbone's layers: its final norm, neck and head. The depths
are those that upstream's backbones give themselves.
"""

from collections.abc import Sequence
from functools import lru_cache

from classlens.errors import ConfigError

PREFIX = "backbone."
Block = tuple[int, ...]


def depth_of(name: str, names: Sequence[str]) -> tuple[int, int]:
    """(depth of the parameter, number of depths) in the model that has all these `names`.

    Raises:
        ConfigError: the backbone is none whose layers are known: transformers (layers.N), Swin (stages.N.blocks.M) and
            ConvNeXt (stages.N.M).
    """
    blocks, pyramid = blocks_of(tuple(names))
    last = (deepest(blocks) if pyramid else len(blocks)) + 1
    words = name.removeprefix(PREFIX).split(".")
    if not name.startswith(PREFIX):
        return last, last + 1
    if pyramid and words[0] in {"stages", "downsample_layers"}:
        return pyramid_depth(words, deepest(blocks)), last + 1
    if words[0] in {"cls_token", "pos_embed", "patch_embed"}:
        return 0, last + 1
    if words[0] == "layers":
        return blocks.index((int(words[1]),)) + 1, last + 1
    if words[0] == "stages" and words[2] == "blocks":
        return blocks.index((int(words[1]), int(words[3]))) + 1, last + 1
    if words[0] == "stages":
        # The patch merging between two stages sits as deep as the last block before it.
        return max(k for k, block in enumerate(blocks) if block[0] <= int(words[1])) + 1, last + 1
    return last, last + 1


def deepest(blocks: Sequence[Block]) -> int:
    """The depth of the last stage of a ConvNeXt, whose long third stage counts three blocks as one layer."""
    return 12 if sum(block[0] == 2 for block in blocks) > 9 else 6


def pyramid_depth(words: Sequence[str], deepest: int) -> int:
    """The depth inside a ConvNeXt: by stage, and in the third stage by block."""
    stage = int(words[1])
    if stage == 3:
        return deepest
    if words[0] == "downsample_layers":
        return stage + 1 if stage else 0
    return 3 + int(words[2]) // 3 if stage == 2 else stage + 1


@lru_cache(maxsize=4)
def blocks_of(names: tuple[str, ...]) -> tuple[tuple[Block, ...], bool]:
    """The blocks of the backbone in order, as (layer,) or (stage, block), and whether it is a ConvNeXt.

    Raises:
        ConfigError: the names follow no known scheme.
    """
    found: set[Block] = set()
    pyramid = any(name.startswith(PREFIX + "downsample_layers.") for name in names)
    for name in names:
        words = name.removeprefix(PREFIX).split(".")
        if name.startswith(PREFIX + "layers.") and words[1].isdigit():
            found.add((int(words[1]),))
        elif name.startswith(PREFIX + "stages.") and pyramid and words[2].isdigit():
            found.add((int(words[1]), int(words[2])))
        elif name.startswith(PREFIX + "stages.") and len(words) > 3 and words[2] == "blocks":
            found.add((int(words[1]), int(words[3])))
    if not found:
        raise ConfigError(
            "layer-wise decay: the layers of this backbone cannot be told from its parameters' names",
            hint="known are transformers (layers.N), Swin (stages.N.blocks.M) and ConvNeXt (stages.N.M)",
        )
    return tuple(sorted(found)), pyramid
