r"""Draw where a classifier looks: class activation maps over one or more pictures.

For example:

  classlens cam cat.png demo --save-path cam.png
  classlens cam cat.png dog.png configs/resnet/resnet50_8xb32_in1k.py \
      resnet50.pth --target-category tabby 238 --save-path maps.png
  classlens cam cat.png demo --method GradCAM LayerCAM --whole \
      --target-layers 'backbone.layers[-1]' --save-path layer.png

CONFIG is an OpenMMLab-style config or another address, such as timm:resnet50; CHECKPOINT may be left out if the
config's load_from, or what the address names, has weights of its own.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from glob import has_magic
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.cli.parsing import (
    add_overrides,
    number_type,
    positive_float,
    positive_int,
    print_note,
    read_request,
    whole_number,
)
from classlens.errors import ClasslensError, count_of
from classlens.printed import fit_lines, join_lines, json_text, print_aside, print_text

if TYPE_CHECKING:
    from classlens.runs.explain_files import MapRun

FEW = 10  # pictures of which each has a line of its own
ORDER = "the order is IMG [IMG ...] CONFIG [CHECKPOINT] [options]"
CONFIGS = {".py", ".json", ".yml", ".yaml"}
share = number_type(float, lambda value: 0 <= value <= 1, "a number from 0 to 1")
below_one = number_type(float, lambda value: 0 <= value < 1, "a number from 0 to less than 1")

LAYERS = (
    "layers to look at, e.g. 'backbone.layer4[-1]'; several make one map, the mean of theirs (default: the last norm "
    "layer that decides the class)"
)
METHODS = (
    "GradCAM (default), GradCAM++, XGradCAM, EigenCAM, EigenGradCAM, LayerCAM, or another of docs/methods.md, any "
    "case; all: every quick one; every: the slow ones too"
)
CLASSES = "the class names in the order of the scores: a file (a name a line, or JSON), or names with commas between"
OUTPUT = (
    "what makes probabilities of the network's logits: softmax for one class among several, sigmoid for labels by "
    "themselves (default: what the head, the config or the network's last function says)"
)
EVALUATE = (
    "score every map beside a uniform and a random one: deletion, insertion, drop, ROAD; and whether it changes when "
    "the network's weights are shuffled (slow)"
)
BOX = (
    "with --evaluate: where the object is, in pixels of the picture as read; several pictures: a file of lines "
    "NAME,LEFT,TOP,RIGHT,BOTTOM"
)
SAVE = (
    "picture to write (of many pictures: pages FILE_1, FILE_2, ...), or a folder for one picture each, in their folders, "
    "and an index.html"
)
TABLE = "write a table: file, prediction, probability, label where it is known, hottest place in pixels of the picture, scores"
COMPARE = "weights; several are compared in one figure, with columns for each, and where they disagree"
NUMBERS = (
    "write the numbers of all maps: meta (JSON: a list that says of each map its picture, method, class, scores and the "
    "keys of its arrays), heatmap, saliency; heatmap_0, ... of several (docs/cam.md)"
)
SAMPLES = (
    "how many samples or steps slow methods take (default: SS-CAM, IS-CAM 10, RISE 1000, Occlusion 15 places a side, "
    "IntegratedGradients 50, SmoothGrad 25)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The documented arguments, then ours."""
    parser.usage = "%(prog)s IMG [IMG ...] CONFIG [CHECKPOINT] [options]"
    pictures = "pictures (files, folders, patterns such as 'a/*.jpg'), what to open, and its weights (path or URL)"
    classes = "class numbers or names, top5, or 'a - b' (default: the predicted class)"
    add = parser.add_argument
    add("words", nargs="+", metavar="IMG [IMG ...] CONFIG [CHECKPOINT]", help=pictures)
    add("--target-layers", dest="layers", nargs="+", action="extend", metavar="LAYER", help=LAYERS)
    add("--preview-model", action="store_true", help="print every layer of the model, and draw nothing")
    add("--method", dest="methods", nargs="+", action="extend", metavar="METHOD", help=METHODS)
    add("--target-category", dest="targets", nargs="+", action="extend", metavar="CLASS", help=classes)
    add("--classes", metavar="FILE|NAME,...", help=CLASSES)
    add("--save-path", "-s", dest="pictures", type=Path, metavar="FILE", help=SAVE)
    add("--eigen-smooth", action="store_true", help="first principal component instead of the sum over channels")
    add("--aug-smooth", action="store_true", help="average over six variants of the picture")
    add("--vit-like", action="store_true", help="accepted; the layout of every layer is found anyway")
    tokens = "tokens in front of the patches, if not found rightly"
    add("--num-extra-tokens", dest="extra_tokens", type=whole_number, metavar="N", help=tokens)
    add("--output-type", dest="output", choices=("softmax", "sigmoid"), help=OUTPUT)
    add("--device", help="where to compute, e.g. cuda (default: cpu)")
    add_overrides(parser)
    add = parser.add_argument_group("more").add_argument
    add("--whole", action="store_true", help="feed the whole picture, uncropped, at its own aspect ratio")
    add("--original-size", action="store_true", help="as --whole, and drawn over the picture as read, in its own size")
    add("--each-layer", action="store_true", help="one map for each target layer instead of their mean")
    add("--colormap", default="inferno", help="inferno (default), viridis, cividis, turbo, jet, ...")
    add("--opacity", type=share, default=0.5, help="of the colours over the picture, 0 to 1 (default: 0.5)")
    add("--contour", type=below_one, metavar="SHARE", help="line around what is hotter than this share")
    add("--titled", action="store_true", help="write titles and a colour bar also on a single map")
    add("--strict", action="store_true", help="exit with status 1 if a picture is bad")
    add("--csv", dest="table", type=Path, metavar="FILE", help=TABLE)
    add("--html", dest="page", type=Path, metavar="FILE", help="one page with all maps, in one file")
    add("--checkpoint", nargs="+", action="extend", default=[], metavar="FILE", help=COMPARE)
    add("--verbose", action="store_true", help="a line for every map, however many pictures there are")
    add("--npz", dest="numbers", type=Path, metavar="FILE", help=NUMBERS)
    add("--evaluate", action="store_true", help=EVALUATE)
    add("--box", dest="boxes", nargs="+", metavar=("LEFT TOP RIGHT BOTTOM | FILE.csv", ""), help=BOX)
    add("--trust-checkpoint", action="store_true", help="unpickle the checkpoint even if it could run code")
    add("--precision", choices=("float32", "bf16"), help="of the passes (default: float32)")
    add("--batch-size", type=positive_int, metavar="N", help="pictures at once (default: 16)")
    add("--samples", type=positive_int, metavar="N", help=SAMPLES)
    memory = "halve the batch until a pass is estimated to take no more than this"
    add("--memory-budget", type=positive_float, metavar="MB", help=memory)


def run(arguments: argparse.Namespace) -> int:
    """Explain the pictures, or list the layers, and print the result."""
    from classlens.figures import draw
    from classlens.figures.overlay import OverlayStyle
    from classlens.runs import explain_files
    from classlens.runs.own_process import progress_line

    pictures, target, checkpoint = split_words(arguments.words)
    checkpoints = [*filter(None, [checkpoint]), *arguments.checkpoint]
    own = {"target": target, "checkpoint": checkpoints, "class_names": arguments.classes}
    model = read_request(arguments, explain_files.ModelRequest, own)
    maps = read_request(arguments, explain_files.MapOptions)
    style = OverlayStyle(arguments.colormap, arguments.opacity, arguments.contour or None)
    files = read_request(arguments, explain_files.MapFiles, {"style": style})
    request = explain_files.MapRequest(pictures, model, maps, files)
    if arguments.preview_model:
        layers = explain_files.preview_model(request, on_note=print_note)
        print_text(json_text(layers.as_data()) if arguments.json else str(draw(layers)))
        return 0
    show = print_json if arguments.json else partial(print_run, verbose=arguments.verbose)
    is_listed = arguments.verbose and not arguments.json
    result = explain_files.explain_files(
        request,
        on_map=lambda row: print_text(str(row)) if is_listed else None,
        on_note=print_note,
        on_stop=show,
        progress=progress_line(),
    )
    show(result)
    return 1 if arguments.strict and result.bad else 0


def print_json(result: MapRun) -> None:
    """The whole result, and on the side how many pictures are bad."""
    print_text(json_text(result.as_data(), indent=1))
    if result.bad:
        print_bad(result, len(result.bad))


def print_run(result: MapRun, *, verbose: bool) -> None:
    """A line for every map of a few pictures, one line for all of many; scores, and what was written."""
    from classlens.figures import draw

    lines = [] if verbose or len({row.picture for row in result.maps}) > FEW else list(map(str, result.maps))
    is_known = any(row.values.get("label") or row.values.get("checkpoint") for row in result.maps)
    lines += [result.summary()] if len(result.pictures) > (1 if is_known else FEW) else []
    if lines:
        print_text("\n".join(fit_lines(join_lines(lines), sys.stdout)))
    if result.scores:
        print_text(f"\n{draw(result.scores)}\n")
    pictures = [path for path in result.written if path.suffix not in (".csv", ".npz", ".html", ".htm")]
    written = [f"wrote {path}" for path in result.written]
    if len(pictures) > FEW and not verbose:
        where = f" in {result.page.parent}" if result.page else f": {pictures[0]} to {pictures[-1].name}"
        others = [f"wrote {path}" for path in result.written if path not in pictures]
        written = [f"wrote {count_of(len(pictures), 'picture')}{where}", *others]
    written += [f"wrote {result.page}"] if result.page else []
    print_text(join_lines(written) or "nothing was written; --save-path FILE writes a picture")
    if result.bad:
        print_bad(result, len(result.bad) if verbose else FEW)


def print_bad(result: MapRun, most: int) -> None:
    for bad in result.bad[:most]:
        print_note("bad", bad.reason)
    if len(result.bad) > most:
        print_note("bad", f"and {len(result.bad) - most:,} more; --verbose or --csv FILE lists them")
    if unread := sum(not bad.readable for bad in result.bad):
        print_aside(f"{unread} of {count_of(len(result.pictures), 'picture')} could not be read")


def split_words(words: Sequence[str]) -> tuple[list[str], str, str | None]:
    """Pictures, config and checkpoint, which have to be in this order."""
    kinds = list(map(kind_of, words))
    configs = [word for word, kind in zip(words, kinds, strict=True) if kind == "CONFIG"]
    if not configs:
        hint = f"{ORDER}; `demo` is a config"
        if "CHECKPOINT" in kinds:
            hint = "a checkpoint goes with the config that it was trained with, or e.g. timm:resnet50, in front of it"
        from classlens.config.open_file import address_of_hugging_face

        saved = (address_of_hugging_face(Path(word), word) for word in reversed(words))
        raise ClasslensError(f"no config among: {' '.join(words)}", hint=next(filter(None, saved), hint))
    place = kinds.index("CONFIG")
    kinds = [kind or ("IMG" if index < place else "CHECKPOINT") for index, kind in enumerate(kinds)]
    before, rest = words[:place], words[place + 1 :]
    if len(configs) > 1:
        raise ClasslensError(f"{len(configs)} configs: {' '.join(configs)}", hint=f"a run takes one; {ORDER}")
    if "CHECKPOINT" in kinds[:place] or "IMG" in kinds[place:]:
        ordered = [word for rank in RANK for word, kind in zip(words, kinds, strict=True) if kind == rank]
        order = " ".join(kind for kind, _ in groupby(kinds))
        hint = f"the order is IMG CONFIG CHECKPOINT: classlens cam {shlex.join(ordered)}"
        raise ClasslensError(f"the words are in the order {order}: {' '.join(words)}", hint=hint)
    if len(rest) > 1:
        several = f"several weights are compared by --checkpoint {shlex.join(rest)}"
        hint = several if set(kinds[place + 1 :]) == {"CHECKPOINT"} else ORDER
        what = f"behind the config {words[place]} stand {count_of(len(rest), 'word')}: {' '.join(rest)}"
        raise ClasslensError(what, hint=hint)
    return list(before), words[place], rest[0] if rest else None


RANK = ("IMG", "CONFIG", "CHECKPOINT")


def kind_of(word: str) -> str:
    """What a word seems to be, "" where only its place tells; a colon may stand in a picture's name or pattern, too."""
    from classlens.adapters import ADAPTERS, DEFAULT, split_address
    from classlens.checkpoints.download import has_scheme
    from classlens.dataset.conventions import is_picture_name
    from classlens.files import CHECKPOINT_ENDINGS
    from classlens.runs.picture_origins import ADDRESSES

    scheme, path = split_address(word)[0], Path(word)
    is_address = scheme in ADAPTERS and scheme != DEFAULT
    if is_picture_name(path.name) and (not is_address or path.is_file()):
        return "IMG"
    if word.startswith(ADDRESSES):
        return "IMG"
    if is_address:
        return "CONFIG"
    if path.is_dir() or has_magic(word):
        return "IMG"
    if has_scheme(word) or word.lower().endswith(CHECKPOINT_ENDINGS):
        return "CHECKPOINT"
    return "CONFIG" if scheme != DEFAULT or path.suffix in CONFIGS else ""
