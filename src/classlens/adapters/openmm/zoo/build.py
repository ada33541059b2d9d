"""From a config's `model` to a network: which family builds which `type`, and how the parts are joined.

The tables name functions as text, so that only the family asked for is imported.
"""

from collections.abc import Callable, Mapping
from importlib import import_module

from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import plain_type
from classlens.adapters.openmm.zoo.upstream import build_upstream
from classlens.arrays import Float
from classlens.errors import ConfigError, NotOffered

Builder = Callable[[Settings], nn.Module]

RESNET = "resnet:resnet"
VIT = "vision_transformer:vision_transformer"
BACKBONES: Mapping[str, str] = {
    "ConvNeXt": "convnext:convnext",
    "DeiT3": VIT,
    "DenseNet": "densenet:densenet",
    "DistilledVisionTransformer": VIT,
    "EfficientNet": "efficientnet:efficientnet",
    "EfficientNetV2": "efficientnet_v2:efficientnet_v2",
    "LeNet5": "lenet:lenet",
    "MobileNetV2": "mobilenet_v2:mobilenet_v2",
    "MobileNetV3": "mobilenet_v3:mobilenet_v3",
    "MobileOne": "mobileone:mobileone",
    "PoolFormer": "poolformer:poolformer",
    "RIFormer": "poolformer:poolformer",
    "RegNet": "regnet:regnet",
    "RepVGG": "repvgg:repvgg",
    "ResNeXt": RESNET,
    "ResNet": RESNET,
    "ResNetV1c": RESNET,
    "ResNetV1d": RESNET,
    "ResNet_CIFAR": RESNET,
    "SEResNeXt": RESNET,
    "SEResNet": RESNET,
    "SwinTransformer": "swin:swin",
    "SwinTransformerV2": "swin_v2:swin_v2",
    "T2T_ViT": "t2t_vit:t2t_vit",
    "VAN": "van:van",
    "VGG": "vgg:vgg",
    "VisionTransformer": VIT,
    "XCiT": "xcit:xcit",
}
NECKS: Mapping[str, str] = {
    "ClsBatchNormNeck": "necks:batch_norm_neck",
    "GeneralizedMeanPooling": "necks:generalized_mean_pooling",
    "GlobalAveragePooling": "necks:average_pooling",
}
HEADS: Mapping[str, str] = {
    "ClsHead": "heads:no_head",
    "DeiTClsHead": "token_heads:deit_head",
    "LinearClsHead": "heads:linear_head",
    "MultiLabelClsHead": "heads:no_head",
    "MultiLabelLinearClsHead": "heads:linear_head",
    "StackedLinearClsHead": "heads:stacked_head",
    "VisionTransformerClsHead": "token_heads:vit_head",
}
PARTS: Mapping[str, Mapping[str, str]] = {"backbone": BACKBONES, "neck": NECKS, "head": HEADS}


class ImageClassifier(nn.Module):
    """`backbone`, then `neck` if there is one, then `head`."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        """One logit per class."""
        features = images
        for part in self.children():
            features = part(features)
        return features


def build_network(model: Settings) -> nn.Module:
    """Build the network of `dict(type='ImageClassifier', backbone=..., neck=..., head=...)`.

    A model with a part that is not native is built by mmpretrain as a whole, if that is installed.

    Raises:
        ConfigError: a type or a setting of it is unknown here.
        NotOffered: the model has no head, so it gives features and no class scores.
    """
    if plain_type(model) != "ImageClassifier":
        return build_upstream(model, part="classifier", known=("ImageClassifier",))
    if not model.get("head"):
        raise NotOffered("this model has no head, so it gives no class scores", hint="choose a config with a head")
    given = {part: model[part] for part in PARTS if model.get(part)}
    for part, settings in given.items():
        if plain_type(settings) not in PARTS[part]:
            return build_upstream(model, part=part, known=PARTS[part])
    return ImageClassifier({part: build_part(part, settings) for part, settings in given.items()})


def build_part(part: str, settings: Settings) -> nn.Module:
    """Build a backbone, neck or head of a native type.

    Raises:
        ConfigError: a setting is unknown, or has a value that no network can be built from.
    """
    module, _, function = PARTS[part][plain_type(settings)].partition(":")
    builder: Builder = getattr(import_module(f"classlens.adapters.openmm.zoo.{module}"), function)
    try:
        return builder(settings)
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError, ArithmeticError) as error:
        # Values of any type come out of a config, and torch and Python complain of wrong ones in all these ways.
        raise ConfigError(
            f"{part} {settings['type']} cannot be built: {error}", hint=f"check {dict(settings)}"
        ) from error
