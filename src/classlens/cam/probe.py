"""What a method gets to see of one layer, and the further questions it may put to the model.

Most methods need `Evidence` alone. Those that mask pictures or activations ask its `probe`, which runs the model again,
never on more pictures at once than the caller allows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from classlens.arrays import Float, Int
from classlens.cam.capture import observe
from classlens.cam.classifier import Classifier, Layer
from classlens.cam.forward import first_tensor, hook_layers, logits_of, output_of, replace_tensor
from classlens.cam.layout import Layout
from classlens.cam.targets import Objective, probabilities
from classlens.errors import ModelError, first_line

GROWTH = 4
"""The largest output of a network is at least so many times as large as its picture; that much fits into memory."""

TRIED = 2
REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError, ModelError)
"""What code that counts on the size of the batch may raise."""

CLOSE = 1e-3
"""Tolerance, as a share of the largest logit, in which both ways have to agree."""

Variants = Callable[[range], Float[Tensor, "n channels height width"]]
"""Makes some of the variants of a feature map, when their turn has come: all at once could be too many to hold."""


@dataclass(frozen=True, eq=False)
class Probe:
    """The model with the pictures of a batch, the class explained for each, and the layer looked at.

    Variants and activations come in any number n; `of` says for each which picture of the batch it belongs to.
    `samples` is how often a method asks that samples, or goes in steps. Scores are asked for in memory `order`; `count`
    is called after every run of the model with how many variants were in it.
    """

    classifier: Classifier
    batch: Float[Tensor, "batch 3 rows columns"]
    objective: Objective
    layer: Layer
    layout: Layout
    at_once: int
    samples: int = 1
    order: torch.memory_format = torch.contiguous_format
    count: Callable[[int], None] = lambda variants: None

    def scores(
        self, pictures: Float[Tensor, "n 3 rows columns"], of: Int[Tensor, " n"], *, as_probability: bool = False
    ) -> Float[Tensor, " n"]:
        """The score (logit) of each variant's class, or its probability."""
        parts = []
        with torch.no_grad():
            for rows in chunks(len(pictures), self.at_once):
                some = pictures[rows]
                logits = logits_of(self.classifier, some.contiguous(memory_format=self.order))
                self.count(len(some))
                values = probabilities(logits, output_of(self.classifier).kind) if as_probability else logits
                parts.append(self.objective.select(of[rows]).score(values))
        return torch.cat(parts).float()

    def input_gradients(
        self, pictures: Float[Tensor, "n 3 rows columns"], of: Int[Tensor, " n"]
    ) -> Float[Tensor, "n 3 rows columns"]:
        """The gradient of each variant's score with respect to its own encoded pixels."""
        parts: list[Tensor] = []
        for rows in chunks(len(pictures), self.at_once):
            leaf = pictures[rows].detach().clone().requires_grad_()
            score = self.objective.select(of[rows]).score(logits_of(self.classifier, leaf))
            self.count(len(leaf))
            parts.extend(torch.autograd.grad(score.sum(), leaf))
        return torch.cat(parts).float()

    def curvature(self) -> Float[Tensor, "batch channels height width"]:
        """The Hessian of the score at the layer, times the layer's activations; zero where the rest is linear.

        Raises:
            ModelError: torch knows no second derivative of something behind the layer.
        """
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no second derivative
            captured = observe(self.classifier, self.batch, [self.layer])
        if captured.logits is None:
            raise ValueError("the forward pass was stopped")
        (node,) = captured.outputs
        (slope,) = torch.autograd.grad(self.objective.score(captured.logits).sum(), node, create_graph=True)
        if not slope.requires_grad:
            return self.layout.grid(torch.zeros_like(node))
        try:
            (product,) = torch.autograd.grad(slope, node, node.detach(), allow_unused=True)
        except (RuntimeError, NotImplementedError) as error:
            raise ModelError(
                f"no second derivative behind layer {self.layer.name!r}: {first_line(error)}",
                hint="choose a later layer, or a method of first derivatives",
            ) from error
        return self.layout.grid(torch.zeros_like(node) if product is None else product).float()

    def resumed(self, variants: Variants, number: int, picture: int) -> Float[Tensor, " number"]:
        """The score of one picture of the batch with the layer's feature map replaced by each of `number` variants."""
        fed = self.batch[picture : picture + 1]
        few = variants(range(min(TRIED, number)))
        grows, at_once = self.grows(fed, few), self.at_once
        if grows:
            at_once = max(at_once, at_once * GROWTH * fed.numel() // few[0].numel())
        parts = []
        for rows in chunks(number, at_once):
            some = variants(range(rows.start, min(rows.stop, number)))
            logits = self.replayed(fed if grows else fed.expand(len(some), -1, -1, -1), some)
            parts.append(self.objective.select(torch.full((len(some),), picture, device=fed.device)).score(logits))
            self.count(len(some))
        return torch.cat(parts).float()

    def grows(self, fed: Float[Tensor, "1 3 rows columns"], some: Float[Tensor, "n channels height width"]) -> bool:
        """Whether one picture may become a batch at the layer: the logits are those of as many pictures."""
        if len(some) < 2:
            return False
        usual = self.replayed(fed.expand(len(some), -1, -1, -1), some)
        try:
            grown = self.replayed(fed, some)
        except REFUSALS:
            return False
        return grown.shape == usual.shape and bool((grown - usual).abs().max() <= CLOSE * usual.abs().max())

    def replayed(
        self, fed: Float[Tensor, "batch 3 rows columns"], some: Float[Tensor, "n channels height width"]
    ) -> Float[Tensor, "n classes"]:
        """The logits with the layer's feature map replaced; extra tokens are those of the picture fed."""

        def exchange(layer: Layer, inputs: object, output: object) -> object:
            tensor: Any = first_tensor(output)  # there is one, or the layer would have been refused
            pieces = tensor.reshape(len(fed), -1, *tensor.shape[1:])  # a picture is one, or several windows
            everywhere = pieces.expand(len(some), *pieces.shape[1:]).flatten(0, 1)
            return replace_tensor(output, self.layout.filled(everywhere, some.to(tensor.dtype)))

        with torch.no_grad(), hook_layers([self.layer], exchange):
            return logits_of(self.classifier, fed, rows=len(some))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the model showed of one layer, for one batch and one class per picture. Numbers are float32.

    `gradients` are those of the score with respect to `activations`; zeros where no method asked for them.
    """

    activations: Float[Tensor, "batch channels height width"]
    gradients: Float[Tensor, "batch channels height width"]
    probe: Probe | None = None

    @property
    def model(self) -> Probe:
        if self.probe is None:
            raise ValueError("this evidence has no model to ask")
        return self.probe


def chunks(count: int, at_once: int) -> Iterator[slice]:
    return (slice(start, start + at_once) for start in range(0, count, at_once))


def quickest_order(classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"]) -> torch.memory_format:
    """The order of a picture's numbers in memory with which the model is to be run often.

    With channels last, a CPU takes two thirds to three quarters of the time for convolutional networks (MobileNetV3,
    EfficientNet, ResNet-50, batches of 16). A model whose code relies on the usual order raises an error.
    """
    if batch.device.type != "cpu":
        return torch.contiguous_format
    try:
        with torch.no_grad():
            logits_of(classifier, batch[:1].contiguous(memory_format=torch.channels_last))
    except (RuntimeError, ModelError):
        return torch.contiguous_format
    return torch.channels_last
