"""How the logits of a network become probabilities, as its configuration or its loss says.

A network that is trained with a loss of sigmoids tells labels apart one by one; one that is trained with cross entropy
knows one class among several.
"""

from torch import nn

from classlens.cam.classifier import Kind

PROBLEMS: dict[str, Kind] = {"multi_label_classification": "sigmoid", "single_label_classification": "softmax"}
"""What configurations of transformers say under `problem_type`."""

LOSSES: dict[str, Kind] = {
    **dict.fromkeys(("CrossEntropyLoss", "NLLLoss", "LabelSmoothingCrossEntropy", "SoftTargetCrossEntropy"), "softmax"),
    **dict.fromkeys(("BCEWithLogitsLoss", "BCELoss", "MultiLabelSoftMarginLoss"), "sigmoid"),
    **dict.fromkeys(("BinaryCrossEntropy", "AsymmetricLossMultiLabel", "BinaryFocalLossWithLogits"), "sigmoid"),
}
"""Losses of torch, timm and kornia, which a network carries as a member (Lightning) or not at all."""


def kind_of(network: nn.Module) -> Kind | None:
    """Softmax or sigmoid, as the network says; None where it says nothing, or both."""
    problem = getattr(getattr(network, "config", None), "problem_type", None)
    if isinstance(problem, str) and problem in PROBLEMS:
        return PROBLEMS[problem]
    kinds = {LOSSES[name] for part in network.modules() if (name := type(part).__name__) in LOSSES}
    return kinds.pop() if len(kinds) == 1 else None
