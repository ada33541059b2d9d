"""Networks that are not built here, built by mmpretrain where it is installed."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.errors import ConfigError, NotOffered, first_line, suggestion
from classlens.zoo.units import plain_type

TRAINING = ("train_cfg", "data_preprocessor", "init_cfg", "pretrained")
"""What a model is not built from when it is only looked at."""


class UpstreamClassifier(nn.Module):
    """mmpretrain's network with its own layer names, asked for logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name, part in network.named_children():
            self.add_module(name, part)
        self.network = (network,)  # in a tuple, so that its layers are not listed twice

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        """One logit per class; networks with several branches are scored by their sum, as mmpretrain predicts."""
        scores = self.network[0](images, mode="tensor")
        return torch.stack(list(scores)).sum(0) if isinstance(scores, tuple | list) else scores


def build_upstream(model: Settings, *, part: str, known: Iterable[str]) -> nn.Module:
    """Have mmpretrain build the whole model, because nobody here builds its `part`.

    Raises:
        ConfigError: mmpretrain is not installed, or does not know the model either.
    """
    name = model[part]["type"] if part in model else model["type"]
    if find_spec("mmpretrain") is None:
        near = suggestion(str(name), known)
        raise ConfigError(
            f"no native {part} named {name!r}",
            hint=(f"{near} " if near.endswith("?") else "")
            + "mmpretrain builds others, and your own (--trust-config follows custom_imports): "
            f"pip install 'classlens[mmpretrain]'; native are {', '.join(known)}",
        )
    from mmpretrain.models import build_classifier

    settings = {key: plain(value) for key, value in model.items() if key not in TRAINING}
    try:
        with torch.device("cpu"):
            return UpstreamClassifier(build_classifier(settings))
    except (KeyError, TypeError, ValueError, ImportError, AssertionError) as error:
        raise ConfigError(
            f"mmpretrain cannot build the {part} {name!r}: {first_line(error)}",
            hint="a type of your own is registered by custom_imports, which --trust-config follows",
        ) from error


def plain(value: object) -> object:
    """The same settings as dicts and lists, which mmpretrain changes while it builds."""
    if hasattr(value, "items"):
        return {key: plain(inside) for key, inside in value.items()}
    return [plain(inside) for inside in value] if isinstance(value, list) else value


Builder = Callable[[Settings], nn.Module]

RESNET = "resnet:resnet"
VIT = "vision_transformer:vision_transformer"
BACKBONES: Mapping[str, str] = {
    "ConvNeXt": "convnext:convnext",
    "DeiT3": VIT,
    "DenseNet": "densenet:densenet",
    "DistilledVisionTransformer": VIT,
    "EfficientNet": "efficientnet:efficientnet",
    "EfficientNetV2": "efficientnet:efficientnet_v2",
    "LeNet5": "vgg:lenet",
    "MobileNetV2": "mobilenet:mobilenet_v2",
    "MobileNetV3": "mobilenet:mobilenet_v3",
    "MobileOne": "repvgg:mobileone",
    "PoolFormer": "poolformer:poolformer",
    "RIFormer": "poolformer:poolformer",
    "RegNet": "resnet:regnet",
    "RepVGG": "repvgg:repvgg",
    "ResNeXt": RESNET,
    "ResNet": RESNET,
    "ResNetV1c": RESNET,
    "ResNetV1d": RESNET,
    "ResNet_CIFAR": RESNET,
    "SEResNeXt": RESNET,
    "SEResNet": RESNET,
    "SwinTransformer": "swin:swin",
    "SwinTransformerV2": "swin:swin_v2",
    "T2T_ViT": "vision_transformer:t2t_vit",
    "VAN": "van:van",
    "VGG": "vgg:vgg",
    "VisionTransformer": VIT,
    "XCiT": "xcit:xcit",
}
NECKS: Mapping[str, str] = {
    "ClsBatchNormNeck": "heads:batch_norm_neck",
    "GeneralizedMeanPooling": "heads:generalized_mean_pooling",
    "GlobalAveragePooling": "heads:average_pooling",
}
HEADS: Mapping[str, str] = {
    "ClsHead": "heads:no_head",
    "DeiTClsHead": "heads:deit_head",
    "LinearClsHead": "heads:linear_head",
    "MultiLabelClsHead": "heads:no_head",
    "MultiLabelLinearClsHead": "heads:linear_head",
    "StackedLinearClsHead": "heads:stacked_head",
    "VisionTransformerClsHead": "heads:vit_head",
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
    builder: Builder = getattr(import_module(f"classlens.zoo.{module}"), function)
    try:
        return builder(settings)
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError, ArithmeticError) as error:
        # Values of any type come out of a config, and torch and Python complain of wrong ones in all these ways.
        raise ConfigError(
            f"{part} {settings['type']} cannot be built: {error}", hint=f"check {dict(settings)}"
        ) from error
