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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.cli.parsing import add_json

if TYPE_CHECKING:
    from classlens.figures.page import Layout, Section

METHODS = ("GradCAM", "GradCAM++", "XGradCAM", "EigenCAM", "EigenGradCAM", "LayerCAM")
PAGE = "index.html"


@dataclass(frozen=True)
class Step:
    """One command of the demo, and what it shows; `made` is the file, or the folder of pictures, that it writes."""

    title: str
    text: str
    words: tuple[str, ...]
    made: str
    layout: Layout = "tiles"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classlens demo`."""
    parser.add_argument(
        "--output-dir", type=Path, default=Path("out/demo"), metavar="DIR", help="where everything goes"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the photos, run the commands, write the page, and say where it is."""
    from classlens.demo_photos import make_pair, make_photos
    from classlens.figures.page import write_page

    folder: Path = arguments.output_dir
    started = time.monotonic()
    make_photos(folder / "photos")
    pair = make_pair(folder / "cat-espresso.png")
    sections = []
    for step in steps(folder, pair):
        status = perform(step, quiet=arguments.json)
        if status:
            return status
        sections.append(section_of(step, folder))
    page = write_page(
        folder / PAGE,
        "Classlens: the data, the schedule, and where the model looks",
        "EfficientNet-Lite0 with its ImageNet-1k weights, and crops of seven free photos. Click a picture to see it "
        "at full size.",
        sections,
    )
    seconds = time.monotonic() - started
    if arguments.json:
        made = [str(picture.path) for section in sections for picture in section.pictures]
        print(json.dumps({"page": str(page), "pictures": made, "seconds": round(seconds, 1)}))
    else:
        print(f"\nDone in {seconds:.0f} s. The pictures are in {folder}; open {page} to see them all.")
    return 0


def steps(folder: Path, pair: Path) -> tuple[Step, ...]:
    return (*cam_steps(folder, pair), *schedule_steps(folder), *browse_steps(folder))


def browse_steps(folder: Path) -> list[Step]:
    return [
        browse_step(folder, "original", "The pictures as they lie on disk.", "tiles"),
        browse_step(folder, "transformed", "What training feeds the network: cropped, flipped, recoloured.", "tiles"),
        browse_step(folder, "concat", "Both, side by side.", "pairs"),
        browse_step(folder, "pipeline", "After every stage, with what was drawn at random.", "strips"),
    ]


def browse_step(folder: Path, mode: str, text: str, layout: Layout) -> Step:
    """One mode: a sample of each class, or a few where every sample fills a row."""
    count = "4" if layout == "strips" else "7"
    words = ("browse", "demo", "--mode", mode, "--show-number", count)
    made = f"browse/{mode}"
    return Step(f"Data: {mode}", text, (*words, "--output-dir", str(folder / made)), made, layout)


def schedule_steps(folder: Path) -> list[Step]:
    """The demo's own schedule, and that of a documented config."""
    resnet = ("lr", "configs/resnet/resnet50_8xb32_in1k.py", "--dataset-size", "1281167", "--ngpus", "8")
    return [
        Step(
            "Schedule: a warm-up and a cosine",
            "The learning rate of every step of the run, before training.",
            ("lr", "demo", "--save-path", str(folder / "lr.png")),
            "lr.png",
            layout="strips",
        ),
        Step(
            "Schedule: a documented config",
            "ResNet-50 on ImageNet-1k, eight GPUs: 500,500 steps, exact, in no time.",
            (*resnet, "--save-path", str(folder / "lr-resnet50.png")),
            "lr-resnet50.png",
            layout="strips",
        ),
    ]


def cam_steps(folder: Path, pair: Path) -> list[Step]:
    """Two classes in one picture, and the six documented methods."""
    from classlens.shipped import shipped_photos

    photo = shipped_photos() / "coffee.png"
    if photo.is_relative_to(Path.cwd()):
        photo = photo.relative_to(Path.cwd())
    save = str(folder / "cam-two-classes.png")
    six = str(folder / "cam-six-methods.png")
    return [
        Step(
            "Model: one picture, two classes",
            "Asked for a tabby the network looks at the cat, asked for espresso at the cup.",
            ("cam", str(pair), "demo", "--whole", "--target-category", "tabby", "espresso", "--save-path", save),
            "cam-two-classes.png",
            layout="strips",
        ),
        Step(
            "Model: the six documented methods",
            "All from one forward and one backward pass.",
            ("cam", str(photo), "demo", "--method", *METHODS, "--save-path", six),
            "cam-six-methods.png",
            layout="strips",
        ),
    ]


def perform(step: Step, *, quiet: bool) -> int:
    """Run one command as if it had been typed; return its exit status."""
    from classlens.cli.main import run_command

    command, *words = step.words
    if quiet:
        with contextlib.redirect_stdout(io.StringIO()):
            return run_command(command, words, prog=f"classlens {command}")
    print(f"$ {typed(step.words)}", flush=True)
    return run_command(command, words, prog=f"classlens {command}")


def typed(words: Sequence[str]) -> str:
    return shlex.join(["classlens", *words])


def section_of(step: Step, folder: Path) -> Section:
    """The part of the page that shows what a command made."""
    from classlens.figures.page import Picture, Section

    place = folder / step.made
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    pictures = tuple(Picture(path, " · ".join(path.relative_to(folder).parts[-2:])) for path in files)
    return Section(step.title, step.text, typed(step.words), pictures, layout=step.layout)
