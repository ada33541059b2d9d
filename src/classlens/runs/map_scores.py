"""Maps with their scores, those of two baselines beside them, and their means over pictures and classes."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from classlens.cam.classifier import Classifier
from classlens.cam.explain import ExplainOptions
from classlens.cam.faithfulness import BETTER, Box, Evaluation, RandomizationTest, evaluations, mean, randomization_test
from classlens.cam.saliency import Fused, Saliency
from classlens.figures.overlay import caption

WIDTH = 10
BASELINES = ("uniform", "random")
Thing = TypeVar("Thing")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, eq=False)
class MapScore:
    """The scores of one map; no evaluation for a map without a class."""

    picture: Path
    map: Saliency | Fused
    evaluation: Evaluation | None
    sanity: RandomizationTest

    @property
    def label(self) -> str:
        """Method and layer."""
        return f"{self.map.method} at {self.map.layer}"

    def facts(self) -> dict[str, Any]:
        """The scores as JSON can hold them."""
        return {
            "faithfulness": asdict(self.evaluation) if self.evaluation else None,
            "sanity": asdict(self.sanity),
        }


@dataclass(frozen=True)
class MapScores:
    """The scores of several maps; `classlens.draw` gives their tables."""

    scores: tuple[MapScore, ...]

    def means(self) -> list[dict[str, Any]]:
        """The scores of every method and layer averaged over pictures and classes, as JSON can hold them."""
        groups = group_by((one for one in self.scores if one.evaluation), lambda one: (one.map.method, one.map.layer))
        return [
            {"method": method, "layer": layer, "maps": len(several)}
            | {whose: mean([getattr(one.evaluation, whose) for one in several]) for whose in ("own", *BASELINES)}
            for (method, layer), several in groups.items()
        ]

    def text(self) -> str:
        """A table for every picture and class, one of the means if there are several, and one of the sanity check."""
        tables = []
        for group in group_by(self.scores, lambda one: (one.map.index, one.map.subject)).values():
            if beside := group[0].evaluation:
                rows = {one.label: mean([one.evaluation.own]) for one in group if one.evaluation}
                rows |= {whose: mean([getattr(beside, whose)]) for whose in BASELINES}
                tables.append(scores_table(f"{group[0].picture}: {caption(group[0].map.subject)}", rows))
        if (means := self.means()) and means[0]["maps"] > 1:
            rows = {f"{one['method']} at {one['layer']}": one["own"] for one in means}
            rows |= {whose: means[0][whose] for whose in BASELINES}
            tables.append(scores_table(f"mean of {means[0]['maps']} maps each", rows))
        return "\n\n".join([*tables, sanity_table(self.scores)])


def score_maps(
    classifier: Classifier,
    maps: Sequence[Saliency | Fused],
    pictures: Sequence[Path],
    boxes: Sequence[Box | None],
    options: ExplainOptions,
) -> list[MapScore]:
    """Score every map; `pictures` and `boxes` have one place for every picture, boxes in pixels of it as fed."""
    scores: list[MapScore] = []
    for group in group_by(maps, lambda one: (one.index, one.subject)).values():
        index = group[0].index
        several = evaluations(classifier, group, box=boxes[index], options=options) if group[0].subject else None
        for one, sanity in zip(group, randomization_test(classifier, group, options=options), strict=True):
            scores.append(MapScore(pictures[index], one, next(several) if several else None, sanity))
            if options.progress:
                options.progress("maps scored", len(scores), len(maps))
    return scores


def group_by(those: Iterable[Thing], key: Callable[[Thing], Key]) -> dict[Key, list[Thing]]:
    """Things that have something in common, in their order."""
    groups: dict[Key, list[Thing]] = {}
    for one in those:
        groups.setdefault(key(one), []).append(one)
    return groups


def scores_table(title: str, rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """Measures side by side, a map a line; measures that need a box only where there is one."""
    measures = [measure for measure in BETTER if any(scores[measure] is not None for scores in rows.values())]
    numbers = {label: [scores[measure] for measure in measures] for label, scores in rows.items()}
    return table(title, measures, numbers | {"better": [BETTER[measure] for measure in measures]})


def sanity_table(scores: Sequence[MapScore]) -> str:
    """How like itself every method's map stays as weights are shuffled, the mean over pictures and classes."""
    rows = {}
    for label, several in group_by(scores, lambda one: one.label).items():
        columns = zip(*(one.sanity.rank for one in several), strict=True)
        known = [[rank for rank in column if rank is not None] for column in columns]
        rows[label] = [sum(ranks) / len(ranks) if ranks else None for ranks in known]
    layers = {str(place): layer for place, layer in enumerate(scores[0].sanity.layers, start=1)}
    title = "sanity: rank correlation with the map after weights are shuffled, better near 0"
    shuffled = ", ".join(f"{place} down to {layer}" for place, layer in layers.items())
    return f"{table(title, list(layers), rows)}\n  shuffled: {shuffled}"


def table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[float | str | None]]) -> str:
    """A title, names of columns, and a line for every row."""
    widest = max(map(len, rows))
    lines = [title, " " * (widest + 2) + "".join(f"{name:>{WIDTH}}" for name in columns)]
    for label, values in rows.items():
        cells = ["-" if one is None else f"{one:.3f}" if isinstance(one, float) else one for one in values]
        lines.append(f"  {label:<{widest}}" + "".join(f"{cell:>{WIDTH}}" for cell in cells))
    return "\n".join(lines)
