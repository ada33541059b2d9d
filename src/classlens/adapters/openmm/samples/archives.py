"""Datasets in archives: class folders inside a zip or tar file, and WebDataset shards."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from classlens.adapters.openmm.samples.listing import Listing
from classlens.dataset.archive import SEPARATOR, names_in, read_member
from classlens.dataset.dataset import Sample
from classlens.dataset.folder import EVERY_EXTENSION
from classlens.errors import DataError

LABELS = (".cls", ".json")
"""Members of a WebDataset shard that carry the label of the picture of the same name."""


def archived(paths: Sequence[str]) -> Listing:
    """The pictures of one archive or of several shards, labels from WebDataset members or from folders.

    Raises:
        DataError: an archive is missing, damaged, or holds no picture.
    """
    places = [f"{path}{SEPARATOR}{name}" for path in paths for name in names_in(path)]
    shown = [place for place in places if place.lower().endswith(EVERY_EXTENSION) and "/." not in place]
    if not shown:
        raise DataError(f"no picture in {', '.join(paths[:3])}")
    beside = {place for place in places if place.lower().endswith(LABELS)}
    left_out = Counter(PurePosixPath(place).suffix for place in places if place not in beside and place not in shown)
    warnings = tuple(f"left out: {count} files named *{suffix}" for suffix, count in sorted(left_out.items()))
    if beside:
        return Listing(
            len(shown),
            lambda index: Sample(shown[index], shard_labels(shown[index], beside)),
            content=lambda index: read_member(shown[index]),
            warnings=warnings,
        )
    shown.sort()
    groups = [PurePosixPath(place.partition(SEPARATOR)[2]).parent.name for place in shown]
    classes = tuple(sorted(set(groups)))
    numbers = {name: number for number, name in enumerate(classes)}
    return Listing(
        len(shown),
        lambda index: Sample(shown[index], (numbers[groups[index]],) if len(classes) > 1 else ()),
        classes if len(classes) > 1 else None,
        content=lambda index: read_member(shown[index]),
        warnings=warnings,
    )


def shard_labels(place: str, beside: set[str]) -> tuple[int, ...]:
    """The label in `KEY.cls`, or under `label` or `cls` in `KEY.json`; none where it is missing or no number."""
    key = before_dots(place)
    for suffix in LABELS:
        if key + suffix not in beside:
            continue
        text = read_member(key + suffix).decode("utf-8", "replace")
        try:
            found = json.loads(text)
            return (int(str(found.get("label", found.get("cls")) if isinstance(found, dict) else found)),)
        except (ValueError, TypeError):
            return ()
    return ()


def before_dots(place: str) -> str:
    """The key of a member of a shard: its name up to the first dot behind the last slash."""
    archive, separator, name = place.partition(SEPARATOR)
    folder, slash, last = name.rpartition("/")
    return archive + separator + folder + slash + last.partition(".")[0]
