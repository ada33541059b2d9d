"""Albumentations' transforms as stages. The package itself is never imported here: its objects are enough.

Its transforms draw from generators of their own; they are lent the stage's generator and get their own ones back.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image as Pillow

from classlens.adapters.pipelines.carried import Foreign
from classlens.adapters.pipelines.drawing import named_mapping
from classlens.adapters.pipelines.watching import Listener, Watched, die_said_yes, probability, why_idle


def is_albumentations(transform: Foreign) -> bool:
    """Whether an object takes `image=` and returns a dict."""
    return any(kind.__module__.partition(".")[0] == "albumentations" for kind in type(transform).__mro__)


def sample_of(value: Foreign) -> dict[str, Foreign]:
    """What a composition is called with: its keywords, or a bare picture as `image`."""
    if isinstance(value, dict):
        return value
    return {"image": np.array(value.convert("RGB")) if isinstance(value, Pillow.Image) else np.asarray(value)}


def watch_albumentations(transform: Foreign, value: Foreign, chance: np.random.Generator) -> Watched:
    """Run a transform or a nested composition; every transform inside keeps what it drew in `params`."""
    sample = sample_of(value)
    inside = list(leaves(transform))
    with seeded([transform, *inside], chance):
        for leaf in inside:
            leaf.params = {}
        output = transform(**sample)
        ran = [(type(leaf).__name__, named_mapping(picked(leaf.params))) for leaf in inside if leaf.params]
    if not ran:
        return Watched(output, {}, why_idle(transform, Listener()))
    if len(inside) == 1:
        return Watched(output, ran[0][1] or die_said_yes(inside[0], probability(inside[0])))
    return Watched(output, {f"{number} {name}": drawn for number, (name, drawn) in enumerate(ran, start=1)})


def picked(params: dict[str, Foreign]) -> dict[str, Foreign]:
    """The drawn parameters; crop boxes, which are corners here, as (left, top, width, height)."""
    kept = dict(params)
    corners = kept.pop("crop_coords", None)
    if corners is not None:
        left, top, right, bottom = map(int, corners)
        kept |= {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return kept


def leaves(transform: Foreign) -> Iterator[Foreign]:
    """The transforms inside a composition, or the transform itself."""
    inner = getattr(transform, "transforms", None)
    if inner is None:
        yield transform
        return
    for child in inner:
        yield from leaves(child)


@contextmanager
def seeded(parts: list[Foreign], chance: np.random.Generator) -> Iterator[None]:
    """Lend one generator to every part, in both forms that the package wants."""
    names = ("random_generator", "py_random")
    own = [(part, {name: part.__dict__[name] for name in names if name in part.__dict__}) for part in parts]
    python = random.Random(int(chance.integers(2**63)))
    try:
        for part, kept in own:
            part.__dict__.update({name: chance if name == "random_generator" else python for name in kept})
        yield
    finally:
        for part, kept in own:
            part.__dict__.update(kept)
