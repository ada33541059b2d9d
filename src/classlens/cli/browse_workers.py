"""Many samples, one after the other or over several processes: in order, with bounded memory.

A run begins in its own process, which has the first pictures ready at once: one thread reads and draws, another one
encodes and writes. Where much is left to do, new processes share it; one whose decoder dies costs one sample.
What makes processes is imported where one is made.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import cv2

from classlens.adapters import Options, open_source
from classlens.cli.stopping import work_for, worked
from classlens.dataset.dataset import Dataset
from classlens.runs.memory import keep_freed_memory

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

AHEAD = 4
"""Samples in flight per worker."""

FIRST_LOOK = 0.25
"""Seconds of work after which it is known how long the rest will take."""

WORTHWHILE = 4.0
"""Seconds of work left that make new processes worthwhile: to start them takes half a second."""

MOST_WORKERS = 8
Draw = tuple[int, int]
"""The index and the seed of one picture."""

Half = TypeVar("Half")
Result = TypeVar("Result")


@dataclass(frozen=True)
class DatasetSpec:
    """How to open the dataset: what a worker needs to know, and can be sent."""

    target: str
    phase: str
    options: Options


@dataclass(frozen=True)
class WorkerCrash:
    """A sample that killed the process that decoded it, and what is known of it without opening it again."""

    index: int
    seed: int
    path: str | None
    class_names: tuple[str, ...]

    @property
    def reason(self) -> str:
        return f"{self.path or f'sample {self.index}'}: the process that decoded it died"


@dataclass(frozen=True)
class Job(Generic[Half, Result]):
    """What is done with every draw, in two halves; all three functions can be pickled.

    `begin` reads and draws; it may borrow what belongs to the whole process, such as the global random state.
    `finish` does not, and runs beside the next `begin`. `lost` makes what stands for a draw whose process died.
    """

    begin: Callable[[Dataset, int, int], Half]
    finish: Callable[[Half], Result]
    lost: Callable[[WorkerCrash], Result]


def results(
    dataset: Dataset,
    opening: DatasetSpec,
    draws: Iterable[Draw],
    job: Job[Half, Result],
    *,
    total: int,
    workers: int | None,
) -> Iterator[Result]:
    """One result per draw, in the given order; there are `total`.

    `workers` 0 stays in this process; None begins here, and starts processes when the work left is worth it.
    """
    waiting, available = iter(draws), cores()
    if workers is None and available > 1:
        yield from in_this_process(dataset, worthwhile_here(waiting, total), job)
    elif not workers:
        yield from in_this_process(dataset, waiting, job)
    packed = pickle.dumps(opening)
    for draw in waiting:
        suspects = yield from pooled(packed, chain([draw], waiting), job, workers or min(available, MOST_WORKERS))
        yield from one_by_one(packed, deque(suspects), job)


def cores() -> int:
    """How many processors this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def worthwhile_here(waiting: Iterator[Draw], total: int) -> Iterator[Draw]:
    """What waits, out of `total`, until it is clear that several processes would be done earlier."""
    begun = time.process_time()
    for taken, draw in enumerate(waiting, start=1):
        yield draw
        spent = time.process_time() - begun
        if spent > FIRST_LOOK and (total - taken) * spent / taken > WORTHWHILE:
            return


def in_this_process(dataset: Dataset, draws: Iterable[Draw], job: Job[Half, Result]) -> Iterator[Result]:
    """Results made here: a thread finishes one while the next one begins."""
    from concurrent.futures import ThreadPoolExecutor

    flying: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for index, seed in draws:
            flying.append(thread.submit(job.finish, job.begin(dataset, index, seed)))
            while flying and (flying[0].done() or len(flying) > AHEAD):
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()


def pooled(
    packed: bytes, waiting: Iterable[Draw], job: Job[Any, Result], workers: int
) -> Generator[Result, None, Sequence[Draw]]:
    """Results from a pool of processes; returns what was in flight when one of them died."""
    from concurrent.futures.process import BrokenProcessPool

    sent: deque[Draw] = deque()
    flying: deque[Future[Result]] = deque()
    with new_pool(workers) as pool:
        try:
            for index, seed in waiting:
                sent.append((index, seed))
                flying.append(pool.submit(work, packed, job, index, seed))
                while len(flying) >= workers * AHEAD:
                    yield flying[0].result()
                    flying.popleft(), sent.popleft()
            while flying:
                yield flying[0].result()
                flying.popleft(), sent.popleft()
        except BrokenProcessPool:
            pass
    return sent


def one_by_one(packed: bytes, remaining: deque[Draw], job: Job[Any, Result]) -> Iterator[Result]:
    """Samples of which one kills its process: each on its own, so that the guilty one can be named."""
    from concurrent.futures.process import BrokenProcessPool

    while remaining:
        with new_pool(1) as pool:
            try:
                while remaining:
                    index, seed = remaining[0]
                    yield pool.submit(work, packed, job, index, seed).result()
                    remaining.popleft()
            except BrokenProcessPool:
                index, seed = remaining.popleft()
                yield job.lost(WorkerCrash(index, seed, *known(packed, index)))


def known(packed: bytes, index: int) -> tuple[str | None, tuple[str, ...]]:
    """Path and class names of a sample, asked in a process of its own: some datasets decode a picture to tell."""
    from concurrent.futures.process import BrokenProcessPool

    with new_pool(1) as pool:
        try:
            return pool.submit(facts, packed, index).result()
        except BrokenProcessPool:
            return None, ()


def facts(packed: bytes, index: int) -> tuple[str | None, tuple[str, ...]]:
    """What a worker answers to `known`."""
    dataset = opened(packed)
    return dataset.sample(index).path, dataset.class_names(index)


@contextmanager
def new_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes: forked ones can hang in native code that already ran. At the end nothing waits any more."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=settle, initargs=(os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def settle(parent: int) -> None:
    """Let a new process work for itself: one thread, and memory that it keeps; but not longer than its parent."""
    work_for(parent)
    cv2.setNumThreads(1)
    keep_freed_memory()


@lru_cache(maxsize=1)
def opened(packed: bytes) -> Dataset:
    """The dataset of a pickled `Opening`, opened once per process."""
    opening: DatasetSpec = pickle.loads(packed)
    return open_source(opening.target, options=opening.options).dataset(opening.phase)


def work(packed: bytes, job: Job[Any, Result], index: int, seed: int) -> Result:
    """One sample in a worker, which opens the dataset the first time."""
    with worked():
        return job.finish(job.begin(opened(packed), index, seed))
