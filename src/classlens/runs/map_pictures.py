"""From a checked request to maps: the classifier is built, pictures are read, explained, drawn and scored.

Scores stand beside those of two baselines, and as means over pictures and classes.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from classlens.cam.classifier import Classifier, place, scale_whole
from classlens.cam.cost import affordable_batch_size, count_runs, seconds_per_run
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.faithfulness import (
    BETTER,
    Evaluation,
    RandomizationTest,
    box_as_fed,
    evaluations,
    mean,
    randomization_test,
)
from classlens.cam.forward import describe_output
from classlens.cam.layers import Preview, find_layers, preview
from classlens.cam.methods import METHODS
from classlens.cam.saliency import Fused, Saliency, facts
from classlens.cam.targets import PREDICTED
from classlens.dataset.decode import DAMAGED, capture_damage, read_image
from classlens.errors import DataError
from classlens.figures.overlay import caption, draw_maps, save_maps
from classlens.image import Image
from classlens.printed import join_lines
from classlens.runs.explain_files import BOX_HINT, BadPicture, MapPlan, MapRow, MapRun, Notify
from classlens.runs.own_process import Progress, describe_duration

WORTH_A_NOTE = 500  # so many runs of the network take so long that their number is worth a note beforehand
WIDTH = 10  # characters of a column of scores

BASELINES = ("uniform", "random")
Thing = TypeVar("Thing")
Key = TypeVar("Key", bound=Hashable)
Map = Saliency | Fused


@dataclass(frozen=True, eq=False)
class MapScore:
    """The scores of one map; no evaluation for a map without a class."""

    picture: Path
    map: Map
    evaluation: Evaluation | None
    sanity: RandomizationTest

    @property
    def label(self) -> str:
        """Method and layer."""
        return f"{self.map.method} at {self.map.layer}"

    def facts(self) -> dict[str, Any]:
        """The scores as JSON can hold them."""
        return {"faithfulness": asdict(self.evaluation) if self.evaluation else None, "sanity": asdict(self.sanity)}


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
        titled: list[tuple[str, dict[str, Any]]] = []
        for group in group_by(self.scores, lambda one: (one.map.index, one.map.subject)).values():
            if beside := group[0].evaluation:
                rows: dict[str, Any] = {one.label: mean([one.evaluation.own]) for one in group if one.evaluation}
                rows |= {whose: mean([getattr(beside, whose)]) for whose in BASELINES}
                titled.append((f"{group[0].picture}: {caption(group[0].map.subject)}", rows))
        if (means := self.means()) and means[0]["maps"] > 1:
            rows = {f"{one['method']} at {one['layer']}": one["own"] for one in means}
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


def map_pictures(
    plan: MapPlan, on_map: Callable[[MapRow], object], notify: Notify, progress: Progress | None
) -> MapRun:
    """Explain every picture; what was written stays if the run is stopped."""
    notify, wanted, total = cache(notify), plan.request.maps, len(plan.pictures)
    bad: list[BadPicture] = []
    portions = read_portions(plan, bad)
    first = next(portions)
    classifier, feed = open_classifier(plan, notify)
    layers, options = prepare(plan, replace(classifier, size=feed(next(iter(first.values()))).size), notify)
    rows: list[MapRow] = []
    written: dict[Path, None] = {}
    scores: list[MapScore] = []
    done = 0

    def count(what: str, number: int, of: int) -> None:
        if progress:
            progress(what, *((done + number, total) if what == "pictures" else (number, of)))

    options = replace(options, progress=count if progress else None)
    targets = wanted.targets or ([PREDICTED] if wanted.evaluate else None)
    try:
        for pictures in chain([first], portions):
            paths, images = list(pictures), list(pictures.values())
            explanation = explain(
                classifier, images, methods=plan.methods, layers=layers, targets=targets, options=options
            )
            if words := describe_output(classifier):
                notify("note", words)
            maps = explanation if wanted.each_layer else explanation.fused()
            if wanted.evaluate:
                scores += score_maps(plan, classifier, feed, maps, pictures, options)
            written |= dict.fromkeys(write_files(plan, maps, pictures))
            of_maps = {id(score.map): score.facts() for score in scores}
            for one in maps:
                rows.append(MapRow(paths[one.index], one.subject, facts(one) | of_maps.get(id(one), {})))
                on_map(rows[-1])
                warn_about(one, paths[one.index], notify)
            done += len(pictures)
    except KeyboardInterrupt as stopped:
        behind = len({row.picture for row in rows})
        stopped.add_note(f"stopped after {behind} of {total} pictures; what was written is whole")
        raise
    if progress:
        progress("pictures", total, total)  # those that could not be read are behind, too
    return MapRun(plan.pictures, tuple(rows), tuple(written), tuple(bad), MapScores(tuple(scores)) if scores else None)


def preview_layers(plan: MapPlan, notify: Notify) -> Preview:
    """The layers at the size of the first picture, if there is one."""
    classifier, feed = open_classifier(plan, notify)
    if plan.pictures:
        picture = next(iter(next(read_portions(plan, [])).values()))
        classifier = replace(classifier, size=feed(picture).size)
    notify("note", f"layers of {classifier.name}")
    return preview(classifier)


def read_portions(plan: MapPlan, bad: list[BadPicture]) -> Iterator[dict[Path, Image]]:
    """Every picture that can be read, a portion at a time; `bad` collects the others, and those that are damaged."""
    count, failed = 0, None
    for start in range(0, len(plan.pictures), plan.at_once):
        portion: dict[Path, Image] = {}
        for path in plan.pictures[start : start + plan.at_once]:
            try:
                with capture_damage() as complaints:
                    portion[path] = read_image(path)
                if complaints:
                    bad.append(BadPicture(path, f"{path}: {DAMAGED}{complaints[0]}", readable=True))
            except DataError as error:
                failed = failed or error
                bad.append(BadPicture(path, str(error)))
        count += len(portion)
        if portion:
            yield portion
    if failed and not count:
        raise failed


def open_classifier(plan: MapPlan, notify: Notify) -> tuple[Classifier, Callable[[Image], Image]]:
    """The classifier on its device, with what the user knows better about it; and what makes its input of a picture."""
    model = plan.request.model
    for note in plan.source.notes:
        notify("note", note)
    classifier = plan.source.classifier(model.checkpoint)
    for note in classifier.notes:
        notify("note", note)
    better: dict[str, Any] = {"classes": plan.class_names, "extra_tokens": model.extra_tokens, "output": model.output}
    classifier = replace(classifier, **{name: value for name, value in better.items() if value is not None})
    place(classifier.module, model.device)
    return classifier, partial(scale_whole, classifier) if plan.request.maps.whole else classifier.prepare


def prepare(plan: MapPlan, fed: Classifier, notify: Notify) -> tuple[tuple[str, ...], ExplainOptions]:
    """The layers, and the options with a batch that has room; says what slow methods will cost.

    All is measured at the size of `fed`.
    """
    maps = plan.request.maps
    layers, batch_size = find_layers(fed, maps.layers, fed.size), maps.batch_size
    if maps.memory_budget is not None:
        batch_size = affordable_batch_size(fed, batch_size, maps.memory_budget, layers)
    options = ExplainOptions(
        maps.whole, maps.eigen_smooth, maps.aug_smooth, batch_size, maps.precision, samples=maps.samples
    )
    if unsmoothed := [name for name in plan.methods if maps.eigen_smooth and not METHODS[name].adds_channels]:
        names = ", ".join(unsmoothed)
        notify("note", f"--eigen-smooth does nothing for {names}: no channels of a layer are added up")
    is_slow = any(METHODS[name].asks for name in plan.methods)
    runs = count_runs(fed, plan.methods, layers, options) if is_slow else {}
    if (total := sum(runs.values())) >= WORTH_A_NOTE:
        each = ", ".join(f"{name} {count:,}" for name, count in runs.items())
        time = describe_duration(total * seconds_per_run(fed, batch_size))
        notify("note", f"runs of the network for every picture and class: {each}; up to {time} each")
    return tuple(layer.name for layer in layers), options


def score_maps(
    plan: MapPlan,
    classifier: Classifier,
    feed: Callable[[Image], Image],
    maps: Sequence[Map],
    pictures: Mapping[Path, Image],
    options: ExplainOptions,
) -> list[MapScore]:
    """Score every map; without a box where nothing is known of the picture, or nothing of it is left as fed."""
    boxes = []
    for path, picture in pictures.items():
        box = plan.boxes.get(path)
        height, width = picture.size
        if box is not None and (box[2] > width or box[3] > height):
            numbers = " ".join(map(str, box))
            raise DataError(f"the box {numbers} does not lie in {path}, {width} wide and {height} high", hint=BOX_HINT)
        boxes.append(None if box is None else box_as_fed(feed, picture.size, box))
    scores: list[MapScore] = []
    for group in group_by(maps, lambda one: (one.index, one.subject)).values():
        index = group[0].index
        several = evaluations(classifier, group, box=boxes[index], options=options) if group[0].subject else None
        for one, sanity in zip(group, randomization_test(classifier, group, options=options), strict=True):
            scores.append(MapScore(list(pictures)[index], one, next(several) if several else None, sanity))
            if options.progress:
                options.progress("maps scored", len(scores), len(maps))
    return scores


def write_files(plan: MapPlan, maps: Sequence[Map], pictures: Mapping[Path, Image]) -> list[Path]:
    """The pictures of the maps, and their numbers, as far as wanted; what was written."""
    files, paths, images = plan.request.files, list(pictures), list(pictures.values())
    drawn: dict[Path, list[Map]] = {}
    for one in maps:
        if files.original_size:  # the map of a whole picture, over the picture as read
            parts = tuple(replace(part, image=images[one.index]) for part in one.parts)
            shown = Fused(parts) if isinstance(one, Fused) else parts[0]
        else:
            shown = one
        if target := plan.outputs.get(paths[one.index], files.pictures):
            drawn.setdefault(target, []).append(shown)
    for path, several in drawn.items():
        draw_maps(several, style=files.style, titled=files.titled).save(path)
    if files.numbers:
        save_maps(files.numbers, maps, [str(path) for path in paths])
    return [*drawn, *filter(None, [files.numbers])]


def warn_about(one: Map, picture: Path, notify: Notify) -> None:
    """Warn of a map that is empty, and, once for each layer, of one that another layer would explain better."""
    if one.heatmap().hottest is None:
        notify("warning", f"{picture}: the {one.method} map at {one.layer} is empty: no evidence for this class")
    for part in one.parts:
        if part.signed:
            behind = part.layer.rpartition(".")[0]
            what = f"{part.method} assumes non-negative features, and those of {part.layer} are negative in part"
            hint = "choose a layer behind the activation" + (f", e.g. --target-layers {behind}" if behind else "")
            notify("warning", f"{what}: its map can mislead; {hint}")
