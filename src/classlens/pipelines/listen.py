"""What transforms drew, in one set of words: boxes as (left, top, width, height), plain numbers, nothing unset."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from classlens.pipelines.carried import Foreign, numbers_of

Value: TypeAlias = Any
"""Whatever a framework draws: numbers, tensors, nested tuples of them."""

LONGEST = 8
"""Arrays with more values than this are noise or displacement fields: not worth showing as numbers."""

BOXES = {"RandomCrop", "RandomResizedCrop", "RandomResizedCropAndInterpolation", "RandomSizedCrop"}
COLOURS = ("brightness", "contrast", "saturation", "hue")
TUPLES: Mapping[str, tuple[str, ...]] = {
    "RandomAffine": ("angle", "translate", "scale", "shear"),
    "RandomPerspective": ("from", "to"),
    "AutoAugment": ("policy",),
}
"""How the tuples of torchvision's first generation are read; the rest of a tuple is left out."""

HIDDEN = {"needs_crop", "needs_pad", "shape", "rows", "cols", "interpolation", "fill", "fill_mask", "seed"}
"""Parameters that follow from the picture or the settings, or mean nothing to the eye."""

SINGLE: Mapping[str, str] = {"RandomRotation": "angle", "GaussianBlur": "sigma"}


def named(kind: str, params: Value) -> dict[str, object]:
    """The values drawn by a transform of class `kind`, by name."""
    if isinstance(params, Mapping):
        return named_mapping(params)
    if kind in BOXES:
        top, left, height, width = map(int, params)
        return {"box": (left, top, width, height)}
    if kind == "RandomErasing":
        top, left, height, width = map(int, params[:4])
        return {"erase": (left, top, width, height)}
    if kind == "ColorJitter":
        order, *factors = params
        return jitter(order, dict(zip(COLOURS, factors, strict=True)))
    if kind in SINGLE:
        return {SINGLE[kind]: plain(params)}
    values = params if isinstance(params, tuple) else (params,)
    names = TUPLES.get(kind, tuple(f"value {position + 1}" for position in range(len(values))))
    return kept({name: plain(value) for name, value in zip(names, values, strict=False)})


def named_mapping(params: Mapping[str, Value]) -> dict[str, object]:
    """The parameters of a transform that names them itself."""
    given = dict(params)
    for corner, name in ((("left", "top", "width", "height"), "box"), (("j", "i", "w", "h"), "erase")):
        if all(given.get(part) is not None for part in corner):
            given = {name: tuple(int(given.pop(part)) for part in corner), **given}
    if "erase" in given:
        given.pop("v", None)
    if "fn_idx" in given:
        factors = {name: given.get(f"{name}_factor") for name in COLOURS}
        return jitter(given["fn_idx"], factors)
    return kept({key: plain(value) for key, value in given.items() if key not in HIDDEN and not is_default(value)})


def jitter(order: Value, factors: Mapping[str, Value]) -> dict[str, object]:
    """The factors of a colour jitter in the order in which they are applied."""
    names = [COLOURS[int(position)] for position in order]
    return {name: plain(factors[name]) for name in names if factors[name] is not None}


def kept(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


def is_default(value: Value) -> bool:
    return value is None or value is False or (isinstance(value, (list, tuple, dict)) and not any(value))


def plain(value: Value) -> object:
    """Numbers, strings and short tuples of them; None for anything that cannot be shown in a few words."""
    if hasattr(value, "detach"):
        value = numbers_of(value)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist() if value.size <= LONGEST else None
    if isinstance(value, (list, tuple)):
        parts = tuple(plain(part) for part in value)
        if None in parts or len(parts) > LONGEST:
            return None
        return parts[0] if len(parts) == 1 else parts
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value if isinstance(value, (bool, int, str)) else None


APPLY = "_apply_op"
"""The function through which torchvision's first-generation policies change a picture."""


@dataclass(frozen=True, eq=False)
class Watched:
    """The result of one call, what was drawn for it, and why it left the sample alone if it did."""

    output: Foreign
    params: Mapping[str, object]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Listener:
    """What one transform tells while it runs: values of its own, and those of the transforms inside it."""

    own: dict[str, object] = field(default_factory=dict)
    inside: dict[str, object] = field(default_factory=dict)

    def heard(self, name: str, params: Mapping[str, object]) -> None:
        self.inside[f"{len(self.inside) + 1} {name}"] = dict(params)


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
    params = {**listener.own, **listener.inside}
    if listener.inside and hasattr(transform, "p") and isinstance(transform.p, (int, float)):
        params = {"applied": "yes", **params}
    if not idle:
        return Watched(output, params or seen(transform, before, output))
    return Watched(output, params, why_idle(transform, listener))


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
        listener.heard(name_of(child), watched.params)
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
