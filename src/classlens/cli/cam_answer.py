"""From a request to maps, pictures, numbers and a few lines of text."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from classlens.cam.classifier import Classifier, Layer, scale_whole
from classlens.cam.explain import ExplainOptions, affordable_batch_size, explain
from classlens.cam.faithfulness import Box, box_as_fed
from classlens.cam.forward import describe_output
from classlens.cam.layers import find_layers, preview
from classlens.cam.methods import METHODS
from classlens.cam.model_state import place
from classlens.cam.saliency import Explanation, Fused, Saliency, facts
from classlens.cam.targets import PREDICTED
from classlens.cli.cam_boxes import HINT
from classlens.cli.cam_cost import Progress, ahead, counting_line
from classlens.cli.cam_portions import Portion, portions
from classlens.cli.cam_request import Request, file_names
from classlens.cli.cam_scores import Scored, means, report, scored
from classlens.cli.cam_words import complain, sentence
from classlens.dataset.decoder_warnings import DAMAGED
from classlens.errors import DataError
from classlens.figures.overlay import caption, save_maps, save_overlay
from classlens.image import Image


def give_answer(request: Request) -> int:
    """Build the classifier, explain the pictures, write what was asked for, and say what was seen."""
    arguments = request.arguments
    if arguments.preview_model:
        return give_preview(request)
    bad: list[DataError] = []
    read = portions(request, bad)
    first = next(read)
    task = task_of(request, first.pictures[0])
    told: list[Told] = []
    try:
        told += (answered(task, portion) for portion in chain([first], read))
    except KeyboardInterrupt as stopped:
        count = len({one["picture"] for part in told for one in part.facts})
        stopped.add_note(f"stopped after {count} of {len(request.pictures)} pictures; what was written is whole")
        raise
    written = [path for one in told for path in one.written]
    scores = [score for one in told for score in one.scores]
    if arguments.json:
        data = {"maps": [one for part in told for one in part.facts], "written": [str(path) for path in written]}
        print(json.dumps(data | ({"means": means(scores)} if scores else {}), indent=1))
    else:
        if scores:
            captions = [f"{first.paths[one.map.index]}: {caption(one.map.subject)}" for one in scores]
            print(f"\n{report(scores, captions)}\n")
        print("\n".join(f"written: {path}" for path in written) or "nothing written: --save-path names a picture")
    for error in bad:
        print(f"bad:   {error}", file=sys.stderr)
    if unread := sum(DAMAGED not in str(error) for error in bad):
        print(f"{unread} of {len(request.pictures)} pictures could not be read", file=sys.stderr)
    return 1 if arguments.strict and bad else 0


def give_preview(request: Request) -> int:
    """The layers of the model, and no map; at the size of the first picture, if one is named."""
    classifier = built(request)
    if request.pictures:
        first = next(portions(request, []))
        classifier = replace(classifier, size=feed_of(classifier, request.arguments)(first.pictures[0]).size)
    print(f"note:  layers of {classifier.name}", file=sys.stderr)
    print(json.dumps(preview(classifier).facts()) if request.arguments.json else preview(classifier).text())
    return 0


@dataclass(frozen=True, eq=False)
class Task:
    """What is done with every portion of the pictures; `warned` are the warnings that have been given."""

    request: Request
    classifier: Classifier
    layers: tuple[Layer, ...]
    manner: ExplainOptions
    names: Mapping[Path, str]
    warned: set[str]


@dataclass(frozen=True, eq=False)
class Told:
    """What was found out from one portion; the maps themselves are let go."""

    facts: list[dict[str, Any]]
    scores: list[Scored]
    written: list[Path]


def task_of(request: Request, first: Image) -> Task:
    """Build the classifier and find its layers; say what slow methods will cost. All is measured at the first picture."""
    classifier = built(request)
    fed = replace(classifier, size=feed_of(classifier, request.arguments)(first).size)
    layers = find_layers(classifier, request.arguments.target_layers, fed.size)
    manner = manner_of(fed, layers, request.arguments)
    if unsmoothed := [name for name in request.methods if manner.eigen_smooth and not METHODS[name].adds_channels]:
        names = ", ".join(unsmoothed)
        print(f"note:  --eigen-smooth does nothing for {names}: no channels of a layer are added up", file=sys.stderr)
    if cost := ahead(fed, request.methods, layers, manner):
        print(f"note:  {cost}", file=sys.stderr)
    return Task(request, classifier, layers, manner, file_names(request.pictures), set())


def answered(task: Task, portion: Portion) -> Told:
    """Explain a portion, write its files, and say a line about every map."""
    arguments, classifier = task.request.arguments, task.classifier
    explanation = explain(
        classifier,
        portion.pictures,
        methods=task.request.methods,
        layers=[layer.name for layer in task.layers],
        targets=arguments.target_category or ([PREDICTED] if arguments.evaluate else None),
        options=replace(task.manner, progress=further(task, portion)),
    )
    if (words := describe_output(classifier)) and words not in task.warned:
        task.warned.add(words)
        print(f"note:  {words}", file=sys.stderr)
    shown = maps_of(explanation, arguments)
    scores = []
    if arguments.evaluate:
        scores = scored(classifier, shown, boxes=boxes_of(task, portion), manner=task.manner)
    drawn = [on_original(one, portion.pictures[one.index]) for one in shown] if arguments.original_size else shown
    written = write_files(shown, drawn, task, portion)
    of = {id(one.map): one.facts() for one in scores}
    told = [{"picture": str(portion.paths[one.index])} | facts(one) | of.get(id(one), {}) for one in shown]
    if not arguments.json:
        print("\n".join(map(sentence, shown, told)))
    complain(shown, portion.paths, task.warned)
    return Told(told, scores, written)


def further(task: Task, portion: Portion) -> Progress | None:
    """The progress of a portion as that of all pictures."""
    tell, total = task.manner.progress, len(task.request.pictures)
    if tell is None:
        return None

    def count(what: str, done: int, of: int) -> None:
        tell(what, done + portion.done if what == "pictures" else done, total if what == "pictures" else of)

    return count


def manner_of(classifier: Classifier, layers: Sequence[Layer], arguments: argparse.Namespace) -> ExplainOptions:
    """How the maps are made; what takes long is counted on the terminal if there is one."""
    batch_size = arguments.batch_size
    if arguments.memory_budget is not None:
        batch_size = affordable_batch_size(classifier, batch_size, arguments.memory_budget, layers)
    return ExplainOptions(
        arguments.whole or arguments.original_size,
        arguments.eigen_smooth,
        arguments.aug_smooth,
        batch_size,
        arguments.precision,
        counting_line() if sys.stderr.isatty() else None,
        arguments.samples,
    )


def built(request: Request) -> Classifier:
    """The classifier on the wanted device, with what the user knows better: class names, extra tokens, kind of output."""
    classifier = request.source.classifier(request.checkpoint)
    for note in classifier.notes:
        print(f"note:  {note}", file=sys.stderr)
    if request.classes is not None:
        classifier = replace(classifier, classes=request.classes)
    if request.arguments.num_extra_tokens is not None:
        classifier = replace(classifier, extra_tokens=request.arguments.num_extra_tokens)
    if request.arguments.output_type is not None:
        classifier = replace(classifier, output=request.arguments.output_type)
    place(classifier.module, request.arguments.device)
    return classifier


def feed_of(classifier: Classifier, arguments: argparse.Namespace) -> Callable[[Image], Image]:
    return partial(scale_whole, classifier) if arguments.whole or arguments.original_size else classifier.prepare


def maps_of(explanation: Explanation, arguments: argparse.Namespace) -> Sequence[Saliency | Fused]:
    return list(explanation) if arguments.each_layer else list(explanation.fused())


def on_original(found: Saliency | Fused, picture: Image) -> Saliency | Fused:
    """The same map of a whole picture, to be laid over the picture as read."""
    parts = tuple(replace(part, image=picture) for part in found.parts)
    return Fused(parts) if isinstance(found, Fused) else parts[0]


def write_files(
    shown: Sequence[Saliency | Fused], drawn: Sequence[Saliency | Fused], task: Task, portion: Portion
) -> list[Path]:
    """The pictures of what is drawn, and the numbers of what is shown, as far as wanted; what was written."""
    arguments = task.request.arguments
    written: dict[Path, Sequence[Saliency | Fused]] = {}
    if arguments.save_path and task.request.to_folder:
        for index, path in enumerate(portion.paths):
            file = arguments.save_path / f"{task.names[path]}.png"
            written[file] = [found for found in drawn if found.index == index]
    elif arguments.save_path:
        written[arguments.save_path] = drawn
    for path, maps in written.items():
        save_overlay(path, maps, style=task.request.style, titled=arguments.titled)
    if arguments.npz:
        save_maps(arguments.npz, shown, [str(picture) for picture in portion.paths])
        return [*written, arguments.npz]
    return list(written)


def boxes_of(task: Task, portion: Portion) -> list[Box | None]:
    """Where the object of every picture lies as it is fed; None where nothing is known, or nothing is left.

    Raises:
        DataError: a box does not lie in its picture.
    """
    feed = feed_of(task.classifier, task.request.arguments)
    found: list[Box | None] = []
    for path, picture in zip(portion.paths, portion.pictures, strict=True):
        box = task.request.boxes.get(path)
        height, width = picture.size
        if box is not None and (box[2] > width or box[3] > height):
            seen = " ".join(map(str, box))
            raise DataError(f"the box {seen} does not lie in {path}, {width} wide and {height} high", hint=HINT)
        found.append(None if box is None else box_as_fed(feed, picture.size, box))
    return found
