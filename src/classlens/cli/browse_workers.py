"""Many samples over several processes: in order, with bounded memory, and past a decoder that kills its process.

What makes processes is imported where one is made: the first of few pictures does not wait for it.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import cv2

from classlens.cli.browse_job import Look, Opening, Row, delivered, make, marked, opened
from classlens.dataset.dataset import Dataset

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

AHEAD = 4
"""Samples in flight per worker."""

WORTHWHILE = 200
"""Fewer samples than this are faster in one process: a new one costs half a second."""

Draw = tuple[int, int]
"""The index and the seed of one picture."""


def rows(dataset: Dataset, opening: Opening, draws: Sequence[Draw], look: Look, workers: int | None) -> Iterator[Row]:
    """One row per draw, in the given order. `workers` 0 stays in this process; None decides by the number of draws."""
    if workers is None:
        workers = 0 if len(draws) < WORTHWHILE else min(os.cpu_count() or 1, 8)
    if workers == 0:
        yield from (make(dataset, index, seed, look) for index, seed in draws)
        return
    waiting, packed = deque(draws), pickle.dumps(opening)
    while waiting:
        finished, suspects = yield from pooled(packed, waiting, look, workers)
        for _ in range(finished):
            waiting.popleft()
        if suspects:
            remaining = deque(waiting.popleft() for _ in range(min(suspects, len(waiting))))
            yield from one_by_one(packed, remaining, look, dataset.length)


def pooled(packed: bytes, waiting: Sequence[Draw], look: Look, workers: int) -> Generator[Row, None, tuple[int, int]]:
    """Rows from a pool of processes; returns how many came and how many were in flight when one of them died."""
    from concurrent.futures.process import BrokenProcessPool

    flying: deque[Future[Row]] = deque()
    finished = 0
    with new_pool(workers) as pool:
        try:
            for index, seed in waiting:
                flying.append(pool.submit(work, packed, index, seed, look))
                while len(flying) >= workers * AHEAD:
                    yield flying[0].result()
                    flying.popleft()
                    finished += 1
            while flying:
                yield flying[0].result()
                flying.popleft()
                finished += 1
        except BrokenProcessPool:
            return finished, max(len(flying), 1)
    return finished, 0


def one_by_one(packed: bytes, remaining: deque[Draw], look: Look, length: int) -> Iterator[Row]:
    """Samples of which one kills its process: each on its own, so that the guilty one can be named."""
    from concurrent.futures.process import BrokenProcessPool

    while remaining:
        with new_pool(1) as pool:
            try:
                while remaining:
                    index, seed = remaining[0]
                    yield pool.submit(work, packed, index, seed, look).result()
                    remaining.popleft()
            except BrokenProcessPool:
                index, seed = remaining.popleft()
                path, names = known(packed, index)
                reason = f"{path or f'sample {index}'}: the process that decoded it died"
                row = Row(index, seed, path, names, error=reason)
                yield delivered(row, marked(row, rescue=False), look, length)


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


def new_pool(workers: int) -> ProcessPoolExecutor:
    """Fresh processes: forked ones can hang in native code that already ran."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))


def work(packed: bytes, index: int, seed: int, look: Look) -> Row:
    """One sample in a worker, which opens the dataset the first time."""
    return make(opened(packed), index, seed, look)
