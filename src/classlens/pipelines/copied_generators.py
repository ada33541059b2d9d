"""Generators of chance that DataLoader workers copy as they stand, and the code that seeds each anew.

Every worker gets a copy of the dataset. torch seeds the global generators of Python, numpy and torch anew in each; one
that is part of the dataset, or global in the user's module, is copied, so that all workers, and the workers of every
epoch, draw the same. A composition of Albumentations 2 has such a generator.
"""

import pickle
import random
import re
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType

import numpy as np

from classlens.dataset.state import Foreign
from classlens.pipelines.lay_open import names_of
from classlens.pipelines.listen import is_albumentations, package

RESEED = "set_random_seed"  # by what code seeds a composition of Albumentations anew
CURES: Mapping[str, str] = {
    "numpy.random._generator.Generator": "setattr({0}.bit_generator, 'state', type({0}.bit_generator)({1}).state)",
    "numpy.random.mtrand.RandomState": "{0}.seed({1} % 2**32)",
    "random.Random": "{0}.seed({1})",
    "torch._C.Generator": "{0}.manual_seed({1})",
}
"""How a generator is seeded anew in a worker."""

DEEPEST = 5  # how many objects deep a generator is looked for
MANY = 100  # a list with more members holds samples


def copied_generators(dataset: Foreign, *, of_module: bool = True) -> list[tuple[Foreign, str]]:
    """The generators in a dataset, and those global in its module that it samples with, each with the way to it."""
    inside, names = [dataset], dict[str, Foreign]()
    while of_module and inside:  # of subsets and concatenations
        one = inside.pop()
        functions = [getattr(type(one), "__getitem__", None), *getattr(one, "__dict__", {}).values()]
        names |= {name: value for function in functions for name, value in find_names(function).items()}
        inside += [*getattr(one, "datasets", ()), *([one.dataset] if hasattr(one, "dataset") else [])][:MANY]
    shared = [(names[name], name) for name in sorted(names) if cure_of(names[name])]
    return [*find_generators(dataset, "dataset", set()), *shared]


def name_of_generator(holder: Foreign, path: str) -> str:
    return f"Albumentations {package().__version__}" if is_albumentations(holder) else path


def line_that_renews(holder: Foreign, path: str) -> str:
    """The argument of a DataLoader that seeds a copied generator anew in every worker and epoch."""
    place = re.sub(r"^dataset(?=[.\[])", "torch.utils.data.get_worker_info().dataset", path)
    return f"worker_init_fn=lambda _: {cure_of(holder).format(place, 'torch.initial_seed()')}"


def pickle_state(generator: Foreign) -> bytes:
    state = generator.get_state() if hasattr(generator, "get_state") else generator
    return bytes(state.numpy()) if hasattr(state, "numpy") else pickle.dumps(state)  # pickled tensors are never alike


def global_states() -> dict[str, bytes]:
    """The states of the generators that torch, or the user's `worker_init_fn`, seeds in every worker, by their names."""
    torch = sys.modules.get("torch")
    states = {"random": pickle.dumps(random.getstate()), "numpy.random": pickle.dumps(np.random.get_state())}
    return states | ({"torch": bytes(torch.get_rng_state().numpy())} if torch else {})


def find_generators(thing: Foreign, path: str, met: set[int]) -> Iterator[tuple[Foreign, str]]:
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


def cure_of(thing: Foreign) -> str:
    """The code that seeds anew what workers copy as it stands; empty where torch or a newer Albumentations sees to it."""
    if is_albumentations(thing):
        is_copied = "random_generator" in vars(thing) and not hasattr(thing, "_get_effective_seed")
        return f"{{0}}.{RESEED}({{1}})" if is_copied else ""
    torch = sys.modules.get("torch")
    of_module = (random._inst, np.random.mtrand._rand, getattr(torch, "default_generator", None))
    kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
    return "" if any(thing is one for one in of_module) else CURES.get(kind, "")


def compositions_are_copied() -> bool:
    """Whether those of the Albumentations that is imported have a generator that workers copy."""
    return "albumentations" in sys.modules and bool(cure_of(package().Compose([])))


def find_names(function: Foreign) -> dict[str, Foreign]:
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
