"""The parameters of a config's network: names and shapes, without a single weight in memory."""

from torch import nn

from classlens.adapters.openmm.classifier import build_module
from classlens.adapters.openmm.schedules.groups import Parameter
from classlens.adapters.openmm.setup import Setup

NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm)


def parameters_of(setup: Setup) -> tuple[Parameter, ...]:
    """All trainable parameters, in the order in which the optimizer gets them.

    Raises:
        ConfigError: the network cannot be built.
        NotOffered: the config has no model.
    """
    return listed(build_module(setup, device="meta"))


def listed(network: nn.Module) -> tuple[Parameter, ...]:
    """The trainable parameters of any module, module by module from the outside in."""
    return tuple(
        Parameter(f"{prefix}.{name}" if prefix else name, tuple(tensor.shape), kind_of(module))
        for prefix, module in network.named_modules()
        for name, tensor in module.named_parameters(recurse=False)
        if tensor.requires_grad
    )


def kind_of(module: nn.Module) -> str:
    """What kind of module the rules of `paramwise_cfg` see."""
    if isinstance(module, NORMS):
        return "norm"
    if isinstance(module, nn.Conv2d) and module.in_channels == module.groups:
        return "depthwise"
    return ""
