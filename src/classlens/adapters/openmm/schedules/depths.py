"""How deep a parameter sits, for rates that decay layer by layer: told from the names of the parameters alone.

Depth 0 is the stem, the last depth is what follows the backbone's layers: its final norm, neck and head.
"""

from collections.abc import Sequence
from functools import lru_cache

from classlens.errors import ConfigError

PREFIX = "backbone."


def depth_of(name: str, names: Sequence[str]) -> tuple[int, int]:
    """(depth of the parameter, number of depths) in the model that has all these `names`.

    Raises:
        ConfigError: the backbone is none whose layers are known: transformers (layers.N), Swin (stages.N.blocks.M).
    """
    blocks = blocks_of(tuple(names))
    count = len(blocks) + 2
    if not name.startswith(PREFIX):
        return count - 1, count
    words = name.removeprefix(PREFIX).split(".")
    if words[0] in {"cls_token", "pos_embed", "patch_embed"}:
        return 0, count
    if words[0] == "layers":
        return blocks.index((int(words[1]),)) + 1, count
    if words[0] == "stages" and words[2] == "blocks":
        return blocks.index((int(words[1]), int(words[3]))) + 1, count
    if words[0] == "stages":
        # The patch merging between two stages sits as deep as the last block before it.
        return max(k for k, block in enumerate(blocks) if block[0] <= int(words[1])) + 1, count
    return count - 1, count


@lru_cache(maxsize=4)
def blocks_of(names: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """The blocks of the backbone in order: (layer,) or (stage, block).

    Raises:
        ConfigError: the names follow no known scheme.
    """
    found: set[tuple[int, ...]] = set()
    for name in names:
        words = name.removeprefix(PREFIX).split(".")
        if name.startswith(PREFIX + "layers.") and words[1].isdigit():
            found.add((int(words[1]),))
        elif name.startswith(PREFIX + "stages.") and len(words) > 3 and words[2] == "blocks":
            found.add((int(words[1]), int(words[3])))
    if not found:
        raise ConfigError(
            "layer-wise decay: the layers of this backbone cannot be told from its parameters' names",
            hint="known are transformers (layers.N) and Swin (stages.N.blocks.M)",
        )
    return tuple(sorted(found))
