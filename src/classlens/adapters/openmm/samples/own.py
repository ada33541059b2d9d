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
        label = info.get("gt_label", ())
        labels = label if isinstance(label, Sequence) else [label]
        return Sample(info.get("img_path"), tuple(int(one) for one in labels))

    names = (getattr(dataset, "metainfo", None) or {}).get("classes")
    return Listing(
        len(dataset),
        sample,
        tuple(map(str, names)) if names else None,
        pixels=lambda index: dataset.get_data_info(index).get("img"),
    )
