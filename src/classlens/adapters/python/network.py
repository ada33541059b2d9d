"""A network of the user as a classifier: how it is fed is read off its test transform, or off what built it.

Without a transform, timm's and transformers' own records are used where the network carries them, and ImageNet's
usual encoding at 224 x 224 where it does not.
"""

from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from classlens.adapters.fitting import load_checkpoint
from classlens.adapters.pipelines.feeding import IMAGENET, Feeding, feeding, square
from classlens.adapters.python.kinds import Thing
from classlens.adapters.python.returned import class_scores
from classlens.adapters.running import users_code
from classlens.adapters.scoring import kind_of
from classlens.adapters.taking import as_taken, takes_grey
from classlens.arrays import Float
from classlens.cam.classifier import Classifier
from classlens.errors import ModelError
from classlens.image import Encoding

HOW_FED = "a test transform beside the network says how it is fed: (model, transform)"
SIDE = 224
"""The side of the picture that a network is fed where nothing says otherwise."""


def classifier_of(given: Thing, transform: Thing, name: str, checkpoint: str | None, *, trust: bool) -> Classifier:
    """The user's record as it is, or a record of the user's module.

    Raises:
        DataError: the checkpoint does not fit.
    """
    module = given.module if isinstance(given, Classifier) else given
    if checkpoint is not None:
        load_checkpoint(module, checkpoint, trust=trust)
    if isinstance(given, Classifier):
        return given if transform is None else replace(given, **vars(feeding(transform)))
    fed = feeding(transform) if transform is not None else told_by(module)
    return Classifier(
        name=name,
        module=module,
        logits=partial(scores, module, name, takes_grey(module)),
        encoding=fed.encoding,
        size=fed.size,
        prepare=fed.prepare,
        classes=classes_of(module),
        output=kind_of(module),
    )


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
    names = classes_of(module)
    count = None if names is None else len(names)
    with users_code(f"{name}, given a picture of {size},", ModelError, hint=HOW_FED):
        return class_scores(module, lambda: module(as_taken(batch, grey=grey)), len(batch), count)


def told_by(module: nn.Module) -> Feeding:
    """What a network says about its own pictures: timm's `pretrained_cfg`, else the usual."""
    told = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    if isinstance(told, dict) and "input_size" in told:
        size = tuple(told["input_size"])[-2:]
        encoding = Encoding("RGB", "CHW", 1.0, tuple(told["mean"]), tuple(told["std"]))
        return Feeding(square(max(size)), encoding, (size[0], size[1]))
    side = getattr(getattr(module, "config", None), "image_size", None)
    side = side if isinstance(side, int) else SIDE
    return Feeding(square(side), IMAGENET, (side, side))


def classes_of(module: nn.Module) -> tuple[str, ...] | None:
    """Class names that a network carries: `classes`, `class_names`, or `config.id2label`."""
    for name in ("classes", "class_names"):
        given = getattr(module, name, None)
        if isinstance(given, (list, tuple)) and all(isinstance(one, str) for one in given):
            return tuple(given)
    labels = getattr(getattr(module, "config", None), "id2label", None)
    return tuple(labels[index] for index in range(len(labels))) if labels else None
