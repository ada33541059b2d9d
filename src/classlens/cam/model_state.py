"""Borrow the caller's model: use it in a known state, then give it back exactly as it was.

What is changed is written down first and put back last, also after an error: modes, `requires_grad`, the global random
states. Modes are set attribute by attribute: calling `eval()` would run the overrides that some models put there.
"""

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import checkpoint

from classlens.errors import ModelError
from classlens.sharing import ALONE


def nothing_around(*arguments: object, **settings: object) -> Iterator[None]:
    yield


RECOMPUTING: Mapping[str, object] = {
    "CheckpointFunction": SimpleNamespace(apply=lambda function, preserve, *arguments: function(*arguments)),
    "_checkpoint_without_reentrant_generator": nothing_around,
    "_checkpoint_without_reentrant_generator_impl": nothing_around,
}
"""What `torch.utils.checkpoint.checkpoint` looks up to run a function, and what makes it just call it: reentrant, and
not (the name of the second differs from version to version)."""

LOANS: list[dict[str, object]] = []
"""One for every loan at this moment, in any thread; the first keeps what stood in the place of `RECOMPUTING`."""

LOCK = Lock()


@contextmanager
def preserved(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter wants a gradient, and autograd records, whatever the caller's own state is.

    With no parameter in the graph, what runs before the first cut records nothing and costs no memory, and what
    runs behind it records only what the gradient of the cut needs.

    Raises:
        ModelError: the model is a TorchScript program, which has no layers to look at, or its weights are not there.
    """
    parts = list(module.modules())
    if device_of(module).type == "meta":
        raise ModelError("the model has shapes but no weights (device meta)", hint="load a checkpoint into it first")
    if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
        raise ModelError(
            "a TorchScript program does not show its layers", hint="give the network that it was made from"
        )
    with (
        ALONE,
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        uncompiled(),
        computed_once(),
        recordable(parts),
        settled(parts),
    ):
        yield


def uncompiled() -> AbstractContextManager[object]:
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def computed_once() -> Iterator[None]:
    """Parts that save memory by being computed again in the backward pass are not: our hooks would be gone by then."""
    with LOCK:
        own = {name: value for name, value in vars(checkpoint).items() if name in RECOMPUTING and not LOANS}
        vars(checkpoint).update({name: RECOMPUTING[name] for name in own})
        LOANS.append(own)
    try:
        yield
    finally:
        with LOCK:
            if len(LOANS) == 1:
                vars(checkpoint).update(LOANS[0])
            LOANS.pop()


@contextmanager
def recordable(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Copies in the place of weights that were made in inference mode, which autograd refuses to work with."""
    tables: list[dict[str, Any]] = [table for part in parts for table in (part._parameters, part._buffers)]
    replaced = [
        (table, name, tensor)
        for table in tables
        for name, tensor in table.items()
        if tensor is not None and tensor.is_inference()
    ]
    try:
        for table, name, tensor in replaced:
            table[name] = tensor.detach().clone()
        yield
    finally:
        for table, name, tensor in replaced:
            table[name] = tensor


@contextmanager
def settled(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Nothing in training or trainable, and the random states of before given back."""
    training = [part for part in parts if part.__dict__.get("training")]
    # Part by part: walking the whole tree puts names together, which costs some percent of a small network's pass.
    parameters = [own for part in parts for own in part._parameters.values() if own is not None]
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        for part in training:
            part.training = False
        for parameter in trainable:
            parameter.requires_grad = False
        with randomness_kept(parameters):
            yield
    finally:
        for part in training:
            part.training = True
        for parameter in trainable:
            parameter.requires_grad = True


@contextmanager
def randomness_kept(parameters: Sequence[Tensor]) -> Iterator[None]:
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
