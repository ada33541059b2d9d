"""What transforms drew, in one set of words: boxes as (left, top, width, height), plain numbers, nothing unset.

Transforms of torchvision and timm are listened to while they run. Those of kornia keep what they drew for the last
batch in `_params`; they take float tensors, in batches as a rule: a sample is given to them as a batch of one.
Those of Albumentations, the MIT releases, and AlbumentationsX where the user has it, draw from generators of their own;
they are lent the stage's generator, or its seed. The packages are never imported here: their objects are enough.
"""

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from math import atan2, degrees
from types import FunctionType, MethodType
from typing import TypeAlias, TypeGuard

import numpy as np
from PIL import Image as Pillow

from classlens.dataset.dataset import Outcome
from classlens.dataset.state import Foreign, array_of, numbers_of, with_picture

LONGEST = 8  # arrays with more values than this are noise or displacement fields: not worth showing as numbers
COLOURS = ("brightness", "contrast", "saturation", "hue")
FACTORS = tuple(f"{name}_factor" for name in COLOURS)
CROPS = ("RandomCrop", "RandomResizedCrop", "RandomResizedCropAndInterpolation", "RandomSizedCrop")
TUPLES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(CROPS, ("top", "left", "height", "width")),
    "RandomErasing": ("i", "j", "h", "w"),
    "ColorJitter": ("order", *FACTORS),
    "RandomRotation": ("angle",),
    "GaussianBlur": ("sigma",),
    "RandomAffine": ("angle", "translate", "scale", "shear"),
    "RandomPerspective": ("from", "to"),
    "AutoAugment": ("policy",),
}
"""How the values of torchvision's first generation are read, in the words of the others; the rest is left out."""

CORNERS = {
    ("left", "top", "width", "height"): "box",
    ("j", "i", "w", "h"): "erase",
    ("xs", "ys", "widths", "heights"): "erase",
}
"""In which words a box is given, and what it is for."""

HIDDEN = {
    "needs_crop", "needs_pad", "shape", "rows", "cols", "interpolation", "fill", "fill_mask", "seed", "batch_prob",
    "v", "forward_input_shape", "input_size", "output_size", "padding_size", "center", "dtype", "values",
    "image_shape", "dst", "resample", "bbox_matrix", "kernel", "max_height", "max_width", "output_shape", "x_min",
    "x_max", "y_min", "y_max",
}  # fmt: skip
"""Parameters that follow from the picture or the settings, or mean nothing to the eye."""

RENAMED = {"fn_idx": "order", "degrees": "angle", "src": "from", "start_points": "from", "end_points": "to"}

Drawn: TypeAlias = Mapping[str, object]


def params_of(kind: str, values: Foreign) -> Drawn:
    """What a transform of class `kind` drew, by name, where it is set and can be shown in a few words.

    `values` are as the transform keeps them itself: by name, in a tuple, or one alone.
    """
    if not isinstance(values, Mapping):
        values = values if isinstance(values, tuple) else (values,)
        names = TUPLES.get(kind, tuple(f"value {position + 1}" for position in range(len(values))))
        values = dict(zip(names, values, strict=False))
    params = {RENAMED.get(name, name): value for name, value in values.items() if name not in HIDDEN}
    if "order" in params and FACTORS[0] in params:  # in the order in which they are applied
        params = {COLOURS[int(place)]: params.get(FACTORS[int(place)]) for place in params["order"]}
    elif "dst" in values and "from" in params and ("Crop" in kind or "Resize" in kind):
        (left, top), _, (right, bottom), _ = (tuple(map(int, corner)) for corner in params["from"][0])
        return {"box": (left, top, right - left + 1, bottom - top + 1)} if kind.startswith("Random") else {}
    for corner, name in CORNERS.items():
        if all(params.get(part) is not None for part in corner):
            params = {name: tuple(int(params.pop(part)) for part in corner), **params}
    shown = {name: plain(value) for name, value in params.items()}
    return {
        name: value
        for name, value in shown.items()
        if value is not None and value is not False and (not isinstance(value, tuple) or any(value))
    }


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


def numbered(ran: Iterable[tuple[str, Drawn]]) -> Drawn:
    return {f"{number} {name}": params for number, (name, params) in enumerate(ran, start=1)}


def watch(transform: Foreign, *inputs: Foreign) -> Outcome:
    """Call the transform on a sample and report what it drew."""
    own: dict[str, object] = {}
    inside: list[tuple[str, Drawn]] = []
    before = inputs[0]  # copied where the transform may change it in place; pictures of Pillow are not
    numbers = hasattr(before, "detach") or isinstance(before, np.ndarray)
    if numbers:
        before = before.copy() if isinstance(before, np.ndarray) else before.detach().clone()
    with ExitStack() as stack:
        for owner, name, spy in spies(transform, own, inside):
            stack.enter_context(attribute(owner, name, spy))
        output = transform(*inputs)
    params = {**own, **numbered(inside)}
    if inside and isinstance(getattr(transform, "p", None), int | float):
        params = {"applied": "yes", **params}
    same = output is inputs[0] or (len(inputs) > 1 and output is inputs)
    if same and (not numbers or bool((before == output).all())):
        return Outcome(output, params, IDLE if params else why_idle(transform))
    return Outcome(output, params or params_by_result(transform, before, output))


def outcome_of(transform: Foreign, output: Foreign, ran: Sequence[tuple[str, Drawn]], *, single: bool) -> Outcome:
    """The outcome of a `single` transform, or of a container in which several ran."""
    if not ran:
        return Outcome(output, note=why_idle(transform))
    return Outcome(output, (ran[0][1] or params_by_chance(transform)) if single else numbered(ran))


APPLY_FIRST, APPLY_SECOND = "_apply_op", "_apply_image_or_video_transform"
"""The functions through which the policies of torchvision's two generations change a picture."""


def spies(
    transform: Foreign, own: dict[str, object], inside: list[tuple[str, Drawn]]
) -> Iterator[tuple[Foreign, str, Foreign]]:
    """(owner, attribute, stand-in) for every place where a transform gives its chance away.

    Policies such as RandAugment do so for every operation, in either generation of torchvision and in timm. What the
    transform draws is noted in `own`, what the transforms and operations inside it draw in `inside`.
    """

    def sample(method: Callable[..., Foreign], *args: Foreign, **kwargs: Foreign) -> Foreign:
        result = method(*args, **kwargs)
        own.update(params_of(type(transform).__name__, result))
        return result

    def run(member: Foreign, *inputs: Foreign) -> Foreign:
        outcome = watch(member, *inputs)
        inside.append((name_of(member), outcome.params))
        return outcome.state

    def torchvision(act: Foreign, image: Foreign, name: str, size: float, *args: Foreign, **kw: Foreign) -> Foreign:
        inside.append((name, {"magnitude": plain(size)} if size else {}))
        return act(image, name, size, *args, **kw)

    def timm(name: str, function: Foreign, image: Foreign, *level: Foreign, **settings: Foreign) -> Foreign:
        inside.append((name, {"level": plain(level[0])} if level else {}))
        return function(image, *level, **settings)

    name = "make_params" if hasattr(transform, "make_params") else "get_params"
    if callable(method := getattr(transform, name, None)):
        yield transform, name, partial(sample, method)
    members = getattr(transform, "transforms", None)
    if is_sequence(members):
        yield transform, "transforms", [partial(run, member) for member in members]
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


def timm_operations(transform: Foreign) -> Iterable[Foreign]:
    ops, policy = getattr(transform, "ops", None), getattr(transform, "policy", None)
    groups = [ops] if is_sequence(ops) else policy if is_sequence(policy) and all(map(is_sequence, policy)) else []
    return {id(one): one for group in groups for one in group if hasattr(one, "aug_fn")}.values()


@contextmanager
def attribute(owner: Foreign, name: str, value: Foreign) -> Iterator[None]:
    """Shadow an attribute of one object. Written past `setattr`, because modules of torch refuse some assignments."""
    own: dict[str, Foreign] = owner.__dict__
    before = {name: own[name]} if name in own else {}
    own[name] = value
    try:
        yield
    finally:
        del own[name]
        own.update(before)


@contextmanager
def attributes_kept(parts: Iterable[Foreign], **attributes: Foreign) -> Iterator[None]:
    """Set attributes of every part that has them, and give all of its attributes back as they were."""
    own = [(part.__dict__, dict(part.__dict__)) for part in parts]
    try:
        for current, before in own:
            current.update({name: value for name, value in attributes.items() if name in before})
        yield
    finally:
        for current, before in own:
            current.clear()
            current.update(before)


def name_of(transform: Foreign) -> str:
    inner = getattr(transform, "func", transform)
    return str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")


def is_sequence(value: Foreign) -> TypeGuard[Sequence[Foreign]]:
    return (isinstance(value, Sequence) and not isinstance(value, str)) or type(value).__name__ == "ModuleList"


def probability(transform: Foreign) -> float | None:
    """With what probability the transform does anything, by all of its dice; None if it does not say."""
    for name in ("p", "probability", "prob"):
        value = getattr(transform, name, None)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value) * float(getattr(transform, "p_batch", 1.0))  # kornia rolls one for the batch, too
    return None


IDLE = "did nothing to this sample"


def why_idle(transform: Foreign) -> str:
    """Why a transform that drew nothing did not act."""
    chance = probability(transform)
    if chance is None:
        return IDLE
    return "disabled (p = 0)" if chance <= 0 else f"not drawn (p = {chance:g})"


def params_by_chance(transform: Foreign) -> Drawn:
    """What was drawn by a transform that acted, and in which nothing else is random."""
    chance, name = probability(transform), type(transform).__name__
    if chance is None or chance >= 1:
        return {}
    return {"flip": "vertical" if "Vertical" in name else "horizontal"} if "Flip" in name else {"applied": "yes"}


def params_by_result(transform: Foreign, before: Foreign, output: Foreign) -> Drawn:
    """What a transform drew that does not tell: the box that was erased, or that it acted at all."""
    if "Erasing" not in type(transform).__name__ or not hasattr(before, "detach"):
        return params_by_chance(transform)
    differs = np.asarray((before != output).any(0))
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    return {"erase": (int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)}


MIXING = {"RandomCutMixV2", "RandomMixUpV2", "RandomTransplantation"}


def watch_kornia(transform: Foreign, value: Foreign) -> Outcome:
    """Run an augmentation on the picture of a sample and read what it drew."""
    name = type(transform).__name__
    with attributes_kept(transform.modules()):  # kornia writes its records into them
        output = with_picture(value, lambda picture: transform(as_tensor(picture)))
        ran, single = list(records(name, transform._params)), isinstance(transform._params, Mapping)
    if name in MIXING:
        return Outcome(output, note="mixes the pictures of a batch: there is one here")
    return outcome_of(transform, output, ran, single=single)


def as_tensor(picture: Foreign) -> Foreign:
    """A picture as kornia takes it: a float tensor, channels first; whole numbers become 0..1."""
    if not hasattr(picture, "detach"):
        array, layout = array_of(picture)
        first = array if layout == "CHW" else array.transpose(2, 0, 1)
        picture = import_module("torch").tensor(first)
    return picture if picture.is_floating_point() else picture.float() / 255


def records(name: str, data: Foreign) -> Iterator[tuple[str, Drawn]]:
    """Name and parameters of every augmentation whose die let it act, in a record of the last batch."""
    if not isinstance(data, Mapping):
        for member in data or ():
            yield from records(member.name.rpartition("_")[0], member.data)  # `ColorJitter_1` is the second member
    elif "batch_prob" not in data or bool(data["batch_prob"].any()):
        yield name, params_of(name, data)


def is_albumentations(transform: Foreign) -> bool:
    return any(kind.__module__.partition(".")[0] == "albumentations" for kind in type(transform).__mro__)


def sample_of(value: Foreign) -> dict[str, Foreign]:
    """What a composition is called with: its keywords, or a bare picture as `image`."""
    if isinstance(value, dict):
        return value
    return {"image": np.array(value.convert("RGB")) if isinstance(value, Pillow.Image) else np.asarray(value)}


def package() -> Foreign:
    return sys.modules["albumentations"]


def watch_albumentations(transform: Foreign, value: Foreign, chance: np.random.Generator) -> Outcome:
    """Run a transform or a nested composition, and report what every transform inside drew."""
    follow = follow_by_record if hasattr(package().Compose, "run_with_trace") else follow_by_params
    output, ran = follow(transform, sample_of(value), chance)
    return outcome_of(transform, output, ran, single=not is_composition(transform))


Followed: TypeAlias = tuple[Foreign, list[tuple[str, Drawn]]]
"""The sample after a call, and the names of the transforms that acted on it, each with what it drew."""


def follow_by_params(transform: Foreign, sample: dict[str, Foreign], chance: np.random.Generator) -> Followed:
    """The MIT releases: every transform keeps what it drew in `params`, and draws from the generators it is lent."""
    leaves = [part for part in parts_of(transform) if not is_composition(part)]
    python = random.Random(int(chance.integers(2**63)))
    with attributes_kept(parts_of(transform), random_generator=chance, py_random=python, deterministic=False):
        for leaf in leaves:
            leaf.params = {}
        output = transform(**sample)
        ran = [leaf for leaf in leaves if leaf.params]
        return output, [(type(leaf).__name__, params_of("", usual_params(leaf.params))) for leaf in ran]


def follow_by_record(transform: Foreign, sample: dict[str, Foreign], chance: np.random.Generator) -> Followed:
    """AlbumentationsX: one call is seeded and recorded by the package itself; transforms are left as they were."""
    ran = []
    with attributes_kept(parts_of(transform), deterministic=False):
        wrapped = package().Compose([transform], telemetry=False)
        result = wrapped.run_with_trace(invocation_seed=int(chance.integers(2**63)), **sample)
        for record in result.records:
            if (record.node_kind, record.status) == ("leaf", "applied"):
                leaf = wrapped
                for place in record.node_path:
                    leaf = leaf.transforms[place]
                ran.append((type(leaf).__name__, recorded_params(leaf, record.params)))
        return result.data, ran


def recorded_params(leaf: Foreign, params: Mapping[str, Foreign]) -> Drawn:
    """What a transform drew: its box, or those of its settings that were a range and became a number."""
    own = usual_params((leaf.params or {}).get("params", {}))
    boxes = {name: own[name] for name in ("left", "top", "width", "height", "erase") if name in own}
    if boxes:
        return params_of("", boxes)
    settings = leaf.get_transform_init_args()
    params = {name.removesuffix("_range"): value for name, value in params.items() if value != settings.get(name)}
    order = [name for name in own.get("order") or () if name in params]
    return params_of("", usual_params({name: params[name] for name in dict.fromkeys([*order, *params])}))


def usual_params(params: Mapping[str, Foreign]) -> dict[str, Foreign]:
    """The drawn parameters in the words of all frameworks: boxes instead of corners, an angle instead of a matrix."""
    usual = dict(params)
    corners, holes, matrix = (usual.pop(name, None) for name in ("crop_coords", "holes", "matrix"))
    if corners is not None:
        usual |= dict(zip(("left", "top", "width", "height"), box_of(corners), strict=True))
    if holes is not None:
        usual["erase"] = [box_of(hole) for hole in holes]
    if matrix is not None and "bbox_matrix" in params and "rotate" not in usual:
        usual["angle"] = degrees(atan2(matrix[0][1], matrix[0][0]))
    if isinstance(usual.get("scale"), Mapping):
        usual["scale"] = tuple(usual["scale"].values())
    if {"order", *COLOURS} <= usual.keys() and all(isinstance(place, int) for place in usual["order"]):
        return {"order": usual["order"], **{f"{name}_factor": usual[name] for name in COLOURS}}
    return usual


def box_of(corners: Iterable[Foreign]) -> tuple[int, int, int, int]:
    """Left, top, width and height of a box given by two corners."""
    left, top, right, bottom = map(int, corners)
    return left, top, right - left, bottom - top


def parts_of(transform: Foreign) -> Iterator[Foreign]:
    yield transform
    if is_composition(transform):
        for child in transform.transforms:
            yield from parts_of(child)


def is_composition(transform: Foreign) -> bool:
    return any(kind.__name__ == "BaseCompose" for kind in type(transform).__mro__)
