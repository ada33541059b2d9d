"""Chance that DataLoader workers repeat: generators that a dataset or its transforms keep for themselves.

Every worker gets a copy of the dataset. torch seeds the global generators of Python, numpy and torch anew in each;
a generator that is part of the dataset is copied as it stands, so that all workers, and the workers of every epoch,
draw the same. A trace draws freely, and says so.
"""

import multiprocessing
import pickle
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from types import FunctionType, MethodType, ModuleType
from typing import TypeAlias

import numpy as np

from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.dataset.rng import seeded_globals
from classlens.dataset.state import State, numbers_of, picture_in
from classlens.errors import ClasslensError
from classlens.pipelines.encodings import names_of
from classlens.pipelines.listen import is_albumentations, package, parts_of, sample_of
from classlens.user_code import users_code

Remarks: TypeAlias = Callable[[State], tuple[str, ...]]

DATASET = "torch.utils.data.get_worker_info().dataset"
SEED = "torch.initial_seed()"
RENEWED: Mapping[str, str] = {
    "numpy.random._generator.Generator": f"numpy.random.default_rng({SEED})",
    "numpy.random.mtrand.RandomState": f"numpy.random.RandomState({SEED} % 2**32)",
    "random.Random": f"random.Random({SEED})",
    "torch._C.Generator": f"torch.Generator().manual_seed({SEED})",
}
"""What takes the place of a copied generator in a worker."""

RESEED = "set_random_seed"
"""By what code seeds a composition of Albumentations anew."""

DEEPEST = 5
"""How many objects deep a generator is looked for."""

MANY = 100
"""A list with more members holds samples."""


@dataclass(frozen=True, eq=False)
class CopiedGenerator:
    """A generator or a composition that has some: the way to it from the dataset on, or the name of a global variable."""

    holder: Thing
    path: tuple[str, ...]

    @property
    def is_global(self) -> bool:
        return not self.path[0].startswith((".", "["))

    @property
    def name(self) -> str:
        return self.path[-1].strip(".[]'")


def add_repeat_remarks(remarks: Remarks, given: Thing) -> Remarks:
    """Remarks on loaded samples that also say which draws workers repeat, and the cure."""
    loader = given if kinds.is_loader(given) else None
    dataset = given if loader is None else loader.dataset
    if loader is not None and loader.num_workers == 0:
        return remarks
    item = getattr(type(dataset), "__getitem__", None)
    renewed = find_names(getattr(loader, "worker_init_fn", None)) | (find_names(item) & {RESEED})
    context = getattr(loader, "multiprocessing_context", None) or multiprocessing
    start = context.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    # Only forked workers share the globals of a module: others import it anew.
    everywhere = chain(find_generators(dataset, (), set()), find_used_globals(item) if start == "fork" else ())
    kept = [one for one in everywhere if {one.name, *([RESEED] * is_albumentations(one.holder))}.isdisjoint(renewed)]
    persistent = bool(getattr(loader, "persistent_workers", False))
    notes: dict[str, tuple[str, ...]] = {}

    def all_remarks(carried: State) -> tuple[str, ...]:
        if kept and "all" not in notes:  # asked of the first sample, because it takes one to see
            notes["all"] = tuple(
                describe_repeat(one, persistent=persistent) for one in kept if is_random(one, dataset, carried)
            )
        return (*remarks(carried), *notes.get("all", ()))

    return all_remarks


def describe_repeat(kept: CopiedGenerator, *, persistent: bool) -> str:
    """What a user should know, with the line that mends it."""
    *way, last = kept.path
    owner = "" if kept.is_global else "".join([DATASET, *way])
    if is_albumentations(kept.holder):
        who = f"Albumentations {package().__version__}"
        cure = f"{owner}{last}.{RESEED}({SEED})"
    else:
        who, new = f"{'' if kept.is_global else 'dataset'}{''.join(kept.path)}", RENEWED[kind_of(kept.holder)]
        cure = f"setattr({owner}, {kept.name!r}, {new})"
        if kept.is_global:
            cure = f"globals().update({last}={new})"
        elif last.startswith("["):
            cure = f"{owner}.__setitem__({last[1:-1]}, {new})"
    when = "every DataLoader worker" if persistent else "every worker and epoch of a DataLoader"
    return f"{who} draws the same in {when}, not freely as here; cure: worker_init_fn=lambda _: {cure}"


def is_random(kept: CopiedGenerator, dataset: Thing, carried: State) -> bool:
    """Whether chance has a say in a composition, or a sample is drawn with a generator; what cannot be run is."""
    holder = kept.holder
    try:
        with users_code("workers"):
            if is_albumentations(holder):
                if any(0 < part.p < 1 for part in parts_of(holder)):
                    return True
                results = []
                for seed in range(4):
                    composition = deepcopy(holder)
                    composition.set_random_seed(seed)
                    results.append(numbers_of(composition(**sample_of(picture_in(carried.value)))["image"]))
                return any(not np.array_equal(one, results[0]) for one in results)
            before = read_state(holder)
            try:
                with seeded_globals(0):
                    dataset[0]
                return pickle.dumps(before) != pickle.dumps(read_state(holder))
            finally:
                write_state(holder, before)
    except ClasslensError:
        return True


def read_state(generator: Thing) -> Thing:
    if hasattr(generator, "bit_generator"):
        return generator.bit_generator.state
    return generator.getstate() if hasattr(generator, "getstate") else generator.get_state()


def write_state(generator: Thing, state: Thing) -> None:
    if hasattr(generator, "bit_generator"):
        generator.bit_generator.state = state
    else:
        (generator.setstate if hasattr(generator, "setstate") else generator.set_state)(state)


def find_generators(thing: Thing, path: tuple[str, ...], met: set[int]) -> Iterator[CopiedGenerator]:
    """The generators in the attributes of an object, and compositions of Albumentations, with the way to each."""
    if id(thing) in met or len(path) > DEEPEST or isinstance(thing, (str, bytes, type, FunctionType, ModuleType)):
        return
    met.add(id(thing))
    if (path and is_albumentations(thing)) or kind_of(thing) in RENEWED:
        if is_copied(thing):
            yield CopiedGenerator(thing, path)
        return
    parts = {f".{name}": part for name, part in getattr(thing, "__dict__", {}).items()}
    if isinstance(thing, (list, tuple, dict)) and len(thing) < MANY:
        pairs = thing.items() if isinstance(thing, dict) else enumerate(thing)
        parts = {f"[{place!r}]": part for place, part in pairs}
    for name, part in parts.items():
        yield from find_generators(part, (*path, name), met)


def find_used_globals(function: Thing) -> Iterator[CopiedGenerator]:
    if isinstance(function, FunctionType):
        for name in sorted(names_of(function.__code__)):
            value = function.__globals__.get(name)
            if (is_albumentations(value) or kind_of(value) in RENEWED) and is_copied(value):
                yield CopiedGenerator(value, (name,))


def is_copied(holder: Thing) -> bool:
    """Whether workers copy a generator or composition as it stands: torch sees to the global ones, newer versions to theirs."""
    if is_albumentations(holder):
        return "random_generator" in vars(holder) and not hasattr(holder, "_get_effective_seed")
    torch = sys.modules.get("torch")
    return all(
        holder is not one for one in (random._inst, np.random.mtrand._rand, getattr(torch, "default_generator", 0))
    )


def kind_of(thing: Thing) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def find_names(function: Thing) -> set[str]:
    """The names and attributes that a function uses, and the functions that it calls by a global name."""
    function = getattr(function, "func", function)
    function = function.__func__ if isinstance(function, MethodType) else function
    if not isinstance(function, FunctionType):
        return set()
    names = names_of(function.__code__)
    called = (function.__globals__.get(name) for name in names)
    return names.union(*(names_of(one.__code__) for one in called if isinstance(one, FunctionType)))
