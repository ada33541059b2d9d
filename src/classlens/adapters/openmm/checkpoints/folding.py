"""A checkpoint in the training form of RepVGG or MobileOne, folded for a config that asks for the deploy form.

A convolution with a batch norm behind it is a convolution with a scaled kernel and a bias; a bare norm is one whose
kernel is 1 in the middle; and branches whose outputs are added are one convolution with the sum of their kernels.
Source: Ding et al., RepVGG, CVPR 2021, section 3.3.
"""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float

FOLDED = ".branch_reparam.weight"
"""How the name of the one convolution of a block in deploy form ends."""

SEEN = ".running_var"
"""Every branch has one norm, and every norm one of these."""

Convolution = tuple[Float[Tensor, "out in k k"], Float[Tensor, " out"]]

log = logging.getLogger(__name__)


def folded(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The tensors with the branches of each block that `network` wants as one convolution made into one."""
    eps = getattr(network.get_submodule("backbone"), "norm_eps", None)
    slots = {name.removesuffix(FOLDED): slot for name, slot in network.state_dict().items() if name.endswith(FOLDED)}
    left, made = dict(tensors), 0
    for block, slot in slots.items():
        inside = {name: tensors[name] for name in tensors if name.startswith(f"{block}.branch_")}
        norms = [name.removesuffix(SEEN) for name in inside if name.endswith(SEEN)]
        if eps is None or not norms or not fits(inside, slot):
            continue
        branches = [convolution_of(norm, inside, slot.shape, eps) for norm in norms]
        for name in inside:
            del left[name]
        kernels, biases = zip(*branches, strict=True)
        left[f"{block}{FOLDED}"] = torch.stack(kernels).sum(0).float()
        left[f"{block}.branch_reparam.bias"] = torch.stack(biases).sum(0).float()
        made += 1
    if made:
        log.warning("the checkpoint is in training form: the branches of %d blocks were folded into one each", made)
    return left


def fits(inside: Mapping[str, Tensor], slot: Tensor) -> bool:
    """Whether the branches have the channels of the convolution that they are to become."""
    norms = all(tensor.shape == slot.shape[:1] for name, tensor in inside.items() if name.endswith(SEEN))
    return norms and all(tensor.shape[:2] == slot.shape[:2] for tensor in inside.values() if tensor.ndim == 4)


def convolution_of(norm: str, inside: Mapping[str, Tensor], shape: torch.Size, eps: float) -> Convolution:
    """One branch as a convolution of the wanted shape: its norm, and the convolution in front of it if there is one."""
    scale, shift, mean, variance = (
        inside[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = scale / (variance + eps).sqrt()
    conv = inside.get(f"{norm.removesuffix('.norm')}.conv.weight")
    kernel = identity(shape) if conv is None else centred(conv.double(), shape[-1])
    return kernel * gain[:, None, None, None], shift - mean * gain


def identity(shape: torch.Size) -> Float[Tensor, "out in k k"]:
    """The kernel that leaves a map as it is; in groups, a channel is counted from the first of its group."""
    kernel = torch.zeros(shape, dtype=torch.float64)
    channels = torch.arange(shape[0])
    kernel[channels, channels % shape[1], shape[2] // 2, shape[3] // 2] = 1
    return kernel


def centred(kernel: Float[Tensor, "out in k k"], side: int) -> Float[Tensor, "out in side side"]:
    """A smaller kernel in the middle of zeros."""
    margin = (side - kernel.shape[-1]) // 2
    return functional.pad(kernel, [margin] * 4)
