"""From a request to maps, pictures, numbers and a few lines of text."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from classlens.cam.answer import Manner
from classlens.cam.borrow import place
from classlens.cam.budget import affordable
from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.cam.facts import facts
from classlens.cam.faithfulness import Box
from classlens.cam.feeding import box_as_fed, prepared, scaled_whole
from classlens.cam.layers import find_layers
from classlens.cam.preview import preview
from classlens.cam.saliency import Explanation, Fused, Saliency
from classlens.cam.targets import PREDICTED
from classlens.cli.cam_boxes import HINT
from classlens.cli.cam_cost import ahead, counting_line
from classlens.cli.cam_request import Request
from classlens.cli.cam_scores import Scored, means, report, scored
from classlens.dataset.reading import read_image
from classlens.errors import DataError
from classlens.figures.overlay import caption
from classlens.figures.overlay_files import save_maps, save_overlay
from classlens.image import Image


def give_answer(request: Request) -> int:
    """Build the classifier, explain the pictures, write what was asked for, and say what was seen."""
    arguments = request.arguments
    request, pictures, bad = readable(request)
    classifier = built(request)
    if arguments.preview_model:
        print(f"note:  layers of {classifier.name}", file=sys.stderr)
        print(json.dumps(preview(classifier).facts()) if arguments.json else preview(classifier).text())
        return 0
    layers = find_layers(classifier, arguments.target_layers)
    manner = manner_of(classifier, arguments)
    if cost := ahead(classifier, request.methods, layers, manner):
        print(f"note:  {cost}", file=sys.stderr)
    explanation = explain(
        classifier,
        pictures,
        methods=request.methods,
        layers=[layer.name for layer in layers],
        targets=arguments.target_category or ([PREDICTED] if arguments.evaluate else None),
        manner=manner,
    )
    shown = maps_of(explanation, arguments)
    scores = (
        scored(classifier, shown, boxes=boxes_of(request, classifier, pictures), manner=manner)
        if arguments.evaluate
        else []
    )
    drawn = [on_original(found, pictures[found.index]) for found in shown] if arguments.original_size else shown
    tell(shown, write_files(shown, drawn, request), request, scores)
    complain(shown, request)
    for error in bad:
        print(f"bad:   {error}", file=sys.stderr)
    if bad:
        print(f"{len(bad)} of {len(bad) + len(pictures)} pictures could not be read", file=sys.stderr)
    return 0


def readable(request: Request) -> tuple[Request, list[Image], list[DataError]]:
    """The request for the pictures that can be read, those pictures, and what is wrong with the others.

    Raises:
        DataError: not one can be read.
    """
    read: dict[Path, Image] = {}
    bad = []
    for path in request.pictures:
        try:
            read[path] = read_image(path)
        except DataError as error:
            bad.append(error)
    if bad and not read:
        raise bad[0]
    return replace(request, pictures=tuple(read)), list(read.values()), bad


def manner_of(classifier: Classifier, arguments: argparse.Namespace) -> Manner:
    """How the maps are made; what takes long is counted on the terminal if there is one."""
    batch_size = arguments.batch_size
    if arguments.memory_budget is not None:
        batch_size = affordable(classifier, batch_size, arguments.memory_budget)
    return Manner(
        arguments.whole or arguments.original_size,
        arguments.eigen_smooth,
        arguments.aug_smooth,
        batch_size,
        arguments.precision,
        counting_line() if sys.stderr.isatty() else None,
        arguments.samples,
    )


def built(request: Request) -> Classifier:
    """The classifier on the wanted device, with the number of extra tokens that the user knows better."""
    classifier = request.source.classifier(request.checkpoint)
    if request.arguments.num_extra_tokens is not None:
        classifier = replace(classifier, extra_tokens=request.arguments.num_extra_tokens)
    place(classifier.module, request.arguments.device)
    return classifier


def maps_of(explanation: Explanation, arguments: argparse.Namespace) -> Sequence[Saliency | Fused]:
    """What is shown: several layers as one map, as documented, unless each is wanted by itself."""
    return list(explanation) if arguments.each_layer else list(explanation.fused())


def on_original(found: Saliency | Fused, picture: Image) -> Saliency | Fused:
    """The same map of a whole picture, to be laid over the picture as read."""
    if isinstance(found, Fused):
        return Fused(tuple(replace(part, image=picture) for part in found.parts))
    return replace(found, image=picture)


def write_files(shown: Sequence[Saliency | Fused], drawn: Sequence[Saliency | Fused], request: Request) -> list[Path]:
    """The pictures of what is drawn, and the numbers of what is shown, as far as wanted; what was written."""
    arguments = request.arguments
    written: dict[Path, Sequence[Saliency | Fused]] = {}
    if arguments.save_path and request.to_folder:
        for index, name in enumerate(unique_names([picture.stem for picture in request.pictures])):
            written[arguments.save_path / f"{name}.png"] = [found for found in drawn if found.index == index]
    elif arguments.save_path:
        written[arguments.save_path] = drawn
    for path, maps in written.items():
        save_overlay(path, maps, style=request.style, titled=arguments.titled)
    if arguments.npz:
        save_maps(arguments.npz, shown, [str(picture) for picture in request.pictures])
        return [*written, arguments.npz]
    return list(written)


def unique_names(stems: Sequence[str]) -> list[str]:
    """The same names, those that come again with a number: a, b, a_2."""
    names: dict[str, None] = {}
    for stem in stems:
        name, count = stem, 1
        while name in names:
            count += 1
            name = f"{stem}_{count}"
        names[name] = None
    return list(names)


def boxes_of(request: Request, classifier: Classifier, pictures: Sequence[Image]) -> list[Box | None]:
    """Where the object of every picture lies as it is fed; None where nothing is known, or nothing is left.

    Raises:
        DataError: a box does not lie in its picture.
    """
    arguments = request.arguments
    feed = partial(scaled_whole if arguments.whole or arguments.original_size else prepared, classifier)
    found: list[Box | None] = []
    for path, picture in zip(request.pictures, pictures, strict=True):
        box = request.boxes.get(path)
        height, width = picture.size
        if box is not None and (box[2] > width or box[3] > height):
            seen = " ".join(map(str, box))
            raise DataError(f"the box {seen} does not lie in {path}, {width} wide and {height} high", hint=HINT)
        found.append(None if box is None else box_as_fed(feed, picture.size, box))
    return found


def tell(
    shown: Sequence[Saliency | Fused], written: Sequence[Path], request: Request, scores: Sequence[Scored]
) -> None:
    """Say what was seen and written, as data or in words."""
    told = [{"picture": str(request.pictures[found.index])} | facts(found) for found in shown]
    of = {id(one.map): one.facts() for one in scores}
    if request.arguments.json:
        maps = [one | of.get(id(found), {}) for one, found in zip(told, shown, strict=True)]
        data = {"maps": maps, "written": [str(path) for path in written]}
        print(json.dumps(data | ({"means": means(scores)} if scores else {}), indent=1))
        return
    print("\n".join(map(sentence, shown, told)))
    if scores:
        captions = [f"{request.pictures[one.map.index]}: {caption(one.map.subject)}" for one in scores]
        print(f"\n{report(scores, captions)}\n")
    print("\n".join(f"written: {path}" for path in written) or "nothing written: --save-path names a picture")


def complain(shown: Sequence[Saliency | Fused], request: Request) -> None:
    """Maps that show nothing, or that had better be made of another layer, are complained of on the side."""
    warned: dict[str, None] = {}
    for found in shown:
        if found.heatmap().empty:
            where = f"{request.pictures[found.index]}: the {found.method} map at {found.layer}"
            print(f"warning: {where} is empty: no position speaks for the class", file=sys.stderr)
        for part in found.parts if isinstance(found, Fused) else (found,):
            if part.signed:
                behind = part.layer.rpartition(".")[0]
                hint = f", e.g. --target-layers {behind}" if behind else ""
                warned[
                    f"{found.method} takes features for amounts, and those of {part.layer} are negative in part: its map "
                    f"can mislead; choose a layer behind the activation{hint}"
                ] = None
    for warning in warned:
        print(f"warning: {warning}", file=sys.stderr)


def sentence(found: Saliency | Fused, told: dict[str, Any]) -> str:
    """One line about one map: picture, class, method, layer, and where it is hottest."""
    subject = found.subject
    number = "" if subject is None else f"{subject.wish} "
    lead = "" if subject is None or subject.against is None else f", logits {subject.logit:+.2f} apart"
    where = "empty" if told["empty"] else "hottest at row {}, column {}".format(*told["hottest"])
    return f"{told['picture']}: {number}{caption(subject)}{lead}, {found.method} at {found.layer}, {where}"
