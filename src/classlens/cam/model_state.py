"""The caller's model in a known state for the time of one `with`, then exactly as it was.

What is changed is written down first and put back last, also after an error: modes, `requires_grad`, the global random
states. Modes are set attribute by attribute: calling `eval()` would run the overrides that some models put there.
"""

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import checkpoint

from classlens.errors import ModelError, first_line
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
"""One for every `with` that is open; the first keeps what stood in the place of `RECOMPUTING`."""


@contextmanager
def preserved(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter wants a gradient, and autograd records, whatever the caller's own state is.

    With no parameter in the graph, what runs before the first cut records nothing and costs no memory, and what
    runs behind it records only what the gradient of the cut needs.

    Raises:
        ModelError: the model is a TorchScript program, which has no layers to look at, or its weights are not there.
    """
    # Part by part: walking the whole tree puts names together, which costs some percent of a small network's pass.
    parts = list(module.modules())
    if placement_of(module)[0].type == "meta":
        raise ModelError("the model has shapes but no weights (device meta)", hint="load a checkpoint into it first")
    if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
        hint = "give the network that it was made from"
        raise ModelError("a TorchScript program does not show its layers", hint=hint)
    with ALONE, torch.inference_mode(mode=False), torch.enable_grad(), ExitStack() as undo:
        if "torch._dynamo" in sys.modules:  # compiled code does not call hooks
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        tables: list[dict[str, Any]] = [table for part in parts for table in (part._parameters, part._buffers)]
        for table in tables:
            for name, tensor in list(table.items()):
                if tensor is not None and tensor.is_inference():  # autograd refuses them, so copies stand in
                    undo.callback(table.__setitem__, name, tensor)
                    table[name] = tensor.detach().clone()
        parameters = [own for part in parts for own in part._parameters.values() if own is not None]
        changes: list[tuple[object, str]] = [(part, "training") for part in parts if part.__dict__.get("training")]
        changes += [(one, "requires_grad") for one in parameters if one.requires_grad]
        for thing, attribute in changes:
            undo.callback(setattr, thing, attribute, True)
            setattr(thing, attribute, False)
        undo.enter_context(torch.random.fork_rng(list({one.device for one in parameters if one.is_cuda})))
        undo.callback(random.setstate, random.getstate())
        undo.callback(np.random.set_state, np.random.get_state())
        # Parts that save memory by being computed again in the backward pass are not: our hooks would be gone by then.
        LOANS.append({name: value for name, value in vars(checkpoint).items() if name in RECOMPUTING and not LOANS})
        vars(checkpoint).update({name: RECOMPUTING[name] for name in LOANS[-1]})
        try:
            yield
        finally:
            if len(LOANS) == 1:  # with several, whichever ends last: they need not end in the order in which they began
                vars(checkpoint).update(LOANS[0])
            LOANS.pop()


def place(module: nn.Module, device: str) -> None:
    """Move a model that is ours to a device, e.g. `cuda:1`.

    Raises:
        ModelError: there is no such device, or the model does not fit on it.
    """
    try:
        module.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        hint = "leave out --device to compute on cpu"
        raise ModelError(f"cannot compute on {device!r}: {first_line(error)}", hint=hint) from error


def placement_of(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where the model lives, and the precision of its weights: of its first parameter or buffer (of real numbers)."""
    device = None
    for tensor in chain(module.parameters(), module.buffers()):
        device = device or tensor.device
        if tensor.is_floating_point():
            return device, tensor.dtype
    return device or torch.device("cpu"), torch.float32
