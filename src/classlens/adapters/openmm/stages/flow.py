"""Whether a pipeline hands the network a picture: it is loaded first, changed next, and packed last.

What a dataset gives is a dict, and every stage takes what it needs out of that. A stage that does not get it stops
training at the first sample, so that nothing may be shown here as if it had run.
"""

from collections.abc import Container, Sequence

from classlens.adapters.openmm.stages.formats import LOADER, PACKING
from classlens.adapters.openmm.stages.mask_generators import MASKS
from classlens.adapters.openmm.stages.transform import named
from classlens.config.settings import Settings

BLIND = (*MASKS, "CleanCaption", "ToTensor")
"""Stages that ask for no picture."""

ARRAY, PILLOW = "an array", "a Pillow picture"
LOOSE = ("RandomFlip", "Compose", "MultiView", "RandomApply", "RandomChoice")
"""Stages that take either, and may leave something else."""


def held_after(name: str, held: str) -> str | None:
    """What a stage leaves of `ARRAY` or `PILLOW`: one of them, or nothing where that is not known.

    None says that it stops at what it gets.
    """
    if name in ("PILToNumpy", "ToNumpy"):
        return ARRAY
    if name in LOOSE:
        return ""
    if name.startswith("torchvision/"):
        return "" if held == ARRAY or name.endswith(("ToTensor", "Lambda")) else held
    if name in (*BLIND, *PACKING, "Collect", LOADER):
        return held
    if held == (ARRAY if name == "MAERandomResizedCrop" else PILLOW):
        return None
    return PILLOW if name in ("NumpyToPIL", "ToPIL") else held


def no_picture(pipeline: Sequence[Settings], own: Container[str], *, in_memory: bool) -> str:
    """Which stage finds no picture, in a dataset of files or of pictures in memory; empty if all of them do.

    Stages of the user's `own` may do anything, loading and packing too: nothing is said of what follows one.
    """
    picture, packed, held = in_memory, "", ARRAY
    for position, settings in enumerate(pipeline, start=1):
        name = str(named(settings)["type"])
        stage = f"stage {position}, {name},"
        if name in own:
            return ""
        if name == LOADER and in_memory:
            return f"{stage} looks for a file, but this dataset holds its pictures in memory"
        if packed:
            return f"{stage} finds no picture: {packed} has packed it"
        if not picture and name != LOADER and name not in BLIND:
            return f"{stage} finds no picture: {LOADER} does not come before it"
        after = held_after(name, held)
        if after is None:
            wanted, bringing = ("Pillow picture", "NumpyToPIL") if held == ARRAY else ("array", "PILToNumpy")
            return f"{stage} finds {held} and no {wanted}: {bringing} does not come before it"
        picture, held = picture or name == LOADER, ARRAY if name == LOADER else after
        packed = name if name in PACKING else ""
    return ""


def not_packed(pipeline: Sequence[Settings], own: Container[str]) -> str:
    """Why a pipeline gives the network nothing; empty if it gives it the picture, or where there is no pipeline."""
    for settings in map(named, pipeline):
        if settings["type"] in own:
            return ""
        if settings["type"] in PACKING:
            if settings.get("_rows_first_"):
                return "the picture is collected with its channels last: ImageToTensor is missing"
            key = settings.get("input_key", "img")
            return "" if key == "img" else f"{settings['type']} packs {key!r}, but the picture is 'img'"
    return "after the last stage nothing packs the picture for the network: PackInputs is missing" if pipeline else ""
