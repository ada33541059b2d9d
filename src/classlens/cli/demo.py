"""Run all three tools on shipped photos with a really trained network, and show the pictures on one page.

Every section of the page names the command that made it; run it again with options of your own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from classlens.figures.page import Layout

METHODS = ("GradCAM", "GradCAM++", "XGradCAM", "EigenCAM", "EigenGradCAM", "LayerCAM")
RESNET = ("configs/resnet/resnet50_8xb32_in1k.py", "--dataset-size", "1281167", "--ngpus", "8")
MODES: tuple[tuple[str, str, Layout], ...] = (
    ("original", "The pictures as they lie on disk.", "tiles"),
    ("transformed", "What training feeds the network: cropped, flipped, recoloured.", "tiles"),
    ("concat", "Both, side by side.", "pairs"),
    ("pipeline", "After every stage, with the parameters sampled for it.", "strips"),
)


@dataclass(frozen=True)
class DemoStep:
    """One command of the demo, what it shows, and the file, or the folder of pictures, that it writes."""

    title: str
    text: str
    words: tuple[str, ...]
    output: str
    layout: Layout = "strips"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classlens demo`."""
    place = "where everything goes (default: out/demo)"
    parser.add_argument("--output-dir", type=Path, default=Path("out/demo"), metavar="DIR", help=place)


def run(arguments: argparse.Namespace) -> int:
    """Make the photos, run the commands as if they had been typed, write the page, and say where it is."""
    from classlens.cli.main import run_command
    from classlens.demo_photos import make_pair, make_photos
    from classlens.figures.page import Picture, Section, write_page

    folder: Path = arguments.output_dir
    started = time.monotonic()
    make_photos(folder / "photos")
    sections = []
    for step in steps(make_pair(folder / "cat-espresso.png")):
        output = folder / step.output
        words = [*step.words, "--save-path" if output.suffix else "--output-dir", str(output)]
        command = shlex.join(["classlens", *words])
        with contextlib.redirect_stdout(io.StringIO()) if arguments.json else contextlib.nullcontext():
            print(f"$ {command}", flush=True)
            status = run_command(words[0], words[1:], prog=f"classlens {words[0]}")
        if status:
            return status
        files = sorted(path for path in (output, *output.rglob("*")) if path.is_file())
        pictures = tuple(Picture(path, " · ".join(path.relative_to(folder).parts[-2:])) for path in files)
        sections.append(Section(step.title, step.text, command, pictures, layout=step.layout))
    page = write_page(
        folder / "index.html",
        "Classlens: the data, the schedule, and where the model looks",
        "EfficientNet-Lite0 with its ImageNet-1k weights, and crops of seven free photos. Click a picture to see it "
        "at full size.",
        sections,
    )
    seconds = time.monotonic() - started
    if arguments.json:
        paths = [str(picture.path) for section in sections for picture in section.pictures]
        print(json.dumps({"page": str(page), "pictures": paths, "seconds": round(seconds, 1)}))
    else:
        print(f"\nDone in {seconds:.0f} s. The pictures are in {folder}; open {page} to see them all.")
    return 0


def steps(pair: Path) -> Iterator[DemoStep]:
    """Where the model looks, the schedule, the data."""
    from classlens.shipped import shipped_photos

    photo = shipped_photos() / "coffee.png"
    if photo.is_relative_to(Path.cwd()):
        photo = photo.relative_to(Path.cwd())
    yield DemoStep(
        "Model: one picture, two classes",
        "Asked for a tabby the network looks at the cat, asked for espresso at the cup.",
        ("cam", str(pair), "demo", "--whole", "--target-category", "tabby", "espresso"),
        "cam-two-classes.png",
    )
    yield DemoStep(
        "Model: the six documented methods",
        "All from one forward and one backward pass.",
        ("cam", str(photo), "demo", "--method", *METHODS),
        "cam-six-methods.png",
    )
    yield DemoStep(
        "Schedule: a warm-up and a cosine",
        "The learning rate of every step of the run, before training.",
        ("lr", "demo"),
        "lr.png",
    )
    yield DemoStep(
        "Schedule: a documented config",
        "ResNet-50 on ImageNet-1k, eight GPUs: 500,500 steps, exact, in no time.",
        ("lr", *RESNET),
        "lr-resnet50.png",
    )
    for mode, text, layout in MODES:
        count = "4" if layout == "strips" else "7"  # a sample of each class, or a few where every sample fills a row
        words = ("browse", "demo", "--mode", mode, "--show-number", count)
        yield DemoStep(f"Data: {mode}", text, words, f"browse/{mode}", layout)
