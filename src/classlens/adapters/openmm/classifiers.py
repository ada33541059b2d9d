"""From a setup and a checkpoint to the record that the CAM engine reads.

The picture is fed as the config's test pipeline and its normalisation say; the class names are the checkpoint's, else
the dataset's, else ImageNet-1k's where the network has 1000 classes.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from classlens.adapters.feeding import grey_scores, read_grey, takes_grey
from classlens.adapters.openmm.parameter_groups import Parameter
from classlens.adapters.openmm.published_names import imagenet_names
from classlens.adapters.openmm.setup import Preprocessing, Setup, wrapped_datasets
from classlens.adapters.openmm.stages.build_stages import test_pipeline
from classlens.adapters.openmm.upgrades import load_weights
from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Kind, as_it_is
from classlens.checkpoints.download import find_checkpoint
from classlens.checkpoints.load_checkpoint import Weights, read_weights
from classlens.config.settings import Settings
from classlens.errors import ConfigError, DataError, NotOffered, first_line, suggestion
from classlens.image import Encoding, Image
from classlens.zoo.build import build_network
from classlens.zoo.units import plain_type

USUAL_PIPELINE: tuple[Settings, ...] = (
    {"type": "ResizeEdge", "scale": 256, "edge": "short"},
    {"type": "CenterCrop", "crop_size": 224},
)
"""For configs without a test pipeline: the most frequent one."""

NO_PIPELINE = (
    "the config has no test pipeline: pictures are fed with their short side at 256, the middle 224 x 224 of them"
)

PROBE = Image(np.zeros((512, 512, 3), np.uint8))
"""A picture that shows to which size a pipeline brings pictures."""


def open_classifier(setup: Setup, checkpoint: str | None, *, trust_checkpoint: bool = False) -> Classifier:
    """Build the config's network with the weights at `checkpoint`, or with those that its `load_from` names.

    Raises:
        NotOffered: the config has no model or no head, or there are no weights.
        ConfigError: the model's settings cannot be followed.
        DataError: the checkpoint is missing, unreadable or does not fit.
        MissingDependency: a package that ships the weights is not installed.
    """
    address = checkpoint or setup.load_from
    if address is None:
        raise NotOffered(f"{setup.path.name} names no weights", hint="give a checkpoint: a path or an https URL")
    path = find_checkpoint(address)
    network = build_module(setup, device="meta")
    weights = read_weights(path, trust=trust_checkpoint)
    load_weights(network, weights.tensors, where=path.name)
    return record_of(setup, network, class_names(weights, setup))


def open_untrained(setup: Setup) -> Classifier:
    """The config's network with random weights: to look at its layers, not through them.

    Raises:
        NotOffered: the config has no model or no head.
        ConfigError: the model's settings cannot be followed.
    """
    return replace(
        record_of(setup, build_module(setup), None), name=f"{setup.path.stem} (untrained, no weights are named)"
    )


def record_of(setup: Setup, network: nn.Module, classes: tuple[str, ...] | None) -> Classifier:
    """A network with all that the config says about feeding it."""
    network.eval().requires_grad_(False)
    pipeline = feeding_pipeline(setup)
    prepare = test_pipeline(pipeline, where=f"{setup.path.name}, test pipeline")
    backbone = (setup.model or {}).get("backbone") or {}
    grey = takes_grey(network, backbone.get("in_channels"), f"the backbone of {setup.path.name}")
    built = network.get_submodule("backbone")
    layer = getattr(built, "default_layer", None)
    tokens = getattr(built, "extra_tokens", getattr(built, "num_extra_tokens", None))  # the latter in mmpretrain's
    return Classifier(
        name=setup.path.stem,
        module=network,
        logits=partial(grey_scores, network) if grey else network,
        encoding=encoding_of(setup.preprocessing),
        size=prepare(PROBE).size,
        prepare=(lambda image: prepare(read_grey(image))) if grey else prepare,
        prepare_whole=read_grey if grey else as_it_is,
        classes=classes,
        default_layer=layer and f"backbone.{layer}",
        extra_tokens=tokens if isinstance(tokens, int) else None,
        output=output_kind(setup),
        notes=(NO_PIPELINE,) if pipeline is USUAL_PIPELINE else (),
    )


def build_module(setup: Setup, *, device: Literal["cpu", "meta"] = "cpu") -> nn.Module:
    """The config's network with random weights, or on "meta" with names and shapes only.

    Raises:
        NotOffered: the config has no model, or a model without a head.
        ConfigError: the model's settings cannot be followed.
    """
    if setup.model is None:
        raise NotOffered(f"{setup.path.name} has no model", hint="choose a config with model = dict(...)")
    with torch.device(device):
        return build_network(setup.model, fallback=build_upstream).eval()


def encoding_of(preprocessing: Preprocessing) -> Encoding:
    """How the network wants its pixels: without a mean and std they stay 0..255.

    Raises:
        ConfigError: mean or std is not one number, or one per channel.
    """
    mean, std = preprocessing.mean or (0.0,), preprocessing.std or (1.0,)
    mean, std = (numbers * 3 if len(numbers) == 1 else numbers for numbers in (mean, std))
    if len(mean) != 3 or len(std) != 3:
        raise ConfigError(
            f"mean {mean} and std {std} are not one or three numbers each", hint="pictures have three channels"
        )
    order: Literal["RGB", "BGR"] = "RGB" if preprocessing.to_rgb else "BGR"
    return Encoding(order, "CHW", 255.0, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


def feeding_pipeline(setup: Setup) -> tuple[Settings, ...]:
    """What pictures pass before they are classified: the pipeline of the test split, else of validation."""
    for name in ("test", "val"):
        if name in setup.splits and setup.splits[name].pipeline:
            return setup.splits[name].pipeline
    return USUAL_PIPELINE


def output_kind(setup: Setup) -> Kind:
    """What makes probabilities of the logits: sigmoid for heads of several labels, and where the loss says so.

    Trained with such a loss on data with one label each, a usual head predicts by softmax in upstream, too.
    """
    head = (setup.model or {}).get("head") or {}
    if "type" not in head:
        return "softmax"
    kind, loss = plain_type(head), head.get("loss")
    if kind.startswith("MultiLabel") or kind == "CSRAClsHead" or head.get("use_sigmoid"):
        return "sigmoid"
    loss = loss if isinstance(loss, Mapping) else {}
    usual = loss.get("type") in ("AsymmetricLoss", "FocalLoss") or loss.get("mode") == "multi_label"
    by_loss = usual if loss.get("use_sigmoid") is None else bool(loss["use_sigmoid"])
    return "sigmoid" if by_loss and not has_one_label(setup) else "softmax"


def has_one_label(setup: Setup) -> bool:
    """Whether the pictures of the config's dataset are known to have one label each."""
    from classlens.adapters.openmm.datasets import KINDS  # needed for few heads, and not light

    kinds = {kind for split in setup.splits.values() for kind in innermost(split.dataset)}
    return bool(kinds) and kinds <= KINDS.keys() - {"BaseDataset", "MultiLabelDataset", "VOC"}


def innermost(dataset: Settings) -> set[str]:
    members = wrapped_datasets(dataset).values()
    return set().union(*map(innermost, members)) if members else {plain_type(dataset)}


def class_names(weights: Weights, setup: Setup) -> tuple[str, ...] | None:
    """The names of the classes, one for each logit; None where nobody says.

    Raises:
        DataError: the checkpoint or the config names another number of classes than the network tells apart.
    """
    model = setup.model or {}
    counts = [
        (model.get(part) or {}).get("num_classes") for part in ("head", "backbone")
    ]  # of VGG and LeNet5 the latter
    count = next((count for count in counts if isinstance(count, int) and count > 0), 0)
    names, origin = (weights.classes, "the checkpoint") if weights.classes else (dataset_names(setup), setup.path.name)
    if names and count and len(names) != count and (len(names), count) != (2, 1):  # two sides of a single logit
        raise DataError(
            f"{origin} names {len(names)} classes, but the network tells {count} apart",
            hint="set model.head.num_classes, or name the classes in the dataset's metainfo",
        )
    return names or imagenet_names(count)


def dataset_names(setup: Setup) -> tuple[str, ...] | None:
    """The names that the config spells out, or that its dataset has wherever its files are."""
    from classlens.adapters.openmm.datasets import names_without_data  # needed for few checkpoints, and not light

    for name, split in setup.splits.items():
        with suppress(DataError):  # a file of names that is not on this machine
            if names := names_without_data(split.dataset, f"{name} dataset"):
                return names
    return setup.classes


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


NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm)


def parameters_of(setup: Setup) -> tuple[Parameter, ...]:
    """All trainable parameters, in the order in which the optimizer gets them.

    Raises:
        ConfigError: the network cannot be built.
        NotOffered: the config has no model.
    """
    return listed(build_module(setup, device="meta"))


def listed(network: nn.Module) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(f"{prefix}.{name}" if prefix else name, tuple(tensor.shape), kind_of(module))
        for prefix, module in network.named_modules()
        for name, tensor in module.named_parameters(recurse=False)
        if tensor.requires_grad
    )


def kind_of(module: nn.Module) -> str:
    """What kind of module the rules of `paramwise_cfg` see."""
    if isinstance(module, NORMS):
        return "norm"
    if isinstance(module, nn.Conv2d) and module.in_channels == module.groups:
        return "depthwise"
    return ""
