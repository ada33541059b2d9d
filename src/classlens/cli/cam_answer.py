"""From a request to maps, pictures, numbers and a few lines of text."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from classlens.cam.answer import Manner
from classlens.cam.borrow import place
from classlens.cam.budget import affordable
from classlens.cam.classifier import Classifier, Layer
from classlens.cam.explain import explain
from classlens.cam.facts import facts
from classlens.cam.faithfulness import BETTER, evaluate
from classlens.cam.layers import find_layers
from classlens.cam.preview import preview
from classlens.cam.saliency import Explanation, Fused, Saliency
from classlens.cli.cam_request import Request
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
    explanation = explain(
        classifier,
        pictures,
        methods=request.methods,
        layers=[layer.name for layer in layers],
        targets=arguments.target_category,
        manner=manner_of(classifier, layers, arguments),
    )
    shown = maps_of(explanation, arguments)
    scores = [scores_of(classifier, found, arguments.box) for found in shown] if arguments.evaluate else []
    drawn = [on_original(found, pictures[found.index]) for found in shown] if arguments.original_size else shown
    tell(shown, write_files(shown, drawn, request), request, scores)
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


def manner_of(classifier: Classifier, layers: Sequence[Layer], arguments: argparse.Namespace) -> Manner:
    """How the maps are made; several pictures are counted on the terminal if there is one."""
    batch_size = arguments.batch_size
    if arguments.memory_budget is not None:
        batch_size = affordable(classifier, batch_size, arguments.memory_budget, layers)
    return Manner(
        arguments.whole or arguments.original_size,
        arguments.eigen_smooth,
        arguments.aug_smooth,
        batch_size,
        arguments.precision,
        count_on_terminal if sys.stderr.isatty() else None,
    )


def count_on_terminal(done: int, total: int) -> None:
    """One line that is written over and over: how many of several pictures are explained."""
    if total > 1:
        print(f"\r{done}/{total} pictures", end="\n" if done == total else "", file=sys.stderr, flush=True)


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


def scores_of(classifier: Classifier, found: Saliency | Fused, box: list[int] | None) -> dict[str, Any] | None:
    """How true a map is; nothing for one that speaks about no class.

    Raises:
        DataError: the box is empty or outside the picture.
    """
    if box is None:
        return asdict(evaluate(classifier, found)) if found.subject else None
    left, top, right, bottom = box
    height, width = found.image.size
    if not (left < right <= width and top < bottom <= height):
        raise DataError(
            f"the box {' '.join(map(str, box))} does not lie in the picture as fed, {width} wide and {height} high",
            hint="--box LEFT TOP RIGHT BOTTOM, in pixels of the picture after resizing and cropping",
        )
    return asdict(evaluate(classifier, found, box=(left, top, right, bottom))) if found.subject else None


def tell(
    shown: Sequence[Saliency | Fused],
    written: Sequence[Path],
    request: Request,
    scores: Sequence[dict[str, Any] | None],
) -> None:
    """Say what was seen and written, as data or in words; maps that show nothing are complained of on the side."""
    told = [{"picture": str(request.pictures[found.index])} | facts(found) for found in shown]
    for one, score in zip(told, scores, strict=False):
        one["faithfulness"] = score
    if request.arguments.json:
        print(json.dumps({"maps": told, "written": [str(path) for path in written]}, indent=1))
    else:
        print("\n".join(map(sentence, shown, told)))
        print("".join(table(found, score) for found, score in zip(shown, scores, strict=False) if score), end="")
        print("\n".join(f"written: {path}" for path in written) or "nothing written: --save-path names a picture")
    for one in told:
        if one["empty"]:
            where = f"{one['picture']}: the {one['method']} map at {' + '.join(one['layers'])}"
            print(f"warning: {where} is empty: no position speaks for the class", file=sys.stderr)


def sentence(found: Saliency | Fused, told: dict[str, Any]) -> str:
    """One line about one map: picture, class, method, layer, and where it is hottest."""
    number = "" if found.subject is None else f"{found.subject.target} "
    row, column = told["hottest"]
    where = f"{found.method} at {found.layer}, hottest at row {row}, column {column}"
    return f"{told['picture']}: {number}{caption(found.subject)}, {where}"


def table(found: Saliency | Fused, score: dict[str, Any]) -> str:
    """The scores of a map and of the baselines beside it, one measure a line."""
    lines = [f"\n{found.method}, {caption(found.subject)}", f"  {'':12}      map  uniform   random   better"]
    for measure, better in BETTER.items():
        values = [score[whose][measure] for whose in ("own", "uniform", "random")]
        if None not in values:
            lines.append(f"  {measure:<12}" + "".join(f"{float(value):9.3f}" for value in values) + f"   {better}")
    return "\n".join(lines) + "\n"
