"""What an audit was made of, as `manifest.json` beside its rows: enough to make every row again, and to refuse another.

A run goes on only where everything in it is as it was: a row by other weights, another list of pictures or another
version of a decoder would stand unnoticed among the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from classlens.audit.place import Place
from classlens.errors import DataError, short_repr
from classlens.printed import json_text

NAME = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class MapColumn:
    """A map of every row, `map_0`, `map_1`, ...: its method and layer, and its (height, width) for pictures of the usual size."""

    method: str
    layer: str
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width


@dataclass(frozen=True)
class Manifest:
    """What an audit was made of.

    `target`, `data` (an address of its own, if the pictures are not the target's), `checkpoint`, `phase` and `overrides`
    open the same setup again. `pictures` is the number of rows, evenly spread over the `length` of the dataset;
    `rows_per_shard` of them share a file, and `batch_size` of those went through the network at once. `size` is that of pictures as fed, `classes` the names of the
    network's classes (None: it has none) and `class_count` their number, `output` what makes probabilities of logits.
    `features` says where the features come from, and `feature_count` how many there are. `flips` says that rows hold the
    answer to the mirrored picture, too. `digests` are SHA-256 of the `weights` as loaded, of the `list` of pictures (paths
    and labels), of the `config` (the text of the target's file), and of what the network is fed of a test picture
    (`feed`). `versions` are those of the packages that numbers depend on.
    """

    target: str
    data: str | None
    checkpoint: str | None
    phase: str
    length: int
    pictures: int
    rows_per_shard: int
    batch_size: int
    size: tuple[int, int]
    classes: tuple[str, ...] | None
    class_count: int
    output: str
    maps: tuple[MapColumn, ...]
    features: str
    feature_count: int
    flips: bool
    seed: int
    device: str
    digests: Mapping[str, str]
    versions: Mapping[str, str]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def shards(self) -> int:
        return -(-self.pictures // self.rows_per_shard)

    @property
    def indices(self) -> Sequence[int]:
        """The numbers of all pictures."""
        if self.length == self.pictures:
            return range(self.length)
        return [place * self.length // self.pictures for place in range(self.pictures)]

    def rows_of(self, shard: int) -> list[int]:
        """The numbers of the pictures whose rows lie in a shard."""
        first = shard * self.rows_per_shard
        places = range(first, min(first + self.rows_per_shard, self.pictures))
        return [place * self.length // self.pictures for place in places]

    def find_row(self, index: int) -> tuple[int, int]:
        """The shard of a picture, and its row in that."""
        return divmod(-(-index * self.pictures // self.length), self.rows_per_shard)

    def class_name(self, number: int) -> str:
        return self.classes[number] if self.classes and 0 <= number < len(self.classes) else str(number)

    def differences(self, other: Manifest) -> list[str]:
        """What differs, a line each: the setting, its value here, and in the other one."""
        ours, theirs = (dict(flatten(json.loads(json_text(asdict(one))))) for one in (self, other))
        pairs = [(key, ours.get(key), theirs.get(key)) for key in dict.fromkeys((*ours, *theirs))]
        return [f"{key}: {value_text(one)}, there {value_text(two)}" for key, one, two in pairs if one != two]


def flatten(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings one by one, those of a group as `digests.weights`."""
    for name, value in values.items():
        several = isinstance(value, dict)
        yield from ((f"{name}.{key}", part) for key, part in value.items()) if several else [(name, value)]


def value_text(value: object) -> str:
    return "none" if value is None else short_repr(value, 60)


def write_manifest(place: Place, manifest: Manifest) -> None:
    place.write(NAME, json_text(asdict(manifest), indent=1).encode())


def read_manifest(place: Place) -> Manifest:
    """The manifest of an audit.

    Raises:
        DataError: there is none, or it is of another format.
    """
    content = place.read(NAME)
    if content is None:
        hint = "`classlens audit TARGET --output DIR` makes one"
        raise DataError(f"no audit in {place.address}: there is no {NAME}", hint=hint)
    return parse_manifest(content, place / NAME)


def parse_manifest(content: bytes | str, where: str) -> Manifest:
    """A manifest from its JSON."""
    try:
        values = json.loads(content)
        if values["format"] != FORMAT:
            raise DataError(f"{where} has format {short_repr(values['format'])}, this classlens reads {FORMAT}")
        values["maps"] = tuple(MapColumn(**one) for one in values["maps"])
        values["size"] = tuple(values["size"])
        values["classes"] = values["classes"] and tuple(values["classes"])
        return Manifest(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{where} is no manifest of an audit: {short_repr(str(error))}") from error
