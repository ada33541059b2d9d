"""Borrow the caller's model: use it in a known state, then give it back exactly as it was.

Modes, `requires_grad` and the global random states are written down first and put back last, also after an error.
Modes are set attribute by attribute: calling `eval()` would run the overrides that some models put there.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import numpy as np
import torch
from torch import nn

from classlens.errors import ModelError


@contextmanager
def borrowed(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter wants a gradient, and autograd records, whatever the caller's own state is.

    With no parameter in the graph, what runs before the first cut records nothing and costs no memory, and what
    runs behind it records only what the gradient of the cut needs.
    """
    parts = list(module.modules())
    modes = [part.training for part in parts]
    # Part by part: walking the whole tree puts names together, which costs some percent of a small network's pass.
    parameters = [own for part in parts for own in part.parameters(recurse=False)]
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        for part in parts:
            if part.training:
                part.training = False
        for parameter in trainable:
            parameter.requires_grad = False
        with randomness_kept(parameters), torch.inference_mode(mode=False), torch.enable_grad():
            yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            if part.training is not mode:
                part.training = mode
        for parameter in trainable:
            parameter.requires_grad = True


@contextmanager
def randomness_kept(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Give back the global generators of Python, NumPy and torch (on the devices of the model) as they were."""
    devices = {parameter.device for parameter in parameters if parameter.is_cuda}
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def place(module: nn.Module, device: str) -> None:
    """Move a model that is ours to a device, e.g. `cuda:1`.

    Raises:
        ModelError: there is no such device, or the model does not fit on it.
    """
    try:
        module.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise ModelError(
            f"cannot compute on {device!r}: {reason}", hint="leave out --device to compute on cpu"
        ) from error


def device_of(module: nn.Module) -> torch.device:
    """Where the model lives: the device of its first parameter or buffer."""
    for tensor in chain(module.parameters(), module.buffers()):
        return tensor.device
    return torch.device("cpu")


def dtype_of(module: nn.Module) -> torch.dtype:
    """The precision of the model's weights: that of its first parameter or buffer of real numbers."""
    for tensor in chain(module.parameters(), module.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float32
