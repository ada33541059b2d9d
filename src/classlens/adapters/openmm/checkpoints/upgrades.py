"""What must be changed about older or otherwise sized checkpoints before they fit, as upstream does on loading.

Names that changed are renamed, tables that every network computes by itself are left out, and tables that depend on
the picture's or the window's size are interpolated; the last is said aloud, because it changes the logits.
"""

import logging
from collections.abc import Mapping
from math import isqrt

from torch import Tensor, nn
from torch.nn import functional

from classlens.adapters.openmm.zoo.transformer import resized_positions

COMPUTED = ("relative_position_index", "relative_coords_table", "attn_mask")
"""Last parts of names that hold no weights: every network makes them by itself, or needs them no longer."""

POSITIONS = "backbone.pos_embed"
BIASES = "relative_position_bias_table"

log = logging.getLogger(__name__)


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
