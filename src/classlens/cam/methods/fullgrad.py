"""FullGrad: the score taken apart into the contributions of the input and of every bias of the network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.classifier import Layer
from classlens.cam.evidence import observe
from classlens.cam.probe import Evidence, Probe
from classlens.errors import ModelError


def full_grad(evidence: Evidence) -> Float[Tensor, "batch parts rows columns"]:
    """|x * gradient| and, for every convolution and BatchNorm with a bias, |bias * gradient| summed over its channels.

    Each part is scaled to 0..1 at the size of the picture before they are added up, as in the reference.

    Source: Srinivas & Fleuret, Full-gradient representation for neural network visualization, NeurIPS 2019, eq. 8.

    Raises:
        ModelError: the network has no convolution or BatchNorm with a bias.
    """
    probe = evidence.model
    layers = [
        Layer(name, module) for name, module in probe.classifier.module.named_modules() if bias_of(module) is not None
    ]
    if not layers:
        raise ModelError(
            f"{probe.classifier.name} has no convolution or BatchNorm with a bias, which FullGrad looks at"
        )
    by_input, by_layers = slopes(probe, layers)
    size = probe.batch.shape[2:]
    parts = [enlarged(scaled((probe.batch * by_input).abs()), size)]
    for layer, slope in zip(layers, by_layers, strict=True):
        bias = bias_of(layer.module)
        if bias is not None:
            # Enlarging is linear: the channels may be added up before it, which saves thousands of large maps.
            channels = scaled((bias[None, :, None, None] * slope).abs())
            parts.append(enlarged(channels.sum(dim=1, keepdim=True), size))
    return torch.cat(parts, dim=1)


def slopes(probe: Probe, layers: list[Layer]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The gradients of the score with respect to the encoded picture and to the output of every layer."""
    leaf = probe.batch.detach().clone().requires_grad_()
    seen = observe(probe.classifier, leaf, layers)
    if seen.logits is None:
        raise ValueError("the forward pass was stopped")
    found = torch.autograd.grad(probe.objective.score(seen.logits).sum(), (leaf, *seen.outputs), allow_unused=True)
    filled = [
        torch.zeros_like(node) if one is None else one for one, node in zip(found, (leaf, *seen.outputs), strict=True)
    ]
    return filled[0], tuple(filled[1:])


def bias_of(module: nn.Module) -> Tensor | None:
    """The constant that a layer adds to every channel; a BatchNorm's is beta - gamma * mean / deviation."""
    bias: Tensor | None = None
    if type(module) is nn.Conv2d:
        bias = module.bias
    elif type(module) is nn.BatchNorm2d and module.bias is not None and module.running_mean is not None:
        deviation = (torch.as_tensor(module.running_var) + module.eps).sqrt()
        bias = module.bias - module.running_mean * module.weight / deviation
    return None if bias is None else bias.detach()


def scaled(parts: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
    """Every channel scaled to 0..1."""
    shifted = parts - parts.amin((2, 3), keepdim=True)
    return shifted / (1e-7 + shifted.amax((2, 3), keepdim=True))


def enlarged(
    parts: Float[Tensor, "batch channels height width"], size: torch.Size
) -> Float[Tensor, "batch channels rows columns"]:
    """Every channel at the size of the picture."""
    return F.interpolate(parts, size, mode="bilinear", align_corners=False)
