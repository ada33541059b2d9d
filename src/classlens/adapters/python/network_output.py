"""How the logits of a network become probabilities, as its configuration or its loss says.

A network that is trained with a loss of sigmoids tells labels apart one by one; one that is trained with cross entropy
knows one class among several.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import is_dataclass
from types import FunctionType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from classlens.cam.classifier import Kind
from classlens.errors import ModelError

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
    tensors = dict(tensors_in(returned))
    path = CHOSEN.get(module)
    if path not in tensors:
        path = CHOSEN[module] = chosen(module, returned, tensors, batch, classes, ancestry)
    return row_each(tensors[path], batch, bare=not path)


def chosen(
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
    rows = {path: row_each(tensor, batch) for path, tensor in real.items()}
    fitting = {path: one for path, one in rows.items() if one.ndim == 2 and len(one) == batch}
    counts = {classes, *(getattr(holder, name, None) for holder in (module, config_of(module)) for name in COUNTS)}
    as_many = {path: one for path, one in fitting.items() if one.shape[1] in counts}
    left = as_many or fitting
    named = [path for path in left if any("logit" in str(step).casefold() for step in path)]
    if len(left) == 1 or len(named) == 1:
        return named[0] if len(named) == 1 else next(iter(left))
    last = ancestry.last({path: tensors[path] for path in left})
    if last is not None and tensors[last].ndim > 1:  # one number a picture behind scores is a confidence or a loss
        return last
    raise ModelError(
        f"{type(module).__name__} returns a {type(returned).__name__}{contents(tensors)}, "
        + ("and nothing says which are the class scores" if left else "not class scores"),
        hint=f"{WRAP}, or give it num_classes" if left else WRAP,
    )


def config_of(module: nn.Module) -> object:
    return getattr(module, "config", None)


def contents(tensors: Mapping[Path, Tensor]) -> str:
    """The tensors in what was returned: ` of 1 x 512 and logits 1 x 10`."""
    shapes = [
        " ".join([*(str(step) for step in path if isinstance(step, str)), " x ".join(map(str, tensor.shape)) or "one number"])
        for path, tensor in tensors.items()
    ]  # fmt: skip
    return f" of {' and '.join(shapes)}" if shapes else ""


def tensors_in(returned: Returned, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
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
        yield from tensors_in(member, (*path, step))


def row_each(tensor: Tensor, batch: int, *, bare: bool = False) -> Tensor:
    """Scores as batch x classes where they lost a dimension of one, or have some to spare; else as they are.

    What a single picture gives may have lost its row, if it is all that is returned: elsewhere it is a loss, or boxes.
    """
    if tensor.ndim < 2:
        if tensor.ndim == 0:
            return tensor.reshape(1, 1) if bare and batch == 1 else tensor
        return tensor[:, None] if len(tensor) == batch else tensor[None] if bare and batch == 1 else tensor
    wide = sum(side > 1 for side in tensor.shape[1:])
    return tensor.reshape(len(tensor), -1) if tensor.ndim > 2 and wide <= 1 else tensor
