"""What training runs write about themselves, read for the learning rate: one small reader for each kind of file.

Every reader says what its framework means by a step: in which step or epoch of training, counted from 0, a value was in
force. Where a framework, or a script of the user's, may mean one of several steps, `shifts` holds all of them. A last line
that is cut off is left out, as of a run that still goes on; everything else that is broken is a DataError.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, partial
from itertools import islice, pairwise
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from classlens.errors import DataError, MissingDependency, first_line
from classlens.files import LOOKED_AT, open_regular, read_regular
from classlens.schedule.replay import Curve, Curves
from classlens.schedule.schedule import Clock, Group, Trajectory, Unit

Array = np.ndarray[Any, np.dtype[Any]]
Row: TypeAlias = tuple[str, Any, Any, Any]  # name, place, value and epoch, as they are written

RATE = re.compile(r"(^|[^a-z])(lr|learning[ _-]?rate)(?![a-z])", re.IGNORECASE)
NO_RATE = re.compile(r"momentum|decay|betas?\b", re.IGNORECASE)
LARGEST_EVENT = 1 << 20  # bytes; numbers take less, and pictures, sounds and graphs more
COARSEST = -5  # decimals to which a framework rounds (mmcv): values are not taken to be coarser
FARTHEST = 10**15  # steps; a number beyond is no step
ANY = (-1, 0, 1)  # where a script says at which step it logs: its own, the one before, or the next
BROKEN = (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError, csv.Error)
KNOWN = "known are scalars.json, *.log.json, trainer_state.json, metrics.csv, summary.csv, events.out.tfevents.*"


@dataclass(frozen=True, eq=False)
class LoggedRates:
    """The learning rate under one name: `values`, and the steps or epochs (from 0) in which they were in force.

    `shifts` are all that may be added to the places without contradicting the framework. `group` is the number of the
    parameter group, if the log says it; `is_mean` says that it is the mean of all groups. `epochs` are those in which
    the steps lie; with `inner` the places count from the beginning of the epoch.
    """

    name: str
    places: Array
    values: Array
    unit: Unit = "step"
    shifts: tuple[int, ...] = (0,)
    group: int | None = None
    is_mean: bool = False
    epochs: Array | None = None
    inner: bool = False

    def steps(self, clock: Clock) -> Array:
        """The steps of the run, as long as its epochs are."""
        width = clock.steps_per_epoch or 1
        if self.unit == "epoch":
            return self.places * width
        return self.places + self.epochs * width if self.inner and self.epochs is not None else self.places

    @cached_property
    def rounding(self) -> float:
        """Half of the last decimal that is written."""
        some = self.values[:: max(1, len(self.values) // 50)].tolist()
        digits = [Decimal(repr(value)).normalize().as_tuple().exponent for value in some]
        return 0.51 * 10.0 ** min(COARSEST, *(digit for digit in digits if isinstance(digit, int)), 0)

    @property
    def epoch_bounds(self) -> tuple[int, int] | None:
        """Between how many and how many steps an epoch has, if the log says it; the upper one is 0 if none does."""
        if self.epochs is None or self.unit == "epoch":
            return None
        if self.inner:
            return int(self.places.max()) + 1, 0
        later = self.epochs > 0
        most = self.places[later] // self.epochs[later]
        return int((self.places // (self.epochs + 1)).max()) + 1, int(most.min()) if later.any() else 0


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """The learning rates that a run has logged, and the framework that wrote the file."""

    framework: str
    rates: tuple[LoggedRates, ...]

    def curves(self, clock: Clock, title: str) -> Curves:
        """The logged values as curves on the clock of an intended run, straight between them; of a repeated step the last."""
        length = Clock.of_steps(1 + max(int(one.steps(clock).max()) for one in self.rates), clock.steps_per_epoch)
        lines = []
        for rates in self.rates:
            steps, last = np.unique(rates.steps(clock)[::-1], return_index=True)
            course = Trajectory(partial(interpolate, steps, rates.values[::-1][last]), steps)
            lines.append(Curve(Group(rates.name, {"lr": float(rates.values[0])}), "lr", length, course))
        return Curves(tuple(lines), length, title, measured=True)


def interpolate(steps: Array, values: Array, asked: Array, initial: float) -> Array:
    return np.interp(asked, steps, values, left=np.nan, right=np.nan)


def read_training_log(path: Path) -> TrainingLog:
    """The learning rates in a file that a training run wrote, or in the newest such file of a folder.

    Raises:
        DataError: there is no such file, it is broken or of no known kind, or holds no learning rate.
    """
    if not path.is_dir():
        return read_file(path)
    kinds = {one: kind_of(one) for one in islice(path.rglob("*"), LOOKED_AT)}
    entries = sorted(one for one, kind in kinds.items() if kind and one.is_file())
    broken: DataError | None = None
    for entry in sorted(entries, key=lambda one: (list(READERS).index(kinds[one]), -one.stat().st_mtime)):
        try:
            return read_file(entry)
        except DataError as error:
            broken = broken or error
    raise broken or DataError(f"{path}: no log of a training run", hint=KNOWN)


def read_file(path: Path) -> TrainingLog:
    """One file; how its columns are read is decided by its name."""
    if not (kind := kind_of(path)):
        raise DataError(f"{path}: not a known kind of log", hint=KNOWN)
    framework, read = READERS[kind]
    try:
        rates = tuple(read(path))
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except BROKEN as error:
        raise DataError(f"{path}: a damaged log: {first_line(error)}") from error
    if not rates:
        raise DataError(f"{path}: no learning rate is logged in it", hint="its name would be lr or learning_rate")
    return TrainingLog("timm" if rates[0].unit == "epoch" else framework, rates)


def kind_of(path: Path) -> str:
    return next((pattern for pattern in READERS if re.search(pattern, path.name)), "")


def json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The objects of a file with one in each line; a cut-off last line is left out."""
    lines = read_regular(path, "list").decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                return
            raise DataError(f"{path}: line {number} is no JSON: {first_line(error)[:80]}") from error
        if isinstance(entry, Mapping):
            yield entry


def read_json(path: Path, place: str, names: Sequence[str], shifts: tuple[int, ...] = (0,)) -> Iterator[LoggedRates]:
    """JSON of OpenMMLab or transformers: the rate beside the number of finished steps, as a rule that of the last of them.

    mmcv 0.x counts them anew in every epoch, but for runs that are counted in steps.
    """
    is_history = path.name == "trainer_state.json"
    entries = json.loads(read_regular(path, "list"))["log_history"] if is_history else json_lines(path)
    rows = [
        (name, entry[place] - 1, entry[name], None if is_history else entry.get("epoch", 1) - 1)
        for entry in entries
        for name in names
        if is_number(entry.get(name)) and place in entry and entry.get("mode", "train") == "train"
    ]
    again = place == "iter" and any(
        (later[3] or 0) > (row[3] or 0) and later[1] <= row[1] for row, later in pairwise(rows)
    )
    return gather(rows, inner=again, shifts=shifts)


def read_csv(path: Path) -> Iterator[LoggedRates]:
    """A table of Lightning (it has a column `step`), of timm, or of somebody's own."""
    text = read_regular(path, "list").decode("utf-8-sig", "replace").replace("\0", "")
    table = list(csv.DictReader(text.splitlines()))
    heading = [name for name in (table[0] if table else ()) if isinstance(name, str)]
    unit: Unit = "step" if "step" in heading else "epoch"
    for name in filter(is_rate, heading if unit in heading else ()):
        rows = [
            (name, int(row[unit]), float(row[name]), int(row["epoch"]) if row.get("epoch") else None)
            for row in table
            if (row[name] or "").strip() and row[unit]
        ]
        of_monitor = re.fullmatch(r"lr-\w+(?:-\d+)?(?:/pg(\d+))?", name)  # Lightning's LearningRateMonitor
        about = {"group": int(of_monitor[1]) - 1 if of_monitor[1] else None} if of_monitor else {"shifts": ANY}
        yield from gather(rows, **about if unit == "step" else {"unit": unit, "is_mean": name == "lr"})


def read_tensorboard(path: Path) -> Iterator[LoggedRates]:
    """Scalars of an event file, at whatever steps the script said: its own, the next one, or numbers of epochs."""
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.event_pb2 import Event
    except ModuleNotFoundError as error:
        raise MissingDependency("tensorboard", extra="tensorboard") from error
    rows: list[Row] = []
    for record in event_records(path):
        try:
            event = Event.FromString(record)
        except DecodeError as error:
            raise ValueError(first_line(error)) from error
        for value in filter(lambda one: is_rate(one.tag), event.summary.value):
            is_plain, tensor = value.WhichOneof("value") == "simple_value", value.tensor
            held = tensor.float_val or np.frombuffer(tensor.tensor_content, "<f4").tolist()
            rows += [(value.tag, event.step, one, None) for one in ([value.simple_value] if is_plain else held[:1])]
    return gather(rows, shifts=ANY)


def event_records(path: Path) -> Iterator[bytes]:
    """The records of an event file: length, its checksum, content, its checksum. What is cut off at the end is left out.

    tensorboard's own reader sums up every byte in Python, and loads TensorFlow where that is installed.
    """
    with open_regular(path, "list") as file:
        while len(head := file.read(12)) == 12:
            size = int.from_bytes(head[:8], "little")
            if size > LARGEST_EVENT:
                file.seek(min(size, 1 << 40) + 4, 1)
                continue
            record = file.read(size)
            if len(record) < size or len(file.read(4)) < 4:
                return
            yield record


def gather(rows: Iterable[Row], **about: Any) -> Iterator[LoggedRates]:  # noqa: ANN401 - fields of the record
    """Rows as records, one for each name; those without a number are left out."""
    table = defaultdict[str, list[Row]](list)
    for row in rows:
        table[row[0]].append(row)
    for name, own in table.items():
        kept = [row for row in own if is_count(row[1]) and isfinite(row[2])]
        if not kept:
            raise DataError(f"the column {name!r} has no numbers")
        places, values = np.array([int(row[1]) for row in kept]), np.array([float(row[2]) for row in kept])
        epochs = np.array([int(row[3]) for row in kept]) if all(is_count(row[3]) for row in kept) else None
        yield LoggedRates(name, places, values, **{"epochs": epochs, **about})


def is_rate(name: str) -> bool:
    return bool(RATE.search(name)) and not NO_RATE.search(name)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def is_count(value: Any) -> bool:  # noqa: ANN401 - whatever a file holds
    return is_number(value) and 0 <= value <= FARTHEST


READERS: Mapping[str, tuple[str, Callable[[Path], Iterable[LoggedRates]]]] = {
    r"\.log\.json$": ("mmcv", partial(read_json, place="iter", names=("lr",))),
    # Older releases log the rate of the next step, newer ones that of the finished one.
    r"^trainer_state\.json$": (
        "transformers",
        partial(read_json, place="step", names=("learning_rate",), shifts=(0, 1)),
    ),
    r"\.jsonl?$": ("mmengine", partial(read_json, place="step", names=("lr", "base_lr"))),
    r"\.csv$": ("Lightning", read_csv),
    r"tfevents": ("TensorBoard", read_tensorboard),
}
"""What a name looks like -> the framework, and who reads it; in a folder the first that is there counts."""
