"""What transforms drew, in one set of words: boxes as (left, top, width, height), plain numbers, nothing unset."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType, MethodType
from typing import TypeGuard

import numpy as np

from classlens.dataset.state import Foreign, numbers_of

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


def params_of(kind: str, values: Foreign) -> dict[str, object]:
    """What a transform of class `kind` drew, by name; `values` as it keeps them itself."""
    if isinstance(values, Mapping):
        return params_in_mapping(values)
    if kind in BOXES or kind == "RandomErasing":
        top, left, height, width = map(int, values[:4])
        return {"box" if kind in BOXES else "erase": (left, top, width, height)}
    if kind == "ColorJitter":
        order, *factors = values
        return jitter(order, dict(zip(COLOURS, factors, strict=True)))
    if kind in SINGLE:
        return {SINGLE[kind]: plain(values)}
    values = values if isinstance(values, tuple) else (values,)
    names = TUPLES.get(kind, tuple(f"value {position + 1}" for position in range(len(values))))
    return plain_params(dict(zip(names, values, strict=False)))


def params_in_mapping(values: Mapping[str, Foreign]) -> dict[str, object]:
    """What a transform drew that names its parameters itself."""
    params = dict(values)
    for corner, name in ((("left", "top", "width", "height"), "box"), (("j", "i", "w", "h"), "erase")):
        if all(params.get(part) is not None for part in corner):
            params = {name: tuple(int(params.pop(part)) for part in corner), **params}
    if "erase" in params:
        params.pop("v", None)
    if "fn_idx" in params:
        return jitter(params["fn_idx"], {name: params.get(f"{name}_factor") for name in COLOURS})
    return plain_params({name: value for name, value in params.items() if name not in HIDDEN and not is_default(value)})


def plain_params(params: Mapping[str, Foreign]) -> dict[str, object]:
    """The parameters that can be shown in a few words."""
    values = {name: plain(value) for name, value in params.items()}
    return {name: value for name, value in values.items() if value is not None}


def jitter(order: Foreign, factors: Mapping[str, Foreign]) -> dict[str, object]:
    """The factors of a colour jitter in the order in which they are applied."""
    names = [COLOURS[int(position)] for position in order]
    return {name: plain(factors[name]) for name in names if factors[name] is not None}


def is_default(value: Foreign) -> bool:
    return value is None or value is False or (isinstance(value, (list, tuple, dict)) and not any(value))


def plain(value: Foreign) -> object:
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


APPLY_FIRST, APPLY_SECOND = "_apply_op", "_apply_image_or_video_transform"
"""The functions through which the policies of torchvision's two generations change a picture."""


@dataclass(frozen=True, eq=False)
class Call:
    """The result of one call of a transform, what was drawn for it, and why it left the sample alone if it did."""

    output: Foreign
    params: Mapping[str, object]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Listener:
    """What one transform draws while it runs: values of its own, and those of the transforms inside it."""

    own: dict[str, object] = field(default_factory=dict)
    inside: dict[str, object] = field(default_factory=dict)

    def note_inside(self, name: str, params: Mapping[str, object]) -> None:
        self.inside[f"{len(self.inside) + 1} {name}"] = dict(params)


def watch(transform: Foreign, *inputs: Foreign) -> Call:
    """Call the transform on a sample and report what it drew."""
    listener = Listener()
    before = inputs[0]  # copied where the transform may change it in place; pictures of Pillow are not
    if hasattr(before, "detach"):
        before = before.detach().clone()
    elif isinstance(before, np.ndarray):
        before = before.copy()
    with ExitStack() as stack:
        for owner, name, spy in spies(transform, listener):
            stack.enter_context(attribute(owner, name, spy))
        output = transform(*inputs)
    params = {**listener.own, **listener.inside}
    if listener.inside and hasattr(transform, "p") and isinstance(transform.p, (int, float)):
        params = {"applied": "yes", **params}
    numbers = hasattr(before, "detach") or isinstance(before, np.ndarray)
    same = output is inputs[0] or (len(inputs) > 1 and output is inputs)
    if same and (not numbers or bool((before == output).all())):
        return Call(output, params, why_idle(None if params else probability(transform)))
    return Call(output, params or params_by_result(transform, before, output))


def spies(transform: Foreign, listener: Listener) -> Iterator[tuple[Foreign, str, Foreign]]:
    """(owner, attribute, stand-in) for every place where a transform gives its chance away."""

    def sample(method: Callable[..., Foreign], *args: Foreign, **kwargs: Foreign) -> Foreign:
        result = method(*args, **kwargs)
        listener.own.update(params_of(type(transform).__name__, result))
        return result

    def run(member: Foreign, *inputs: Foreign) -> Foreign:
        call = watch(member, *inputs)
        listener.note_inside(name_of(member), call.params)
        return call.output

    for name in ("make_params", "get_params"):
        if callable(method := getattr(transform, name, None)):
            yield transform, name, partial(sample, method)
            break
    inner = getattr(transform, "transforms", None)
    if is_sequence(inner):
        yield transform, "transforms", [partial(run, member) for member in inner]
    yield from policy_spies(transform, listener)


def policy_spies(transform: Foreign, listener: Listener) -> Iterator[tuple[Foreign, str, Foreign]]:
    """The same for the operations of a policy such as RandAugment, in either generation of torchvision and in timm."""

    def torchvision(
        function: Foreign, image: Foreign, name: str, size: float, *args: Foreign, **kw: Foreign
    ) -> Foreign:
        listener.note_inside(name, {"magnitude": plain(size)} if size else {})
        return function(image, name, size, *args, **kw)

    def timm(name: str, function: Foreign, image: Foreign, *level: Foreign, **settings: Foreign) -> Foreign:
        listener.note_inside(name, {"level": plain(level[0])} if level else {})
        return function(image, *level, **settings)

    second = getattr(transform, APPLY_SECOND, None)
    if second is not None:
        yield transform, APPLY_SECOND, partial(torchvision, second)
    forward = getattr(type(transform), "forward", None)
    if isinstance(forward, FunctionType) and APPLY_FIRST in forward.__globals__:
        # a copy of the function with globals of its own: its module is shared with other transforms
        around = {**forward.__globals__, APPLY_FIRST: partial(torchvision, forward.__globals__[APPLY_FIRST])}
        copy = FunctionType(forward.__code__, around, forward.__name__, forward.__defaults__, forward.__closure__)
        yield transform, "forward", MethodType(copy, transform)
    for operation in timm_operations(transform):  # called only when its die says so
        yield operation, "aug_fn", partial(timm, operation.name, operation.aug_fn)


def timm_operations(transform: Foreign) -> list[Foreign]:
    """The operations of timm's RandAugment, AugMix and AutoAugment, each once."""
    listed: list[Foreign] = []
    ops, policy = getattr(transform, "ops", None), getattr(transform, "policy", None)
    if is_sequence(ops):
        listed = list(ops)
    elif is_sequence(policy) and all(map(is_sequence, policy)):
        listed = [operation for group in policy for operation in group]
    return list({id(operation): operation for operation in listed if hasattr(operation, "aug_fn")}.values())


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


@contextmanager
def attributes_kept(parts: Iterable[Foreign], **attributes: Foreign) -> Iterator[None]:
    """Set attributes of every part that has them, and give all of its attributes back as they were."""
    own = [(part, dict(part.__dict__)) for part in parts]
    try:
        for part, kept in own:
            part.__dict__.update({name: value for name, value in attributes.items() if name in kept})
        yield
    finally:
        for part, kept in own:
            part.__dict__.clear()
            part.__dict__.update(kept)


def name_of(transform: Foreign) -> str:
    """The name that a transform has in its framework, or that of the function."""
    inner = getattr(transform, "func", transform)
    return str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")


def is_sequence(value: Foreign) -> TypeGuard[Sequence[Foreign]]:
    return (isinstance(value, Sequence) and not isinstance(value, str)) or type(value).__name__ == "ModuleList"


def probability(transform: Foreign) -> float | None:
    """With what probability the transform does anything; None if it does not say."""
    for name in ("p", "probability", "prob"):
        value = getattr(transform, name, None)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return None


def why_idle(chance: float | None) -> str:
    """Why a transform with this chance of acting did not act; None where chance had no say."""
    if chance is None:
        return "did nothing to this sample"
    return "disabled (p = 0)" if chance <= 0 else f"not drawn (p = {chance:g})"


def params_by_chance(transform: Foreign, chance: float | None) -> dict[str, object]:
    """What was drawn by a transform that acted with that chance, and in which nothing else is random."""
    if chance is None or chance >= 1:
        return {}
    name = type(transform).__name__
    if "Flip" in name:
        return {"flip": "vertical" if "Vertical" in name else "horizontal"}
    return {"applied": "yes"}


def params_by_result(transform: Foreign, before: Foreign, output: Foreign) -> dict[str, object]:
    """What a transform drew that does not tell: the box that was erased, or that it acted at all."""
    if "Erasing" not in type(transform).__name__ or not hasattr(before, "detach"):
        return params_by_chance(transform, probability(transform))
    differs = np.asarray((before != output).any(0))
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    return {"erase": (int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)}
