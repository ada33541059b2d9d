"""Run a transform once and learn what it drew at random, whichever of the frameworks wrote it.

Transforms that keep their chance in a method (`get_params`, `make_params`) are listened to while they run; those that
only roll a die show by their result whether they did anything. Listeners are set on the object itself for the time of
one call and taken off again, also after an error.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import TypeGuard

import numpy as np

from classlens.adapters.pipelines.carried import Foreign
from classlens.adapters.pipelines.drawing import named, plain

APPLY = "_apply_op"
"""The function through which torchvision's first-generation policies change a picture."""


@dataclass(frozen=True, eq=False)
class Watched:
    """The result of one call, what was drawn for it, and why it left the sample alone if it did."""

    output: Foreign
    drawn: Mapping[str, object]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Listener:
    """What one transform tells while it runs: values of its own, and those of the transforms inside it."""

    own: dict[str, object] = field(default_factory=dict)
    inside: dict[str, object] = field(default_factory=dict)

    def heard(self, name: str, drawn: Mapping[str, object]) -> None:
        """A transform inside has run."""
        self.inside[f"{len(self.inside) + 1} {name}"] = dict(drawn)


def watch(transform: Foreign, *inputs: Foreign) -> Watched:
    """Call the transform on a sample and report what it drew."""
    listener = Listener()
    before = snapshot(inputs[0])
    with ExitStack() as stack:
        for owner, name, spy in spies(transform, listener):
            stack.enter_context(attribute(owner, name, spy))
        output = transform(*inputs)
    same = output is inputs[0] or (len(inputs) > 1 and output is inputs)
    idle = same and unchanged(before, output)
    drawn = {**listener.own, **listener.inside}
    if listener.inside and hasattr(transform, "p") and isinstance(transform.p, (int, float)):
        drawn = {"applied": "yes", **drawn}
    if not idle:
        return Watched(output, drawn or seen(transform, before, output))
    return Watched(output, drawn, why_idle(transform, listener))


def spies(transform: Foreign, listener: Listener) -> Iterator[tuple[Foreign, str, Foreign]]:
    """(owner, attribute, stand-in) for every place where a transform gives its chance away."""
    if hasattr(transform, "make_params"):
        yield transform, "make_params", telling(transform, transform.make_params, listener)
    elif callable(getattr(transform, "get_params", None)):
        yield transform, "get_params", telling(transform, transform.get_params, listener)
    inner = getattr(transform, "transforms", None)
    if is_sequence(inner):
        yield transform, "transforms", [telling_child(child, listener) for child in inner]
    apply = getattr(transform, "_apply_image_or_video_transform", None)
    if apply is not None:
        yield transform, "_apply_image_or_video_transform", telling_operation(apply, listener)
    forward = getattr(type(transform), "forward", None)
    if isinstance(forward, FunctionType) and APPLY in forward.__globals__:
        heard = {**forward.__globals__, APPLY: telling_operation(forward.__globals__[APPLY], listener)}
        copy = FunctionType(forward.__code__, heard, forward.__name__, forward.__defaults__, forward.__closure__)
        yield transform, "forward", MethodType(copy, transform)
    for operation in timm_operations(transform):
        yield operation, "aug_fn", telling_level(operation, listener)


def telling(transform: Foreign, method: Callable[..., Foreign], listener: Listener) -> Callable[..., Foreign]:
    """The method that draws, which also tells what it drew."""

    def draw(*args: Foreign, **kwargs: Foreign) -> Foreign:
        result = method(*args, **kwargs)
        listener.own.update(named(type(transform).__name__, result))
        return result

    return draw


def telling_child(child: Foreign, listener: Listener) -> Callable[..., Foreign]:
    """A transform inside a container, watched in its turn."""

    def run(*inputs: Foreign) -> Foreign:
        watched = watch(child, *inputs)
        listener.heard(name_of(child), watched.drawn)
        return watched.output

    return run


def telling_operation(apply: Callable[..., Foreign], listener: Listener) -> Callable[..., Foreign]:
    """The function of torchvision that applies one operation of a policy at some magnitude."""

    def run(picture: Foreign, name: str, magnitude: float, *args: Foreign, **kwargs: Foreign) -> Foreign:
        listener.heard(name, {"magnitude": plain(magnitude)} if magnitude else {})
        return apply(picture, name, magnitude, *args, **kwargs)

    return run


def timm_operations(transform: Foreign) -> list[Foreign]:
    """The operations of timm's RandAugment, AugMix and AutoAugment, each once."""
    listed: list[Foreign] = []
    ops, policy = getattr(transform, "ops", None), getattr(transform, "policy", None)
    if is_sequence(ops):
        listed = list(ops)
    elif is_sequence(policy) and all(map(is_sequence, policy)):
        listed = [operation for group in policy for operation in group]
    return list({id(operation): operation for operation in listed if hasattr(operation, "aug_fn")}.values())


def telling_level(operation: Foreign, listener: Listener) -> Callable[..., Foreign]:
    """The function of timm behind an operation, called only when its die says so, with the level that was drawn."""
    function = operation.aug_fn

    def run(picture: Foreign, *level: Foreign, **settings: Foreign) -> Foreign:
        listener.heard(operation.name, {"level": plain(level[0])} if level else {})
        return function(picture, *level, **settings)

    return run


@contextmanager
def attribute(owner: Foreign, name: str, value: Foreign) -> Iterator[None]:
    """Shadow an attribute of one object. Written past `setattr`, because modules of torch refuse some assignments."""
    own: dict[str, Foreign] = owner.__dict__
    absent = object()
    before = own.get(name, absent)
    own[name] = value
    try:
        yield
    finally:
        if before is absent:
            del own[name]
        else:
            own[name] = before


def name_of(transform: Foreign) -> str:
    """The name that a transform has in its framework, or that of the function."""
    inner = getattr(transform, "func", transform)
    return str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")


def is_sequence(value: Foreign) -> TypeGuard[Sequence[Foreign]]:
    """Lists, tuples and torch's ModuleList, which is a sequence in all but name."""
    return (isinstance(value, Sequence) and not isinstance(value, str)) or type(value).__name__ == "ModuleList"


def snapshot(value: Foreign) -> Foreign:
    """A copy of a tensor or array, which a transform may change in place; pictures of Pillow are not."""
    if hasattr(value, "detach"):
        return value.detach().clone()
    return value.copy() if isinstance(value, np.ndarray) else value


def unchanged(before: Foreign, after: Foreign) -> bool:
    """Whether the same object still holds the same numbers."""
    if hasattr(before, "detach") or isinstance(before, np.ndarray):
        return bool((before == after).all())
    return True


def probability(transform: Foreign) -> float | None:
    """With what probability the transform does anything; None if it does not say."""
    for name in ("p", "probability", "prob"):
        value = getattr(transform, name, None)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return None


def why_idle(transform: Foreign, listener: Listener) -> str:
    """Why a transform handed back what it was given."""
    return idle(None if listener.own or listener.inside else probability(transform))


def idle(chance: float | None) -> str:
    """Why a transform with this chance of acting did not act; None where chance had no say."""
    if chance is None:
        return "did nothing to this sample"
    return "disabled (p = 0)" if chance <= 0 else f"not drawn (p = {chance:g})"


def die_said_yes(transform: Foreign, chance: float | None) -> dict[str, object]:
    """What was drawn where the die said yes with that chance, and nothing else was random."""
    if chance is None or chance >= 1:
        return {}
    name = type(transform).__name__
    if "Flip" in name:
        return {"flip": "vertical" if "Vertical" in name else "horizontal"}
    return {"applied": "yes"}


def seen(transform: Foreign, before: Foreign, output: Foreign) -> dict[str, object]:
    """What was drawn, seen by the result of a transform that does not tell: the box that was erased, or a die."""
    if "Erasing" not in type(transform).__name__ or not hasattr(before, "detach"):
        return die_said_yes(transform, probability(transform))
    differs = np.asarray((before != output).any(0))
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    return {"erase": (int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)}
