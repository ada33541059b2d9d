"""The scores of maps, beside those of two baselines, and their means over pictures and classes.

What is scored and how is in `cam/faithfulness.py`; here are the tables that people read, and what JSON holds.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from classlens.cam.faithfulness import BETTER, Evaluation, RandomizationTest, mean
from classlens.cam.saliency import ExplainedClass
from classlens.figures.overlay import caption
from classlens.printed import join_lines
from classlens.results import Drawable

WIDTH = 10  # characters of a column of scores
TABLES = 12  # of so many pictures and classes scores are printed one by one

BASELINES = ("uniform", "random")
Thing = TypeVar("Thing")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, eq=False)
class MapScore:
    """The scores of one map; no evaluation for a map without a class."""

    picture: Path
    checkpoint: str
    method: str
    layer: str
    subject: ExplainedClass | None
    evaluation: Evaluation | None
    sanity: RandomizationTest

    @property
    def label(self) -> str:
        """Method and layer, and the checkpoint if there are several."""
        return f"{f'{self.checkpoint}: ' if self.checkpoint else ''}{self.method} at {self.layer}"

    def facts(self) -> dict[str, Any]:
        """The scores as JSON can hold them."""
        return {"faithfulness": asdict(self.evaluation) if self.evaluation else None, "sanity": asdict(self.sanity)}


@dataclass(frozen=True)
class MapScores(Drawable):
    """The scores of several maps; `classlens.draw` gives their tables."""

    scores: tuple[MapScore, ...]

    def means(self) -> list[dict[str, Any]]:
        """The scores of every method and layer averaged over pictures and classes, as JSON can hold them."""
        scored = (one for one in self.scores if one.evaluation)
        groups = group_by(scored, lambda one: (one.checkpoint, one.method, one.layer))
        return [
            ({"checkpoint": checkpoint} if checkpoint else {})
            | {"method": method, "layer": layer, "maps": len(several)}
            | {whose: mean([getattr(one.evaluation, whose) for one in several]) for whose in ("own", *BASELINES)}
            for (checkpoint, method, layer), several in groups.items()
        ]

    def text(self) -> str:
        """A table for every picture and class if they are few, one of the means, and one of the sanity check."""
        titled: list[tuple[str, dict[str, Any]]] = []
        groups = group_by(self.scores, lambda one: (one.picture, one.checkpoint, one.subject)).values()
        for group in groups if len(groups) <= TABLES else ():
            if beside := group[0].evaluation:
                rows: dict[str, Any] = {one.label: mean([one.evaluation.own]) for one in group if one.evaluation}
                rows |= {whose: mean([getattr(beside, whose)]) for whose in BASELINES}
                titled.append((f"{group[0].picture}: {caption(group[0].subject)}", rows))
        if (means := self.means()) and means[0]["maps"] > 1:
            rows = {f"{one['method']} at {one['layer']}": one["own"] for one in means}
            if "checkpoint" in means[0]:
                rows = {f"{one['checkpoint']}: {one['method']} at {one['layer']}": one["own"] for one in means}
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
        for label, several in group_by(self.scores, lambda one: one.label).items():
            columns = zip(*(one.sanity.rank for one in several), strict=True)
            known = [[rank for rank in column if rank is not None] for column in columns]
            rows[label] = [sum(ranks) / len(ranks) if ranks else None for ranks in known]
        layers = {str(number): layer for number, layer in enumerate(self.scores[0].sanity.layers, start=1)}
        title = "sanity: rank correlation with the map after weights are shuffled, better near 0"
        shuffled = ", ".join(f"{number} down to {layer}" for number, layer in layers.items())
        return f"{table(title, list(layers), rows)}\n  shuffled: {shuffled}"


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
