"""Augmentations of kornia as stages. The package itself is never imported here: its objects are enough.

They run on float tensors, on batches as a rule, and keep what they drew for the last batch in `_params`. A sample is
given to them as a batch of one; their records are put back as they were.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module

from classlens.dataset.state import Foreign, array_of, with_picture
from classlens.pipelines import listen

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


def watch_kornia(transform: Foreign, value: Foreign) -> listen.Call:
    """Run an augmentation on the picture of a sample and read what it drew."""
    with listen.attributes_kept(transform.modules()):  # kornia writes its records into them
        output = with_picture(value, lambda picture: transform(as_tensor(picture)))
        ran = list(records(type(transform).__name__, transform._params))
        single = isinstance(transform._params, Mapping)
    if type(transform).__name__ in MIXING:
        return listen.Call(output, {}, ALONE)
    if not ran:
        return listen.Call(output, {}, listen.why_idle(chance_of(transform)))
    if single:
        return listen.Call(output, ran[0][1] or listen.params_by_chance(transform, chance_of(transform)))
    return listen.Call(output, {f"{number} {name}": params for number, (name, params) in enumerate(ran, start=1)})


def chance_of(transform: Foreign) -> float | None:
    """With what probability an augmentation acts: its two dice, that of the batch and that of the sample."""
    alone = listen.probability(transform)
    return None if alone is None else alone * float(getattr(transform, "p_batch", 1.0))


def as_tensor(picture: Foreign) -> Foreign:
    """A picture as kornia takes it: a float tensor, channels first; whole numbers become 0..1."""
    if not hasattr(picture, "detach"):
        array, layout = array_of(picture)
        first = array if layout == "CHW" else array.transpose(2, 0, 1)
        picture = import_module("torch").tensor(first)
    return picture if picture.is_floating_point() else picture.float() / 255


def records(name: str, data: Foreign) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Name and parameters of every augmentation whose die let it act, in a record of the last batch."""
    if not isinstance(data, Mapping):
        for member in data or ():
            yield from records(member.name.rpartition("_")[0], member.data)  # `ColorJitter_1` is the second member
    elif "batch_prob" not in data or bool(data["batch_prob"].any()):
        yield name, params_of_one(name, data)


def params_of_one(name: str, params: Mapping[str, Foreign]) -> dict[str, object]:
    """Boxes as (left, top, width, height), colour factors in the order in which they act, everything else by name."""
    if "order" in params:
        return listen.jitter(params["order"], {colour: params.get(f"{colour}_factor") for colour in listen.COLOURS})
    if {"xs", "ys", "widths", "heights"} <= params.keys():
        return {"erase": tuple(int(params[side][0]) for side in ("xs", "ys", "widths", "heights"))}
    if "src" in params and "dst" in params and ("Crop" in name or "Resize" in name):
        (left, top), _, (right, bottom), _ = (tuple(map(int, corner)) for corner in params["src"][0])
        return {"box": (left, top, right - left + 1, bottom - top + 1)} if name.startswith("Random") else {}
    values = listen.plain_params({RENAMED.get(key, key): value for key, value in params.items() if key not in HIDDEN})
    return {key: value for key, value in values.items() if not listen.is_default(value)}
