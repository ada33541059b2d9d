"""`audit`: every picture of a split becomes a row, and the rows one result; in this process, from one to the next.

`runs/audit_run.py` does the same over many processes, or a cluster: shards are the same, whoever makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np

from classlens.audit.fed import Fed
from classlens.audit.place import Place
from classlens.audit.wishes import AuditOptions, Recipe
from classlens.errors import NotOffered
from classlens.image import Image
from classlens.printed import json_text
from classlens.results import Drawable
from classlens.source import Source

if TYPE_CHECKING:
    from classlens.audit.clusters import Cluster
    from classlens.audit.manifest import Manifest
    from classlens.audit.measure import Questions
    from classlens.audit.shards import Portion
    from classlens.audit.summary import Summary

SUMMARY, REPORT, ANSWERS = "summary.json", "report.html", "answers.html"
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """A picture of the report: as it was fed, with its first map at layer size if there is one, and its facts."""

    index: int
    image: Image
    map: np.ndarray | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Audit(Drawable):
    """An audit that is whole: the folder with its rows, what it was made of, and what the rows say together.

    `classes` are the rows of `classes.parquet`. `shown` are the pictures of the report by their numbers. `made` rows are new; the others were there.
    `notes` are what a reader must know to believe the numbers, such as that how the network is fed is a guess. With
    `has_answers` a page of answers lies beside the report.
    """

    folder: str
    manifest: Manifest
    summary: Summary
    classes: tuple[Mapping[str, Any], ...]
    clusters: tuple[Cluster, ...]
    shown: Mapping[int, ShownPicture]
    made: int = 0
    notes: tuple[str, ...] = ()
    has_answers: bool = False

    @property
    def page(self) -> str:
        """Where the report is."""
        return Place(self.folder) / REPORT

    def as_data(self) -> dict[str, Any]:
        """The result as JSON can hold it; this is `summary.json`."""
        return {
            "folder": self.folder,
            "notes": list(self.notes),
            **{key: value for key, value in vars(self.summary).items() if key not in ("groups", "bins", "mistakes")},
            "bins": [asdict(one) for one in self.summary.bins],
            "mistakes": [asdict(one) for one in self.summary.mistakes],
            "groups": {
                name: {"count": one.count, **one.places, "mean_map": rounded(one.map)}
                for name, one in self.summary.groups.items()
            },
            "clusters": [{**vars(one), "map": rounded(one.map)} for one in self.clusters],
        }


def rounded(values: np.ndarray | None) -> list[Any] | None:
    return None if values is None else values.round(6).tolist()


def audit(
    source: Source,
    output: str | PathLike[str],
    *,
    checkpoint: str | None = None,
    pictures: Source | None = None,
    options: AuditOptions | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Ask a network about every picture of a split, and write a row for each, a summary and a report into a folder.

    What is there of the same audit is not made again: a run that was ended goes on. `pictures` is another source whose
    pictures are asked about instead of the source's own.

    Raises:
        NotOffered: the source has no classifier, or none of both has pictures.
        NotFound: there is no such method or layer.
        DataError: the folder cannot be written, or holds an audit of another setup.
        MissingDependency: pyarrow is not installed.
    """
    from classlens.audit.preparation import prepare_audit
    from classlens.audit.shards import begin, find_missing, portion_of

    wished, place = options or AuditOptions(), Place(fspath(output))
    data = pictures or source
    if data.open_dataset is None:
        raise NotOffered(f"{data.origin} has no pictures", hint="name others that have: `pictures`, or --data ADDRESS")
    recipe = Recipe(source.origin, pictures.origin if pictures else None, checkpoint)
    questions, manifest = prepare_audit(recipe, data.dataset(wished.phase), source.classifier(checkpoint), wished)
    begin(place, manifest)
    portions = [portion_of(place, manifest, one) for one in find_missing(place, manifest)]
    made = 0
    for count in make_here(questions, manifest, place, portions):
        made += count
        if progress:
            progress("pictures", made, sum(len(manifest.rows_of(one.shard)) for one in portions))
    return conclude(questions, manifest, place, made)


def make_here(questions: Questions, manifest: Manifest, place: Place, portions: Sequence[Portion]) -> Iterator[int]:
    """Make shards in this process and write them; gives how many rows were made after each."""
    from classlens.audit.rows import write_shard
    from classlens.audit.shards import make_shards

    for one, (count, table) in zip(portions, make_shards(questions, manifest, place, portions), strict=True):
        write_shard(place, one.shard, table)
        yield count


def conclude(questions: Questions, manifest: Manifest, place: Place, made: int = 0) -> Audit:
    """Sum up the rows that are there, and write the summary and the report."""
    import classlens
    from classlens.audit.clusters import find_clusters
    from classlens.audit.summary import read_classes, summarise

    summary, clusters = summarise(place), find_clusters(place)
    wanted = dict.fromkeys(one.index for one in summary.mistakes)
    wanted |= dict.fromkeys(index for cluster in clusters for index in cluster.examples)
    classes, shown = read_classes(place), show_pictures(questions, manifest, place, wanted)
    has_answers, notes = ANSWERS in place.names(""), questions.subject.notes
    result = Audit(place.address, manifest, summary, classes, clusters, shown, made, notes, has_answers)
    place.write(SUMMARY, json_text(result.as_data(), indent=1).encode())
    place.write(REPORT, classlens.draw(result).encode(".html"))
    return result


def show_pictures(
    questions: Questions, manifest: Manifest, place: Place, indices: Iterable[int]
) -> dict[int, ShownPicture]:
    """Pictures with what their rows say; those that cannot be read any more are left out."""
    from classlens.audit.rows import rows_by_index

    wanted = sorted(indices)
    rows = rows_by_index(place, manifest, wanted)
    several = (show(fed, rows[fed.index]) for fed in questions.subject.read(wanted))
    return {one.index: one for one in several if one is not None}


def show(fed: Fed, row: Mapping[str, Any]) -> ShownPicture | None:
    """A picture with what its row says; None without a picture, or an answer."""
    if fed.image is None or row.get("predicted") is None:
        return None
    values = None
    if row.get("map_0_height"):
        values = np.array(row["map_0"], np.float32).reshape(row["map_0_height"], row["map_0_width"])
    facts = {key: row[key] for key in ("path", "label", "predicted", "probability", "label_probability")}
    return ShownPicture(fed.index, replace(fed.image, encoded=None), values, facts)
