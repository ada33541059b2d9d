"""Where the pictures of a run go: files, sheets, a page, a window or the terminal; and the last lines of the run."""

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from classlens.cli.browse_job import SampleResult
from classlens.cli.display import has_display
from classlens.dataset.dataset import Dataset
from classlens.errors import ConfigError
from classlens.files import write_whole

LISTED = 20
"""So many bad pictures are named at the end; the rest are counted."""

WIDEST_PREVIEW = 120
"""Characters across; more would scroll the picture away."""

Show = Callable[[SampleResult, float], None]


@dataclass
class Outputs:
    """Takes the rows of a run one after the other. It is the one thing that remembers what happened."""

    out: TextIO
    arguments: argparse.Namespace
    dataset: Dataset
    show: Show | None = None
    grid: tuple[int, int] | None = None
    good: int = 0
    bad: int = 0
    named: list[SampleResult] = field(default_factory=list)
    rows: list[SampleResult] = field(default_factory=list)
    waiting: list[SampleResult] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)
    sheets: int = 0

    @classmethod
    def of(cls, arguments: argparse.Namespace, dataset: Dataset, out: TextIO) -> "Outputs":
        """The outputs that the options ask for.

        Raises:
            ConfigError: `--grid` has nowhere to go.
        """
        if arguments.grid and not arguments.output_dir:
            raise ConfigError("--grid makes files", hint="say where they go with --output-dir")
        return cls(out, arguments, dataset, shower(arguments), arguments.grid)

    @property
    def previews(self) -> bool:
        return self.show is not None

    def take(self, row: SampleResult) -> None:
        """One more picture."""
        if row.error:
            self.bad += 1
            if len(self.named) < LISTED:
                self.named.append(replace(row, jpeg=None, tile=None))
        else:
            self.good += 1
        self.remarks.update(row.remarks)
        if self.show is not None:
            self.show(row, self.arguments.show_interval)
        if self.grid is not None:
            self.waiting.append(row)
            if len(self.waiting) == self.grid[0] * self.grid[1]:
                self.write_sheet()
        if self.arguments.json or self.arguments.html:
            self.rows.append(row)

    def write_sheet(self) -> None:
        """The pictures that wait, on one sheet."""
        from classlens.cli.browse_sheets import sheet_of

        if self.grid is not None and self.waiting:
            self.sheets += 1
            place = Path(self.arguments.output_dir) / f"grid_{self.sheets:03d}.jpg"
            write_whole(place, sheet_of(self.waiting, self.grid[1]))
            self.waiting.clear()

    def finish(self) -> None:
        """Write what is still waiting, and say what happened."""
        self.write_sheet()
        if self.arguments.html:
            from classlens.cli.browse_gallery import page_of

            write_whole(Path(self.arguments.html), page_of(self.rows, self.dataset, self.arguments).encode())
        if self.arguments.json:
            json.dump(self.summary(), self.out, indent=1)
            self.out.write("\n")
            return
        place = " and ".join(filter(None, (self.arguments.output_dir, self.arguments.html)))
        total = self.good + self.bad
        what = (
            f"{self.sheets} {'sheet' if self.sheets == 1 else 'sheets'} of {total} pictures"
            if self.sheets
            else f"{total} pictures"
        )
        print(f"{what} of {self.dataset.name}" + (f" in {place}" if place else ""), file=self.out)
        if not place and self.show is None:
            print("note: nothing was saved or shown; --output-dir DIR saves the pictures", file=sys.stderr)
        for line in (*self.dataset.warnings, *(f"{times} x {remark}" for remark, times in self.remarks.most_common())):
            print(f"note: {line}", file=sys.stderr)
        list_bad(self.named, self.bad)

    def summary(self) -> Mapping[str, Any]:
        return {
            "dataset": self.dataset.name,
            "length": self.dataset.length,
            "classes": list(self.dataset.classes or ()),
            "mode": self.arguments.mode,
            "shown": self.good,
            "bad": self.bad,
            "warnings": list(self.dataset.warnings),
            "samples": [as_data(row) for row in self.rows],
        }


def list_bad(bad: Sequence[SampleResult], count: int) -> None:
    """Name the samples that could not be read, and why."""
    if not count:
        return
    print(f"{count} of them {'is' if count == 1 else 'are'} bad:", file=sys.stderr)
    for row in bad[:LISTED]:
        print(f"  #{row.index}  {row.error}", file=sys.stderr)
    if count > LISTED:
        print(f"  and {count - LISTED} more (--json names all)", file=sys.stderr)


def as_data(row: SampleResult) -> Mapping[str, Any]:
    return {
        "index": row.index,
        "seed": row.seed,
        "path": row.path and os.fsencode(row.path).decode("utf-8", "backslashreplace"),
        "classes": list(row.class_names),
        "size": row.size and list(row.size),
        "file": row.file,
        "remarks": list(row.remarks),
        "stages": list(row.stages),
        "error": row.error or None,
    }


def shower(arguments: argparse.Namespace) -> Show | None:
    """How pictures are shown, if they are: in a window where there is a display, else on a terminal."""
    saved = arguments.output_dir or arguments.html
    if arguments.not_show or arguments.json or (saved and not arguments.show):
        return None
    if has_display():
        from classlens.cli.browse_window import open_window

        window = open_window()
        if window is not None:
            return window
    return in_terminal if sys.stdout.isatty() else None


def in_terminal(row: SampleResult, interval: float) -> None:
    """A preview on the terminal."""
    from classlens.cli.browse_files import decoded
    from classlens.figures.terminal import preview

    if row.jpeg is not None:
        print(preview(decoded(row.jpeg).pixels, min(shutil.get_terminal_size().columns, WIDEST_PREVIEW)))
        print(f"#{row.index}  {', '.join(row.class_names)}  {row.error or row.path or ''}", flush=True)
        time.sleep(max(interval, 0))
