"""Albumentations' transforms as stages: the MIT releases, and AlbumentationsX where the user has it.

The package itself is never imported here: its objects are enough. Its transforms draw from generators of their own;
they are lent the stage's generator, or its seed.
"""

import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from math import atan2, degrees
from typing import TypeAlias

import numpy as np
from PIL import Image as Pillow

from classlens.dataset.dataset import Outcome
from classlens.dataset.state import Foreign
from classlens.pipelines import listen


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
    if not ran:
        return Outcome(output, note=listen.why_idle(listen.probability(transform)))
    if ran[0][0] is transform:
        return Outcome(output, ran[0][1] or listen.params_by_chance(transform, listen.probability(transform)))
    return Outcome(output, listen.numbered((type(leaf).__name__, params) for leaf, params in ran))


HIDDEN = {"bbox_matrix", "kernel", "max_height", "max_width", "output_shape", "x_min", "x_max", "y_min", "y_max"}
"""Parameters that follow from the picture and from the others."""

BOX = ("left", "top", "width", "height", "erase")
"""The parameters of a box that was cut out or erased."""

Followed: TypeAlias = tuple[Foreign, list[tuple[Foreign, listen.Drawn]]]
"""The sample after a call, and the transforms that acted on it, each with what it drew."""


def follow_by_params(transform: Foreign, sample: dict[str, Foreign], chance: np.random.Generator) -> Followed:
    """The MIT releases: every transform keeps what it drew in `params`, and draws from the generators it is lent."""
    leaves = [part for part in parts_of(transform) if not is_composition(part)]
    python = random.Random(int(chance.integers(2**63)))
    with listen.attributes_kept(parts_of(transform), random_generator=chance, py_random=python, deterministic=False):
        for leaf in leaves:
            leaf.params = {}
        output = transform(**sample)
        return output, [(leaf, listen.params_of("", usual_params(leaf.params))) for leaf in leaves if leaf.params]


def follow_by_record(transform: Foreign, sample: dict[str, Foreign], chance: np.random.Generator) -> Followed:
    """AlbumentationsX: one call is seeded and recorded by the package itself; transforms are left as they were."""
    ran = []
    with listen.attributes_kept(parts_of(transform), deterministic=False):
        wrapped = package().Compose([transform], telemetry=False)
        result = wrapped.run_with_trace(invocation_seed=int(chance.integers(2**63)), **sample)
        for record in result.records:
            if (record.node_kind, record.status) == ("leaf", "applied"):
                leaf = wrapped
                for place in record.node_path:
                    leaf = leaf.transforms[place]
                ran.append((leaf, recorded_params(leaf, record.params)))
        return result.data, ran


def recorded_params(leaf: Foreign, params: Mapping[str, Foreign]) -> listen.Drawn:
    """What a transform drew: its box, or those of its settings that were a range and became a number."""
    own = usual_params((leaf.params or {}).get("params", {}))
    boxes = {name: value for name, value in own.items() if name in BOX}
    if boxes:
        return listen.params_of("", boxes)
    settings = leaf.get_transform_init_args()
    params = {name.removesuffix("_range"): value for name, value in params.items() if value != settings.get(name)}
    order = [name for name in own.get("order") or () if name in params]
    return listen.params_of("", {name: params[name] for name in dict.fromkeys([*order, *params])})


def usual_params(params: Mapping[str, Foreign]) -> dict[str, Foreign]:
    """The drawn parameters in the words of all frameworks: boxes instead of corners, an angle instead of a matrix."""
    usual = {name: value for name, value in params.items() if name not in HIDDEN}
    corners, holes, matrix = (usual.pop(name, None) for name in ("crop_coords", "holes", "matrix"))
    if corners is not None:
        usual |= dict(zip(("left", "top", "width", "height"), box_of(corners), strict=True))
    if holes is not None:
        usual["erase"] = [box_of(hole) for hole in holes]
    if matrix is not None and "bbox_matrix" in params and "rotate" not in usual:
        usual["angle"] = degrees(atan2(matrix[0][1], matrix[0][0]))
    if isinstance(usual.get("scale"), Mapping):
        usual["scale"] = tuple(usual["scale"].values())
    if {"order", *listen.COLOURS} <= usual.keys() and all(isinstance(place, int) for place in usual["order"]):
        return {"order": usual["order"], **{f"{name}_factor": usual[name] for name in listen.COLOURS}}
    return usual


def box_of(corners: Iterable[Foreign]) -> tuple[int, int, int, int]:
    """Left, top, width and height of a box given by two corners."""
    left, top, right, bottom = map(int, corners)
    return left, top, right - left, bottom - top


def parts_of(transform: Foreign) -> Iterator[Foreign]:
    """A composition with everything in it, or the transform itself."""
    yield transform
    if is_composition(transform):
        for child in transform.transforms:
            yield from parts_of(child)


def is_composition(transform: Foreign) -> bool:
    return any(kind.__name__ == "BaseCompose" for kind in type(transform).__mro__)
