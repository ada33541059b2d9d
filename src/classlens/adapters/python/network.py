"""A network of the user as a classifier: how it is fed is read off its test transform, or off what built it.

The test transform is the one beside the network, else that of a dataset for validation or testing. Without any, timm's
and transformers' own records are used where the network carries them, and ImageNet's usual encoding at 224 x 224 where
it does not, which is said in a note.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from classlens.adapters.input_channels import takes_grey, to_input_channels
from classlens.adapters.python.kinds import Thing
from classlens.adapters.python.network_output import class_scores, kind_of
from classlens.adapters.test_transform import Entry, Feeding, as_colour, as_grey, draws, feeding, feeding_through, usual
from classlens.arrays import Float
from classlens.cam.classifier import Classifier
from classlens.checkpoints.load_weights import load_checkpoint
from classlens.dataset.dataset import Dataset
from classlens.dataset.state import array_of, picture_in, put_in_place
from classlens.errors import ClasslensError, ModelError
from classlens.image import Encoding, Image
from classlens.user_code import users_code

HOW_FED = "a test transform beside the network says how it is fed: (model, transform)"
PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
TESTED = ("val", "test")
"""The splits whose pipeline is also how the network is fed; that of another may draw, as it does for training."""

SIDE = 224
"""The side of the picture that a network is fed where nothing says otherwise."""


def classifier_of(
    given: Thing, name: str, checkpoint: str | None, *, transform: Thing, datasets: Mapping[str, Dataset], trust: bool
) -> Classifier:
    """The user's record, or a record of the user's module, fed and named as what stands beside it says.

    Raises:
        DataError: the checkpoint does not fit, or the pipeline fails on a picture.
    """
    module = given.module if isinstance(given, Classifier) else given
    names = load_checkpoint(module, checkpoint, trust=trust) if checkpoint is not None else None
    grey = takes_grey(module)
    fed = feeding(transform, grey=grey) if transform is not None else fed_as_in(datasets, grey=grey)
    if isinstance(given, Classifier):
        record = replace(given, **(vars(fed) if fed else {}))
    else:
        record = Classifier(
            name=name,
            module=module,
            logits=partial(scores, module, name, grey),
            classes=classes_of(inside(module)),
            output=kind_of(inside(module)),
            **vars(fed or told_by(inside(module), name, grey=grey)),
        )
    return replace(record, classes=names or record.classes or names_in(datasets))


def names_in(datasets: Mapping[str, Dataset]) -> tuple[str, ...] | None:
    return next((dataset.classes for dataset in datasets.values() if dataset.classes), None)


def fed_as_in(datasets: Mapping[str, Dataset], *, grey: bool) -> Feeding | None:
    """The pipeline for validation or testing, or another one that draws nothing, on pictures as their dataset gives them.

    Raises:
        DataError: the pipeline fails on a picture.
    """
    for split, dataset in datasets.items():
        if dataset.takes_transforms and dataset.stages:
            entry = entry_of(dataset)
            if split in TESTED or not draws(dataset.stages, entry):
                return feeding_through(dataset.stages, entry, grey=grey)
    return None


def entry_of(dataset: Dataset) -> Entry:
    """Puts a picture where the dataset's first sample has its own, in the same form: a pair, a dict, an array."""
    try:
        value = dataset.load(0).value
    except ClasslensError:
        return as_colour  # its files need not be here
    return lambda image: put_in_place(value, picture_in(value), like(picture_in(value), image))


def like(example: Thing, image: Image) -> Thing:
    """A picture in the form of another one: Pillow's, an array or a tensor, grey or in colours."""
    if isinstance(example, Pillow.Image):
        return as_colour(image).convert(example.mode if example.mode in ("L", "RGBA") else "RGB")
    array, layout = array_of(example)
    grey = example.ndim == 2 or example.shape[2 if layout == "HWC" else 0] == 1
    pixels = np.array(as_grey(image))[..., None] if grey else image.pixels
    pixels = pixels[..., 0] if example.ndim == 2 else pixels if layout == "HWC" else pixels.transpose(2, 0, 1)
    if array.dtype.kind == "f":
        pixels = pixels * array.dtype.type(1 / 255 if array.max() <= 2 else 1)
    pixels = np.ascontiguousarray(pixels)
    return torch.from_numpy(pixels).to(example.dtype) if isinstance(example, Tensor) else pixels.astype(example.dtype)


def scores(
    module: nn.Module,
    name: str,
    grey: bool,  # noqa: FBT001 - bound by partial
    batch: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, "batch classes"]:
    """The class scores in whatever the module returns.

    Raises:
        ModelError: it does not take the batch, or nothing in what it returns is known for the class scores.
    """
    size = " x ".join(map(str, batch.shape[2:]))
    names = classes_of(inside(module))
    count = None if names is None else len(names)
    with users_code(f"{name}, given a picture of {size},", ModelError, hint=HOW_FED):
        return class_scores(module, lambda: module(to_input_channels(batch, grey=grey)), len(batch), count)


def inside(module: nn.Module) -> nn.Module:
    """The network that `torch.compile` or data parallelism is wrapped around."""
    inner = getattr(module, "_orig_mod", None) or (module.module if isinstance(module, PARALLEL) else None)
    return module if inner is None else inside(inner)


def told_by(module: nn.Module, name: str, *, grey: bool) -> Feeding:
    """What a network says about its own pictures: timm's `pretrained_cfg`, else the usual."""
    if is_timm(module):
        from classlens.adapters.timm import feeding_of

        return feeding_of(module, name)
    said = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    if isinstance(said, dict) and {"input_size", "mean", "std"} <= said.keys():
        height, width = tuple(said["input_size"])[-2:]
        encoding = Encoding("RGB", "CHW", 1.0, tuple(said["mean"]), tuple(said["std"]))
        return replace(usual((height, width), name, grey=grey), encoding=encoding, notes=())
    side = getattr(getattr(module, "config", None), "image_size", None)
    reason = f"neither a test transform nor a dataset under 'val' stands beside {name}"
    return usual(side if isinstance(side, int) else SIDE, reason, grey=grey)


def is_timm(module: nn.Module) -> bool:
    return "timm" in sys.modules and type(module).__module__.startswith("timm.") and hasattr(module, "pretrained_cfg")


def classes_of(module: nn.Module) -> tuple[str, ...] | None:
    """Class names that a network carries: `classes`, `class_names`, or `config.id2label` unless it only numbers them."""
    for name in ("classes", "class_names"):
        given = getattr(module, name, None)
        if isinstance(given, (list, tuple)) and all(isinstance(one, str) for one in given):
            return tuple(given)
    config = getattr(module, "config", None)
    labels = {int(index): str(label) for index, label in (getattr(config, "id2label", None) or {}).items()}
    names = tuple(labels.get(index, "") for index in range(getattr(config, "num_labels", len(labels))))
    numbered = all(name == f"LABEL_{index}" for index, name in enumerate(names))
    return names if all(names) and not numbered else None
