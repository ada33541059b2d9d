"""From a checked request to maps: the classifier is built, pictures are read, explained, drawn and scored."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

from classlens.cam.classifier import Classifier, place, scale_whole
from classlens.cam.cost import affordable_batch_size, count_runs, seconds_per_run
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.faithfulness import Box, box_as_fed
from classlens.cam.forward import PREDICTED, describe_output
from classlens.cam.layers import Preview, find_layers, preview
from classlens.cam.methods import METHODS
from classlens.cam.saliency import Fused, Saliency, facts
from classlens.dataset.decode import read_image
from classlens.dataset.decoder_warnings import DAMAGED, capture_stderr, damage
from classlens.errors import DataError
from classlens.figures.overlay import draw_maps, save_maps
from classlens.image import Image
from classlens.runs.explain_files import BadPicture, MapRow, MapRun, Notify
from classlens.runs.map_request import BOX_HINT, MapPlan
from classlens.runs.map_scores import MapScore, MapScores, score_maps
from classlens.runs.progress import Progress, describe_duration

WORTH_A_NOTE = 500
"""So many runs of the network take so long that their number is worth a note beforehand."""


@dataclass(frozen=True, eq=False)
class MapJob:
    """What is the same for all pictures: the model, what makes its input of a picture, the layers, and the options."""

    plan: MapPlan
    classifier: Classifier
    feed: Callable[[Image], Image]
    layers: tuple[str, ...]
    options: ExplainOptions
    notify: Notify


def map_pictures(
    plan: MapPlan, on_map: Callable[[MapRow], object], notify: Notify, progress: Progress | None
) -> MapRun:
    """Explain every picture; what was written stays if the run is stopped."""
    bad: list[BadPicture] = []
    portions = read_portions(plan, bad)
    first = next(portions)
    job = prepare_job(plan, next(iter(first.values())), cache(notify), progress)
    rows: list[MapRow] = []
    written: dict[Path, None] = {}
    scores: list[MapScore] = []
    done = 0
    try:
        for pictures in chain([first], portions):
            maps = explain_portion(job, pictures, done)
            if plan.request.maps.evaluate:
                scores += score_portion(job, maps, pictures)
            written |= dict.fromkeys(write_files(plan, maps, pictures))
            paths, of = list(pictures), {id(score.map): score.facts() for score in scores}
            for one in maps:
                rows.append(MapRow(paths[one.index], one.subject, facts(one) | of.get(id(one), {})))
                on_map(rows[-1])
                warn_about(job, one, paths[one.index])
            done += len(pictures)
    except KeyboardInterrupt as stopped:
        count = len({row.picture for row in rows})
        stopped.add_note(f"stopped after {count} of {len(plan.pictures)} pictures; what was written is whole")
        raise
    if progress:
        progress("pictures", len(plan.pictures), len(plan.pictures))  # those that could not be read are behind, too
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
    """Every picture that can be read, a portion at a time; `bad` collects the others, and those that are damaged.

    Raises:
        DataError: not one can be read.
    """
    count, failed = 0, None
    for start in range(0, len(plan.pictures), plan.at_once):
        portion: dict[Path, Image] = {}
        for path in plan.pictures[start : start + plan.at_once]:
            try:
                with capture_stderr() as lines:
                    portion[path] = read_image(path)
                if complaint := damage(lines):
                    bad.append(BadPicture(path, f"{path}: {DAMAGED}{complaint}", readable=True))
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
    request = plan.request
    model = request.model
    for note in plan.source.notes:
        notify("note", note)
    classifier = plan.source.classifier(model.checkpoint)
    for note in classifier.notes:
        notify("note", note)
    better: dict[str, Any] = {"classes": plan.class_names, "extra_tokens": model.extra_tokens, "output": model.output}
    classifier = replace(classifier, **{name: value for name, value in better.items() if value is not None})
    place(classifier.module, model.device)
    return classifier, partial(scale_whole, classifier) if request.maps.whole else classifier.prepare


def prepare_job(plan: MapPlan, picture: Image, notify: Notify, progress: Progress | None) -> MapJob:
    """Build the classifier and find its layers; say what slow methods will cost. All is measured at one picture."""
    maps = plan.request.maps
    classifier, feed = open_classifier(plan, notify)
    fed = replace(classifier, size=feed(picture).size)
    layers = find_layers(classifier, maps.layers, fed.size)
    batch_size = maps.batch_size
    if maps.memory_budget is not None:
        batch_size = affordable_batch_size(fed, batch_size, maps.memory_budget, layers)
    options = ExplainOptions(
        maps.whole, maps.eigen_smooth, maps.aug_smooth, batch_size, maps.precision, progress, maps.samples
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
    return MapJob(plan, classifier, feed, tuple(layer.name for layer in layers), options, notify)


def explain_portion(job: MapJob, pictures: dict[Path, Image], done: int) -> Sequence[Saliency | Fused]:
    """The maps of some pictures, of which `done` are behind; of several layers one map, unless each is wanted."""
    maps, report = job.plan.request.maps, job.options.progress

    def count(what: str, number: int, total: int) -> None:
        if report and what == "pictures":
            report(what, done + number, len(job.plan.pictures))
        elif report:
            report(what, number, total)

    explanation = explain(
        job.classifier,
        list(pictures.values()),
        methods=job.plan.methods,
        layers=job.layers,
        targets=maps.targets or ([PREDICTED] if maps.evaluate else None),
        options=replace(job.options, progress=report and count),
    )
    if words := describe_output(job.classifier):
        job.notify("note", words)
    return explanation if maps.each_layer else explanation.fused()


def score_portion(job: MapJob, maps: Sequence[Saliency | Fused], pictures: dict[Path, Image]) -> list[MapScore]:
    """Score maps; a box is None where nothing is known of the picture, or nothing of it is left as fed.

    Raises:
        DataError: a box does not lie in its picture.
    """
    boxes: list[Box | None] = []
    for path, picture in pictures.items():
        box = job.plan.boxes.get(path)
        height, width = picture.size
        if box is not None and (box[2] > width or box[3] > height):
            numbers = " ".join(map(str, box))
            raise DataError(f"the box {numbers} does not lie in {path}, {width} wide and {height} high", hint=BOX_HINT)
        boxes.append(None if box is None else box_as_fed(job.feed, picture.size, box))
    return score_maps(job.classifier, maps, list(pictures), boxes, job.options)


def write_files(plan: MapPlan, maps: Sequence[Saliency | Fused], pictures: dict[Path, Image]) -> list[Path]:
    """The pictures of the maps, and their numbers, as far as wanted; what was written."""
    files, paths = plan.request.files, list(pictures)
    drawn: dict[Path, list[Saliency | Fused]] = {}
    if files.pictures:
        originals = list(pictures.values()) if files.original_size else []
        for one in maps:
            target = plan.outputs.get(paths[one.index], files.pictures)
            drawn.setdefault(target, []).append(laid_on(one, originals[one.index]) if originals else one)
    for path, several in drawn.items():
        draw_maps(several, style=files.style, titled=files.titled).save(path)
    if files.numbers:
        save_maps(files.numbers, maps, [str(path) for path in paths])
    return [*drawn, *filter(None, [files.numbers])]


def laid_on(one: Saliency | Fused, picture: Image) -> Saliency | Fused:
    """The same map of a whole picture, to be drawn over the picture as read."""
    parts = tuple(replace(part, image=picture) for part in one.parts)
    return Fused(parts) if isinstance(one, Fused) else parts[0]


def warn_about(job: MapJob, one: Saliency | Fused, picture: Path) -> None:
    """Warn of a map that is empty, and, once for each layer, of one that another layer would explain better."""
    if one.heatmap().hottest is None:
        job.notify("warning", f"{picture}: the {one.method} map at {one.layer} is empty: no evidence for this class")
    for part in one.parts:
        if part.signed:
            behind = part.layer.rpartition(".")[0]
            job.notify(
                "warning",
                f"{part.method} assumes non-negative features, and those of {part.layer} are negative in part: its map "
                f"can mislead; choose a layer behind the activation"
                + (f", e.g. --target-layers {behind}" if behind else ""),
            )
