"""How the logits of a network become probabilities, as its configuration or its loss says.

A network that is trained with a loss of sigmoids tells labels apart one by one; one that is trained with cross entropy
knows one class among several.
"""

from types import FunctionType

from torch import nn

from classlens.cam.classifier import Kind

PROBLEMS: dict[str, Kind] = {"multi_label_classification": "sigmoid", "single_label_classification": "softmax"}
"""What configurations of transformers say under `problem_type`."""

LOSSES: dict[str, Kind] = {
    **dict.fromkeys(("CrossEntropyLoss", "NLLLoss", "LabelSmoothingCrossEntropy", "SoftTargetCrossEntropy"), "softmax"),
    **dict.fromkeys(("BCEWithLogitsLoss", "BCELoss", "MultiLabelSoftMarginLoss"), "sigmoid"),
    **dict.fromkeys(("BinaryCrossEntropy", "AsymmetricLossMultiLabel", "BinaryFocalLossWithLogits"), "sigmoid"),
    **dict.fromkeys(("cross_entropy", "nll_loss"), "softmax"),
    **dict.fromkeys(("binary_cross_entropy_with_logits", "binary_cross_entropy", "sigmoid_focal_loss"), "sigmoid"),
}
"""Losses of torch, timm and kornia that a network, most often of Lightning, has as a member or calls in a method."""


def kind_of(network: nn.Module) -> Kind | None:
    """Softmax or sigmoid, as the network says; None where it says nothing, or both."""
    config = getattr(network, "config", None)
    if config is not None and hasattr(config, "problem_type"):
        return PROBLEMS.get(config.problem_type, "softmax")
    if hasattr(network, "pretrained_cfg"):  # timm's are all of one class among several
        return "softmax"
    members = {type(part).__name__ for part in network.modules()}
    methods = [part for part in vars(type(network)).values() if isinstance(part, FunctionType)]
    called = {name for method in methods for name in method.__code__.co_names}
    kinds = {LOSSES[name] for name in members | called if name in LOSSES}
    return kinds.pop() if len(kinds) == 1 else None
