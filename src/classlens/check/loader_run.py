"""Run the user's own loader over one and the same sample, and write down what its workers draw.

With shuffling, repeated draws hide: a worker gets other pictures in the next epoch, and cuts them in the same way. So
every index that the sampler gives is replaced by one; dataset, workers, seeding and start are the user's.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import random
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy, deepcopy
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from classlens.dataset.rng import seeded_globals
from classlens.errors import DataError
from classlens.pipelines.copied_generators import copied_generators, global_states, pickle_state
from classlens.source import Loading
from classlens.user_code import users_code

Thing: TypeAlias = Any  # an object of the user
Place: TypeAlias = tuple[int, int, int]  # rank, epoch and worker

EPOCHS, WORKERS = 2, 3  # at most so many workers are started
DRAWS, MANY_DRAWS = 12, 160  # of one worker in an epoch; more where two sequences may be alike by chance
ORDER = 256  # indices of an epoch that are compared
SECONDS = 120  # that a sample may take


@dataclass(frozen=True)
class Draw:
    """A hash of one "sample", and of the state of every generator after it, by its name."""

    worker: int
    hashes: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Run:
    """What came out of a loader: the draws of every (rank, epoch, worker), and the order of samples in every epoch."""

    loader: Thing
    draws: Mapping[Place, Sequence[Draw]]
    orders: Sequence[Sequence[str]]
    generator: Thing  # from which the loader seeds its workers, None for torch's own
    is_stream: bool  # then the draws are its first samples in one epoch, with equal seeds, and there is no order

    def sequences(self, name: str = "sample") -> dict[Place, tuple[str, ...]]:
        """The states of one generator, or the samples themselves, for every (rank, epoch, worker)."""
        return {place: tuple(draw.hashes.get(name, "") for draw in draws) for place, draws in self.draws.items()}

    @property
    def names(self) -> Sequence[str]:
        """All generators that were watched."""
        first = next(iter(self.draws.values()), ())
        return [name for draw in first[:1] for name in draw.hashes if name != "sample"]

    def read_first(self, seeds: Iterable[int]) -> list[dict[str, str]]:
        """The first sample, and the global generators after it, with those at each of the seeds."""
        after = []
        for seed in seeds:
            with playing(seed, "the dataset"):
                after.append(hashes_after(self.loader.dataset[0]))
        return after


def digest(*parts: bytes) -> str:
    return hashlib.blake2b(b"".join(parts), digest_size=12).hexdigest()


def leaves_of(value: Thing) -> Iterator[bytes]:
    """The bytes of whatever a dataset gives: pictures, tensors, numbers and names, nested in any way."""
    value = value.tolist() if isinstance(value, np.ndarray) and value.dtype == object else value
    if isinstance(value, Mapping):
        for key in value:
            yield repr(key).encode()
            yield from leaves_of(value[key])
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from leaves_of(part)
    elif isinstance(value, torch.Tensor):
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif hasattr(value, "tobytes"):  # an array, or a picture of Pillow
        yield value.tobytes()
    elif isinstance(value, (str, bytes, int, float, bool, type(None), np.generic)):
        yield repr(value).encode()
    elif hasattr(value, "__dict__"):  # records, such as those of OpenMMLab
        yield from leaves_of(vars(value))
    else:
        yield type(value).__name__.encode()


def hashes_after(value: Thing, generators: Iterable[tuple[Thing, str]] = ()) -> dict[str, str]:
    """What is written down: the sample, the global generators, and copied ones or the two of Albumentations."""
    hashes = {"sample": digest(*leaves_of(value))}
    hashes |= {name: digest(state) for name, state in global_states().items()}
    for holder, path in generators:
        is_pair = "random_generator" in getattr(holder, "__dict__", {})
        state = pickle.dumps((holder.random_generator, holder.py_random)) if is_pair else pickle_state(holder)
        hashes[path] = digest(state)
    return hashes


def record(dataset: Thing, batch: Thing) -> Draw:
    """Stands in for the loader's collate function, which workers call with every batch."""
    info = get_worker_info()
    worker, dataset = (0, dataset) if info is None else (info.id, info.dataset)  # another than here
    return Draw(worker, hashes_after(batch, copied_generators(dataset)))


@dataclass(eq=False)
class OneIndex:
    """Stands in for the sampler: notes the order that it gives, and passes one index on, `count` times."""

    sampler: Thing
    count: int
    in_batches: bool
    orders: list[list[str]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Thing]:
        batches = (list(one) if self.in_batches else [one] for one in islice(iter(self.sampler), ORDER))
        order = list(islice((index for batch in batches for index in batch), ORDER))
        self.orders.append([repr(index) for index in order])
        one = order[0] if order and not isinstance(order[0], (int, np.integer)) else 0  # the same in every epoch
        yield from ([[one] if self.in_batches else one] * self.count if order else [])

    def __len__(self) -> int:
        return self.count


def seed_equally(first: Thing, worker: int) -> None:
    """The user's `worker_init_fn`, and then equal seeds, so that workers differ only in what they are told to read."""
    if first is not None:
        first(worker)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@contextmanager
def playing(seed: int, who: str) -> Iterator[None]:
    """The user's code at a seed. Of what it warns, and of forked threads, training will tell."""
    with seeded_globals(seed), users_code(who, DataError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def run_loader(loading: Loading, *, ranks: int, draws: int = DRAWS) -> Run:
    """Run the loader of every rank for two epochs, or for one if it reads a stream.

    Raises:
        DataError: it stops, or it gives something else than its sampler and collate function say.
    """
    every, orders = defaultdict[Place, list[Draw]](list), list[Sequence[str]]()
    for rank in range(ranks):
        with playing(loading.seed(rank), "the loader"):
            loader = loading.open(rank, ranks)
            is_stream = isinstance(loader.dataset, IterableDataset)
            lent = lend(loader, draws)
            for epoch in range(1 if is_stream else EPOCHS):
                lent = lend(loading.open(rank, ranks), draws) if loading.remade and epoch else lent
                sampler = lent.batch_sampler or lent.sampler
                if loading.sets_epoch:
                    set_epoch(lent.dataset, sampler, epoch)
                for draw in lent:
                    if not isinstance(draw, Draw):
                        raise DataError(f"{type(loader).__name__} does not call its collate function in its workers")
                    every[rank, epoch, draw.worker].append(draw)
                orders += sampler.orders[-1:] if rank == 0 and not is_stream else []
            # Lasting workers would wait for another epoch.
            getattr(getattr(lent, "_iterator", None), "_shutdown_workers", lambda: None)()
        if is_stream:
            break
    return Run(loader, every, orders, lent.generator, is_stream)


def lend(loader: Thing, draws: int) -> Thing:
    """A copy of the loader whose sampler and collate function are ours; some attributes torch does not let change."""
    in_batches, workers = loader.batch_sampler is not None, min(loader.num_workers, WORKERS)
    sampler, generator = loader.batch_sampler if in_batches else loader.sampler, loader.generator
    with suppress(TypeError, RuntimeError, NotImplementedError):
        # what is drawn for us is not drawn for the user; a shared generator stays shared
        sampler, generator = deepcopy((sampler, generator), {id(loader.dataset): loader.dataset})
    lent = copy(loader)
    vars(lent)["batch_sampler" if in_batches else "sampler"] = OneIndex(sampler, draws * max(workers, 1), in_batches)
    vars(lent).update(generator=generator, num_workers=workers, collate_fn=partial(record, loader.dataset))
    vars(lent).update(pin_memory=False, _iterator=None, timeout=workers and (loader.timeout or SECONDS))
    if isinstance(loader.dataset, IterableDataset):
        vars(lent)["worker_init_fn"] = partial(seed_equally, loader.worker_init_fn)
    if workers and lent.multiprocessing_context is None and "fork" in multiprocessing.get_all_start_methods():
        lent.multiprocessing_context = "fork"  # what is in the user's script cannot be pickled
    return lent


def set_epoch(dataset: Thing, sampler: Thing, epoch: int) -> None:
    """Tell the samplers and the dataset which epoch begins, as training loops do."""
    for part in (dataset, sampler, *(sampler := getattr(sampler, "sampler", None) for _ in range(3))):
        if callable(getattr(part, "set_epoch", None)):
            part.set_epoch(epoch)
