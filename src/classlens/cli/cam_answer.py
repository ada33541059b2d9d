"""From a request to maps, pictures, numbers and a few lines of text."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from classlens.cam.answer import Manner
from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.cam.layers import find_layers
from classlens.cam.preview import preview
from classlens.cam.saliency import Explanation, Fused, Saliency
from classlens.cli.cam_files import save_numbers, save_pictures
from classlens.cli.cam_request import Request
from classlens.cli.cam_text import describe, facts
from classlens.dataset.reading import read_image
from classlens.errors import ClasslensError


def give_answer(request: Request) -> int:
    """Build the classifier, explain the pictures, write what was asked for, and say what was seen."""
    arguments = request.arguments
    pictures = [read_image(path) for path in request.pictures]
    classifier = built(request)
    if arguments.preview_model:
        print(json.dumps(preview(classifier).facts()) if arguments.json else preview(classifier).text())
        return 0
    layers = find_layers(classifier, arguments.target_layers)
    explanation = explain(
        classifier,
        pictures,
        methods=request.methods,
        layers=[layer.name for layer in layers],
        targets=arguments.target_category,
        manner=Manner(arguments.whole, arguments.eigen_smooth, arguments.aug_smooth, arguments.batch_size),
    )
    shown = maps_of(explanation, arguments)
    written = save_pictures(shown, request) if arguments.save_path else []
    if arguments.npz:
        written.append(save_numbers(shown, request))
    if arguments.json:
        print(
            json.dumps({"maps": facts(shown, request.pictures), "written": [str(path) for path in written]}, indent=1)
        )
    else:
        print("\n".join(describe(shown, request.pictures) + [f"written: {path}" for path in written]))
    complain(shown, request.pictures)
    if not written and not arguments.json:
        print("nothing is written: name a picture with --save-path", file=sys.stderr)
    return 0


def built(request: Request) -> Classifier:
    """The classifier on the wanted device, with the number of extra tokens that the user knows better.

    Raises:
        ClasslensError: there is no such device.
    """
    classifier = request.source.classifier(request.checkpoint)
    if request.arguments.num_extra_tokens is not None:
        classifier = replace(classifier, extra_tokens=request.arguments.num_extra_tokens)
    try:
        classifier.module.to(torch.device(request.arguments.device))
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["unknown"])[0]
        raise ClasslensError(
            f"cannot compute on {request.arguments.device!r}: {reason}", hint="try --device cpu"
        ) from error
    return classifier


def maps_of(explanation: Explanation, arguments: argparse.Namespace) -> Sequence[Saliency | Fused]:
    """What is shown: several layers as one map, as documented, unless each is wanted by itself."""
    return list(explanation) if arguments.each_layer else list(explanation.fused())


def complain(shown: Sequence[Saliency | Fused], pictures: Sequence[Path]) -> None:
    """Say on standard error which maps have nothing to show."""
    for found in shown:
        if found.heatmap().empty:
            print(
                f"warning: {pictures[found.index]}: the {found.method} map at {found.layer} is empty: "
                "no position speaks for the class",
                file=sys.stderr,
            )
