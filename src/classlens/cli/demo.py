"""Run all three tools on shipped photos with a really trained network, and show the pictures on one page.

Every section of the page names the command that made it; run it again with options of your own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shlex
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.printed import json_text, print_aside, print_text
from classlens.words import Phrase, say

if TYPE_CHECKING:
    from classlens.figures.page import Layout

STEPS = (
    (
        say("demo.two"),
        say("demo.two_seen"),
        "cam PAIR demo --whole --target-category tabby espresso --save-path",
        "cam-two-classes.png",
    ),
    (
        say("demo.six"),
        say("demo.six_seen"),
        "cam PHOTO demo --method GradCAM GradCAM++ XGradCAM EigenCAM EigenGradCAM LayerCAM --save-path",
        "cam-six-methods.png",
    ),
    (
        say("demo.cosine"),
        say("demo.cosine_seen"),
        "lr demo --save-path",
        "lr.png",
    ),
    (
        say("demo.config"),
        say("demo.config_seen"),
        "lr configs/resnet/resnet50_8xb32_in1k.py --dataset-size 1281167 --ngpus 8 --save-path",
        "lr-resnet50.png",
    ),
)
"""A heading, what is to be seen, a command, and the file that it writes."""

MODES: tuple[tuple[str, int, Phrase, Layout], ...] = (
    ("original", 7, say("demo.original"), "tiles"),
    ("transformed", 7, say("demo.transformed"), "tiles"),
    ("concat", 7, say("demo.concat"), "pairs"),
    ("pipeline", 4, say("demo.pipeline"), "strips"),
)
"""How the data are browsed, and how many samples: one of each class, or fewer where every sample fills a row."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    place = "where everything goes (default: out/demo)"
    parser.add_argument("--output-dir", type=Path, default=Path("out/demo"), metavar="DIR", help=place)


def run(arguments: argparse.Namespace) -> int:
    """Make the photos, run the commands as if they had been typed, write the page, and say where it is."""
    from classlens.adapters import ADAPTERS
    from classlens.cli.main import run_command
    from classlens.demo_photos import find_photo, make_pair, make_photos
    from classlens.errors import count_of, install_command
    from classlens.figures.page import HtmlPage, Picture, Section
    from classlens.files import write_whole
    from classlens.runs.browse_samples import RECORD

    folder: Path = arguments.output_dir
    if lacks := [name for name in ADAPTERS["demo"].needs if find_spec(name) is None]:
        what = f"without {' and '.join(lacks)} no picture shows where a network looks; the others are drawn"
        print_aside(f"note:  {what}", f"hint:  {install_command('demo')}")
    started = time.monotonic()
    make_photos(folder / "photos")
    sections = []
    photo = find_photo("espresso")
    if photo.is_relative_to(Path.cwd()):
        photo = photo.relative_to(Path.cwd())
    names = {"PHOTO": str(photo), "PAIR": str(make_pair(folder / "cat-espresso.png"))}
    for title, text, command, place, layout in choose_steps(has_network=not lacks):
        output = folder / place
        words = [*(names.get(word, word) for word in command.split()), str(output)]
        command = shlex.join(["classlens", *words])
        with contextlib.redirect_stdout(io.StringIO()) if arguments.json else contextlib.nullcontext():
            print_text(f"$ {command}")
            status = run_command(words[0], words[1:], prog=f"classlens {words[0]}")
        if status:
            return status
        files = sorted(path for path in (output, *output.rglob("*")) if path.is_file() and path.name != RECORD)
        pictures = tuple(Picture(path, (" · ".join(path.relative_to(folder).parts[-2:]),)) for path in files)
        sections.append(Section(title, text, command, pictures, layout=layout))
    page = folder / "index.html"
    write_whole(page, HtmlPage(say("demo.title"), say("demo.about"), sections).encode(folder))
    seconds = time.monotonic() - started
    if arguments.json:
        paths = [str(picture.path) for section in sections for picture in section.pictures]
        print_text(json_text({"page": str(page), "pictures": paths, "seconds": round(seconds, 1)}))
    else:
        counted = count_of(sum(len(section.pictures) for section in sections), "picture")
        print_text(f"\nwrote {page} with {counted} in {seconds:.0f} s; open it to see them all")
    return 0


def choose_steps(*, has_network: bool) -> Iterator[tuple[Phrase, Phrase, str, str, Layout]]:
    """What is shown of the model, the schedule and the data; nothing of the model without a network."""
    yield from ((*step, "strips") for step in STEPS if has_network or not step[2].startswith("cam "))
    for mode, count, text, layout in MODES:
        command = f"browse demo --mode {mode} --show-number {count} --output-dir"
        yield say("demo.data", mode=mode), text, command, f"browse/{mode}", layout
