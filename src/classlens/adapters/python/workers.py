"""Chance that DataLoader workers repeat: generators that a dataset or its transforms keep for themselves.

Every worker gets a copy of the dataset. torch seeds the global generators of Python, numpy and torch anew in each;
a generator that is part of the dataset is copied as it stands, so that all workers, and the workers of every epoch,
draw the same. A trace draws freely, and says so.
"""

import multiprocessing
import pickle
import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from itertools import chain
from types import FunctionType, MethodType, ModuleType
from typing import TypeAlias

import numpy as np

from classlens.adapters.python.kinds import Thing, is_loader
from classlens.dataset.rng import seeded_globals
from classlens.dataset.state import State, numbers_of, picture_in
from classlens.errors import ClasslensError
from classlens.pipelines.albumentations import is_albumentations, package, parts_of, sample_of
from classlens.pipelines.encodings import names_of
from classlens.user_code import users_code

Remarks: TypeAlias = Callable[[State], tuple[str, ...]]

DATASET = "torch.utils.data.get_worker_info().dataset"
RESEED = "set_random_seed"
"""By what code seeds a composition of Albumentations anew."""

CURES: Mapping[str, str] = {
    "numpy.random._generator.Generator": "setattr({0}.bit_generator, 'state', type({0}.bit_generator)({1}).state)",
    "numpy.random.mtrand.RandomState": "{0}.seed({1} % 2**32)",
    "random.Random": "{0}.seed({1})",
    "torch._C.Generator": "{0}.manual_seed({1})",
}
"""How a generator is seeded anew in a worker."""

DEEPEST = 5
"""How many objects deep a generator is looked for."""

MANY = 100
"""A list with more members holds samples."""


Place: TypeAlias = tuple[Thing, str]
"""A generator, or a composition that has some; and the way to it from `dataset`, or the name of a global variable."""


def add_repeat_remarks(remarks: Remarks, thing: Thing) -> Remarks:
    """Remarks on loaded samples that also say which draws workers repeat, and the cure."""
    loader = thing if is_loader(thing) else None
    dataset = thing if loader is None else loader.dataset
    if loader is not None and loader.num_workers == 0:
        return remarks
    used = find_names(getattr(type(dataset), "__getitem__", None))
    renewed = {*find_names(getattr(loader, "worker_init_fn", None)), *({RESEED} & used.keys())}
    context = getattr(loader, "multiprocessing_context", None) or multiprocessing
    start = context.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    # Only forked workers share the globals of a module: others import it anew.
    shared = [(used[name], name) for name in sorted(used) if start == "fork" and cure_of(used[name])]
    places = [
        (holder, path)
        for holder, path in chain(find_generators(dataset, "dataset", set()), shared)
        if renewed.isdisjoint({re.findall(r"\w+", path)[-1], *([RESEED] * is_albumentations(holder))})
    ]
    persistent = bool(getattr(loader, "persistent_workers", False))
    notes: list[str] | None = None

    def all_remarks(state: State) -> tuple[str, ...]:
        nonlocal notes
        if notes is None:  # asked of the first sample, because it takes one to see
            random_ones = [place for place in places if is_random(place[0], dataset, state)]
            notes = [describe_repeat(*place, persistent=persistent) for place in random_ones]
        return (*remarks(state), *notes)

    return all_remarks


def describe_repeat(holder: Thing, path: str, *, persistent: bool) -> str:
    who = f"Albumentations {package().__version__}" if is_albumentations(holder) else path
    when = "every DataLoader worker" if persistent else "every worker and epoch of a DataLoader"
    cure = cure_of(holder).format(re.sub(r"^dataset(?=[.\[])", DATASET, path), "torch.initial_seed()")
    return f"{who} draws the same in {when}, not freely as here; cure: worker_init_fn=lambda _: {cure}"


def is_random(holder: Thing, dataset: Thing, state: State) -> bool:
    """Whether chance has a say in a composition, or a sample is drawn with a generator; what cannot be run is."""
    try:
        with users_code("workers"):
            if is_albumentations(holder):
                if any(0 < part.p < 1 for part in parts_of(holder)):
                    return True
                results = []
                for seed in range(4):
                    composition = deepcopy(holder)
                    composition.set_random_seed(seed)
                    results.append(numbers_of(composition(**sample_of(picture_in(state.value)))["image"]))
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


def find_generators(thing: Thing, path: str, met: set[int]) -> Iterator[Place]:
    """The generators in the attributes of an object, and compositions of Albumentations, with the way to each."""
    too_deep = path.count(".") + path.count("[") > DEEPEST
    if too_deep or id(thing) in met or isinstance(thing, (str, bytes, type, FunctionType, ModuleType)):
        return
    met.add(id(thing))
    if cure_of(thing) or is_albumentations(thing):
        yield from [(thing, path)] if cure_of(thing) else []
        return
    parts = {f".{name}": part for name, part in getattr(thing, "__dict__", {}).items()}
    if isinstance(thing, (list, tuple, dict)) and len(thing) < MANY:
        pairs = thing.items() if isinstance(thing, dict) else enumerate(thing)
        parts = {f"[{place!r}]": part for place, part in pairs}
    for step, part in parts.items():
        yield from find_generators(part, path + step, met)


def cure_of(thing: Thing) -> str:
    """The code that seeds anew what workers copy as it stands; empty for what others see to, and for other objects.

    Torch sees to the global generators, and newer versions of Albumentations to their own.
    """
    if is_albumentations(thing):
        is_copied = "random_generator" in vars(thing) and not hasattr(thing, "_get_effective_seed")
        return f"{{0}}.{RESEED}({{1}})" if is_copied else ""
    torch = sys.modules.get("torch")
    shared = (random._inst, np.random.mtrand._rand, getattr(torch, "default_generator", None))
    kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
    return "" if any(thing is one for one in shared) else CURES.get(kind, "")


def find_names(function: Thing) -> dict[str, Thing]:
    """The names and attributes that a function uses, and the functions that it calls by a global name; what is global."""
    function = getattr(function, "func", function)
    function = function.__func__ if isinstance(function, MethodType) else function
    if not isinstance(function, FunctionType):
        return {}
    around = function.__globals__
    names = names_of(function.__code__)
    called = [around.get(name) for name in names]
    names = names.union(*(names_of(one.__code__) for one in called if isinstance(one, FunctionType)))
    return {name: around.get(name) for name in names}
