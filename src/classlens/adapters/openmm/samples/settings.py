"""What the datasets of OpenMMLab can be told, in either generation, and which samples `indices` leaves."""

from collections.abc import Iterator, Sequence

from classlens.adapters.openmm.samples.listing import Listing
from classlens.adapters.openmm.samples.wrappers import chosen
from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.stages.transform import arguments
from classlens.errors import ConfigError, suggestion

KNOWN = (
    *("ann_file", "backend_args", "classes", "data_prefix", "data_root", "difficult_as_postive", "download"),
    *("extensions", "file_client_args", "filter_cfg", "image_class_labels_file", "image_set_path", "indices"),
    *("lazy_init", "max_refetch", "metainfo", "multi_label", "pipeline", "recursion_subdir", "serialize_data"),
    *("split", "test_mode", "train_test_split_file", "with_label"),
)


def unknown(settings: Settings) -> Iterator[str]:
    """One sentence per setting that no dataset has: a slip that training would stop at."""
    for key in arguments(settings):
        if key not in KNOWN:
            yield f"{settings['type']} has no setting {key!r}; {suggestion(key, KNOWN)}"


def subset(listing: Listing, indices: object, where: str) -> Listing:
    """The samples that the setting `indices` leaves: the first N, the last N for a negative one, or those listed.

    Raises:
        ConfigError: it is no number and no list of numbers, or names a sample that does not exist.
    """
    if indices is None:
        return listing
    if isinstance(indices, int):
        kept: Sequence[int] = range(listing.length)[:indices] if indices >= 0 else range(listing.length)[indices:]
        return chosen(listing, kept)
    given = indices if isinstance(indices, Sequence) else "neither"
    numbers = [one for one in given if isinstance(one, int) and -listing.length <= one < listing.length]
    if len(numbers) < len(given):
        raise ConfigError(f"{where}: indices is a number or a list of sample numbers below {listing.length}")
    return chosen(listing, [one % listing.length for one in numbers])
