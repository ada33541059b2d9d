"""Networks that mmpretrain builds, with numbers that tell mistakes, and its own tool to look at them."""

from argparse import Namespace
from functools import partial
from math import isqrt
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from benchmarks.zoo import PATCHES, TOOL
from mmengine.logging import MessageHub
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn


def upstreams_tool() -> ModuleType:
    """mmpretrain's vis_cam.py, patched to run beside today's packages."""
    text = TOOL.read_text(encoding="utf-8")
    for line, patched in PATCHES.items():
        text = text.replace(line, patched)
    module = ModuleType("vis_cam")
    exec(compile(text, TOOL.name, "exec"), module.__dict__)
    return module


VIS_CAM = upstreams_tool()


def upstreams_layer(network: nn.Module, *, vit_like: bool) -> str | None:
    """The name of the layer that upstream's tool looks at if none is named; None where it breaks off."""
    arguments = Namespace(vit_like=vit_like, num_extra_tokens=None)
    try:
        (layer,) = VIS_CAM.get_default_target_layers(network, arguments)
    except IndexError:
        return None
    return next(name for name, module in network.named_modules() if module is layer)


def reference_map(network: nn.Module, layer: str, batch: torch.Tensor, target: int, *, extra: int) -> np.ndarray:
    """Grad-CAM of the first picture by the reference library: 0..1, as large as the picture; `extra` tokens are left out.

    A clone of the layer's output is passed on: grad-cam keeps it without a copy, and what follows in place (the sum
    with the shortcut, a ReLU) would overwrite it.
    """
    module, around = network.get_submodule(layer), network.get_submodule(layer.rpartition(".")[0])
    channels_last = getattr(around, "linear_pw_conv", False)  # inside a ConvNeXt block

    def as_map(output: torch.Tensor) -> torch.Tensor:
        if output.ndim == 3:
            side = isqrt(output.shape[1] - extra)
            return output[:, extra:].mT.unflatten(2, (side, side))
        return output.permute(0, 3, 1, 2) if channels_last else output

    with GradCAM(network, [module], as_map) as cam:
        guard = module.register_forward_hook(lambda module, inputs, output: output.clone())
        found = cam(batch, [ClassifierOutputTarget(target)] * len(batch))[0]
        guard.remove()
    return found


def randomised(network: nn.Module) -> nn.Module:
    """Random numbers everywhere, also where training would start with ones or zeros, but of a size that keeps signals."""
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point() or name.endswith("relative_coords_table"):
                continue
            noise = torch.randn(tensor.shape, generator=chance)
            if name.endswith("running_var"):
                tensor.copy_(noise.abs() + 0.5)
            elif tensor.ndim >= 2:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            elif name.endswith("weight"):
                tensor.copy_(1 + 0.2 * noise)
            else:
                tensor.copy_(0.1 * noise)
    return network


def make_norms_alike(network: nn.Module) -> None:
    """mmpretrain 1.2.0 runs DeiT III's first norm twice and its second never; official weights were trained with both.

    Ours runs both, as the paper and timm do. Where the two norms hold the same numbers, both readings agree.
    """
    for layer in network.get_submodule("backbone.layers"):
        layer.ln2.load_state_dict(layer.ln1.state_dict())


def mend_scale(network: nn.Module) -> None:
    """mmpretrain 1.2.0 divides T2T-ViT's attention by a scale made to multiply with; official weights need it right.

    mmcls 0.25 and the paper's authors multiply by (width that enters / heads) ** -0.5, and so do ours.
    """
    for module in network.modules():
        if hasattr(module, "scaled_dot_product_attention"):
            scale = (module.input_dims // module.num_heads) ** 0.5
            module.scaled_dot_product_attention = partial(module.scaled_dot_product_attention.func, scale=scale)


def save_like_mmengine(network: nn.Module, path: Path, *, classes: int = 10) -> Path:
    """What a training run leaves: weights, meta, and a log of numpy numbers in mmengine's own classes."""
    hub = MessageHub.get_instance(path.parent.name)
    hub.update_scalar("train/loss", 0.5)
    meta = {"epoch": 1, "dataset_meta": {"classes": tuple(f"class {index}" for index in range(classes))}}
    torch.save({"meta": meta, "state_dict": network.state_dict(), "message_hub": hub.state_dict()}, path)
    return path
