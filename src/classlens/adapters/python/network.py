"""A network of the user as a classifier: how it is fed is read off its test transform, or off what built it.

The test transform is the one beside the network, else that of a dataset for validation or testing. Without any, timm's
and transformers' own records are used where the network carries them, and ImageNet's usual encoding at 224 x 224 where
it does not, which is said in a note.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import is_dataclass, replace
from functools import partial
from types import FunctionType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from classlens.adapters.python.kinds import Thing
from classlens.adapters.test_transform import (
    Entry,
    Feeding,
    as_colour,
    as_grey,
    feed_through,
    is_random,
    read_feeding,
    takes_grey,
    to_input_channels,
    usual_feeding,
)
from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Kind
from classlens.checkpoints.load_checkpoint import load_checkpoint
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
    fed = read_feeding(transform, grey=grey) if transform is not None else find_feeding(datasets, grey=grey)
    if isinstance(given, Classifier):
        record = replace(given, **(vars(fed) if fed else {}))
    else:
        record = Classifier(
            name=name,
            module=module,
            logits=partial(compute_scores, module, name, grey),
            classes=classes_of(unwrap_module(module)),
            output=kind_of(unwrap_module(module)),
            **vars(fed or infer_feeding(unwrap_module(module), name, grey=grey)),
        )
    return replace(record, classes=names or record.classes or find_class_names(datasets))


def find_class_names(datasets: Mapping[str, Dataset]) -> tuple[str, ...] | None:
    return next((dataset.classes for dataset in datasets.values() if dataset.classes), None)


def find_feeding(datasets: Mapping[str, Dataset], *, grey: bool) -> Feeding | None:
    """The pipeline for validation or testing, or another one that draws nothing, on pictures as their dataset gives them.

    Raises:
        DataError: the pipeline fails on a picture.
    """
    for split, dataset in datasets.items():
        if dataset.takes_transforms and dataset.stages:
            entry = make_entry(dataset)
            if split in TESTED or not is_random(dataset.stages, entry):
                return feed_through(dataset.stages, entry, grey=grey)
    return None


def make_entry(dataset: Dataset) -> Entry:
    """Puts a picture where the dataset's first sample has its own, in the same form: a pair, a dict, an array."""
    try:
        value = dataset.load(0).value
    except ClasslensError:
        return as_colour  # its files need not be here
    return lambda image: put_in_place(value, picture_in(value), convert_like(picture_in(value), image))


def convert_like(example: Thing, image: Image) -> Thing:
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


def compute_scores(
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
    names = classes_of(unwrap_module(module))
    count = None if names is None else len(names)
    with users_code(f"{name}, given a picture of {size},", ModelError, hint=HOW_FED):
        return class_scores(module, lambda: module(to_input_channels(batch, grey=grey)), len(batch), count)


def unwrap_module(module: nn.Module) -> nn.Module:
    """The network that `torch.compile` or data parallelism is wrapped around."""
    inner = getattr(module, "_orig_mod", None) or (module.module if isinstance(module, PARALLEL) else None)
    return module if inner is None else unwrap_module(inner)


def infer_feeding(module: nn.Module, name: str, *, grey: bool) -> Feeding:
    """What a network says about its own pictures: timm's `pretrained_cfg`, else the usual."""
    if is_timm(module):
        from classlens.adapters.timm import feeding_of_weights

        return feeding_of_weights(module, name)
    said = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    if isinstance(said, dict) and {"input_size", "mean", "std"} <= said.keys():
        height, width = tuple(said["input_size"])[-2:]
        encoding = Encoding("RGB", "CHW", 1.0, tuple(said["mean"]), tuple(said["std"]))
        return replace(usual_feeding((height, width), name, grey=grey), encoding=encoding, notes=())
    side = getattr(getattr(module, "config", None), "image_size", None)
    reason = f"neither a test transform nor a dataset under 'val' stands beside {name}"
    return usual_feeding(side if isinstance(side, int) else SIDE, reason, grey=grey)


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


Returned: TypeAlias = Any
"""What the forward method of a network gives back."""

Path: TypeAlias = tuple[str | int, ...]
"""The keys and places that lead to a tensor inside of it."""

NAMES = ("logits", "out")
COUNTS = ("num_classes", "n_classes", "num_labels")
WRAP = "wrap it in a module that returns a tensor of batch x classes"

CHOSEN: WeakKeyDictionary[nn.Module, Path] = WeakKeyDictionary()
"""Which of several tensors were taken in the first pass of a network."""


class Ancestry(TorchFunctionMode):
    """A mode of torch, which is why this is a class: it notes which tensors were made of which, and keeps none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self.parents: list[set[int]] = []

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """What torch calls in place of each of its functions."""
        result = func(*args, **(kwargs or {}))
        made = [self.number(one) for one in tree_leaves(result) if isinstance(one, Tensor)]
        if made:
            parents = {self.number(one) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
            for number in made:
                self.parents[number] |= parents
        return result

    def number(self, tensor: Tensor) -> int:
        """The tensor's own number."""
        if tensor not in self.numbers:
            self.numbers[tensor] = len(self.parents)
            self.parents.append(set())
        return int(self.numbers[tensor])

    def of(self, tensor: Tensor) -> set[int]:
        """The numbers of all tensors that a tensor was made of."""
        reached: set[int] = set()
        ahead = {self.number(tensor)}
        while ahead:
            reached |= ahead
            ahead = set().union(*(self.parents[number] for number in ahead)) - reached
        return reached

    def last(self, tensors: Mapping[Path, Tensor]) -> Path | None:
        """The tensor that most went into: what went into any other, and more; of equals the one made of the others."""
        origins = {path: self.of(tensor) for path, tensor in tensors.items()}
        roots = {path: {number for number in origin if not self.parents[number]} for path, origin in origins.items()}
        most = [path for path in roots if all(roots[path] >= other for other in roots.values())]
        made = {self.number(tensors[path]) for path in most}
        left = [path for path in most if made <= origins[path]]
        return left[0] if len(left) == 1 else None


def class_scores(module: nn.Module, call: Callable[[], Returned], batch: int, classes: int | None) -> Tensor:
    """Run the network, and pick the scores out of what it returns: a row for each picture, a column for each class.

    Raises:
        ModelError: there are none, or nothing says which of several they are.
    """
    ancestry = Ancestry()
    with nullcontext() if module in CHOSEN else ancestry:
        returned = call()
    tensors = dict(find_tensors(returned))
    path = CHOSEN.get(module)
    if path not in tensors:
        path = CHOSEN[module] = choose_scores(module, returned, tensors, batch, classes, ancestry)
    return to_rows(tensors[path], batch, bare=not path)


def choose_scores(
    module: nn.Module,
    returned: Returned,
    tensors: Mapping[Path, Tensor],
    batch: int,
    classes: int | None,
    ancestry: Ancestry,
) -> Path:
    """Where the class scores are."""
    if () in tensors:
        return ()
    for name in NAMES:
        if (name,) in tensors:
            return (name,)
    real = {path: tensor for path, tensor in tensors.items() if tensor.is_floating_point()}
    rows = {path: to_rows(tensor, batch) for path, tensor in real.items()}
    fitting = {path: one for path, one in rows.items() if one.ndim == 2 and len(one) == batch}
    counts = {
        classes,
        *(getattr(holder, name, None) for holder in (module, getattr(module, "config", None)) for name in COUNTS),
    }
    as_many = {path: one for path, one in fitting.items() if one.shape[1] in counts}
    left = as_many or fitting
    named = [path for path in left if any("logit" in str(step).casefold() for step in path)]
    if len(left) == 1 or len(named) == 1:
        return named[0] if len(named) == 1 else next(iter(left))
    last = ancestry.last({path: tensors[path] for path in left})
    if last is not None and tensors[last].ndim > 1:  # one number a picture behind scores is a confidence or a loss
        return last
    raise ModelError(
        f"{type(module).__name__} returns a {type(returned).__name__}{describe_tensors(tensors)}, "
        + ("and nothing says which are the class scores" if left else "not class scores"),
        hint=f"{WRAP}, or give it num_classes" if left else WRAP,
    )


def describe_tensors(tensors: Mapping[Path, Tensor]) -> str:
    """The tensors in what was returned: ` of 1 x 512 and logits 1 x 10`."""
    shapes = [
        " ".join([*(str(step) for step in path if isinstance(step, str)), " x ".join(map(str, tensor.shape)) or "one number"])
        for path, tensor in tensors.items()
    ]  # fmt: skip
    return f" of {' and '.join(shapes)}" if shapes else ""


def find_tensors(returned: Returned, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Every tensor in dicts, tuples, lists and dataclasses, and what is called `logits` in anything else."""
    if isinstance(returned, Tensor):
        yield path, returned
        return
    if hasattr(returned, "_asdict"):
        returned = returned._asdict()
    elif is_dataclass(returned) and not isinstance(returned, Mapping):
        returned = vars(returned)
    elif not isinstance(returned, Mapping | tuple | list) and hasattr(returned, "logits"):
        returned = {"logits": returned.logits}
    if isinstance(returned, Mapping):
        inside = list(returned.items())
    else:
        inside = list(enumerate(returned)) if isinstance(returned, tuple | list) else []
    for step, member in inside:
        yield from find_tensors(member, (*path, step))


def to_rows(tensor: Tensor, batch: int, *, bare: bool = False) -> Tensor:
    """Scores as batch x classes where they lost a dimension of one, or have some to spare; else as they are.

    What a single picture gives may have lost its row, if it is all that is returned: elsewhere it is a loss, or boxes.
    """
    if tensor.ndim < 2:
        if tensor.ndim == 0:
            return tensor.reshape(1, 1) if bare and batch == 1 else tensor
        return tensor[:, None] if len(tensor) == batch else tensor[None] if bare and batch == 1 else tensor
    wide = sum(side > 1 for side in tensor.shape[1:])
    return tensor.reshape(len(tensor), -1) if tensor.ndim > 2 and wide <= 1 else tensor
