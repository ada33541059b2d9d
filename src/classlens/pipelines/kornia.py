"""Augmentations of kornia as stages. The package itself is never imported here: its objects are enough.

They run on float tensors, on batches as a rule, and keep what they drew for the last batch in `_params`. A sample is
given to them as a batch of one; their records are put back as they were.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from classlens.pipelines.carried import Foreign, array_of, with_picture
from classlens.pipelines.listen import (
    COLOURS,
    Watched,
    die_said_yes,
    idle,
    is_default,
    jitter,
    kept,
    plain,
    probability,
)

SEQUENCES = ("AugmentationSequential", "ImageSequential")
"""Containers that run their members one after the other."""

HIDDEN = {
    "batch_prob", "forward_input_shape", "input_size", "output_size", "padding_size", "center", "dtype", "values",
    "image_shape", "dst", "resample", "interpolation",
}  # fmt: skip
"""Parameters that follow from the picture or the settings."""

RENAMED = {"degrees": "angle", "src": "from", "start_points": "from", "end_points": "to"}
MIXING = {"RandomCutMixV2", "RandomMixUpV2", "RandomTransplantation"}
ALONE = "mixes the pictures of a batch: there is one here"


def is_kornia(transform: Foreign) -> bool:
    return any(kind.__module__.startswith("kornia.augmentation") for kind in type(transform).__mro__)


def in_order(transform: Foreign) -> Sequence[Foreign] | None:
    """The members of a container that runs all of them in order; None for anything else."""
    own = next((kind for kind in type(transform).__mro__ if kind.__module__.startswith("kornia.augmentation")), None)
    if own is None or own.__name__ not in SEQUENCES or transform.random_apply:
        return None
    return list(transform.children())


def watch_kornia(transform: Foreign, value: Foreign) -> Watched:
    """Run an augmentation on the picture of a sample and read what it drew."""
    with records_kept(transform):
        output = with_picture(value, lambda picture: transform(as_tensor(picture)))
        ran = list(told(transform))
    applied = [record for record in ran if record.applied]
    if type(transform).__name__ in MIXING:
        return Watched(output, {}, ALONE)
    if not applied:
        return Watched(output, {}, idle(chance_of(transform)))
    if isinstance(transform._params, Mapping):
        return Watched(output, applied[0].params or die_said_yes(transform, chance_of(transform)))
    return Watched(output, {f"{number} {record.name}": record.params for number, record in enumerate(applied, start=1)})


def chance_of(transform: Foreign) -> float | None:
    """With what probability an augmentation acts: its two dice, that of the batch and that of the sample."""
    alone = probability(transform)
    return None if alone is None else alone * float(getattr(transform, "p_batch", 1.0))


def as_tensor(picture: Foreign) -> Foreign:
    """A picture as kornia takes it: a float tensor, channels first; whole numbers become 0..1."""
    if not hasattr(picture, "detach"):
        array, layout = array_of(picture)
        first = array if layout == "CHW" else array.transpose(2, 0, 1)
        picture = import_module("torch").tensor(first)
    return picture if picture.is_floating_point() else picture.float() / 255


@dataclass(frozen=True)
class Record:
    """What one augmentation drew, by name, and whether its die let it act."""

    name: str
    params: Mapping[str, object]
    applied: bool


def told(transform: Foreign) -> Iterator[Record]:
    """The records of the last batch: of the transform itself, or of everything that ran inside it."""
    params = transform._params
    if isinstance(params, Mapping):
        yield record(type(transform).__name__, params)
        return
    for item in params or ():
        yield from inside(item)


def inside(item: Foreign) -> Iterator[Record]:
    """The records in an entry of a container, which may itself be one. `ColorJitter_1` is the second member."""
    if isinstance(item.data, Mapping):
        yield record(item.name.rpartition("_")[0], item.data)
        return
    for member in item.data or ():
        yield from inside(member)


def record(name: str, params: Mapping[str, Foreign]) -> Record:
    """The parameters of one augmentation in the words of all frameworks."""
    happened = "batch_prob" not in params or bool(params["batch_prob"].any())
    return Record(name, drawn_by(name, params) if happened else {}, happened)


def drawn_by(name: str, params: Mapping[str, Foreign]) -> dict[str, object]:
    """Boxes as (left, top, width, height), colour factors in the order in which they act, everything else by name."""
    if "order" in params:
        return jitter(params["order"], {colour: params.get(f"{colour}_factor") for colour in COLOURS})
    if {"xs", "ys", "widths", "heights"} <= params.keys():
        return {"erase": tuple(int(params[side][0]) for side in ("xs", "ys", "widths", "heights"))}
    if "src" in params and "dst" in params and ("Crop" in name or "Resize" in name):
        (left, top), _, (right, bottom), _ = (tuple(map(int, corner)) for corner in params["src"][0])
        return {"box": (left, top, right - left + 1, bottom - top + 1)} if name.startswith("Random") else {}
    values = {RENAMED.get(key, key): plain(value) for key, value in params.items() if key not in HIDDEN}
    return kept({key: value for key, value in values.items() if not is_default(value)})


@contextmanager
def records_kept(transform: Foreign) -> Iterator[None]:
    """Give every module inside its attributes back: kornia writes its records into them."""
    before = [(part, dict(part.__dict__)) for part in transform.modules()]
    try:
        yield
    finally:
        for part, attributes in before:
            part.__dict__.clear()
            part.__dict__.update(attributes)
