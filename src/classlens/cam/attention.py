"""See the attention of any transformer, whichever framework wrote it, while it runs.

Fused attention never shows its weights. While `watching`, every call of torch's `scaled_dot_product_attention` is
computed in two steps instead, and every softmax over a square of tokens is noted, as nodes of the graph.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

SOFTMAXES = (torch.softmax, F.softmax, Tensor.softmax)


class Watching(TorchFunctionMode):
    """A mode of torch, which is why this is a class: `seen` are the attention weights, in the order of the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """What torch calls in place of each of its functions."""
        given = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            return self.attend(*args, **given)
        result = func(*args, **given)
        if func in SOFTMAXES and isinstance(result, Tensor) and result.ndim == 4 and result.shape[2] == result.shape[3]:
            return self.note(result)
        return result

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        *,
        scale: float | None = None,
        **others: object,
    ) -> Tensor:
        """softmax(Q K^T scale + mask) V, in the open."""
        factor = query.shape[-1] ** -0.5 if scale is None else scale
        logits = query @ key.mT * factor
        if attn_mask is not None:
            logits = (
                logits.masked_fill(~attn_mask, float("-inf")) if attn_mask.dtype == torch.bool else logits + attn_mask
            )
        weights = torch.exp(logits - logits.logsumexp(dim=-1, keepdim=True))
        return self.note(weights) @ value

    def note(self, weights: Tensor) -> Tensor:
        """Keep attention weights as a node of the graph; the first ones start it."""
        node = weights if weights.requires_grad else weights.detach().requires_grad_()
        self.seen.append(node)
        return node


@contextmanager
def watching() -> Iterator[list[Tensor]]:
    """The attention weights (batch, heads, tokens, tokens) of everything that runs inside, as they come."""
    mode = Watching()
    with mode:
        yield mode.seen
