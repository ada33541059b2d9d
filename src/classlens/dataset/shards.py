"""Datasets in archives: class folders inside a zip or tar file, and WebDataset shards."""

import json
from collections import Counter
from collections.abc import Sequence

from classlens.dataset.archives import SEPARATOR, inside, names_in, read_member
from classlens.dataset.dataset import Sample
from classlens.dataset.listing import Listing, by_folders, describe_left_out, shown_of
from classlens.errors import DataError

LABELS = (".cls", ".json")
"""Members of a WebDataset shard that carry the label of the picture of the same name."""


def archived(paths: Sequence[str], split: str | None = None, *, flat: bool = False) -> Listing:
    """The pictures of an archive, of a folder in one, or of several shards; labels from members or from folders.

    Raises:
        DataError: an archive is missing, damaged, or holds no picture.
    """
    places = [place for path in paths for place in places_in(path)]
    beside = {place for place in places if place.lower().endswith(LABELS)}
    if not beside and len(paths) == 1:
        start = SEPARATOR.join(inside(paths[0]))
        return by_folders(start, [place[len(start) :] for place in places], split, flat=flat)
    left_out: Counter[str] = Counter()
    shown = shown_of((place for place in places if place not in beside), left_out)
    if not shown:
        raise DataError(f"no picture in {', '.join(paths[:3])}")
    return Listing(
        len(shown),
        lambda index: Sample(shown[index], shard_label(shown[index], beside)[0]),
        trouble=lambda index: shard_label(shown[index], beside)[1],
        warnings=describe_left_out(left_out),
    )


def places_in(path: str) -> list[str]:
    """Every file of an archive, or of a folder in it."""
    archive, folder = inside(path)
    return [archive + SEPARATOR + name for name in names_in(archive) if name.startswith(folder)]


def shard_label(place: str, beside: set[str]) -> tuple[tuple[int, ...], str]:
    """The label in `KEY.cls`, or under `label` or `cls` in `KEY.json`, and what is wrong if it is none."""
    key = before_dots(place)
    name = key.partition(SEPARATOR)[2]
    member = next((key + suffix for suffix in LABELS if key + suffix in beside), None)
    if member is None:
        return (), f"no label: the shard has no {' or '.join(name + suffix for suffix in LABELS)}"
    text = read_member(member).decode("utf-8", "replace")
    try:
        found = json.loads(text)
        return (int(str(found.get("label", found.get("cls")) if isinstance(found, dict) else found)),), ""
    except (ValueError, TypeError):
        return (), f"no label: {member.partition(SEPARATOR)[2]} holds {text.strip()[:40]!r}"


def before_dots(place: str) -> str:
    """The key of a member of a shard: its name up to the first dot behind the last slash."""
    archive, separator, name = place.partition(SEPARATOR)
    folder, slash, last = name.rpartition("/")
    return archive + separator + folder + slash + last.partition(".")[0]
