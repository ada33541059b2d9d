"""Many samples, one after the other or over several processes: in order, with bounded memory.

A run begins in its own process, which has the first pictures ready at once: one thread reads and renders, another one
encodes and writes. Where much is left to do, new processes share it; one whose decoder dies costs one sample. They end
with the run, however it ends. What makes processes is imported where one is made.
"""

from __future__ import annotations

import os
import pickle
import signal
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import cv2

from classlens.adapters import Options, open_source, split_address
from classlens.dataset.class_folders import Listed, listed_before
from classlens.dataset.dataset import Dataset
from classlens.errors import DataError
from classlens.files import limit
from classlens.runs.browse_samples import SampleResult, annotation_lists
from classlens.runs.own_process import (
    GRACE,
    SPARE,
    allow_seconds,
    describe_slowness,
    end_processes,
    end_with,
    holding,
    keep_freed_memory,
    until_stopped,
)
from classlens.source import Source

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

AHEAD = 4  # samples in flight per worker
FIRST_LOOK = 0.25  # seconds of work after which it is known how long the rest will take
WORTHWHILE = 4.0  # seconds of work left that make new processes worthwhile: to start them takes half a second

MOST_WORKERS = 8
SeededIndex = tuple[int, int]  # the index and the seed of one picture
Stamp: TypeAlias = tuple[int, int] | None

Result = TypeVar("Result")

Job: TypeAlias = Callable[[Dataset, int, int, SampleResult | None], Callable[[], Result]]
"""What is done with a sample, its index and seed; it can be pickled.

It may borrow what belongs to the whole process, such as the global random state. It returns the rest of the work, which
does not, and runs beside the next sample. A row as the last argument says that the sample killed its process: then its
result is made of that row, and the sample is not opened again.
"""


@dataclass(frozen=True)
class DatasetSpec:
    """How to open the dataset: what a worker needs to know, and can be sent.

    `listed` are the pictures in its folders as they were found: a file that comes or goes while a run starts must not
    move the numbers of the others. `stamps` tell whether one of the lists that it is made of was changed.
    """

    target: str
    phase: str
    options: Options
    listed: Listed = field(default_factory=dict, repr=False)
    stamps: Mapping[str, Stamp] = field(default_factory=dict, repr=False)

    def open(self) -> Dataset:
        """The dataset, as it was when it was opened first."""
        with listed_before(self.listed):
            dataset = open_source(self.target, options=self.options).dataset(self.phase)
        for path, stamp in self.stamps.items():
            if stamp_of(path) != stamp:
                raise DataError(f"{path} was changed while it was read: its samples may have other numbers now")
        return dataset


def open_remembered(address: str, source: Source, phase: str, options: Options) -> tuple[Dataset, DatasetSpec]:
    """A split of an opened address, and how other processes open it as it is now."""
    listed: Listed = {}
    with listed_before(listed):
        dataset = source.dataset(phase)
    files = [*map(str, annotation_lists(dataset.settings)), split_address(address)[1]]
    return dataset, DatasetSpec(address, phase, options, listed, {one: stamp_of(one) for one in files})


def stamp_of(path: str) -> Stamp:
    """When a file was changed, and how large it is; nothing of what is no file."""
    try:
        state = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return (state.st_mtime_ns, state.st_size) if stat.S_ISREG(state.st_mode) else None


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_job(
    job: Job[Result],
    dataset: Dataset,
    spec: DatasetSpec | None,
    samples: Iterable[SeededIndex],
    *,
    total: int,
    workers: int | None,
) -> Iterator[Result]:
    """One result per sample, in the given order; there are `total`.

    `workers` 0 stays in this process, as does a dataset without `spec`; None begins here, and starts processes when
    the work left is worth it.
    """
    waiting = iter(samples)
    cores = count_cores()
    if spec is None or workers == 0 or (workers is None and cores == 1):
        yield from in_this_process(dataset, waiting, job)
        return
    if workers is None:
        yield from in_this_process(dataset, worthwhile_here(waiting, total), job)
    packed, workers = pickle.dumps(spec), workers or min(cores, MOST_WORKERS)
    for sample in waiting:
        left, _ = yield from in_processes(packed, chain([sample], waiting), job, workers, workers * AHEAD)
        suspects = iter(left)
        for suspect in suspects:  # one at a time, so that the one that kills its process is known
            killed, reason = yield from in_processes(packed, chain([suspect], suspects), job, 1, 1)
            for index, seed in killed:
                yield job(dataset, index, seed, describe_crash(packed, index, seed, reason))()


def worthwhile_here(waiting: Iterator[SeededIndex], total: int) -> Iterator[SeededIndex]:
    """What waits, out of `total`, until it is clear that several processes would be done earlier."""
    begun = time.process_time()
    for taken, sample in enumerate(waiting, start=1):
        yield sample
        spent = time.process_time() - begun
        if spent > FIRST_LOOK and (total - taken) * spent / taken > WORTHWHILE:
            return


def in_this_process(dataset: Dataset, samples: Iterable[SeededIndex], job: Job[Result]) -> Iterator[Result]:
    """Results made here: a thread finishes one while the next one begins."""
    flying: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for index, seed in samples:
            if SPARE:
                allow_seconds(limit("seconds"))
            flying.append(thread.submit(job(dataset, index, seed, None)))
            while flying and (flying[0].done() or len(flying) > AHEAD):
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
        if SPARE:
            allow_seconds(0)


def in_processes(
    packed: bytes, samples: Iterable[SeededIndex], job: Job[Result], workers: int, in_flight: int
) -> Generator[Result, None, tuple[deque[SeededIndex], str]]:
    """Results from a pool of processes; returns what was in flight when one of them died, and of what it did."""
    sent: deque[SeededIndex] = deque()
    flying: deque[Future[Result]] = deque()
    reason = ""
    with new_pool(packed, workers) as pool:
        try:
            for index, seed in samples:
                sent.append((index, seed))
                with holding((signal.SIGINT,)):  # a process may be started here, and Ctrl-C is its parent's business
                    flying.append(pool.submit(work, job, index, seed))
                if len(flying) == in_flight:
                    yield flying[0].result()
                    flying.popleft(), sent.popleft()
            while flying:
                yield flying[0].result()
                flying.popleft(), sent.popleft()
        except BrokenExecutor:
            processes = list((pool._processes or {}).values())
            end_processes(processes)  # and wait: the system says how they ended only when they have
            statuses = [one.exitcode or 0 for one in processes]
            reason = next(filter(None, map(describe_slowness, statuses)), "the process that decoded it died")
    return sent, reason


def describe_crash(packed: bytes, index: int, seed: int, reason: str) -> SampleResult:
    """A sample that killed its process, named by another one: some datasets decode a picture to know its label."""
    path: str | None = None
    class_names: tuple[str, ...] = ()
    with new_pool(packed, 1) as pool, suppress(BrokenExecutor), holding((signal.SIGINT,)):
        path, class_names = pool.submit(path_and_classes, index).result()
    return SampleResult(index, seed, path, class_names, error=f"{path or f'sample {index}'}: {reason}")


@contextmanager
def new_pool(packed: bytes, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes: forked ones can hang in native code that already ran. At the end nothing waits any more."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    context = get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=prepare_worker, initargs=(os.getpid(), packed))
    try:
        yield pool
    except BaseException:
        end_processes(list((pool._processes or {}).values()))  # its own `terminate_workers` comes with Python 3.14
        raise
    finally:
        # One that is killed while it waits for work holds the lock by which the others would hear of the end.
        late = threading.Timer(GRACE, end_processes, [list((pool._processes or {}).values())])
        late.start()
        pool.shutdown(cancel_futures=True)
        late.cancel()


PACKED: list[bytes] = []
"""In a worker: how the dataset is opened."""


def prepare_worker(parent: int, packed: bytes) -> None:
    """Ctrl-C is the parent's business; a worker keeps its memory, and ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    PACKED.append(packed)
    SPARE.append(parent)
    end_with(parent)
    threading.Thread(target=outlive_briefly, args=(parent,), daemon=True).start()
    cv2.setNumThreads(1)
    keep_freed_memory()


def outlive_briefly(parent: int) -> None:
    """End this process after `parent`, also where the system does not ask it to, or a decoder does not let it."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)


@cache
def worker_dataset() -> Dataset:
    dataset: Dataset = pickle.loads(PACKED[0]).open()
    return dataset


def path_and_classes(index: int) -> tuple[str | None, tuple[str, ...]]:
    dataset = worker_dataset()
    allow_seconds(limit("seconds"))
    return dataset.sample(index).path, dataset.class_names(index)


def work(job: Job[Result], index: int, seed: int) -> Result:
    """One sample in a worker, which opens the dataset the first time and can be stopped while it works."""
    with until_stopped():
        dataset = worker_dataset()
        allow_seconds(limit("seconds"))
        return job(dataset, index, seed, None)()
