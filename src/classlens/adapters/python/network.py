"""A network of the user as a classifier: how it is fed is read off its test transform, or off what built it.

The test transform is the one beside the network, else that of a dataset for validation or testing. Without any, timm's
and transformers' own records are used where the network carries them, and ImageNet's usual encoding at 224 x 224 where
it does not, which is said in a note.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import is_dataclass, replace
from functools import partial
from itertools import count
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

from classlens.adapters.feeding import (
    Entry,
    Feeding,
    as_colour,
    as_grey,
    feed_through,
    is_random,
    read_feeding,
    takes_grey,
    usual_feeding,
)
from classlens.adapters.python.kinds import Thing
from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Kind
from classlens.checkpoints.load_checkpoint import load_checkpoint
from classlens.dataset.dataset import Dataset
from classlens.dataset.state import array_of, picture_in, put_in_place
from classlens.errors import ClasslensError, ModelError
from classlens.image import Encoding, Image
from classlens.pipelines.lay_open import triple
from classlens.user_code import users_code

PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def classifier_of(
    thing: Thing, name: str, checkpoint: str | None, *, transform: Thing, datasets: Mapping[str, Dataset], trust: bool
) -> Classifier:
    """The user's record, or a record of the user's module, fed and named as what stands beside it says."""
    module = thing.module if isinstance(thing, Classifier) else thing
    names = load_checkpoint(module, checkpoint, trust=trust) if checkpoint is not None else None
    grey = takes_grey(module)
    if isinstance(transform, Mapping):
        fed: Feeding | None = stated_feeding(transform, name, grey=grey)
    else:
        fed = read_feeding(transform, grey=grey) if transform is not None else find_feeding(datasets, grey=grey)
    if isinstance(thing, Classifier):
        record = replace(thing, **(vars(fed) if fed else {}))
    else:
        inner = unwrap_module(module)
        record = Classifier(
            name=name,
            module=module,
            logits=partial(compute_scores, module, name, grey=grey),
            classes=classes_of(inner),
            output=kind_of(inner),
            **vars(fed or infer_feeding(inner, name, grey=grey)),
        )
    beside = next((dataset.classes for dataset in datasets.values() if dataset.classes), None)
    return replace(record, classes=names or record.classes or beside)


def unwrap_module(module: nn.Module) -> nn.Module:
    """The network that `torch.compile` or data parallelism is wrapped around."""
    inner = getattr(module, "_orig_mod", None) or (module.module if isinstance(module, PARALLEL) else None)
    return module if inner is None else unwrap_module(inner)


def find_feeding(datasets: Mapping[str, Dataset], *, grey: bool) -> Feeding | None:
    """The pipeline for validation or testing, or another one that draws nothing, on pictures as their dataset gives them."""
    for split, dataset in datasets.items():
        if dataset.takes_transforms and dataset.stages:
            entry: Entry = as_colour
            with suppress(ClasslensError):  # its files need not be here
                entry = partial(enter_like, dataset.load(0).value)
            # That of another split may draw, as it does for training.
            if split in ("val", "test") or not is_random(dataset.stages, entry):
                return feed_through(dataset.stages, entry, grey=grey)
    return None


def stated_feeding(numbers: Mapping[str, Thing], name: str, *, grey: bool) -> Feeding:
    """Resized and cropped as ImageNet models are fed, with what is said beside the network: mean, std, size, encoding."""
    size = numbers.get("size", 224)
    sides = tuple(size)[-2:] if isinstance(size, tuple) else (size,)  # (3, 224, 224), (224, 224) or 224
    fed = usual_feeding(sides[0] if len(sides) == 1 else sides, f"{name} says no more", grey=grey)
    encoding: Encoding | None = numbers.get("encoding")
    if encoding is None and ("mean" in numbers or "std" in numbers):
        mean, std = (triple(numbers.get(key, usual)) for key, usual in (("mean", 0.0), ("std", 1.0)))
        encoding = Encoding("RGB", "CHW", 255.0 if max(*mean, *std) > 2 else 1.0, mean, std)
    if encoding is None:
        return fed
    height, width = fed.size
    note = f"pictures are fed as {name} says: the middle {height} x {width}, mean {encoding.mean}, std {encoding.std}"
    return replace(fed, encoding=replace(encoding, layout="CHW"), notes=(note,))


def enter_like(sample: Thing, image: Image) -> Thing:
    """A sample with another picture in the form of its own: Pillow's, an array or a tensor, grey or in colours."""
    example = picture_in(sample)
    if isinstance(example, Pillow.Image):
        mode = example.mode if example.mode in ("L", "RGBA") else "RGB"
        return put_in_place(sample, example, as_colour(image).convert(mode))
    array, layout = array_of(example)
    grey = example.ndim == 2 or example.shape[2 if layout == "HWC" else 0] == 1
    pixels = np.array(as_grey(image))[..., None] if grey else image.pixels
    pixels = pixels if layout == "HWC" else pixels.transpose(2, 0, 1)
    pixels = np.ascontiguousarray(pixels[..., 0] if example.ndim == 2 else pixels)
    if array.dtype.kind == "f":
        pixels = pixels * array.dtype.type(1 / 255 if array.max() <= 2 else 1)
    is_tensor = isinstance(example, Tensor)
    alike = torch.from_numpy(pixels).to(example.dtype) if is_tensor else pixels.astype(example.dtype)
    return put_in_place(sample, example, alike)


def infer_feeding(module: nn.Module, name: str, *, grey: bool) -> Feeding:
    """What a network says about its own pictures: timm's `pretrained_cfg`, the size in a config, else the usual."""
    if hasattr(module, "pretrained_cfg") and "timm" in sys.modules and type(module).__module__.startswith("timm."):
        from classlens.adapters.timm import feeding_of_weights

        return feeding_of_weights(module, name)
    side = getattr(getattr(module, "config", None), "image_size", None)
    reason = f"neither a test transform nor a dataset under 'val' stands beside {name}"
    return usual_feeding(side if isinstance(side, int) else 224, reason, grey=grey)


def classes_of(module: nn.Module) -> tuple[str, ...] | None:
    """Class names that a network carries: `classes`, `class_names`, or `config.id2label` unless it only numbers them."""
    for names in (getattr(module, "classes", None), getattr(module, "class_names", None)):
        if isinstance(names, (list, tuple)) and all(isinstance(one, str) for one in names):
            return tuple(names)
    config = getattr(module, "config", None)
    labels = {int(index): str(label) for index, label in (getattr(config, "id2label", None) or {}).items()}
    names = tuple(labels.get(index, "") for index in range(getattr(config, "num_labels", len(labels))))
    numbered = all(name == f"LABEL_{index}" for index, name in enumerate(names))
    return names if all(names) and not numbered else None


PROBLEMS: dict[str, Kind] = {"multi_label_classification": "sigmoid", "single_label_classification": "softmax"}
"""What configurations of transformers say under `problem_type`."""

SOFTMAX_LOSSES = {
    "CrossEntropyLoss", "NLLLoss", "LabelSmoothingCrossEntropy", "SoftTargetCrossEntropy", "cross_entropy", "nll_loss",
}  # fmt: skip
SIGMOID_LOSSES = {
    "BCEWithLogitsLoss", "BCELoss", "MultiLabelSoftMarginLoss", "BinaryCrossEntropy", "AsymmetricLossMultiLabel",
    "BinaryFocalLossWithLogits", "binary_cross_entropy_with_logits", "binary_cross_entropy", "sigmoid_focal_loss",
}  # fmt: skip
"""Losses of torch, timm and kornia that a network, most often of Lightning, has as a member or calls in a method."""


def kind_of(network: nn.Module) -> Kind | None:
    """Softmax or sigmoid, as the network says; None where it says nothing, or both."""
    config = getattr(network, "config", None)
    if config is not None and hasattr(config, "problem_type"):
        return PROBLEMS.get(config.problem_type, "softmax")
    if hasattr(network, "pretrained_cfg"):  # timm's are all of one class among several
        return "softmax"
    names = {type(part).__name__ for part in network.modules()}
    for part in vars(type(network)).values():
        names.update(part.__code__.co_names if isinstance(part, FunctionType) else ())
    if names.isdisjoint(SOFTMAX_LOSSES) == names.isdisjoint(SIGMOID_LOSSES):
        return None
    return "sigmoid" if names.isdisjoint(SOFTMAX_LOSSES) else "softmax"


Path: TypeAlias = tuple[str | int, ...]  # the keys and places that lead to a tensor in what a network returns
CHOSEN: WeakKeyDictionary[nn.Module, Path] = WeakKeyDictionary()
"""Which of several tensors were taken in the first pass of a network."""


class Ancestry(TorchFunctionMode):
    """A mode of torch, which is why this is a class: it notes which tensors were made of which, and keeps none of them.

    The origin of a tensor is a number of its own and those of all that it was made of; roots were not made at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.origins: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self.roots: set[int] = set()
        self.numbers = count()

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        """What torch calls in place of each of its functions."""
        result = func(*args, **(kwargs or {}))
        results = [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        if results:
            parents = (self.origin(one) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor))
            origin = set[int]().union(*parents)
            for tensor in results:
                self.origins[tensor] = (origin or self.origin(tensor)) | {next(self.numbers)}
        return result

    def origin(self, tensor: Tensor) -> set[int]:
        if tensor not in self.origins:
            number = next(self.numbers)
            self.roots.add(number)
            self.origins[tensor] = {number}
        origin: set[int] = self.origins[tensor]
        return origin

    def last(self, tensors: Mapping[Path, Tensor]) -> Path | None:
        """The tensor that most went into: what went into any other, and more; of equals the one made of the others."""
        origins = {path: self.origin(tensor) for path, tensor in tensors.items()}
        roots = {path: origin & self.roots for path, origin in origins.items()}
        most = [path for path in origins if all(roots[path] >= roots[other] for other in origins)]
        last = [path for path in most if all(origins[path] >= origins[other] for other in most)]
        return last[0] if len(last) == 1 else None


def compute_scores(
    module: nn.Module, name: str, batch: Float[Tensor, "batch 3 height width"], *, grey: bool
) -> Float[Tensor, "batch classes"]:
    """The class scores in whatever the module returns: a row for each picture, a column for each class."""
    what = f"{name}, given a picture of {' x '.join(map(str, batch.shape[2:]))},"
    hint = "a test transform beside the network says how it is fed: (model, transform)"
    ancestry = Ancestry()
    with users_code(what, ModelError, hint=hint):
        with nullcontext() if module in CHOSEN else ancestry:
            returned = module(batch.mean(dim=1, keepdim=True) if grey else batch)
        tensors = dict(find_tensors(returned))
        path = CHOSEN.get(module)
        if path not in tensors:
            path = CHOSEN[module] = choose_scores(module, returned, tensors, len(batch), ancestry)
        return to_rows(tensors[path], len(batch), bare=not path)


def choose_scores(
    module: nn.Module, returned: Thing, tensors: Mapping[Path, Tensor], batch: int, ancestry: Ancestry
) -> Path:
    """Where the class scores are."""
    for usual in ((), ("logits",), ("out",)):
        if usual in tensors:
            return usual
    rows = {path: to_rows(tensor, batch) for path, tensor in tensors.items() if tensor.is_floating_point()}
    fitting = {path: one for path, one in rows.items() if one.ndim == 2 and len(one) == batch}
    holders = (module, getattr(module, "config", None))
    counts = {getattr(holder, name, None) for holder in holders for name in ("num_classes", "n_classes", "num_labels")}
    counts.add(len(classes_of(unwrap_module(module)) or ()))
    left = [path for path, one in fitting.items() if one.shape[1] in counts] or list(fitting)
    by_name = [path for path in left if any("logit" in str(step).casefold() for step in path)]
    for only in (by_name, left):
        if len(only) == 1:
            return only[0]
    last = ancestry.last({path: tensors[path] for path in left})
    if last is not None and tensors[last].ndim > 1:  # one number a picture behind scores is a confidence or a loss
        return last
    shapes = [
        " ".join([*(str(step) for step in path if isinstance(step, str)), " x ".join(map(str, tensor.shape)) or "one number"])
        for path, tensor in tensors.items()
    ]  # fmt: skip
    what = f"{type(returned).__name__}{' of ' if shapes else ''}{' and '.join(shapes)}"
    why = "and nothing says which are the class scores" if left else "not class scores"
    hint = "wrap it in a module that returns a tensor of batch x classes" + (", or give it num_classes" if left else "")
    raise ModelError(f"{type(module).__name__} returns a {what}, {why}", hint=hint)


def find_tensors(returned: Thing, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Every tensor in dicts, tuples, lists and dataclasses, and what is called `logits` in anything else."""
    inside: Iterable[tuple[Any, Thing]] = ()
    if isinstance(returned, Tensor):
        yield path, returned
    elif isinstance(returned, Mapping):
        inside = returned.items()
    elif hasattr(returned, "_asdict"):
        inside = returned._asdict().items()
    elif isinstance(returned, (tuple, list)):
        inside = enumerate(returned)
    elif is_dataclass(returned):
        inside = vars(returned).items()
    elif hasattr(returned, "logits"):
        inside = [("logits", returned.logits)]
    for step, member in inside:
        yield from find_tensors(member, (*path, step))


def to_rows(tensor: Tensor, batch: int, *, bare: bool = False) -> Tensor:
    """Scores as batch x classes where they lost a dimension of one, or have some to spare; else as they are.

    What a single picture gives may have lost its row, if it is all that is returned: elsewhere it is a loss, or boxes.
    """
    if tensor.ndim == 1 and len(tensor) == batch:
        return tensor[:, None]
    if tensor.ndim < 2:
        return tensor.reshape(1, -1) if bare and batch == 1 else tensor
    wide = sum(side > 1 for side in tensor.shape[1:])
    return tensor.reshape(len(tensor), -1) if tensor.ndim > 2 and wide <= 1 else tensor
