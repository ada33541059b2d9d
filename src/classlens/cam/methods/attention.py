"""See the attention of any transformer, whichever framework wrote it, while it runs.

Fused attention never shows its weights. While `Watching`, every call of torch's `scaled_dot_product_attention` and of
what stands behind `nn.MultiheadAttention` is computed in two steps instead, and what every softmax over the last of four
dimensions puts out is noted, as nodes of the graph. What cannot be followed is refused: a map may not miss a layer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from classlens.cam.classifier import Batch, Classifier, Layer, preserved
from classlens.cam.evidence import Evidence
from classlens.cam.forward import hook_layers, logits_of, noise
from classlens.cam.layout import Grid, Layout, extra_tokens, layout_of
from classlens.errors import ModelError

SOFTMAXES = (torch.softmax, F.softmax, Tensor.softmax)
MULTI_HEAD = signature(F.multi_head_attention_forward)
RARE = ("use_separate_proj_weight", "bias_k", "bias_v", "add_zero_attn", "static_k", "static_v")


@dataclass(eq=False)
class Watching(TorchFunctionMode):
    """A mode of torch, hence a class: it lists attention `weights` (batch, heads, tokens, tokens), layer by layer."""

    weights: list[Tensor] = field(default_factory=list)

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> object:
        named = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            return self.attend(*args, **named)
        if func is F.multi_head_attention_forward:
            return self.attend_in_heads(*args, **named)
        result = func(*args, **named)
        is_attention = func in SOFTMAXES and result.ndim == 4 and named.get("dim", *args[1:2]) in (-1, 3)
        return self.note(result) if is_attention else result

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *rest: object, **named: object) -> Tensor:
        """Fused attention in two steps: its weights, which are what it makes of the identity, and their result."""
        identity = torch.eye(key.shape[-2], dtype=key.dtype, device=key.device).expand(*key.shape[:-1], -1)
        weights = self.note(F.scaled_dot_product_attention(query, key, identity, *rest, **named))  # type: ignore[arg-type]
        if named.get("enable_gqa"):
            value = value.repeat_interleave(query.shape[-3] // value.shape[-3], dim=-3)
        return weights @ value

    def attend_in_heads(self, *args: object, **named: object) -> tuple[Tensor, Tensor | None]:
        """`nn.MultiheadAttention`: torch's own weights, and from them its result once more, now behind a node."""
        bound = MULTI_HEAD.bind(*args, **named)
        bound.apply_defaults()
        known = bound.arguments
        rare = [name for name in RARE if known[name] is not None and known[name] is not False]
        if rare or known["query"].ndim != 3:
            kind = " and ".join(rare) or "no batch"
            hint = "choose a method that does not read the attention"
            raise ModelError(f"multi-head attention with {kind} cannot be followed", hint=hint)
        wanted, averaged = known["need_weights"], known["average_attn_weights"]
        known |= {"need_weights": True, "average_attn_weights": False}
        weights: Tensor = F.multi_head_attention_forward(*bound.args, **bound.kwargs)[1]  # type: ignore[assignment]
        node = self.note(weights)
        width, heads, bias = known["embed_dim_to_check"], known["num_heads"], known["in_proj_bias"]
        bias = None if bias is None else bias[2 * width :]
        value = F.linear(known["value"], known["in_proj_weight"][2 * width :], bias)
        value = value.reshape(len(value), -1, heads, width // heads).permute(1, 2, 0, 3)
        mixed = (node @ value).permute(2, 0, 1, 3).reshape(node.shape[2], -1, width)
        output = F.linear(mixed, known["out_proj_weight"], known["out_proj_bias"])
        return output, (node.mean(dim=1) if averaged else node) if wanted else None

    def note(self, weights: Tensor) -> Tensor:
        """Keep attention weights as a node of the graph; the first ones start it."""
        node = weights if weights.requires_grad else weights.detach().requires_grad_()
        self.weights.append(node)
        return node


def attention_rollout(evidence: Evidence) -> Grid:
    """Product over layers of (mean over heads + identity) / 2, from the class token, or from all, to the patches.

    The same for every class.
    Source: Abnar & Zuidema, Quantifying attention flow in transformers, ACL 2020, eq. 1.
    """
    weights: list[Tensor] = []
    with Watching(weights):
        layout = run_attention(evidence.model.classifier, evidence.model.batch, weights)
    flow = torch.eye(weights[0].shape[-1], device=weights[0].device)
    for layer in weights:
        mixed = (layer.detach().float().mean(dim=1) + torch.eye(layer.shape[-1], device=layer.device)) / 2
        flow = mixed / mixed.sum(dim=-1, keepdim=True) @ flow
    # The head reads the first extra token, or all tokens where there is none.
    read = flow[:, 0] if layout.extra else flow.mean(dim=1)
    return layout.grid(read[:, :, None])


def attention_gradients(evidence: Evidence) -> Grid:
    """relu(d score_l / d attention_l), averaged over layers l, heads and the tokens that attend.

    score_l is what the head of the network says when every token it reads is the mean of those that layer l puts out.
    Source: Bousselham et al., LeGrad, ICCV 2025, eqs. 3-7.
    """
    probe = evidence.model
    weights: list[Tensor] = []
    with Watching(weights), note_blocks(probe.classifier.module, weights) as blocks:
        layout = run_attention(probe.classifier, probe.batch, weights)
    check_blocks(probe.classifier, weights, blocks)
    layers = range(len(weights))
    means = torch.cat([blocks[number][1].mean(dim=1, keepdim=True) for number in layers])

    def exchange(layer: Layer, entering: Tensor | None, leaving: Tensor) -> Tensor:
        return means.expand(-1, leaving.shape[1], -1)

    with hook_layers([Layer("last block", blocks[layers[-1]][0])], exchange):
        logits = logits_of(probe.classifier, probe.batch.repeat(len(weights), 1, 1, 1))
    of = torch.arange(len(probe.batch), device=probe.batch.device).repeat(len(weights))
    scores = probe.objective.select(of).score(logits).reshape(len(weights), -1).sum(dim=1)
    slopes = [torch.autograd.grad(scores[number], weights[number], retain_graph=True)[0] for number in layers]
    by_layer = torch.stack([slope.float().relu().mean(dim=(1, 2)) for slope in slopes])
    return layout.grid(by_layer.mean(dim=0)[:, :, None])


def find_refused(classifier: Classifier) -> dict[str, ModelError]:
    """Which methods of attention cannot explain a network, and why; known after one forward pass."""
    weights: list[Tensor] = []
    with preserved(classifier.module), torch.no_grad(), Watching(weights):
        with note_blocks(classifier.module, weights) as blocks:
            try:
                run_attention(classifier, noise(classifier), weights)
            except ModelError as error:
                return {"AttentionRollout": error, "LeGrad": error}
        try:
            check_blocks(classifier, weights, blocks)
        except ModelError as error:
            return {"LeGrad": error}
    return {}


def check_blocks(classifier: Classifier, weights: Sequence[Tensor], blocks: Mapping[int, object]) -> None:
    """Refuse a network where a layer of attention is in no block of its own."""
    if len(blocks) < len(weights):
        message = "has attention that is not in a block of its own with tokens as its output"
        raise ModelError(f"{classifier.name} {message}", hint="LeGrad needs a plain transformer, such as ViT or DeiT")


def run_attention(classifier: Classifier, batch: Batch, weights: list[Tensor]) -> Layout:
    """Run the model while its attention `weights` are noted: how the tokens that attend to each other lie."""
    logits_of(classifier, batch)
    shapes = {(len(layer), layer.ndim, *layer.shape[-2:]) for layer in weights}
    tokens = weights[0].shape[-1] if weights else 0
    if shapes != {(len(batch), 4, tokens, tokens)}:
        message = "has no attention over all tokens of a picture from its first layer to its last"
        hint = "attention methods need a plain transformer, such as ViT or DeiT"
        raise ModelError(f"{classifier.name} {message}", hint=hint)
    place, shape = Layer("attention", nn.Identity()), (len(batch), tokens, 1)
    return layout_of(place, shape, batch.shape, extra_tokens(classifier))


@contextmanager
def note_blocks(module: nn.Module, weights: list[Tensor]) -> Iterator[dict[int, tuple[nn.Module, Tensor]]]:
    """For each layer of attention, by its number: the largest part of the network around it alone, and its tokens."""
    starts: list[int] = []
    blocks: dict[int, tuple[nn.Module, Tensor]] = {}

    def enter(part: nn.Module, inputs: object) -> None:
        starts.append(len(weights))

    def leave(part: nn.Module, inputs: object, output: object) -> None:
        number = starts.pop()
        tokens = output[0] if isinstance(output, tuple) and output else output
        if len(weights) == number + 1 and isinstance(tokens, Tensor) and tokens.ndim == 3:
            blocks[number] = part, tokens

    with ExitStack() as handles:
        for part in module.modules():
            handles.enter_context(part.register_forward_pre_hook(enter))
            handles.enter_context(part.register_forward_hook(leave))
        yield blocks
