"""Draw where a classifier looks: class activation maps over one or more pictures.

For example:

  classlens cam cat.png demo --save-path cam.png
  classlens cam cat.png dog.png configs/resnet/resnet50_8xb32_in1k.py resnet50.pth --target-category tabby 238
  classlens cam cat.png demo --method GradCAM LayerCAM --target-layers 'backbone.layers[-1]' --whole

CONFIG is an OpenMMLab-style config or another address, such as timm:resnet50; CHECKPOINT may be left out if the
config's load_from, or what the address names, has weights of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classlens.cli.parsing import (
    add_overrides,
    flag,
    number_type,
    positive_float,
    positive_int,
    print_note,
    share,
    whole_number,
)
from classlens.errors import ClasslensError, DataError

if TYPE_CHECKING:
    from classlens.runs.explain_files import MapRequest

ORDER = "the order is IMG [IMG ...] CONFIG [CHECKPOINT]"
CONFIGS = {".py", ".json", ".yml", ".yaml"}
below_one = number_type(float, lambda value: 0 <= value < 1, "a number from 0 to less than 1")

DOCUMENTED: Mapping[str, dict[str, Any]] = {
    "--target-layers": {
        "nargs": "+",
        "action": "extend",
        "metavar": "LAYER",
        "help": "layers to look at, e.g. 'backbone.layer4[-1]'; several make one map, the mean of theirs "
        "(default: the last norm layer that decides the class)",
    },
    "--preview-model": flag("print every layer of the model, and draw nothing"),
    "--method": {
        "nargs": "+",
        "action": "extend",
        "metavar": "METHOD",
        "help": "GradCAM (default), GradCAM++, XGradCAM, EigenCAM, EigenGradCAM, LayerCAM, or another of "
        "docs/methods.md, any case; all: every quick one; every: the slow ones too",
    },
    "--target-category": {
        "nargs": "+",
        "action": "extend",
        "metavar": "CLASS",
        "help": "class numbers or names, top5, or 'a - b' (default: the predicted class)",
    },
    "--classes": {
        "metavar": "FILE|NAME,...",
        "help": "the class names in the order of the scores: a file (a name a line, or JSON), or names with commas between",
    },
    "--save-path": {"type": Path, "metavar": "FILE", "help": "picture to write, or a folder for one picture each"},
    "--eigen-smooth": flag("first principal component instead of the sum over channels"),
    "--aug-smooth": flag("average over six variants of the picture"),
    "--vit-like": flag("accepted; the layout of every layer is found anyway"),
    "--num-extra-tokens": {
        "type": whole_number,
        "metavar": "N",
        "help": "tokens in front of the patches, if not found rightly",
    },
    "--output-type": {
        "choices": ("softmax", "sigmoid"),
        "help": "what makes probabilities of the network's logits: softmax for one class among several, sigmoid for "
        "labels by themselves (default: what the head, the config or the network's last function says)",
    },
    "--device": {"default": "cpu", "help": "where to compute, e.g. cuda (default: cpu)"},
}
"""The options of the documented script, and those that belong beside them."""

MORE: Mapping[str, dict[str, Any]] = {
    "--whole": flag("feed the whole picture, uncropped, at its own aspect ratio"),
    "--original-size": flag("as --whole, and drawn over the picture as read, in its own size"),
    "--each-layer": flag("one map for each target layer instead of their mean"),
    "--colormap": {"default": "inferno", "help": "inferno (default), viridis, cividis, turbo, jet, ..."},
    "--opacity": {"type": share, "default": 0.5, "help": "of the colours over the picture, 0 to 1 (default: 0.5)"},
    "--contour": {"type": below_one, "metavar": "SHARE", "help": "line around what is hotter than this share"},
    "--titled": flag("write titles and a colour bar also on a single map"),
    "--strict": flag("exit with status 1 if a picture is bad"),
    "--npz": {"type": Path, "metavar": "FILE", "help": "write the numbers: heatmap, saliency, meta"},
    "--evaluate": flag(
        "score every map beside a uniform and a random one: deletion, insertion, drop, ROAD; and whether it "
        "changes when the network's weights are shuffled (slow)"
    ),
    "--box": {
        "nargs": "+",
        "metavar": ("LEFT TOP RIGHT BOTTOM | FILE.csv", ""),
        "help": "with --evaluate: where the object is, in pixels of the picture as read; several pictures: a file of "
        "lines NAME,LEFT,TOP,RIGHT,BOTTOM",
    },
    "--trust-checkpoint": flag("unpickle the checkpoint even if it could run code"),
    "--precision": {
        "choices": ("float32", "bf16"),
        "default": "float32",
        "help": "of the passes (default: float32)",
    },
    "--batch-size": {"type": positive_int, "default": 16, "metavar": "N", "help": "pictures at once (default: 16)"},
    "--samples": {
        "type": positive_int,
        "metavar": "N",
        "help": "how many samples or steps slow methods take (default: SS-CAM, IS-CAM 10, RISE 1000, Occlusion 15 "
        "places a side, IntegratedGradients 50, SmoothGrad 25)",
    },
    "--memory-budget": {
        "type": positive_float,
        "metavar": "MB",
        "help": "halve the batch until a pass is estimated to take no more than this",
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The documented arguments, then ours."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.usage = "%(prog)s IMG [IMG ...] CONFIG [CHECKPOINT] [options]"
    parser.add_argument(
        "words",
        nargs="+",
        metavar="IMG [IMG ...] CONFIG [CHECKPOINT]",
        help="pictures (files, folders, patterns such as 'a/*.jpg'), what to open, and its weights (path or URL)",
    )
    for name, settings in DOCUMENTED.items():
        parser.add_argument(name, **settings)
    add_overrides(parser)
    group = parser.add_argument_group("more")
    for name, settings in MORE.items():
        group.add_argument(name, **settings)


def run(arguments: argparse.Namespace) -> int:
    """Explain the pictures, or list the layers, and print the result."""
    from classlens.figures import draw
    from classlens.runs.explain_files import explain_files, preview_model
    from classlens.runs.own_process import progress_line

    request = read_request(arguments)
    if arguments.preview_model:
        layers = preview_model(request, on_note=print_note)
        print(json.dumps(layers.facts()) if arguments.json else draw(layers))
        return 0
    on_map = None if arguments.json else print
    result = explain_files(request, on_map=on_map, on_note=print_note, progress=progress_line())
    if arguments.json:
        print(json.dumps(result.facts(), indent=1))
    else:
        if result.scores:
            print(f"\n{draw(result.scores)}\n")
        print(
            "\n".join(f"written: {path}" for path in result.written) or "nothing written: --save-path names a picture"
        )
    for bad in result.bad:
        print(f"bad:   {bad.reason}", file=sys.stderr)
    if unread := sum(not bad.readable for bad in result.bad):
        print(f"{unread} of {len(result.pictures)} pictures could not be read", file=sys.stderr)
    return 1 if arguments.strict and result.bad else 0


def read_request(arguments: argparse.Namespace) -> MapRequest:
    """The arguments as a request.

    Raises:
        ClasslensError: pictures, config and checkpoint cannot be told apart, or an override is none.
        NotFound: there is no such colour map.
    """
    from classlens.adapters import Options
    from classlens.config.overrides import parse_overrides
    from classlens.figures.overlay import OverlayStyle
    from classlens.runs.explain_files import MapFiles, MapOptions, MapRequest, ModelRequest

    pictures, target, checkpoint = split_words(arguments.words)
    if not pictures and not arguments.preview_model:
        raise DataError(f"no picture is named in front of {target}", hint=ORDER)
    model = ModelRequest(
        target,
        checkpoint,
        Options(parse_overrides(arguments.cfg_options), arguments.trust_config, arguments.trust_checkpoint),
        class_names=arguments.classes,
        extra_tokens=arguments.num_extra_tokens,
        output=arguments.output_type,
        device=arguments.device,
    )
    maps = MapOptions(
        methods=arguments.method or MapOptions.methods,
        layers=arguments.target_layers,
        targets=arguments.target_category,
        boxes=arguments.box,
        **{name: getattr(arguments, name) for name in SAME_NAME},
    )
    files = MapFiles(
        arguments.save_path,
        arguments.npz,
        OverlayStyle(arguments.colormap, arguments.opacity, arguments.contour or None),
        arguments.titled,
        arguments.original_size,
    )
    return MapRequest(pictures, model, maps, files)


SAME_NAME = (
    "each_layer", "whole", "eigen_smooth", "aug_smooth", "precision", "batch_size", "samples", "memory_budget",
    "evaluate",
)  # fmt: skip
"""Options of the command that are called so in the request too."""


def split_words(words: Sequence[str]) -> tuple[list[str], str, str | None]:
    """Pictures, config and checkpoint: the config is the first word that looks like one.

    A colon may also stand in the name of a picture, or in a pattern of names.

    Raises:
        ClasslensError: no word, or too many words behind it, can be told apart; or the checkpoint is a picture.
    """
    from classlens.adapters import ADAPTERS, DEFAULT, split_address
    from classlens.dataset.conventions import is_picture_name
    from classlens.runs.explain_files import is_picture

    for place, word in enumerate(words):
        scheme, path = split_address(word)[0], Path(word)
        if is_picture(path) or (scheme not in ADAPTERS and is_picture_name(path.name)):
            continue
        if scheme == DEFAULT and path.suffix not in CONFIGS:
            continue
        rest = words[place + 1 :]
        if len(rest) > 1:
            raise ClasslensError(
                f"behind the config {word} stand {len(rest)} words: {' '.join(rest)}",
                hint=f"{ORDER}; options follow",
            )
        if rest and is_picture(Path(rest[0])):
            raise DataError(f"{rest[0]} is a picture, not a checkpoint", hint=ORDER)
        return list(words[:place]), word, rest[0] if rest else None
    raise ClasslensError(f"no config among: {' '.join(words)}", hint=f"{ORDER}; `demo` is a config")
