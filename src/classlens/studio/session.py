"""What a studio shows: the targets that were named when it was started, each part opened once, when it is first looked at.

A page asks for things by their numbers; what these numbers mean is decided here, and was said on the command line. All
of it may be asked for by several threads at once: who comes first does the work, and the others wait for it.
"""

from __future__ import annotations

import shlex
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from classlens.adapters import open_source
from classlens.errors import ClasslensError, NotOffered, WrongValue
from classlens.files import limit
from classlens.runs.own_process import risky
from classlens.sharing import ALONE
from classlens.studio.jobs import Job, Work, Workshop
from classlens.studio.serve import StudioRequest

if TYPE_CHECKING:
    from classlens.dataset.dataset import Dataset
    from classlens.image import Image
    from classlens.runs.explain_files import ModelRequest
    from classlens.source import Source
    from classlens.studio.row_index import RowIndex

Thing = TypeVar("Thing")

FIRST_ROWS = 1000  # samples of a large dataset that are there at once
FIRST_PICTURES = 0.2  # seconds after which the page has asked for the pictures of these
LONGEST_WAIT = 2.0  # seconds that work in the background waits for a page that never rests
MOST_JOBS = 20  # whose results are kept
DRAWERS = 3  # threads that draw pictures: decoders take turns, and what encodes works beside them


TRAINING = ("dataset_size", "gpus", "log")
PARTS = {"dataset": "data", "classifier": "network"}
"""What users call the parts of a target."""


@dataclass(eq=False)
class Kept:
    """What is made once, by whoever asks first, while others wait for it; an error is kept, too, and raised again.

    Of more than `most` things, those that nobody has asked for the longest go.
    """

    most: int = 2**31
    things: OrderedDict[object, Future[Any]] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, key: object) -> tuple[Future[Any], bool]:
        """The future of a thing, and whether it is the caller's to make."""
        with self.lock:
            future = self.things.get(key)
            if is_new := future is None:
                future = self.things[key] = Future()
                future.set_running_or_notify_cancel()  # who waits no longer cannot cancel it for others
                while len(self.things) > self.most:
                    self.things.popitem(last=False)
            else:
                self.things.move_to_end(key)
        return future, is_new

    def once(self, key: object, make: Callable[[], Thing]) -> Thing:
        """What `make` returns, made here when first asked for under this key."""
        future, is_new = self.claim(key)
        if is_new:
            fill(future, make)
        thing: Thing = future.result()
        return thing

    def begin(self, key: object, make: Callable[[], Thing], pool: Executor) -> Future[Thing]:
        """The same, made by a thread of a pool; nobody waits here."""
        future, is_new = self.claim(key)
        if is_new:
            pool.submit(fill, future, make)
        return future

    def drop(self, key: object) -> None:
        """Forget a thing, or why there is none."""
        with self.lock:
            self.things.pop(key, None)


def fill(future: Future[Any], make: Callable[[], object]) -> None:
    try:
        future.set_result(make())
    except BaseException as error:
        future.set_exception(error)


def threads(number: int, name: str) -> Callable[[], ThreadPoolExecutor]:
    return lambda: ThreadPoolExecutor(number, f"studio-{name}")


@dataclass(frozen=True, eq=False)
class Session:
    """One run of a studio: its request, and what was opened and drawn by now."""

    request: StudioRequest
    opened: Kept = field(default_factory=Kept)
    traces: Kept = field(default_factory=lambda: Kept(3))
    pictures: Kept = field(default_factory=lambda: Kept(1024))
    schedules: Kept = field(default_factory=lambda: Kept(32))
    filters: Kept = field(default_factory=lambda: Kept(8))
    orders: Kept = field(default_factory=lambda: Kept(1))
    batches: Kept = field(default_factory=lambda: Kept(2))
    uploads: Kept = field(default_factory=lambda: Kept(8))
    jobs: dict[int, Job] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    looks: Workshop = field(default_factory=Workshop)
    checks: Workshop = field(default_factory=Workshop)
    bad: dict[tuple[int, str], dict[int, str]] = field(default_factory=dict)
    openers: ThreadPoolExecutor = field(default_factory=threads(4, "open"))
    counters: ThreadPoolExecutor = field(default_factory=threads(1, "count"))
    readers: ThreadPoolExecutor = field(default_factory=threads(4, "read"))
    drawers: ThreadPoolExecutor = field(default_factory=threads(DRAWERS, "draw"))
    asked: set[object] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)

    def name(self, target: int) -> str:
        """What a target is called on the command line; a `WrongValue` if there is none."""
        if not 0 <= target < len(self.request.targets):
            raise WrongValue(f"there is no target {target}")
        return self.request.targets[target]

    def source(self, target: int) -> Source:
        """The source of a target by its number."""
        open_target = partial(open_source, self.name(target), options=self.request.options)
        return self.opened.once(("source", target), open_target)

    def offering(self, target: int, part: str) -> Source:
        """The source of a target; a `NotOffered` if it has not this part."""
        source = self.source(target)
        if part not in source.parts:
            offers = ", ".join(source.parts) or "nothing"
            raise NotOffered(f"this target has no {PARTS.get(part, part)}; it offers: {offers}")
        return source

    def is_first(self, target: int, part: str) -> bool:
        """Whether no target before this one has the part; one that cannot be opened has none."""
        for number in range(len(self.request.targets)):
            with suppress(ClasslensError):
                if part in self.source(number).parts:
                    return number == target
        return False

    def dataset(self, target: int, split: str) -> Future[Dataset]:
        """A split of a target, which is opened by a thread."""

        def open_split() -> Dataset:
            from classlens.dataset.listing import listed_first

            first, _ = self.opened.claim(("first", target, split))
            try:
                source = self.offering(target, "dataset")
                with listed_first(FIRST_ROWS) as looked:
                    dataset = source.dataset(split)
                is_beginning = looked.is_cut and dataset.stages_of is None  # not a choice among all
                if is_beginning:
                    first.set_result(dataset)
                    self.give_way(FIRST_PICTURES)
                if looked.is_cut:
                    dataset = source.dataset(split)
                if not is_beginning:
                    first.set_result(dataset)
            except BaseException as error:
                if not first.done():
                    first.set_exception(error)
                raise
            return dataset

        return self.opened.begin(("dataset", target, split), open_split, self.openers)

    def give_way(self, seconds: float = 0) -> bool:
        """Wait while the page waits for something, and so long at least; whether the studio goes on."""
        latest = monotonic() + LONGEST_WAIT
        self.ended.wait(seconds)
        while self.asked and monotonic() < latest and not self.ended.is_set():
            self.ended.wait(0.01)
        return not self.ended.is_set()

    def first_samples(self, target: int, split: str) -> Future[Dataset]:
        """The beginning of a split, which is there long before a million samples are listed; or all of a small one."""
        self.dataset(target, split)
        return self.opened.claim(("first", target, split))[0]

    def row_index(self, target: int, split: str) -> Future[RowIndex]:
        """The labels and names of a split in columns, once they are counted."""

        def index() -> RowIndex:
            from classlens.studio.row_index import index_rows

            return index_rows(self.dataset(target, split).result(), self.give_way)

        return self.opened.begin(("rows", target, split), index, self.counters)

    def model(self, target: int) -> ModelRequest:
        """The network of a target; the checkpoints are those of the first target that has one."""
        from classlens.runs.explain_files import ModelRequest

        self.offering(target, "classifier")
        weights = self.request.checkpoints if self.is_first(target, "classifier") else ()
        return ModelRequest(self.name(target), weights or None, self.request.options)

    def look(self, target: int, *, again: bool = False) -> Job:
        """The job that loads the networks of a target."""
        from classlens.studio.tasks import load

        return self.job(("look", target), self.looks, load, self.model(target), again=again)

    def check(self, target: int, *, again: bool = False) -> Job:
        """The job that checks a target."""
        from classlens.runs.check_run import CheckRequest
        from classlens.studio.tasks import check_target

        said = self.name(target), self.first_checkpoint(target), self.request.options
        order = CheckRequest(*said, **self.training(target))
        return self.job(("check", target), self.checks, check_target, order, again=again)

    def checked(self, target: int) -> Job | None:
        """The same, if it was ever asked for."""
        known = self.opened.things.get(("check", target))
        return known.result() if known and known.done() and not known.exception() else None

    def report(self, target: int) -> Job:
        """A new job that makes the one-file report of a target."""
        from classlens.runs.report_run import ReportRequest
        from classlens.studio.tasks import make_report

        options, training = self.request.options, self.training(target)
        order = ReportRequest(self.name(target), self.first_checkpoint(target), options=options, **training)
        return self.submit(self.checks, make_report, order)

    def training(self, target: int) -> dict[str, Any]:
        """What the user said about the training of a target, in the words of requests; its log is one target's."""
        said = {name: getattr(self.request, name) for name in TRAINING}
        return said | ({} if self.is_first(target, "schedule") else {"log": None})

    def first_checkpoint(self, target: int) -> str | None:
        with_network = "classifier" in self.source(target).parts
        return next(iter(self.model(target).checkpoints), None) if with_network else None

    def job(self, key: object, workshop: Workshop, work: Work, order: object, *, again: bool) -> Job:
        """A job that is begun by the first who asks for it, or anew where it came to nothing."""
        begin = partial(self.submit, workshop, work, order)
        job = self.opened.once(key, begin)
        if again and job.state in ("failed", "cancelled"):
            self.opened.drop(key)
            job = self.opened.once(key, begin)
        return job

    def submit(self, workshop: Workshop, work: Work, *words: object) -> Job:
        """A new job; of those before it the last are remembered."""
        job = Job(next(self.numbers))
        with self.opened.lock:
            self.jobs[job.number] = job
            for old in [number for number, one in self.jobs.items() if one.about][:-MOST_JOBS]:
                del self.jobs[old]  # a map; checks and networks stay
        return workshop.submit(job, work, *words)

    def uploaded(self, place: int) -> Image:
        """A picture that the page has sent; a `WrongValue` if it is not kept any more."""
        if place not in self.uploads.things:
            raise WrongValue(f"there is no upload {place} any more")
        image: Image = self.uploads.things[place].result()
        return image

    @contextmanager
    def decoding(self, target: int, split: str, index: int) -> Iterator[None]:
        """Decode a sample, alone and for no longer than the limit; a `DataError` if it has killed a process before."""
        with ALONE, risky(f"sample {index} of {self.request.targets[target]} {split}", limit("seconds")):
            yield

    def bad_of(self, target: int, split: str) -> dict[int, str]:
        """The bad samples of a split that were checked or drawn by now, and what is wrong with each."""
        check = self.checked(target)
        named = check.result.facts["bad"].get(split, {}) if check and check.result else {}
        return named | self.bad.get((target, split), {})

    def close(self) -> None:
        """Let the threads end: nothing that waits is begun any more."""
        self.ended.set()
        self.looks.close()
        self.checks.close()
        for pool in (self.openers, self.counters, self.readers, self.drawers):
            pool.shutdown(wait=False, cancel_futures=True)

    def command(self, verb: str, *words: object, **training: object) -> str:
        """A command line that shows the same, with the overrides that the studio was given."""
        options = self.request.options
        for name, value in spoken(training).items():
            words += ("--ngpus" if name == "gpus" else f"--{name.replace('_', '-')}", value)
        said = [f"{key}={value}" for key, value in options.overrides.items()]
        said = ["--cfg-options", *said] if said else []
        trusted = ["--trust-config"] if options.trust_config else []
        return shlex.join(map(str, ["classlens", verb, *words, *said, *trusted]))


def keywords(values: Mapping[str, object]) -> str:
    """Arguments of a call in Python, behind others."""
    return "".join(f", {name}={value!r}" for name, value in spoken(values).items())


def spoken(values: Mapping[str, object]) -> dict[str, object]:
    """Those that are not as they would be anyway."""
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    return {name: value for name, value in plain.items() if value is not None and (name, value) != ("gpus", 1)}
