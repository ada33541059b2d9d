"""What a method gets to see of one layer, and the further questions it may put to the model.

Most methods need `Evidence` alone. Those that mask pictures or activations ask its `probe`, which runs the model again,
never on more pictures at once than the caller allows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from classlens.arrays import Float, Int
from classlens.cam.classifier import Classifier, Layer
from classlens.cam.evidence import observe
from classlens.cam.grids import Layout
from classlens.cam.passes import first_line, hooked, logits_of, main_tensor, replaced
from classlens.cam.targets import Objective
from classlens.errors import ModelError


@dataclass(frozen=True, eq=False)
class Probe:
    """The model with the pictures of a batch, the class explained for each, and the layer looked at.

    Variants and activations come in any number n; `of` says for each which picture of the batch it belongs to.
    """

    classifier: Classifier
    batch: Float[Tensor, "batch 3 rows columns"]
    objective: Objective
    layer: Layer
    layout: Layout
    at_once: int

    def scores(self, pictures: Float[Tensor, "n 3 rows columns"], of: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The score (logit) of each variant's class."""
        with torch.no_grad():
            parts = [
                self.objective.picked(of[rows]).score(logits_of(self.classifier, pictures[rows]))
                for rows in self.chunks(len(pictures))
            ]
        return torch.cat(parts).float()

    def probabilities(self, pictures: Float[Tensor, "n 3 rows columns"], of: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The softmax probability of each variant's class."""
        with torch.no_grad():
            parts = [
                self.objective.picked(of[rows]).score(logits_of(self.classifier, pictures[rows]).softmax(dim=1))
                for rows in self.chunks(len(pictures))
            ]
        return torch.cat(parts).float()

    def resumed(
        self, activations: Float[Tensor, "n channels height width"], of: Int[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """The score of each variant's class with the layer's feature map replaced by other activations."""
        wanted: list[Tensor] = []

        def exchange(module: nn.Module, inputs: object, output: object) -> object:
            tensor = main_tensor(output, self.layer)
            return replaced(output, self.layout.filled(tensor, wanted[0].to(tensor.dtype)))

        parts = []
        with torch.no_grad(), hooked([(self.layer.module, exchange)]):
            for rows in self.chunks(len(activations)):
                wanted[:] = [activations[rows]]
                logits = logits_of(self.classifier, self.batch[of[rows]])
                parts.append(self.objective.picked(of[rows]).score(logits))
        return torch.cat(parts).float()

    def input_gradients(
        self, pictures: Float[Tensor, "n 3 rows columns"], of: Int[Tensor, " n"]
    ) -> Float[Tensor, "n 3 rows columns"]:
        """The gradient of each variant's score with respect to its own encoded pixels."""
        parts: list[Tensor] = []
        for rows in self.chunks(len(pictures)):
            leaf = pictures[rows].detach().clone().requires_grad_()
            score = self.objective.picked(of[rows]).score(logits_of(self.classifier, leaf))
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

    def chunks(self, count: int) -> Iterator[slice]:
        """Rows to take at once."""
        return (slice(start, start + self.at_once) for start in range(0, count, self.at_once))


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
