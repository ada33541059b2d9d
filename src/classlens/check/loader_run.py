"""Run the user's own loader over one and the same sample, and write down what its workers draw.

With shuffling, repeated draws hide: a worker gets other pictures in the next epoch, and cuts them in the same way. So
every index that the sampler gives is replaced by one; dataset, workers, seeding and start are the user's. Written down
are a hash of the sample, and the state of every generator after it, global ones and those that workers copy.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy, deepcopy
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from classlens.dataset.rng import seeded_globals
from classlens.errors import DataError
from classlens.pipelines.copied_generators import copied_generators, pickle_state
from classlens.source import Loading
from classlens.user_code import users_code

Thing: TypeAlias = Any  # an object of the user

EPOCHS, WORKERS = 2, 3  # at most so many workers are started
DRAWS, MANY_DRAWS = 12, 160  # of one worker in an epoch; more where two sequences may be alike by chance
ORDER = 256  # indices of an epoch that are compared
SECONDS = 120  # that a sample may take

GLOBAL = ("random", "numpy.random", "torch")
"""The generators that torch, or the user's `worker_init_fn`, seeds in every worker."""


@dataclass(frozen=True)
class Draw:
    """One sample: where it was made, what it is, and the state of every generator after it, by name."""

    worker: int
    sample: str
    states: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Run:
    """What came out of a loader: the draws of every (rank, epoch, worker), and the order of samples in every epoch.

    `generator` is what the loader seeds its workers from, None for torch's own. Of a stream the draws are its first samples, each with an equal seed in all workers, and there is no order.
    """

    loader: Thing
    draws: Mapping[tuple[int, int, int], Sequence[Draw]]
    orders: Sequence[Sequence[str]]
    generator: Thing = None
    is_stream: bool = False

    def sequences(self, name: str) -> dict[tuple[int, int, int], tuple[str, ...]]:
        """The states of one generator, or the samples themselves, for every (rank, epoch, worker)."""
        return {
            place: tuple(draw.sample if name == "sample" else draw.states.get(name, "") for draw in draws)
            for place, draws in self.draws.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """All generators that were watched."""
        first = next(iter(self.draws.values()), ())
        return tuple(first[0].states) if first else ()


def digest(value: Thing) -> str:
    """A hash of whatever a dataset gives: pictures, tensors, numbers and names, nested in any way."""
    made = hashlib.blake2b(digest_size=12)
    for part in leaves_of(value):
        made.update(part)
    return made.hexdigest()


def leaves_of(value: Thing) -> Iterator[bytes]:
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


def state_of(holder: Thing) -> bytes:
    """The state of a copied generator, or of the two in a composition of Albumentations."""
    if "random_generator" in getattr(holder, "__dict__", {}):
        return pickle.dumps((holder.random_generator, holder.py_random))
    return pickle_state(holder)


def global_states() -> dict[str, bytes]:
    states = pickle.dumps(random.getstate()), pickle.dumps(np.random.get_state()), torch.get_rng_state().numpy()
    return dict(zip(GLOBAL, map(bytes, states), strict=True))


@dataclass(eq=False)
class Recorder:
    """Stands in for the loader's collate function, which workers call with every batch."""

    dataset: Thing
    generators: list[tuple[Thing, str]] | None = None

    def __call__(self, batch: Thing) -> Draw:
        info = get_worker_info()
        if self.generators is None:  # in a worker the dataset is another than here
            self.generators = copied_generators(self.dataset if info is None else info.dataset)
        states = global_states() | {path: state_of(holder) for holder, path in self.generators}
        hashes = {name: hashlib.blake2b(state, digest_size=12).hexdigest() for name, state in states.items()}
        return Draw(0 if info is None else info.id, digest(batch), hashes)

    def __getstate__(self) -> dict[str, Thing]:
        return {"dataset": None, "generators": None}


@dataclass(eq=False)
class OneIndex:
    """Stands in for the sampler: notes the order that it gives, and passes one index on, `count` times."""

    sampler: Thing
    count: int
    in_batches: bool
    orders: list[list[str]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Thing]:
        order: list[str] = []
        first: Thing = None
        for given in islice(iter(self.sampler), ORDER):
            batch = list(given) if self.in_batches else [given]
            first = batch[0] if first is None else first
            order += map(repr, batch)
            if len(order) >= ORDER:
                break
        self.orders.append(order[:ORDER])
        one = 0 if isinstance(first, (int, np.integer)) else first  # the same in every epoch
        yield from ([[one] if self.in_batches else one] * self.count if order else [])

    def __len__(self) -> int:
        return self.count


def run_loader(loading: Loading, *, ranks: int, draws: int = DRAWS) -> Run:
    """Run the loader of every rank for two epochs.

    Raises:
        DataError: it stops, or it gives something else than its sampler and collate function say.
    """
    every: dict[tuple[int, int, int], list[Draw]] = {}
    orders: list[list[str]] = []
    loader: Thing = None
    lent: Thing = None
    for rank in range(ranks):
        with seeded_globals(loading.seed(rank)), users_code("the loader", DataError), quiet():
            loader = loading.open(rank, ranks)
            if isinstance(loader.dataset, IterableDataset):
                return run_stream(loader)
            lent, sampler = lend(loader, draws)
            for epoch in range(EPOCHS):
                if loading.remade and epoch:
                    lent, sampler = lend(loading.open(rank, ranks), draws)
                if loading.sets_epoch:
                    set_epoch(lent, epoch)
                for draw in lent:
                    if not isinstance(draw, Draw):
                        raise DataError(f"{type(loader).__name__} does not call its collate function in its workers")
                    every.setdefault((rank, epoch, draw.worker), []).append(draw)
                orders += sampler.orders[-1:] if rank == 0 else []
            end(lent)
    return Run(loader, every, orders, lent.generator)


def lend(loader: Thing, draws: int) -> tuple[Thing, OneIndex]:
    """A copy of the loader whose sampler and collate function are ours, and that sampler."""
    in_batches = loader.batch_sampler is not None
    sampler, generator = loader.batch_sampler if in_batches else loader.sampler, loader.generator
    with suppress(TypeError, RuntimeError, NotImplementedError):
        # what is drawn for us is not drawn for the user; a shared generator stays shared
        sampler, generator = deepcopy((sampler, generator), {id(loader.dataset): loader.dataset})
    workers = min(loader.num_workers, WORKERS)
    one = OneIndex(sampler, draws * max(workers, 1), in_batches)
    changes = {
        **{"batch_sampler" if in_batches else "sampler": one, "generator": generator},
        **{"num_workers": workers, "collate_fn": Recorder(loader.dataset), "pin_memory": False, "_iterator": None},
    }
    return changed(loader, changes), one


def changed(loader: Thing, changes: Mapping[str, Thing]) -> Thing:
    """A copy of the loader with other attributes, some of which torch does not let change; workers are forked if they can."""
    lent = copy(loader)
    vars(lent).update(changes)
    if lent.num_workers:
        vars(lent)["timeout"] = lent.timeout or SECONDS
        if lent.multiprocessing_context is None and "fork" in multiprocessing.get_all_start_methods():
            lent.multiprocessing_context = "fork"  # what is in the user's script cannot be pickled
    return lent


def set_epoch(loader: Thing, epoch: int) -> None:
    """Tell the samplers and the dataset which epoch begins, as training loops do."""
    inside = loader.batch_sampler or loader.sampler
    parts = [loader.dataset]
    while inside is not None and len(parts) < 5:
        parts.append(inside)
        inside = getattr(inside, "sampler", None)
    for part in parts:
        if callable(getattr(part, "set_epoch", None)):
            part.set_epoch(epoch)


def end(loader: Thing) -> None:
    """End workers that would wait for another epoch."""
    shut_down = getattr(getattr(loader, "_iterator", None), "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep still about forked threads, and what the user's code warns of: training will tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass
class EqualSeeds:
    """The user's `worker_init_fn`, and then equal seeds, so that workers differ only in what they are told to read."""

    first: Thing

    def __call__(self, worker: int) -> None:
        if self.first is not None:
            self.first(worker)
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)


def run_stream(loader: DataLoader[Thing]) -> Run:
    """The first samples that every worker reads of a stream."""
    workers = min(loader.num_workers, 2)
    changes = {"num_workers": workers, "collate_fn": Recorder(loader.dataset), "pin_memory": False, "_iterator": None}
    lent = changed(loader, changes | {"worker_init_fn": EqualSeeds(loader.worker_init_fn)})
    every: dict[tuple[int, int, int], list[Draw]] = {}
    for draw in islice(lent, DRAWS * max(workers, 1)):
        every.setdefault((0, 0, draw.worker), []).append(draw)
    end(lent)
    return Run(loader, every, [], is_stream=True)


def draws_of_its_own(dataset: Thing, count: int = DRAWS * 3) -> bool:
    """Whether a sample varies while the global generators stand still: what varies it is the dataset's own."""
    return len(samples_with(dataset, [0] * count)) > 1


def samples_with(dataset: Thing, seeds: Sequence[int]) -> set[str]:
    """The different samples that the first index gives with the global generators at these seeds."""
    different = set()
    for seed in seeds:
        with seeded_globals(seed), users_code("the dataset", DataError), quiet():
            different.add(digest(dataset[0]))
    return different


def seeds_itself(dataset: Thing) -> tuple[str, ...]:
    """The global generators that the dataset seeds with the same number whenever a sample is read."""
    after = []
    for seed in (1, 2):
        with seeded_globals(seed), users_code("the dataset", DataError), quiet():
            dataset[0]
            after.append(global_states())
    return tuple(name for name in GLOBAL if after[0][name] == after[1][name])
