"""A checkpoint in the training form of RepVGG or MobileOne, folded for a config that asks for the deploy form.

A convolution with a batch norm behind it is a convolution with a scaled kernel and a bias; a bare norm is one whose
kernel is 1 in the middle; and branches whose outputs are added are one convolution with the sum of their kernels.
Source: Ding et al., RepVGG, CVPR 2021, section 3.3.
"""

import logging
from collections.abc import Mapping, Sequence
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float
from classlens.checkpoints.load_weights import listed, renamed
from classlens.errors import DataError
from classlens.zoo.transformer import resized_positions

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


COMPUTED = ("relative_position_index", "relative_coords_table", "attn_mask")
"""Last parts of names that hold no weights: every network makes them by itself, or needs them no longer."""

POSITIONS = "backbone.pos_embed"
BIASES = "relative_position_bias_table"


def upgraded(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The tensors as `network` names and sizes them."""
    wanted = network.state_dict()
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith(COMPUTED)}
    renamed = renamed_norm(kept, wanted)
    return {name: fitted(name, tensor, wanted.get(name), network) for name, tensor in renamed.items()}


def renamed_norm(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Swin's last norm was called `norm` before its stages had norms of their own; now it is `norm3`."""
    old, new = "backbone.norm.", "backbone.norm3."
    if f"{old}weight" in wanted or f"{new}weight" not in wanted or f"{new}weight" in tensors:
        return dict(tensors)
    return {name.replace(old, new, 1) if name.startswith(old) else name: tensor for name, tensor in tensors.items()}


def fitted(name: str, tensor: Tensor, slot: Tensor | None, network: nn.Module) -> Tensor:
    """The tensor, interpolated if it is a table whose size depends on the picture's or the window's."""
    if slot is None or slot.shape == tensor.shape or slot.ndim != tensor.ndim:
        return tensor
    if name == POSITIONS:
        return fitted_positions(tensor, network)
    if name.endswith(BIASES) and slot.shape[1] == tensor.shape[1]:
        return fitted_biases(name, tensor, isqrt(slot.shape[0]))
    return tensor


def fitted_positions(tensor: Tensor, network: nn.Module) -> Tensor:
    """Position embeddings of a square picture, interpolated for the grid of the config's `img_size`."""
    backbone = network.get_submodule("backbone")
    grid, extra = getattr(backbone, "grid", None), getattr(backbone, "placed", 0)
    side = isqrt(tensor.shape[1] - extra)
    if grid is None or side * side + extra != tensor.shape[1]:
        return tensor
    log.warning("position embeddings of %d x %d patches were resized to %d x %d", side, side, *grid)
    return resized_positions(tensor.float(), grid, extra=extra, before=(side, side))


def fitted_biases(name: str, tensor: Tensor, side: int) -> Tensor:
    """The biases of a window's offsets, interpolated for a window of another size.

    Bicubic, as the authors of Swin do when they change the window; upstream's way needs a function that SciPy removed.
    """
    before = isqrt(tensor.shape[0])
    laid = tensor.float().T.reshape(1, -1, before, before)
    resized = functional.interpolate(laid, size=(side, side), mode="bicubic", align_corners=False)
    log.warning("%s was resized from %d x %d offsets to %d x %d", name, before, before, side, side)
    return resized.flatten(2)[0].T.contiguous()


SHOWN = 6
"""How many names of one kind an error lists before it counts the rest."""

COUNTER = "num_batches_tracked"
"""Old checkpoints lack it; it matters in training only."""

NOT_OF_THE_NETWORK = ("data_preprocessor.", "head.loss", "head.compute_", "ema_", "train_cfg.", "augment")
"""What OpenMMLab's trainers save beside the network."""


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Give `network` (built on the "meta" device) the tensors, as float32.

    Raises:
        DataError: names or shapes differ.
    """
    wanted = network.state_dict()
    named = renamed(tensors, wanted)
    own = {name: ready(tensor) for name, tensor in named.items() if not name.startswith(NOT_OF_THE_NETWORK)}
    given = upgraded(folded(own, network), network)
    for name, slot in wanted.items():
        if name not in given and name.endswith(COUNTER):
            given[name] = torch.zeros((), dtype=torch.int64)
        elif name not in given and name.endswith(COMPUTED):
            given[name] = slot
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    unlike = [name for name in wanted if name in given and given[name].shape != wanted[name].shape]
    if missing or unexpected or unlike:
        shapes = [f"{name} {tuple(given[name].shape)} instead of {tuple(wanted[name].shape)}" for name in unlike]
        found = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
        told = "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in found.items() if names)
        raise DataError(
            f"{where} does not fit the config's model: {told}", hint=usual_cause(missing, unexpected, unlike)
        )
    network.load_state_dict(given, strict=True, assign=True)


def ready(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def usual_cause(missing: Sequence[str], unexpected: Sequence[str], unlike: Sequence[str]) -> str:
    """What most often makes a checkpoint not fit."""
    if any(".rbr_" in name or ".branch_" in name or "_reparam." in name for name in (*missing, *unexpected)):
        return "one is the training form of the network, the other its deploy form: set model.backbone.deploy to match"
    if unlike and not missing and not unexpected and all(name.startswith("head.") for name in unlike):
        return "the number of classes differs: set model.head.num_classes to that of the checkpoint"
    if missing and unexpected and len(missing) > SHOWN:
        return "the checkpoint belongs to another network: compare its file name with the config's"
    if missing and all(name.startswith("head.") for name in missing):
        return "the checkpoint holds a backbone only, as after pre-training: it gives no class scores"
    return "config and checkpoint must belong together: compare depth, arch and head"
