"""The scores of maps, beside those of two baselines, and their means over pictures and classes.

What is scored and how is in `cam/faithfulness.py`; here are the tables that people read, and what JSON holds.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from classlens.cam.faithfulness import BETTER, Faithfulness, mean
from classlens.figures.overlay import caption
from classlens.printed import join_lines
from classlens.results import Drawable
from classlens.runs.explain_files import MapRow

WIDTH = 10  # characters of a column of scores
TABLES = 12  # of so many pictures and classes scores are printed one by one

BASELINES = ("uniform", "random")
Thing = TypeVar("Thing")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class MapScores(Drawable):
    """The scores in the rows of several maps; `classlens.draw` gives their tables."""

    rows: tuple[MapRow, ...]

    def means(self) -> list[dict[str, Any]]:
        """The scores of every method and layer averaged over pictures and classes, as JSON can hold them."""
        scored = (row for row in self.rows if row.values["faithfulness"])
        return [
            ({"checkpoint": checkpoint} if checkpoint else {})
            | {"method": method, "layer": layer, "maps": len(several)}
            | {whose: mean_of(several, whose) for whose in ("own", *BASELINES)}
            for (checkpoint, method, layer), several in group_by(scored, maker_of).items()
        ]

    def text(self) -> str:
        """A table for every picture and class if they are few, one of the means, and one of the sanity check."""
        titled: list[tuple[str, dict[str, Any]]] = []
        groups = group_by(self.rows, lambda row: (row.picture, row.values.get("checkpoint"), row.subject)).values()
        for group in groups if len(groups) <= TABLES else ():
            if group[0].values["faithfulness"]:
                rows: dict[str, Any] = {label_of(*maker_of(row)): mean_of([row], "own") for row in group}
                rows |= {whose: mean_of(group[:1], whose) for whose in BASELINES}
                titled.append((f"{group[0].picture}: {caption(group[0].subject)}", rows))
        if (means := self.means()) and means[0]["maps"] > 1:
            rows = {label_of(one.get("checkpoint", ""), one["method"], one["layer"]): one["own"] for one in means}
            titled.append((f"mean of {means[0]['maps']} maps each", rows | {one: means[0][one] for one in BASELINES}))
        tables = []
        for title, rows in titled:  # measures that need a box only where there is one
            measures = [measure for measure in BETTER if any(scores[measure] is not None for scores in rows.values())]
            rows["better"] = BETTER
            tables.append(
                table(title, measures, {label: [one[name] for name in measures] for label, one in rows.items()})
            )
        return "\n\n".join([*tables, self.sanity()])

    def sanity(self) -> str:
        """How like itself every method's map stays as weights are shuffled, the mean over pictures and classes."""
        rows = {}
        for maker, several in group_by(self.rows, maker_of).items():
            columns = zip(*(row.values["sanity"]["rank"] for row in several), strict=True)
            known = [[rank for rank in column if rank is not None] for column in columns]
            rows[label_of(*maker)] = [sum(ranks) / len(ranks) if ranks else None for ranks in known]
        layers = {str(number): layer for number, layer in enumerate(self.rows[0].values["sanity"]["layers"], start=1)}
        title = "sanity: rank correlation with the map after weights are shuffled, better near 0"
        shuffled = ", ".join(f"{number} down to {layer}" for number, layer in layers.items())
        return f"{table(title, list(layers), rows)}\n  shuffled: {shuffled}"


def maker_of(row: MapRow) -> tuple[str, str, str]:
    """The checkpoint of a map, "" if there is one alone, its method, and its layers."""
    return row.values.get("checkpoint", ""), row.values["method"], " + ".join(row.values["layers"])


def label_of(checkpoint: str, method: str, layer: str) -> str:
    return f"{f'{checkpoint}: ' if checkpoint else ''}{method} at {layer}"


def mean_of(rows: Sequence[MapRow], whose: str) -> dict[str, float | None]:
    return mean([Faithfulness(**row.values["faithfulness"][whose]) for row in rows])


def group_by(those: Iterable[Thing], key: Callable[[Thing], Key]) -> dict[Key, list[Thing]]:
    groups: dict[Key, list[Thing]] = {}
    for one in those:
        groups.setdefault(key(one), []).append(one)
    return groups


def table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[float | str | None]]) -> str:
    widest = max(map(len, rows))
    lines = [title, " " * (widest + 2) + "".join(f"{name:>{WIDTH}}" for name in columns)]
    for label, values in rows.items():
        cells = ["-" if one is None else f"{one:.3f}" if isinstance(one, float) else one for one in values]
        lines.append(f"  {label:<{widest}}" + "".join(f"{cell:>{WIDTH}}" for cell in cells))
    return join_lines(lines)
