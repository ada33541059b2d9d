"""What stands around a dataset: DataLoaders with their batches and workers, and transforms behind its own.

Of the mixings of timm, torchvision and kornia it is read how often they happen and with what alpha; which samples are
paired is drawn by classlens. timm's modes that draw for each element, and kornia, which always does, are shown with one
draw for the batch. A collate function that nobody knows is run on whole batches: it is handed what the dataset gives,
the samples drawn as their traces are, and what it returns is taken apart again, a picture and its labels for each.

Every worker gets a copy of the dataset. torch seeds the global generators of Python, numpy and torch anew in each;
a generator that is part of the dataset is copied as it stands, so that all workers, and the workers of every epoch,
draw the same. A trace draws freely, and says so.
"""

import multiprocessing
import pickle
import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import chain
from types import FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import TypeAlias

import numpy as np
from PIL import Image as Pillow

from classlens.adapters.python.kinds import MIXINGS, PREFETCHING, TIMM_MIXUP, Thing, bases_of, is_loader, is_mixing
from classlens.adapters.python.python_data import as_labels, play_sample
from classlens.dataset.conventions import SPLITS
from classlens.dataset.dataset import BatchPlan, Collated, Dataset, Mixing
from classlens.dataset.rng import seed_of, seeded_globals
from classlens.dataset.state import State, holds_picture, numbers_of, picture_in, to_image
from classlens.errors import ClasslensError, ConfigError, DataError, NotFound
from classlens.image import Triple
from classlens.pipelines.lay_open import encoding_after, lay_open, names_of, remarks, triple
from classlens.pipelines.listen import is_albumentations, name_of, package, parts_of, sample_of
from classlens.user_code import users_code

STACKING = ("torch.utils.data", "timm.data", "transformers.data", "lightning", "pytorch_lightning")
"""Packages whose collate functions only stack samples, except those that are known to mix."""

LEAST = 1e-6  # a smaller share of a class is rounding


def load_loader(data_module: Thing, split: str) -> Thing:
    """Lightning's loader of a split, after `setup`; nothing is downloaded, as `prepare_data` is not called."""
    name, hook, stage = type(data_module).__name__, f"{split}_dataloader", "test" if split == "test" else "fit"
    with users_code(f"{name}.setup({stage!r})"):
        data_module.setup(stage)
    try:
        with users_code(f"{name}.{hook}"):
            loader = getattr(data_module, hook)()
    except ConfigError as error:
        if "must be implemented" not in str(error.__cause__):
            raise
        raise NotFound("split", split, SPLITS.keys() - {split}, where=name) from error
    if isinstance(loader, (list, tuple)) and len(loader) == 1:
        (loader,) = loader
    if not is_loader(loader):
        raise ConfigError(f"{name}.{hook} gives a {type(loader).__name__}, not one DataLoader")
    return loader


@dataclass(frozen=True)
class Normalize:
    """What the loader does to a picture of whole numbers: `mean` and `std` are parts of `max_pixel_value`."""

    mean: Triple
    std: Triple
    max_pixel_value: float = 255.0

    def __call__(self, picture: Thing) -> Thing:
        torch = import_module("torch")
        mean, std = (
            torch.tensor([value * self.max_pixel_value for value in values]).view(3, 1, 1)
            for values in (self.mean, self.std)
        )
        return torch.as_tensor(picture).float().sub(mean).div(std)


def unwrap_prefetching(loader: Thing) -> tuple[Thing, list[Thing]]:
    """The loader inside timm's, and the transforms that the outer one runs; any other as it is."""
    if PREFETCHING not in bases_of(loader):
        return loader, []
    stages: list[Thing] = [Normalize(triple(loader.mean / 255), triple(loader.std / 255))]
    if loader.random_erasing is not None:
        erasing = copy(loader.random_erasing)
        erasing.device = "cpu"
        stages.append(erasing)
    return loader.loader, stages


def extend_dataset(dataset: Dataset, transforms: Sequence[Thing]) -> Dataset:
    """The dataset with transforms of any framework behind its own stages; a picture without any is given as Pillow's."""
    if not transforms:
        return dataset
    if not dataset.takes_transforms:
        if dataset.stages:
            hint = "put it in front of pictures that have none, such as folder:PATH"
            raise ConfigError(f"{dataset.name} has a pipeline: a transform cannot be put behind it", hint=hint)
        original = dataset

        def load(index: int) -> State:
            state = original.load(index)
            return State(Pillow.fromarray(original.to_image(state).pixels), remarks=original.remarks(state))

        dataset = replace(dataset, load=load, to_image=to_image, remarks=remarks, takes_transforms=True)
    behind, stages_of = lay_open(list(transforms)), dataset.stages_of
    standing = SimpleNamespace(transform=transforms[0] if len(transforms) == 1 else transforms)
    return replace(
        dataset,
        stages=(*dataset.stages, *behind),
        stages_of=(lambda index: (*stages_of(index), *behind)) if stages_of else None,
        remarks=add_repeat_remarks(dataset.remarks, standing),
    )


def read_batch_plan(loader: Thing, mixing: Thing, dataset: Dataset | None) -> BatchPlan | None:
    """How a DataLoader batches, and how its collate function or `mixing` mixes; None where there is no batch size.

    A collate function that is not known is run on the samples of `dataset`; without it, it is only named.
    """
    size = getattr(loader, "batch_size", None)
    if size is None:
        return None
    collate = getattr(loader, "collate_fn", None)
    known = is_mixing(collate)
    mixing = collate if mixing is None and known else mixing
    module = getattr(collate, "__module__", None) or type(collate).__module__
    # Nobody knows what a collate function does that comes from no framework.
    collator = "" if collate is None or known or module.startswith(STACKING) else name_of(collate)
    run = partial(collate_batch, loader, dataset) if collator and mixing is None and dataset is not None else None
    return BatchPlan(size, () if mixing is None else read_mixings(mixing), run, collator)


def read_mixings(thing: Thing, share: float = 1.0) -> tuple[Mixing, ...]:
    """The ways of mixing, each with the probability that a batch is mixed like that; `share` is that of the object."""
    name = next(iter(bases_of(thing) & MIXINGS.keys()), "")
    kind: Thing = MIXINGS.get(name)
    if name == TIMM_MIXUP:  # one object stands for both: CutMix with `switch_prob` where both are on
        cut = thing.switch_prob if thing.mixup_alpha > 0 and thing.cutmix_alpha > 0 else float(thing.cutmix_alpha > 0)
        within = None if thing.cutmix_minmax is None else tuple(thing.cutmix_minmax)
        both = (
            Mixing("Mixup", thing.mixup_alpha, thing.mix_prob * (1 - cut)),
            Mixing("CutMix", thing.cutmix_alpha, thing.mix_prob * cut, within=within, corrected=thing.correct_lam),
        )
        return tuple(one for one in both if one.alpha > 0)
    if name.startswith("torchvision"):
        return (Mixing(kind, float(thing.alpha), share),)
    if name.startswith("kornia"):
        # Mixup's share is drawn evenly from 0..1, which is Beta(1, 1)
        beta = getattr(thing._param_generator, "beta", None)
        return (Mixing(kind, 1.0 if beta is None else float(beta), share * float(thing.p_batch)),)
    choices = zip(thing.transforms, thing.p, strict=True)
    return tuple(mixing for one, chance in choices for mixing in read_mixings(one, chance))


def collate_batch(loader: Thing, dataset: Dataset, indices: Sequence[int], seeds: Sequence[int], seed: int) -> Collated:
    """The pictures and the shares of the classes in a batch, as the loader's collate function makes it."""
    name = name_of(loader.collate_fn)
    samples = [
        play_sample(loader, dataset.pipeline(index), index, own) for index, own in zip(indices, seeds, strict=True)
    ]
    with seeded_globals(seed_of(seed, indices[0])), users_code(name, DataError):
        batch = loader.collate_fn([item for item, _ in samples])
    images, shares = [], []
    for place, (_, before) in enumerate(samples):
        sample = take_sample(batch, place, len(indices))
        if not holds_picture(sample) or getattr(picture_in(sample), "ndim", 3) > 3:
            raise DataError(f"{name} does not return a picture for each of its {len(indices)} samples")
        images.append(to_image(State(sample, encoding_after(loader.collate_fn, before, sample))))
        by_name: dict[str, float] = {}
        for label, share in read_shares(sample):
            by_name[dataset.class_name(label)] = by_name.get(dataset.class_name(label), 0.0) + share
        shares.append(by_name)
    return tuple(images), tuple(shares)


def take_sample(batch: Thing, place: int, count: int) -> Thing:
    """What belongs to one sample of a collated batch."""

    def is_stack(value: Thing) -> bool:
        return getattr(value, "ndim", 0) >= 1 and len(value) == count

    if isinstance(batch, Mapping):
        return {key: take_sample(part, place, count) for key, part in batch.items()}
    if isinstance(batch, (list, tuple)):
        if len(batch) == count and not any(map(is_stack, batch)):
            return batch[place]
        return tuple(take_sample(part, place, count) for part in batch)
    return batch[place] if is_stack(batch) else batch


def read_shares(sample: Thing) -> list[tuple[Thing, float]]:
    """The share of every class in a sample: a row of shares, or two labels with the share of the first, or labels."""
    from torch.utils._pytree import tree_leaves

    leaves = [leaf for leaf in tree_leaves(sample) if leaf is not None and not holds_picture(leaf)]
    for leaf in leaves:
        if getattr(leaf, "ndim", 0) == 1 and numbers_of(leaf).dtype.kind == "f" and len(leaf) > 1:
            row = [(label, share) for label, share in enumerate(numbers_of(leaf).tolist()) if share > LEAST]
            return sorted(row, key=lambda pair: -pair[1])
    labels = [label for leaf in leaves for label in as_labels(leaf)]
    fractions = [float(leaf) for leaf in leaves if np.ndim(leaf) == 0 and not as_labels(leaf)]
    if len(labels) == 2 and len(fractions) == 1 and 0 < fractions[0] < 1:
        return [(labels[0], fractions[0]), (labels[1], 1 - fractions[0])]
    return [(label, 1.0) for label in dict.fromkeys(labels)]


Remarks: TypeAlias = Callable[[State], tuple[str, ...]]

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


def add_repeat_remarks(remarks: Remarks, thing: Thing) -> Remarks:
    """Remarks on loaded samples that also say which draws workers repeat, and the cure."""
    loader = thing if is_loader(thing) else None
    dataset = thing if loader is None else loader.dataset
    if loader is not None and loader.num_workers == 0:
        return remarks
    names = find_names(getattr(type(dataset), "__getitem__", None))
    renewals = find_names(getattr(loader, "worker_init_fn", None)).keys() | ({RESEED} & names.keys())
    context = getattr(loader, "multiprocessing_context", None) or multiprocessing
    start = context.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    # Only forked workers share the globals of a module: others import it anew.
    of_module = [(names[name], name) for name in sorted(names) if start == "fork" and cure_of(names[name])]
    places = [
        (holder, path)
        for holder, path in chain(find_generators(dataset, "dataset", set()), of_module)
        if re.findall(r"\w+", path)[-1] not in renewals and not (is_albumentations(holder) and RESEED in renewals)
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
    place = re.sub(r"^dataset(?=[.\[])", "torch.utils.data.get_worker_info().dataset", path)
    cure = cure_of(holder).format(place, "torch.initial_seed()")
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
            before = pickle_state(holder)
            with seeded_globals(0):
                dataset[0]
            return before != pickle_state(holder)
    except ClasslensError:
        return True


def pickle_state(generator: Thing) -> bytes:
    return pickle.dumps(generator.get_state() if hasattr(generator, "get_state") else generator)


def find_generators(thing: Thing, path: str, met: set[int]) -> Iterator[tuple[Thing, str]]:
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
    """The code that seeds anew what workers copy as it stands; empty where torch or a newer Albumentations sees to it."""
    if is_albumentations(thing):
        is_copied = "random_generator" in vars(thing) and not hasattr(thing, "_get_effective_seed")
        return f"{{0}}.{RESEED}({{1}})" if is_copied else ""
    torch = sys.modules.get("torch")
    of_module = (random._inst, np.random.mtrand._rand, getattr(torch, "default_generator", None))
    kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
    return "" if any(thing is one for one in of_module) else CURES.get(kind, "")


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
