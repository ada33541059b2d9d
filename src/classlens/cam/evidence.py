"""What a network shows of its layers, and the further questions that a method may put to it.

`observe` keeps what layers put out in one forward pass. Most methods need the `Evidence` of one layer alone. Those that
mask pictures or activations ask its `Probe`, which runs the model again, never on more pictures at once than allowed.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from classlens.arrays import Float, Int
from classlens.cam.classifier import Batch, Classifier, Layer, Logits
from classlens.cam.forward import OUTPUTS, Objective, hook_layers, logits_of, probabilities
from classlens.cam.layout import Grid, Layout, extra_tokens, layout_of, possible_layouts
from classlens.errors import ModelError, first_line

NO_GRADIENT = "passes no gradient on (quantised, or computed under no_grad): take a method that needs none"


@dataclass(frozen=True, eq=False)
class Captured:
    """The outputs of layers, as nodes of the graph from the first of them to the logits; None if stopped before those."""

    outputs: tuple[Float[Tensor, "..."], ...]
    layouts: tuple[Layout, ...]
    logits: Logits | None


class _LayersDone(BaseException):
    """All layers have run. No `Exception`: on its way out it passes code of users and adapters, which handles those."""


def observe(classifier: Classifier, batch: Batch, layers: Sequence[Layer], *, stop: bool = False) -> Captured:
    """Inside `preserved`, forward `batch` and keep what `layers` put out; with `stop`, go no further than the last."""
    outputs: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}

    def cut(layer: Layer, entering: Tensor | None, leaving: Tensor) -> Tensor:
        node = leaving if leaving.requires_grad else leaving.detach().requires_grad_()
        outputs[layer.name].append(node)
        if stop and all(outputs.values()):
            raise _LayersDone
        return node.clone()  # an activation behind it that works in place overwrites this, and not what is kept

    logits = None
    with hook_layers(layers, cut), suppress(_LayersDone):
        logits = logits_of(classifier, batch)
    for layer in layers:
        if (times := len(outputs[layer.name])) != 1:
            hint = "choose one that does so once: what stands in front of it or behind it, or the block around it; "
            hint += "--preview-model shows which layers run, and what they put out"
            ran = f"ran {times} times in one forward pass" if times else "did not run, or put out no tensor"
            message = f"layer {layer.name!r} {ran}"
            raise ModelError(message, hint=hint)
    nodes = tuple(node for (node,) in outputs.values())
    if logits is None and not all(node.isfinite().all() for node in nodes):
        logits_of(classifier, batch)  # its error names the layer to blame
    shapes = [(layer, tuple(node.shape)) for layer, node in zip(layers, nodes, strict=True)]
    layouts = tuple(
        layout or layout_of(layer, shape, batch.shape, extra_tokens(classifier))  # its error says why there is none
        for (layer, shape), layout in zip(shapes, possible_layouts(classifier, shapes, batch.shape), strict=True)
    )
    return Captured(nodes, layouts, logits)


GROWTH = 4  # how many times larger than its picture the largest output of a network is at least: so much fits in memory
CLOSE = 1e-3  # share of the largest logit in which those of a grown batch, tried with two variants, have to agree
REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError, ModelError)  # where a batch must not grow


@dataclass(frozen=True, eq=False)
class Probe:
    """The model with the pictures of a batch, the class explained for each, and the layer looked at.

    Variants come in any number; `of` says for each which picture it belongs to. `samples` is how often a method asks that
    samples, or goes in steps. Pictures are fed in memory `order`; `count` is called after a run with how many were in it.
    """

    classifier: Classifier
    batch: Batch
    objective: Objective
    layer: Layer
    layout: Layout
    at_once: int
    samples: int = 1
    order: torch.memory_format = torch.contiguous_format
    count: Callable[[int], None] = lambda variants: None

    def scores(
        self, pictures: Batch, of: Int[Tensor, " batch"], *, as_probability: bool = False
    ) -> Float[Tensor, " batch"]:
        """The score (logit) of each variant's class, or its probability."""
        with torch.no_grad():
            values = logits_of(self.classifier, pictures.contiguous(memory_format=self.order))
        self.count(len(pictures))
        if as_probability:
            values = probabilities(values, OUTPUTS[self.classifier].kind)
        return self.objective.select(of).score(values).float()

    def input_gradients(self, pictures: Batch, of: Int[Tensor, " batch"]) -> Batch:
        """The gradient of each variant's score with respect to its own encoded pixels."""
        leaf = pictures.detach().clone().requires_grad_()
        score = self.objective.select(of).score(logits_of(self.classifier, leaf))
        self.count(len(leaf))
        (slope,) = torch.autograd.grad(score.sum(), leaf)
        return slope.float()

    def curvature(self) -> Grid:
        """The Hessian of the score at the layer, times the layer's activations; zero where the rest is linear."""
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no second derivative
            captured = observe(self.classifier, self.batch, [self.layer])
        (node,) = captured.outputs
        score = self.objective.score(captured.logits).sum()  # type: ignore[arg-type] # it was not stopped
        (slope,) = torch.autograd.grad(score, node, create_graph=True)
        product = None
        if slope.requires_grad:
            try:
                (product,) = torch.autograd.grad(slope, node, node.detach(), allow_unused=True)
            except (RuntimeError, NotImplementedError) as error:
                message = f"no second derivative behind layer {self.layer.name!r}: {first_line(error)}"
                hint = "choose a later layer, or a method of first derivatives"
                raise ModelError(message, hint=hint) from error
        return self.layout.grid(torch.zeros_like(node) if product is None else product).float()

    def scores_without(
        self, channels: Int[Tensor, " n"], maps: Float[Tensor, "all height width"], picture: int
    ) -> Tensor:
        """The score of one picture with the feature map of the layer as it is, then without each of the channels."""

        def without(start: int, stop: int) -> Tensor:  # when their turn has come: all at once could be too many to hold
            changed = maps.repeat(min(stop, len(channels) + 1) - start, 1, 1, 1)
            for place, variant in enumerate(changed, start):
                if place:
                    variant[channels[place - 1]] = 0
            return changed

        fed, few = self.batch[picture : picture + 1], without(0, 2)
        usual, grows = self.replayed(fed.expand(len(few), -1, -1, -1), few), False
        with suppress(*REFUSALS):  # may one picture become a batch at the layer, with the logits of as many pictures?
            grows = torch.allclose(self.replayed(fed, few), usual, rtol=0, atol=CLOSE * float(usual.abs().max()))
        at_once, parts = self.at_once, []
        if grows:
            at_once = max(at_once, at_once * GROWTH * fed.numel() // maps.numel())
        for start in range(0, len(channels) + 1, at_once):
            some = without(start, start + at_once)
            logits = self.replayed(fed if grows else fed.expand(len(some), -1, -1, -1), some)
            parts.append(self.objective.select(torch.full((len(some),), picture, device=fed.device)).score(logits))
            self.count(len(some))
        return torch.cat(parts).float()

    def replayed(self, fed: Batch, some: Grid) -> Float[Tensor, "maps classes"]:
        """The logits with the layer's feature map replaced; extra tokens are those of the picture fed."""

        def exchange(layer: Layer, entering: Tensor | None, leaving: Tensor) -> Tensor:
            pieces = leaving.reshape(len(fed), -1, *leaving.shape[1:])  # a picture is one, or several windows
            everywhere = pieces.expand(len(some), *pieces.shape[1:]).flatten(0, 1)
            return self.layout.filled(everywhere, some.to(leaving.dtype))

        with torch.no_grad(), hook_layers([self.layer], exchange):
            return logits_of(self.classifier, fed, rows=len(some))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the model showed of one layer, for one batch and one class per picture, in float32.

    `gradients` are those of the score with respect to `activations`; zeros where no method asked for them.
    """

    activations: Grid
    gradients: Grid
    probe: Probe | None = None

    @property
    def model(self) -> Probe:
        if self.probe is None:
            raise ValueError("this evidence has no model to ask")
        return self.probe


def quickest_order(classifier: Classifier, batch: Batch) -> torch.memory_format:
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
