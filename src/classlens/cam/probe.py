"""What a method gets to see of one layer, and the further questions it may put to the model.

Most methods need `Evidence` alone. Those that mask pictures or activations ask its `probe`, which runs the model again,
never on more pictures at once than the caller allows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from classlens.arrays import Float, Int
from classlens.cam.capture import observe
from classlens.cam.classifier import Classifier, Layer
from classlens.cam.hooks import hooked, logits_of, main_tensor, replaced
from classlens.cam.layout import Layout
from classlens.cam.output import output_of
from classlens.cam.targets import Objective, probabilities
from classlens.errors import ModelError, first_line


@dataclass(frozen=True, eq=False)
class Probe:
    """The model with the pictures of a batch, the class explained for each, and the layer looked at.

    Variants and activations come in any number n; `of` says for each which picture of the batch it belongs to.
    `samples` is how often a method asks that draws, or goes in steps. Scores are asked for in memory `order`; `tell` is
    called after every run of the model with how many of them are done.
    """

    classifier: Classifier
    batch: Float[Tensor, "batch 3 rows columns"]
    objective: Objective
    layer: Layer
    layout: Layout
    at_once: int
    samples: int = 1
    order: torch.memory_format = torch.contiguous_format
    tell: Callable[[int], None] | None = None

    def scores(self, pictures: Float[Tensor, "n 3 rows columns"], of: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The score (logit) of each variant's class."""
        with torch.no_grad():
            parts = [
                self.objective.picked(of[rows]).score(self.asked(pictures[rows]))
                for rows in chunks(len(pictures), self.at_once)
            ]
        return torch.cat(parts).float()

    def probabilities(self, pictures: Float[Tensor, "n 3 rows columns"], of: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The probability of each variant's class."""
        with torch.no_grad():
            parts = [
                self.objective.picked(of[rows]).score(self.shares(pictures[rows]))
                for rows in chunks(len(pictures), self.at_once)
            ]
        return torch.cat(parts).float()

    def shares(self, pictures: Float[Tensor, "n 3 rows columns"]) -> Float[Tensor, "n classes"]:
        return probabilities(self.asked(pictures), output_of(self.classifier).kind)

    def asked(self, pictures: Float[Tensor, "n 3 rows columns"]) -> Float[Tensor, "n classes"]:
        """The logits of a few variants, in one run."""
        logits = logits_of(self.classifier, pictures.contiguous(memory_format=self.order))
        self.done(len(pictures))
        return logits

    def done(self, count: int) -> None:
        """Tell that so many variants more are done."""
        if self.tell:
            self.tell(count)

    def input_gradients(
        self, pictures: Float[Tensor, "n 3 rows columns"], of: Int[Tensor, " n"]
    ) -> Float[Tensor, "n 3 rows columns"]:
        """The gradient of each variant's score with respect to its own encoded pixels."""
        parts: list[Tensor] = []
        for rows in chunks(len(pictures), self.at_once):
            leaf = pictures[rows].detach().clone().requires_grad_()
            score = self.objective.picked(of[rows]).score(logits_of(self.classifier, leaf))
            self.done(len(leaf))
            parts.extend(torch.autograd.grad(score.sum(), leaf))
        return torch.cat(parts).float()

    def curvature(self) -> Float[Tensor, "batch channels height width"]:
        """The Hessian of the score at the layer, times the layer's activations; zero where the rest is linear.

        Raises:
            ModelError: torch knows no second derivative of something behind the layer.
        """
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no second derivative
            seen = observe(self.classifier, self.batch, [self.layer])
        if seen.logits is None:
            raise ValueError("the forward pass was stopped")
        (node,) = seen.outputs
        (slope,) = torch.autograd.grad(self.objective.score(seen.logits).sum(), node, create_graph=True)
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
        """The probe.

        Raises:
            ValueError: the evidence was made by hand, without a model.
        """
        if self.probe is None:
            raise ValueError("this evidence has no model to ask")
        return self.probe


GROWTH = 4
"""The largest output of a network is at least so many times as large as its picture; that much fits into memory."""

TRIED = 2
REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError, ModelError)
"""What code that counts on the size of the batch may raise."""

CLOSE = 1e-3
"""Tolerance, as a share of the largest logit, in which both ways have to agree."""


Variants = Callable[[range], Float[Tensor, "n channels height width"]]
"""Makes some of the variants of a feature map, when their turn has come: all at once could be too many to hold."""


def resumed(probe: Probe, variants: Variants, count: int, picture: int) -> Float[Tensor, " count"]:
    """The score of one picture of the batch with the layer's feature map replaced by each of `count` variants."""
    fed = probe.batch[picture : picture + 1]
    few = variants(range(min(TRIED, count)))
    growing = grows(probe, fed, few)
    at_once = probe.at_once
    if growing:
        at_once = max(at_once, at_once * GROWTH * fed.numel() // few[0].numel())
    parts = []
    for rows in chunks(count, at_once):
        some = variants(range(rows.start, min(rows.stop, count)))
        logits = replayed(probe, fed if growing else fed.expand(len(some), -1, -1, -1), some)
        parts.append(probe.objective.picked(torch.full((len(some),), picture, device=fed.device)).score(logits))
        probe.done(len(some))
    return torch.cat(parts).float()


def grows(probe: Probe, fed: Float[Tensor, "1 3 rows columns"], some: Float[Tensor, "n channels height width"]) -> bool:
    """Whether one picture may become a batch at the layer: the logits are those of as many pictures."""
    if len(some) < 2:
        return False
    usual = replayed(probe, fed.expand(len(some), -1, -1, -1), some)
    try:
        grown = replayed(probe, fed, some)
    except REFUSALS:
        return False
    return grown.shape == usual.shape and bool((grown - usual).abs().max() <= CLOSE * usual.abs().max())


def replayed(
    probe: Probe, fed: Float[Tensor, "batch 3 rows columns"], some: Float[Tensor, "n channels height width"]
) -> Float[Tensor, "n classes"]:
    """The logits with the layer's feature map replaced; extra tokens are those of the picture fed."""

    def exchange(module: nn.Module, inputs: object, output: object) -> object:
        tensor = main_tensor(output, probe.layer)
        pieces = tensor.reshape(len(fed), -1, *tensor.shape[1:])  # a picture is one, or several windows
        everywhere = pieces.expand(len(some), *pieces.shape[1:]).flatten(0, 1)
        return replaced(output, probe.layout.filled(everywhere, some.to(tensor.dtype)))

    with torch.no_grad(), hooked([(probe.layer.module, exchange)]):
        return logits_of(probe.classifier, fed, rows=len(some))
