"""Draw where a classifier looks: class activation maps over one or more pictures.

For example:

  classlens cam cat.png demo --save-path cam.png
  classlens cam cat.png dog.png configs/resnet/resnet50_8xb32_in1k.py resnet50.pth --target-category tabby 238
  classlens cam cat.png demo --method GradCAM LayerCAM --target-layers 'backbone.layers[-1]' --whole

CONFIG is an OpenMMLab-style config or another address, such as timm:resnet50; CHECKPOINT may be left out if the
config's load_from, or what the address names, has weights of its own.
"""

import argparse
from pathlib import Path

from classlens.cli.importing import collecting_later
from classlens.cli.parsing import add_json, add_overrides, positive_float, positive_int


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
    parser.add_argument(
        "--target-layers",
        nargs="+",
        action="extend",
        metavar="LAYER",
        help="layers to look at, e.g. 'backbone.layer4[-1]'; several make one map, the mean of theirs "
        "(default: the last norm layer that decides the class)",
    )
    parser.add_argument("--preview-model", action="store_true", help="print every layer of the model, and draw nothing")
    parser.add_argument(
        "--method",
        nargs="+",
        action="extend",
        metavar="METHOD",
        help="GradCAM (default), GradCAM++, XGradCAM, EigenCAM, EigenGradCAM, LayerCAM, or another of docs/methods.md, any case; all: every quick one; every: the slow ones too",
    )
    parser.add_argument(
        "--target-category",
        nargs="+",
        action="extend",
        metavar="CLASS",
        help="class numbers or names, top5, or 'a - b' (default: the predicted class)",
    )
    parser.add_argument(
        "--classes",
        metavar="FILE|NAME,...",
        help="the class names in the order of the scores: a file (a name a line, or JSON), or names with commas between",
    )
    add_places(parser)
    add_looks(parser)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Where the result goes, and how it is computed."""
    parser.add_argument(
        "--save-path", type=Path, metavar="FILE", help="picture to write, or a folder for one picture each"
    )
    parser.add_argument(
        "--eigen-smooth", action="store_true", help="first principal component instead of the sum over channels"
    )
    parser.add_argument("--aug-smooth", action="store_true", help="average over six variants of the picture")
    parser.add_argument("--vit-like", action="store_true", help="accepted; the layout of every layer is found anyway")
    parser.add_argument(
        "--num-extra-tokens",
        type=whole_number,
        metavar="N",
        help="tokens in front of the patches, if not found rightly",
    )
    parser.add_argument(
        "--output-type",
        choices=("softmax", "sigmoid"),
        help="what makes probabilities of the network's logits: softmax for one class among several, sigmoid for labels by "
        "themselves (default: what the head, the config or the network's last function says)",
    )
    parser.add_argument("--device", default="cpu", help="where to compute, e.g. cuda (default: cpu)")
    add_overrides(parser)
    add_json(parser)


def add_looks(parser: argparse.ArgumentParser) -> None:
    """The arguments that are ours."""
    group = parser.add_argument_group("more")
    group.add_argument(
        "--whole", action="store_true", help="feed the whole picture, uncropped, at its own aspect ratio"
    )
    group.add_argument(
        "--original-size", action="store_true", help="as --whole, and drawn over the picture as read, in its own size"
    )
    group.add_argument("--each-layer", action="store_true", help="one map for each target layer instead of their mean")
    group.add_argument("--colormap", default="inferno", help="inferno (default), viridis, cividis, turbo, jet, ...")
    group.add_argument(
        "--opacity", type=share, default=0.5, help="of the colours over the picture, 0 to 1 (default: 0.5)"
    )
    group.add_argument("--contour", type=share, metavar="SHARE", help="line around what is hotter than this share")
    group.add_argument("--titled", action="store_true", help="write titles and a colour bar also on a single map")
    group.add_argument("--strict", action="store_true", help="exit with status 1 if a picture is bad")
    group.add_argument("--npz", type=Path, metavar="FILE", help="write the numbers: heatmap, saliency, meta")
    group.add_argument(
        "--evaluate",
        action="store_true",
        help="score every map beside a uniform and a random one: deletion, insertion, drop, ROAD; and whether it survives "
        "when the network forgets (slow)",
    )
    group.add_argument(
        "--box",
        nargs="+",
        metavar=("LEFT TOP RIGHT BOTTOM | FILE.csv", ""),
        help="with --evaluate: where the object is, in pixels of the picture as read; several pictures: a file of lines "
        "NAME,LEFT,TOP,RIGHT,BOTTOM",
    )
    group.add_argument(
        "--trust-checkpoint", action="store_true", help="unpickle the checkpoint even if it could run code"
    )
    add_costs(group)


def add_costs(group: argparse._ArgumentGroup) -> None:
    """How much is computed at once, and in how many bits."""
    group.add_argument(
        "--precision", choices=("float32", "bf16"), default="float32", help="of the passes (default: float32)"
    )
    group.add_argument(
        "--batch-size", type=positive_int, default=16, metavar="N", help="pictures at once (default: 16)"
    )
    group.add_argument(
        "--samples",
        type=positive_int,
        metavar="N",
        help="how often methods ask that draw or go in steps (default: SS-CAM, IS-CAM 10, RISE 1000, Occlusion 15 places "
        "a side, IntegratedGradients 50, SmoothGrad 25)",
    )
    group.add_argument(
        "--memory-budget",
        type=positive_float,
        metavar="MB",
        help="halve the batch until a pass is estimated to take no more than this",
    )


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def whole_number(text: str) -> int:
    """0, 1, 2, ..."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Check all that can be checked without torch, open, explain, draw, say where it is."""
    from classlens.cli.cam_request import read_request

    request = read_request(arguments)
    with collecting_later("torch"):
        from classlens.cli.cam_answer import give_answer

    return give_answer(request)
