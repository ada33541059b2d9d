"""The size of the house: lines, files, and how many of our functions each main path runs.

`python scripts/measure_house.py` prints the figures beside the goals; `--check` ends with status 1 if one is missed.
A path is counted on its second run in one process, all threads included: what the first run reads for good
(tables, fonts, parsed bases) is not what a reader has to follow.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import itertools
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "classlens"
ADDED = {"check": 3_000, "logs": 450, "studio": 2_500, "audit": 3_000}
"""Rooms that were built on the house; they are counted apart, each against its own goal."""


@dataclass(frozen=True)
class Figure:
    """One measured number, and the goal it is held against: a bound from above, or from below if `at_least`."""

    name: str
    value: int
    goal: int | None = None
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached; a number without a goal always is."""
        if self.goal is None:
            return True
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        goal = "" if self.goal is None else f"   goal {sign} {self.goal:,}{'' if self.is_met else '   MISSED'}"
        return f"{self.name:<32}{self.value:>8,}{goal}"


def main() -> int:
    """Print the figures, or the functions of one path; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="status 1 if a goal is missed")
    parser.add_argument("--names", choices=["cam", "browse", "lr"], help="list the functions of one path instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: silent_run(words) for name, words in main_paths(Path(folder)).items()}
        if options.names:
            for file, function in sorted(functions_run_by(runs[options.names])):
                print(f"{file}: {function}")
            return 0
        figures = [*sizes(), *(figure for name, run in runs.items() for figure in path_figures(name, run))]
    print(*figures, sep="\n")
    return int(options.check and not all(figure.is_met for figure in figures))


def sizes() -> Iterator[Figure]:
    """Lines, files and functions of the package, without the data that it ships."""
    paths = sorted(SOURCE.rglob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    lines = [len(text.splitlines()) for text in texts]
    rooms = [path.parent.name if path.parent.name in ADDED else "" for path in paths]
    functions = sum(isinstance(node, ast.FunctionDef) for text in texts for node in ast.walk(ast.parse(text)))
    for room, goal in {"": 30_000, **ADDED}.items():
        count = sum(count for one, count in zip(rooms, lines, strict=True) if one == room)
        yield Figure(f"source lines of {room}/" if room else "source lines", count, goal)
    yield Figure("files", rooms.count(""), 160)
    yield Figure("median lines of a file", int(statistics.median(lines)), 130, at_least=True)
    yield Figure("functions", functions)


GOALS = {"cam": 150, "browse": 180, "lr": 120}


def main_paths(folder: Path) -> dict[str, list[str]]:
    """The documented command of each tool, on real input."""
    resnet = str(ROOT / "configs" / "resnet" / "resnet50_8xb32_in1k.py")

    coffee = str(ROOT / "demo" / "photos" / "coffee.png")
    return {
        "cam": ["cam", coffee, "demo", "--method", "GradCAM", "--save-path", str(folder / "cam-RUN.png")],
        "browse": [
            "browse",
            "demo",
            "--mode",
            "pipeline",
            "--show-number",
            "10",
            "--output-dir",
            str(folder / "strips-RUN"),
        ],
        "lr": ["lr", resnet, "--dataset-size", "1281167", "--ngpus", "8", "--save-path", str(folder / "lr-RUN.png")],
    }


def silent_run(words: list[str]) -> Callable[[], None]:
    """The command as a call that is silent, writes to a new place each time, and must succeed."""
    runs = itertools.count()

    def run() -> None:
        import numpy  # noqa: F401 - once it is loaded, browse works in this process instead of a forked copy

        from classlens.cli.main import main as command

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            status = command([*words[:-1], words[-1].replace("RUN", str(next(runs)))])
        if status:
            raise SystemExit(f"{' '.join(words)}: status {status}")

    return run


def functions_run_by(run: Callable[[], None]) -> set[tuple[str, str]]:
    """(file, qualified name) of every function of ours that the second call of `run` enters, in any thread."""
    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    run()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    ours = (code for code in codes if code.co_filename.startswith(str(SOURCE)) and code.co_name not in UNNAMED)
    return {(str(Path(code.co_filename).relative_to(SOURCE)), code.co_qualname) for code in ours}


UNNAMED = {"<module>", "<lambda>", "<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>"}
"""Not functions to a reader: they are read where they stand."""


def path_figures(name: str, run: Callable[[], None]) -> Iterator[Figure]:
    """How many functions and files one path takes."""
    names = functions_run_by(run)
    yield Figure(f"{name}: functions that run", len(names), GOALS[name])
    yield Figure(f"{name}: files", len({file for file, _ in names}))


if __name__ == "__main__":
    sys.exit(main())
