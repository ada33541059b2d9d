"""See the attention of any transformer, whichever framework wrote it, while it runs.

Fused attention never shows its weights. While `watching`, every call of torch's `scaled_dot_product_attention` and of
what stands behind `nn.MultiheadAttention` is computed in two steps instead, and every softmax over a square of tokens
is noted, as nodes of the graph.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

SOFTMAXES = (torch.softmax, F.softmax, Tensor.softmax)
MULTI_HEAD = signature(F.multi_head_attention_forward)


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
        if func is F.multi_head_attention_forward:
            return self.attend_in_heads(*args, **given)
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

    def attend_in_heads(self, *args: object, **given: object) -> tuple[Tensor, Tensor | None]:
        """`nn.MultiheadAttention`: torch's own weights, and from them its result once more, now behind a node.

        Rare kinds (separate projections, added keys) go unseen.
        """
        bound = MULTI_HEAD.bind(*args, **given)
        bound.apply_defaults()
        told = bound.arguments
        if told["use_separate_proj_weight"] or told["bias_k"] is not None or told["add_zero_attn"]:
            result: tuple[Tensor, Tensor | None] = F.multi_head_attention_forward(*bound.args, **bound.kwargs)
            return result
        wanted, averaged = told["need_weights"], told["average_attn_weights"]
        told |= {"need_weights": True, "average_attn_weights": False}
        weights: Tensor = F.multi_head_attention_forward(*bound.args, **bound.kwargs)[1]  # type: ignore[assignment]
        node = self.note(weights)
        width, heads, bias = told["embed_dim_to_check"], told["num_heads"], told["in_proj_bias"]
        value = F.linear(
            told["value"], told["in_proj_weight"][2 * width :], None if bias is None else bias[2 * width :]
        )
        value = value.reshape(len(value), -1, heads, width // heads).permute(1, 2, 0, 3)
        mixed = (node @ value).permute(2, 0, 1, 3).reshape(node.shape[2], -1, width)
        output = F.linear(mixed, told["out_proj_weight"], told["out_proj_bias"])
        return output, (node.mean(dim=1) if averaged else node) if wanted else None

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
