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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import islice, pairwise
from math import ceil, floor, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from classlens.errors import DataError, MissingDependency, first_line
from classlens.files import LOOKED_AT, open_regular, read_regular
from classlens.schedule.replay import Curve, Curves
from classlens.schedule.schedule import Clock, Group, Trajectory, Unit

Array = np.ndarray[Any, np.dtype[Any]]

RATE = re.compile(r"(^|[^a-z])(lr|learning[ _-]?rate)(?![a-z])", re.IGNORECASE)
NO_RATE = re.compile(r"momentum|decay|betas?\b", re.IGNORECASE)
LARGEST_EVENT = 1 << 20  # bytes; numbers take less, and pictures, sounds and graphs more
COARSEST = -5  # decimals to which a framework rounds (mmcv): values are not taken to be coarser
FARTHEST = 10**15  # steps; a number beyond is no step
BROKEN = (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError, csv.Error)


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
        lower = max(ceil((place + 1) / (epoch + 1)) for place, epoch in zip(self.places, self.epochs, strict=True))
        later = [floor(place / epoch) for place, epoch in zip(self.places, self.epochs, strict=True) if epoch > 0]
        return lower, min(later, default=0)


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """The learning rates that a run has logged, and the framework that wrote the file."""

    path: Path
    framework: str
    rates: tuple[LoggedRates, ...]

    def curves(self, clock: Clock, title: str) -> Curves:
        """The logged values as curves on the clock of an intended run, straight between them."""
        lines = []
        last = max(int(rates.steps(clock).max()) for rates in self.rates)
        length = Clock.of_steps(last + 1, clock.steps_per_epoch)
        for rates in self.rates:
            steps, first = np.unique(
                rates.steps(clock)[::-1], return_index=True
            )  # of a step that was repeated: the last
            values = rates.values[::-1][first]

            def between(asked: Array, initial: float, known: tuple[Array, Array] = (steps, values)) -> Array:
                return np.interp(asked, *known, left=np.nan, right=np.nan)

            course = Trajectory(between, steps)
            lines.append(Curve(Group(rates.name, {"lr": float(rates.values[0])}), "lr", length, course))
        return Curves(tuple(lines), length, title, measured=True)


def read_training_log(path: Path) -> TrainingLog:
    """The learning rates in a file that a training run wrote, or in the newest such file of a folder.

    Raises:
        DataError: there is no such file, it is broken or of no known kind, or holds no learning rate.
    """
    if not path.is_dir():
        return read_file(path)
    entries = sorted(one for one in islice(path.rglob("*"), LOOKED_AT) if reader_of(one) and one.is_file())
    entries.sort(key=lambda one: (list(READERS).index(kind_of(one)), -one.stat().st_mtime))
    errors = []
    for entry in entries:
        try:
            return read_file(entry)
        except DataError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    raise DataError(f"{path}: no log of a training run", hint=f"known are {', '.join(NAMES)}")


def read_file(path: Path) -> TrainingLog:
    """One file; how its columns are read is decided by its name."""
    read = reader_of(path)
    if read is None:
        raise DataError(f"{path}: not a known kind of log", hint=f"known are {', '.join(NAMES)}")
    try:
        log = read(path)
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except BROKEN as error:
        raise DataError(f"{path}: a damaged log: {first_line(error)}") from error
    if not log.rates:
        raise DataError(f"{path}: no learning rate is logged in it", hint="its name would be lr or learning_rate")
    return log


def kind_of(path: Path) -> str:
    return next((pattern for pattern in READERS if re.search(pattern, path.name)), "")


def reader_of(path: Path) -> Callable[[Path], TrainingLog] | None:
    return READERS.get(kind_of(path))


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


def read_mmengine(path: Path) -> TrainingLog:
    """JSON lines of mmengine: "step" is the number of finished steps, the rate the one of the last of them."""
    table = defaultdict[str, list[tuple[Any, ...]]](list)
    for entry in json_lines(path):
        for name in ("lr", "base_lr"):
            if is_number(entry.get(name)) and "step" in entry:
                table[name].append((entry["step"] - 1, entry[name], entry.get("epoch", 1) - 1))
    return TrainingLog(path, "mmengine", tuple(gather(name, rows) for name, rows in table.items()))


def read_mmcv(path: Path) -> TrainingLog:
    """JSON lines of mmcv 0.x: "iter" starts again in every epoch, but for runs that are counted in steps."""
    rows = [
        (entry["iter"] - 1, entry["lr"], entry["epoch"] - 1)
        for entry in json_lines(path)
        if entry.get("mode") == "train" and is_number(entry.get("lr"))
    ]
    inner = any(later[2] > row[2] and later[0] <= row[0] for row, later in pairwise(rows))
    return TrainingLog(path, "mmcv", (gather("lr", rows, inner=inner),) if rows else ())


def read_transformers(path: Path) -> TrainingLog:
    """The history of a Trainer. Older releases log the rate of the next step, newer ones that of the finished one."""
    content = json.loads(read_regular(path, "list"))
    rows = [
        (entry["step"] - 1, entry["learning_rate"], None)
        for entry in content["log_history"]
        if is_number(entry.get("learning_rate"))
    ]
    return TrainingLog(path, "transformers", (gather("learning_rate", rows, shifts=(0, 1)),) if rows else ())


def read_csv(path: Path) -> TrainingLog:
    """A table of Lightning (it has a column `step`), of timm, or of somebody's own."""
    text = read_regular(path, "list").decode("utf-8-sig", "replace").replace("\0", "")
    rows = list(csv.DictReader(text.splitlines()))
    heading = [name for name in (rows[0] if rows else ()) if isinstance(name, str)]
    unit: Unit = "step" if "step" in heading else "epoch"
    rates = []
    for name in heading if unit in heading else ():
        if not is_rate(name):
            continue
        cells = [(row[unit], row[name], row.get("epoch")) for row in rows if (row[name] or "").strip()]
        table = [(int(at), float(value), int(epoch) if epoch else None) for at, value, epoch in cells if at]
        if not table:
            continue
        of_monitor = re.fullmatch(r"lr-\w+(?:-\d+)?(?:/pg(\d+))?", name)  # Lightning's LearningRateMonitor
        if unit == "epoch":
            rates.append(gather(name, [(*row[:2], None) for row in table], unit=unit, is_mean=name == "lr"))
        elif of_monitor:
            rates.append(gather(name, table, group=int(of_monitor[1]) - 1 if of_monitor[1] else None))
        else:
            rates.append(gather(name, table, shifts=(-1, 0, 1)))
    return TrainingLog(path, "Lightning" if unit == "step" else "timm", tuple(rates))


def read_tensorboard(path: Path) -> TrainingLog:
    """Scalars of an event file, at whatever steps the script said: its own, the next one, or numbers of epochs."""
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.event_pb2 import Event
    except ModuleNotFoundError as error:
        raise MissingDependency("tensorboard", extra="tensorboard") from error
    table = defaultdict[str, list[tuple[Any, ...]]](list)
    for record in event_records(path):
        try:
            event = Event.FromString(record)
        except DecodeError as error:
            raise DataError(f"{path}: a damaged log: {first_line(error)}") from error
        for value in event.summary.value:
            if not is_rate(value.tag):
                continue
            if value.WhichOneof("value") == "simple_value":
                table[value.tag].append((event.step, value.simple_value, None))
            elif tensor := list(value.tensor.float_val) or np.frombuffer(value.tensor.tensor_content, "<f4").tolist():
                table[value.tag].append((event.step, tensor[0], None))
    return TrainingLog(path, "TensorBoard", tuple(gather(tag, rows, shifts=(-1, 0, 1)) for tag, rows in table.items()))


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


def gather(name: str, rows: Iterable[tuple[Any, ...]], **about: Any) -> LoggedRates:  # noqa: ANN401 - fields of the record
    """Rows of (place, value, epoch) as a record; rows without a number are left out."""
    kept = [row for row in rows if is_number(row[0]) and isfinite(row[1]) and 0 <= row[0] <= FARTHEST]
    if not kept:
        raise DataError(f"the column {name!r} has no numbers")
    places, values = np.array([int(row[0]) for row in kept]), np.array([float(row[1]) for row in kept])
    known = all(is_number(row[2]) and 0 <= row[2] <= FARTHEST for row in kept)
    epochs = np.array([int(row[2]) for row in kept]) if known else None
    return LoggedRates(name, places, values, epochs=epochs, **about)


def is_rate(name: str) -> bool:
    return bool(RATE.search(name)) and not NO_RATE.search(name)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


READERS: Mapping[str, Callable[[Path], TrainingLog]] = {
    r"\.log\.json$": read_mmcv,
    r"^trainer_state\.json$": read_transformers,
    r"\.jsonl?$": read_mmengine,
    r"\.csv$": read_csv,
    r"tfevents": read_tensorboard,
}
"""What a name looks like -> who reads it; in a folder the first that is there counts."""

NAMES = ("scalars.json", "*.log.json", "trainer_state.json", "metrics.csv", "summary.csv", "events.out.tfevents.*")
