"""The networks that are built here: which type of a config's backbone, neck and head is which class."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NoReturn

from torch import nn

from classlens.config.settings import Settings
from classlens.errors import ConfigError, NotOffered, short_repr, suggestion
from classlens.zoo.units import Chain, build_part, plain_type

RESNET, VIT = "resnet:ResNet", "vision_transformer:VisionTransformer"
POOLFORMER = "metaformer:PoolFormer"
BACKBONES: Mapping[str, str] = {
    "ConvNeXt": "metaformer:ConvNeXt",
    "DeiT3": VIT,
    "DenseNet": "resnet:DenseNet",
    "DistilledVisionTransformer": VIT,
    "EfficientNet": "inverted_residual:EfficientNet",
    "EfficientNetV2": "inverted_residual:EfficientNet",
    "LeNet5": "vgg:LeNet",
    "MobileNetV2": "inverted_residual:MobileNetV2",
    "MobileNetV3": "inverted_residual:MobileNetV3",
    "MobileOne": "vgg:MobileOne",
    "PoolFormer": POOLFORMER,
    "RIFormer": POOLFORMER,
    "RegNet": "resnet:RegNet",
    "RepVGG": "vgg:RepVGG",
    "ResNeXt": RESNET,
    "ResNet": RESNET,
    "ResNetV1c": RESNET,
    "ResNetV1d": RESNET,
    "ResNet_CIFAR": RESNET,
    "SEResNeXt": RESNET,
    "SEResNet": RESNET,
    "SwinTransformer": "swin:Swin",
    "SwinTransformerV2": "swin:Swin",
    "T2T_ViT": "vision_transformer:T2TViT",
    "VAN": "metaformer:VAN",
    "VGG": "vgg:VGG",
    "VisionTransformer": VIT,
    "XCiT": "vision_transformer:XCiT",
}
NECKS: Mapping[str, str] = {
    "ClsBatchNormNeck": "units:BatchNormNeck",
    "GeneralizedMeanPooling": "units:GeneralizedMeanPooling",
    "GlobalAveragePooling": "units:GlobalAveragePooling",
}
HEADS: Mapping[str, str] = {
    "ClsHead": "units:NoHead",
    "DeiTClsHead": "units:DeiTHead",
    "LinearClsHead": "units:LinearHead",
    "MultiLabelClsHead": "units:NoHead",
    "MultiLabelLinearClsHead": "units:LinearHead",
    "StackedLinearClsHead": "units:StackedHead",
    "VisionTransformerClsHead": "units:ViTHead",
}
PARTS: Mapping[str, Mapping[str, str]] = {"backbone": BACKBONES, "neck": NECKS, "head": HEADS}
"""Module and class of each type."""


class ImageClassifier(Chain):
    """`backbone`, then `neck` if there is one, then `head`."""


Fallback = Callable[[Settings, str, Iterable[str]], nn.Module]
"""Builds a whole model of which nobody here builds a part: called with model, part, and the types that are built here."""


def refuse(model: Settings, part: str, known: Iterable[str]) -> NoReturn:
    name = model.get(part, model)["type"]
    raise ConfigError(f"no native {part} named {short_repr(name)}", hint=suggestion(name, known))


def build_network(model: Settings, *, fallback: Fallback = refuse) -> nn.Module:
    """Build the network of `dict(type='ImageClassifier', backbone=..., neck=..., head=...)`.

    A model with a part that is not native is built by the `fallback` as a whole.

    Raises:
        ConfigError: a type or a setting of it is unknown here, or has a value that no network can be built from.
        NotOffered: the model has no head, so it gives features and no class scores.
    """
    if plain_type(model) != "ImageClassifier":
        return fallback(model, "classifier", ("ImageClassifier",))
    if not model.get("head"):
        raise NotOffered("this model has no head, so it gives no class scores", hint="choose a config with a head")
    parts = {part: model[part] for part in PARTS if model.get(part)}
    for part, settings in parts.items():
        if plain_type(settings) not in PARTS[part]:
            return fallback(model, part, PARTS[part])
    built = {}
    for part, settings in parts.items():
        module, _, attribute = PARTS[part][plain_type(settings)].partition(":")
        builder: Any = getattr(import_module(f"classlens.zoo.{module}"), attribute)
        try:
            built[part] = build_part(builder, settings)
        except (TypeError, ValueError, AttributeError, LookupError, RuntimeError, ArithmeticError) as error:
            # Values of any type come out of a config, and torch and Python complain of wrong ones in all these ways.
            what = f"{part} {settings['type']} cannot be built: {error}"
            raise ConfigError(what, hint=f"check {dict(settings)}") from error
    return ImageClassifier(built)
