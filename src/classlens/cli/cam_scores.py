"""`classlens cam --evaluate`: every map scored, the baselines beside it, and means over pictures, as tables or as data."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from classlens.cam.classifier import Classifier
from classlens.cam.explain import ExplainOptions
from classlens.cam.faithfulness import BETTER, Box, Evaluation, evaluations, mean
from classlens.cam.randomization import RandomizationTest, randomization_test
from classlens.cam.saliency import Fused, Saliency

WIDTH = 10
BASELINES = ("uniform", "random")
Map = Saliency | Fused
Thing = TypeVar("Thing")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Scored:
    """One map with what was found out about it; no evaluation for a map that speaks about no class."""

    map: Map
    evaluation: Evaluation | None
    sanity: RandomizationTest

    def facts(self) -> dict[str, Any]:
        return {
            "faithfulness": asdict(self.evaluation) if self.evaluation else None,
            "sanity": asdict(self.sanity),
        }


def scored(
    classifier: Classifier, maps: Sequence[Map], *, boxes: Sequence[Box | None], manner: ExplainOptions
) -> list[Scored]:
    """Score every map; `boxes` has one place for every picture, in pixels of it as fed."""
    found: list[Scored] = []
    for group in grouped(maps, lambda one: (one.index, one.subject)).values():
        box = boxes[group[0].index]
        several = evaluations(classifier, group, box=box, options=manner) if group[0].subject else None
        survivals = randomization_test(classifier, group, options=manner)
        for one, left in zip(group, survivals, strict=True):
            found.append(Scored(one, next(several) if several else None, left))
            if manner.progress:
                manner.progress("maps scored", len(found), len(maps))
    return found


def grouped(those: Iterable[Thing], key: Callable[[Thing], Key]) -> dict[Key, list[Thing]]:
    """Things that have something in common, in their order."""
    groups: dict[Key, list[Thing]] = {}
    for one in those:
        groups.setdefault(key(one), []).append(one)
    return groups


def means(scores: Sequence[Scored]) -> list[dict[str, Any]]:
    """The scores of every method and layer averaged over pictures and classes, as data."""
    groups: dict[tuple[str, str], list[Evaluation]] = {}
    for one in scores:
        if one.evaluation:
            groups.setdefault((one.map.method, one.map.layer), []).append(one.evaluation)
    return [
        {"method": method, "layer": layer, "maps": len(several)}
        | {whose: mean([getattr(one, whose) for one in several]) for whose in ("own", *BASELINES)}
        for (method, layer), several in groups.items()
    ]


def report(scores: Sequence[Scored], captions: Sequence[str]) -> str:
    """A table for every picture and class, one of the means if there are several, and one of the sanity check."""
    shown = [one for one in scores if one.evaluation]
    titles = {id(one): title for one, title in zip(scores, captions, strict=True)}
    tables = []
    for group in grouped(shown, lambda one: (one.map.index, one.map.subject)).values():
        rows = [(named(one), mean([one.evaluation.own])) for one in group if one.evaluation]
        first = group[0].evaluation
        beside = [(whose, mean([getattr(first, whose)])) for whose in BASELINES]
        tables.append(table(titles[id(group[0])], [*rows, *beside]))
    averages = means(scores)
    if averages and averages[0]["maps"] > 1:
        rows = [(f"{one['method']} at {one['layer']}", one["own"]) for one in averages]
        beside = [(whose, averages[0][whose]) for whose in BASELINES]
        tables.append(table(f"mean of {averages[0]['maps']} maps each", [*rows, *beside]))
    return "\n\n".join([*tables, forgetting(scores)])


def named(one: Scored) -> str:
    return f"{one.map.method} at {one.map.layer}"


def table(title: str, rows: Sequence[tuple[str, Mapping[str, float | None]]]) -> str:
    """Measures side by side, a map a line; measures that need a box only where there is one."""
    measures = [measure for measure in BETTER if any(values[measure] is not None for _, values in rows)]
    widest = max(len(label) for label, _ in rows)
    lines = [title, " " * (widest + 2) + "".join(f"{measure:>{WIDTH}}" for measure in measures)]
    lines += [f"  {label:<{widest}}" + "".join(number(values[one]) for one in measures) for label, values in rows]
    return "\n".join([*lines, f"  {'better':<{widest}}" + "".join(f"{BETTER[one]:>{WIDTH}}" for one in measures)])


def number(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.3f}':>{WIDTH}}"


def forgetting(scores: Sequence[Scored]) -> str:
    """How much of the maps of every method is left as the network forgets, the mean over pictures and classes."""
    layers = scores[0].sanity.layers
    groups = grouped(scores, named)
    widest = max(map(len, groups))
    shares = [f"{place + 1}" for place in range(len(layers))]
    lines = ["sanity: rank correlation with the map of a network made to forget, better near 0"]
    lines.append(" " * (widest + 2) + "".join(f"{share:>{WIDTH}}" for share in shares))
    for label, several in groups.items():
        kept = [
            [one for one in column if one is not None] for column in zip(*(s.sanity.rank for s in several), strict=True)
        ]
        lines.append(f"  {label:<{widest}}" + "".join(number(sum(one) / len(one) if one else None) for one in kept))
    down = ", ".join(f"{share} down to {layer}" for share, layer in zip(shares, layers, strict=True))
    return "\n".join([*lines, f"  forgotten: {down}"])
