"""From a checked request to maps: the classifier is built, pictures are read, explained, drawn and scored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, lru_cache, partial
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from classlens.cam.classifier import Classifier, copy_weights, place, put_weights, scale_whole
from classlens.cam.cost import affordable_batch_size, count_runs, seconds_per_run
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.faithfulness import box_as_fed, evaluations, randomization_test
from classlens.cam.forward import OUTPUTS, describe_output
from classlens.cam.layers import Preview, find_layers, find_unsigned, preview
from classlens.cam.methods import METHODS
from classlens.cam.saliency import Fused, Saliency, facts
from classlens.cam.targets import PREDICTED
from classlens.dataset.decode import DAMAGED, capture_damage, read_image
from classlens.errors import DataError, count_of
from classlens.figures.drawing import PIXELS, VECTORS, Drawing
from classlens.figures.map_grid import PRINTED, SCREEN, GridRow, page_size, short_names
from classlens.figures.overlay import draw_rows, grid_rows, overlay, pack_maps
from classlens.figures.page import Picture
from classlens.files import write_whole
from classlens.image import Image
from classlens.runs.explain_files import BOX_HINT, BadPicture, Box, MapPlan, MapRow, MapRun
from classlens.runs.map_files import find_places, map_tile, write_map_index, write_map_page, write_map_table
from classlens.runs.map_scores import MapScores, group_by
from classlens.runs.own_process import Notify, Progress, describe_duration
from classlens.runs.picture_origins import true_classes

WORTH_A_NOTE = 500  # so many runs of the network take so long that their number is worth a note beforehand
MOST_EMPTY = 10  # maps of which each has a warning of its own
WORTH_A_FORECAST = 10  # seconds that all scores take, as far as the first picture tells

SIZES = 64  # of pictures, for which it is known where a pixel that is fed comes from

PAGES = 40  # of a PDF, so that not all of many pictures have to be in memory

Map = Saliency | Fused
Label = tuple[str, int | None]  # the name of the true class, and its number where the network has it


@dataclass(frozen=True, eq=False)
class Network:
    """One checkpoint ready to be asked: its classifier, layers and options.

    It has weights where the user's code gave the same module to several: they are put into it before it is asked.
    """

    classifier: Classifier
    layers: tuple[str, ...]
    options: ExplainOptions
    weights: Sequence[Any] = ()


@dataclass(eq=False)
class MapWork:
    """A run on its way: who is asked, who hears of it, and what there is by now.

    It changes as the run goes on, so that one that is stopped keeps what it has made.
    """

    plan: MapPlan
    on_map: Callable[[MapRow], object]
    notify: Notify
    progress: Progress
    networks: dict[str, Network] = field(default_factory=dict)
    bad: list[BadPicture] = field(default_factory=list)
    rows: list[MapRow] = field(default_factory=list)
    written: dict[Path, None] = field(default_factory=dict)
    cells: list[GridRow] = field(default_factory=list)
    tiles: list[Picture] = field(default_factory=list)
    labels: Mapping[Path, Label] | None = None
    pages: int = 0
    empty: int = 0
    done: int = 0
    find_behind: Callable[[Classifier, str, tuple[int, int]], str] = field(default_factory=lambda: cache(find_unsigned))
    find_places: Callable[..., np.ndarray] = field(default_factory=lambda: lru_cache(SIZES)(find_places))

    def finish(self) -> MapRun:
        """Write what is written at the end: the last page, the table, the index of a folder."""
        files = self.plan.request.files
        if self.cells:
            write_pages(self, is_last=True)
        if files.table:
            write_map_table(files.table, self.rows, self.bad)
            self.written[files.table] = None
        if self.empty > MOST_EMPTY:
            self.notify("warning", f"{self.empty} of {len(self.rows)} maps are empty: no evidence for those classes")
        pictures, rows, bad = tuple(self.plan.origins), tuple(self.rows), tuple(self.bad)
        scores = MapScores(rows) if rows and self.plan.request.maps.evaluate else None
        run = MapRun(pictures, rows, tuple(self.written), bad, scores, done=self.done)
        if self.plan.outputs and self.rows and files.pictures:
            page = write_map_index(files.pictures / "index.html", run, self.plan.outputs, files.style)
            run = replace(run, page=page)
        if files.page and self.rows:
            run = replace(run, written=(*run.written, write_map_page(files.page, run, self.tiles, files.style)))
        return run


def map_pictures(
    plan: MapPlan,
    *,
    on_map: Callable[[MapRow], object],
    on_note: Notify,
    on_stop: Callable[[MapRun], object],
    progress: Progress,
) -> MapRun:
    """Explain every picture; what was written stays if the run is stopped. For what is called, see `explain_files`."""
    total = len(plan.origins)
    work = MapWork(plan, on_map, cache(on_note), progress)
    portions = read_portions(tuple(plan.origins), plan.at_once, work.bad)
    first = next(portions)
    work.networks = open_networks(plan, next(iter(first.values())), work.notify)
    try:
        for pictures in chain([first], portions):
            answer_portion(work, pictures)
    except KeyboardInterrupt as stopped:
        run = work.finish()
        on_stop(run)
        kept = "; what was written is whole" if run.written or run.page else ""
        stopped.add_note(f"stopped, {run.done} of {count_of(total, 'picture')} explained{kept}")
        raise
    work.done = total  # those that could not be read are behind, too
    progress("pictures", total, total)
    return work.finish()


def answer_portion(work: MapWork, pictures: Mapping[Path, Image]) -> None:
    """Explain some pictures by every checkpoint, write their files, and score them one by one."""
    plan, wanted, paths = work.plan, work.plan.request.maps, list(pictures)
    if plan.boxes:
        check_boxes(plan.boxes, pictures)
    needs_class = wanted.evaluate or plan.request.files.table is not None or len(work.networks) > 1
    targets = wanted.targets or ([PREDICTED] if needs_class else None)
    maps: dict[str, Sequence[Map]] = {}
    for number, (name, network) in enumerate(work.networks.items()):
        if network.weights:
            put_weights(network.classifier.module, network.weights)
        classifier = network.classifier
        explanation = explain(
            classifier,
            list(pictures.values()),
            methods=plan.methods,
            layers=network.layers,
            targets=targets,
            options=replace(network.options, progress=partial(count_on, work, number, len(pictures))),
        )
        if words := describe_output(classifier):
            work.notify("note", words)
        maps[name] = explanation if wanted.each_layer else explanation.fused()
    if work.labels is None:
        some = next(iter(work.networks.values())).classifier
        shown = (one for key, one in OUTPUTS.items() if key.module is some.module)  # also in another precision
        output = next(shown, None)  # none where methods that know no class stopped in front of the scores
        known = (output.names, output.count) if output else (some.classes or (), 0)
        work.labels = true_classes(plan.origins, *known)
    labels = work.labels
    write_files(work, maps, pictures, [labels.get(path, ("", None)) for path in paths])
    per_picture: dict[int, dict[str, list[Map]]] = {}
    for name, several in maps.items():
        for one in several:
            per_picture.setdefault(one.index, {}).setdefault(name, []).append(one)
    for index, by_network in sorted(per_picture.items()):
        report_maps(work, paths[index], pictures[paths[index]], by_network)


def report_maps(work: MapWork, path: Path, picture: Image, by_network: Mapping[str, Sequence[Map]]) -> None:
    """Score the maps of a picture, if that is wanted, and give out a row for each.

    Warns of a map that is empty, and, once for each layer, of one that another layer would explain better.
    """
    plan, began = work.plan, monotonic()
    evaluate, label = plan.request.maps.evaluate, (work.labels or {}).get(path)
    places = work.find_places(next(iter(work.networks.values())).classifier.prepare, picture.size)
    for name, several in by_network.items():
        scores = score_maps(work, name, several, path, picture) if evaluate else {}
        for one in several:
            values = ({"checkpoint": name} if name else {}) | facts(one)
            if label:
                known = one.predicted.target == label[1] if one.predicted and label[1] is not None else None
                values |= {"label": label[0], "label_index": label[1], "correct": known}
            if not values["empty"]:
                ways = zip(places[*values["hottest"]].tolist(), picture.size[::-1], strict=True)
                values["hottest_in_picture"] = [round(way / 255 * (side - 1)) for way, side in ways]
            row = MapRow(path, one.subject, values | scores.get(id(one), {}))
            work.rows.append(row)
            if plan.request.files.page:
                work.tiles.append(map_tile(one, plan.request.files.style))
            work.on_map(row)
            work.empty += values["empty"]
            if values["empty"] and work.empty <= MOST_EMPTY:
                what = f"{path}: the {one.method} map at {one.layer} is empty: no evidence for this class"
                work.notify("warning", what)
            for part in [part for part in one.parts if part.signed]:
                behind = work.find_behind(work.networks[name].classifier, part.layer, part.image.size)
                other = f"a layer behind the activation, e.g. --target-layers {behind}" if behind else "another method"
                what = f"{part.method} assumes non-negative features, and those of {part.layer} are negative in part"
                work.notify("warning", f"{what}: its map can mislead; choose {other}")
    work.done += 1
    if evaluate and work.done == 1 < len(plan.origins):
        forecast(monotonic() - began, len(plan.origins), work.notify)


def check_boxes(boxes: Mapping[Path, Box], pictures: Mapping[Path, Image]) -> None:
    for path, box in boxes.items():
        height, width = pictures[path].size if path in pictures else (box[3], box[2])
        if box[2] > width or box[3] > height:
            numbers = " ".join(map(str, box))
            raise DataError(f"the box {numbers} does not lie in {path}, {width} wide and {height} high", hint=BOX_HINT)


def forecast(each: float, total: int, notify: Notify) -> None:
    """Say how long scores will take, if that is long."""
    if each * total >= WORTH_A_FORECAST:
        words = f"scores of {count_of(total, 'picture')} take about {describe_duration(each * total)}"
        notify("note", f"{words} ({describe_duration(each)} each); Ctrl-C keeps those that are there")


def count_on(work: MapWork, number: int, count: int, what: str, done: int, of: int) -> None:
    """Count the pictures of all checkpoints as those of one run; where maps are scored, those are counted."""
    if what != "pictures":
        work.progress(what, done, of)
    elif not work.plan.request.maps.evaluate:
        work.progress(what, work.done + (number * count + done) // len(work.networks), len(work.plan.origins))


def preview_layers(plan: MapPlan, notify: Notify) -> Preview:
    """The layers at the size of the first picture, if there is one."""
    classifier = open_classifier(plan, next(iter(plan.request.model.checkpoints), None), notify)
    if plan.origins:
        picture = next(iter(next(read_portions(tuple(plan.origins), plan.at_once, [])).values()))
        classifier = replace(classifier, size=classifier.prepare(picture).size)
    notify("note", f"layers of {classifier.name}")
    return preview(classifier)


def read_portions(paths: Sequence[Path], at_once: int, bad: list[BadPicture]) -> Iterator[dict[Path, Image]]:
    """Every picture that can be read, a portion at a time; `bad` collects the others, and those that are damaged."""
    count, failed = 0, None
    for start in range(0, len(paths), at_once):
        portion: dict[Path, Image] = {}
        for path in paths[start : start + at_once]:
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


def open_networks(plan: MapPlan, picture: Image, notify: Notify) -> dict[str, Network]:
    """Every checkpoint, by a short name if there are several; one that does not fit is refused before any work.

    At the size of the picture as fed, layers are found and a batch that has room; says what slow methods will cost.
    """
    maps, checkpoints = plan.request.maps, plan.request.model.checkpoints
    names = short_names(checkpoints, with_endings=False) if len(checkpoints) > 1 else [""]
    networks: dict[str, Network] = {}
    for name, checkpoint in zip(names, checkpoints or (None,), strict=True):
        classifier = open_classifier(plan, checkpoint, notify)
        fed, batch_size = replace(classifier, size=classifier.prepare(picture).size), maps.batch_size
        layers = find_layers(fed, maps.layers, fed.size)
        if maps.memory_budget is not None:
            batch_size = affordable_batch_size(fed, batch_size, maps.memory_budget, layers)
        options = ExplainOptions(
            eigen_smooth=maps.eigen_smooth,
            aug_smooth=maps.aug_smooth,
            batch_size=batch_size,
            precision=maps.precision,
            samples=maps.samples,
        )
        if unsmoothed := [one for one in plan.methods if maps.eigen_smooth and not METHODS[one].adds_channels]:
            what = f"--eigen-smooth does nothing for {', '.join(unsmoothed)}: no channels of a layer are added up"
            notify("note", what)
        is_slow = any(METHODS[one].asks for one in plan.methods)
        runs = count_runs(fed, plan.methods, layers, options) if is_slow else {}
        if (total := sum(runs.values())) >= WORTH_A_NOTE:
            each = ", ".join(f"{one} {count:,}" for one, count in runs.items())
            time = describe_duration(total * seconds_per_run(fed, batch_size))
            notify("note", f"runs of the network for every picture and class: {each}; up to {time} each")
        weights = copy_weights(classifier.module) if len(checkpoints) > 1 else ()
        networks[name] = Network(classifier, tuple(layer.name for layer in layers), options, weights)
    are_apart = len({id(one.classifier.module) for one in networks.values()}) == len(networks)
    return {name: replace(one, weights=()) if are_apart else one for name, one in networks.items()}


def open_classifier(plan: MapPlan, checkpoint: str | None, notify: Notify) -> Classifier:
    """The classifier on its device, with what the user knows better about it; fed whole pictures if that is wanted."""
    model = plan.request.model
    for note in plan.source.notes:
        notify("note", note)
    classifier = plan.source.classifier(checkpoint)
    for note in classifier.notes:
        notify("note", note)
    better: dict[str, Any] = {"classes": plan.class_names, "extra_tokens": model.extra_tokens, "output": model.output}
    classifier = replace(classifier, **{name: value for name, value in better.items() if value is not None})
    place(classifier.module, model.device)
    return replace(classifier, prepare=partial(scale_whole, classifier)) if plan.request.maps.whole else classifier


def score_maps(work: MapWork, name: str, maps: Sequence[Map], path: Path, picture: Image) -> dict[int, dict[str, Any]]:
    """The scores of the maps of one picture, as JSON can hold them, by the maps' ids; without a box where nothing is known of it, or nothing of it is left as fed."""
    network, options, box = work.networks[name], work.networks[name].options, work.plan.boxes.get(path)
    if network.weights:
        put_weights(network.classifier.module, network.weights)
    fed_box = None if box is None else box_as_fed(network.classifier.prepare, picture.size, box)
    scores: dict[int, dict[str, Any]] = {}
    before, total = len(work.rows), len(maps) * len(work.plan.origins) * len(work.networks)
    for group in group_by(maps, lambda one: one.subject).values():
        several = evaluations(network.classifier, group, box=fed_box, options=options) if group[0].subject else None
        for one, sanity in zip(group, randomization_test(network.classifier, group, options=options), strict=True):
            faithfulness = asdict(next(several)) if several else None
            scores[id(one)] = {"faithfulness": faithfulness, "sanity": asdict(sanity)}
            work.progress("maps scored", min(before + len(scores), total), total)
    return scores


def write_files(
    work: MapWork, maps: Mapping[str, Sequence[Map]], pictures: Mapping[Path, Image], labels: Sequence[Label]
) -> None:
    """The pictures of the maps, and their numbers, as far as wanted; rows of a grid as soon as they fill a page."""
    plan, files = work.plan, work.plan.request.files
    paths, images, names = list(pictures), list(pictures.values()), [str(plan.origins[path].below) for path in pictures]
    shown: dict[int, dict[str, list[Map]]] = {}
    for name, several in maps.items():
        for one in several if files.pictures else ():
            if files.original_size:  # the map of a whole picture, over the picture as read
                parts = tuple(replace(part, image=images[one.index]) for part in one.parts)
                one = Fused(parts) if isinstance(one, Fused) else parts[0]
            shown.setdefault(one.index, {}).setdefault(name, []).append(one)
    for index, by_network in sorted(shown.items()):
        place = plan.outputs.get(paths[index]) or (files.pictures if len(plan.origins) == 1 else None)
        if place is None:
            work.cells += grid_rows(by_network, files.style, names, labels)
            write_pages(work)
            continue
        every = [one for several in by_network.values() for one in several]
        if len(every) == 1 and not files.titled and place.suffix.casefold() in PIXELS:
            drawing = Drawing(partial(overlay, every[0].image, every[0].heatmap(), files.style))
        else:
            drawing = draw_rows(partial(grid_rows, by_network, files.style, names, labels), files.style)
        write_whole(place, drawing.encode(place.suffix))
        work.written[place] = None
    if files.numbers:
        pairs = [(name, one) for name, several in maps.items() for one in several]
        by = [name for name, _ in pairs if name]
        write_whole(files.numbers, pack_maps([one for _, one in pairs], [str(path) for path in paths], by))
        work.written[files.numbers] = None


def write_pages(work: MapWork, *, is_last: bool = False) -> None:
    """Write what fills a file, and at the end what is left: maps.png, or maps_1.png, maps_2.png, ... if several."""
    path, style, rows = work.plan.request.files.pictures, work.plan.request.files.style, work.cells
    while path and rows:
        ending = path.suffix.lower()
        size = page_size(rows, PRINTED if ending in VECTORS else SCREEN) * (PAGES if ending == ".pdf" else 1)
        if len(rows) <= size and not is_last:
            break
        page, rows = rows[:size], rows[size:]
        is_only = is_last and not work.pages and not rows
        work.pages, work.cells = work.pages + 1, rows
        digits = len(str(-(-len(work.plan.origins) // size)))
        place = path if is_only else path.with_name(f"{path.stem}_{work.pages:0{digits}}{path.suffix}")
        draw_rows(partial(list, page), style).save(place)
        work.written[place] = None
