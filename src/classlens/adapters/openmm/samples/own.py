"""Datasets of the user's own classes, and those of mmpretrain that are not native, in trusted configs."""

from collections.abc import Mapping, Sequence
from typing import Any

from classlens.adapters.openmm.own import made
from classlens.adapters.openmm.samples.listing import Listing
from classlens.adapters.openmm.setup import Settings
from classlens.dataset.dataset import Sample
from classlens.errors import ConfigError


def own_listing(settings: Settings, modules: Sequence[str], where: str) -> Listing:
    """A dataset of the user's own class: `get_data_info(index)` as OpenMMLab has it gives path and label.

    Raises:
        ConfigError: there is no such class, or its objects have no such method.
    """
    dataset = made({**settings, "pipeline": ()}, "DATASETS", modules, where)
    if not hasattr(dataset, "get_data_info") or not hasattr(dataset, "__len__"):
        raise ConfigError(f"{where}: {settings['type']} has no get_data_info(index) and len()")

    def sample(index: int) -> Sample:
        info: Mapping[str, Any] = dataset.get_data_info(index)
        return Sample(info.get("img_path"), labels_in(info.get("gt_label", ())) or ())

    def trouble(index: int) -> str:
        label = dataset.get_data_info(index).get("gt_label", ())
        return f"no label: gt_label is {repr(label)[:40]}" if labels_in(label) is None else ""

    names = (getattr(dataset, "metainfo", None) or {}).get("classes")
    return Listing(
        len(dataset),
        sample,
        tuple(map(str, names)) if names else None,
        pixels=lambda index: dataset.get_data_info(index).get("img"),
        trouble=trouble,
    )


def labels_in(label: Any) -> tuple[int, ...] | None:  # noqa: ANN401 - whatever the user's class gives
    """A number or several; of an array of zeros and ones, as 0.x has it, the places of the ones; None for all else."""
    values = label.tolist() if hasattr(label, "tolist") else label
    rows = list(values) if isinstance(values, list | tuple) else [values]
    if not all(isinstance(one, int) or (isinstance(one, float) and one.is_integer()) for one in rows):
        return None
    if values is not label and len(rows) > 1 and set(rows) <= {0, 1}:
        return tuple(place for place, on in enumerate(rows) if on)
    return tuple(map(int, rows))
