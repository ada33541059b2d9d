"""What stands around a dataset: DataLoaders with their batches and workers, and transforms behind its own.

Of the mixings of timm, torchvision and kornia it is read how often they happen and with what alpha; which samples are
paired is drawn by classlens. timm's modes that draw for each element, and kornia, which always does, are shown with one
draw for the batch. A collate function that nobody knows is run on whole batches: it is handed what the dataset gives,
the samples drawn as their traces are, and what it returns is taken apart again, a picture and its labels for each.

A generator that is part of the dataset is copied to every worker as it stands. A trace draws freely, and says so.
"""

import ast
import multiprocessing
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TypeAlias

import numpy as np
from PIL import Image as Pillow

from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing, bases_of, is_loader
from classlens.adapters.python.python_data import as_labels, play_sample
from classlens.dataset.conventions import SPLITS
from classlens.dataset.dataset import BatchPlan, Collated, Dataset, Mixing
from classlens.dataset.rng import seed_of, seeded_globals
from classlens.dataset.state import State, holds_picture, numbers_of, picture_in, to_image
from classlens.errors import ClasslensError, ConfigError, DataError, NotFound
from classlens.image import Triple
from classlens.pipelines.copied_generators import (
    RESEED,
    copied_generators,
    find_names,
    global_states,
    line_that_renews,
    name_of_generator,
    pickle_state,
)
from classlens.pipelines.lay_open import encoding_after, lay_open, remarks, triple
from classlens.pipelines.listen import is_albumentations, name_of, parts_of, sample_of
from classlens.source import Loading
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
    if kinds.PREFETCHING not in bases_of(loader):
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
    known = kinds.is_mixing(collate)
    mixing = collate if mixing is None and known else mixing
    module = getattr(collate, "__module__", None) or type(collate).__module__
    # Nobody knows what a collate function does that comes from no framework.
    collator = "" if collate is None or known or module.startswith(STACKING) else name_of(collate)
    run = partial(collate_batch, loader, dataset) if collator and mixing is None and dataset is not None else None
    return BatchPlan(size, () if mixing is None else read_mixings(mixing), run, collator)


def read_mixings(thing: Thing, share: float = 1.0) -> tuple[Mixing, ...]:
    """The ways of mixing, each with the probability that a batch is mixed like that; `share` is that of the object."""
    name = next(iter(bases_of(thing) & kinds.MIXINGS.keys()), "")
    kind: Thing = kinds.MIXINGS.get(name)
    if name == kinds.TIMM_MIXUP:  # one object stands for both: CutMix with `switch_prob` where both are on
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
    places = [
        (holder, path)
        # Only forked workers share the globals of a module: others import it anew.
        for holder, path in copied_generators(dataset, of_module=start == "fork")
        if re.findall(r"\w+", path)[-1] not in renewals and not (is_albumentations(holder) and RESEED in renewals)
    ]
    persistent = bool(getattr(loader, "persistent_workers", False))
    notes: list[str] | None = None

    def all_remarks(state: State) -> tuple[str, ...]:
        nonlocal notes
        if notes is None:  # asked of the first sample, because it takes one to see
            random_ones = [place for place in places if is_random(place[0], dataset, state)]
            notes = [describe_repeat(*place, persistent=persistent) for place in random_ones]
            notes += [] if loader is None else describe_seeding(loader, persistent=persistent)
        return (*remarks(state), *notes)

    return all_remarks


def describe_seeding(loader: Thing, *, persistent: bool) -> list[str]:
    """What its worker_init_fn seeds with numbers of its own, if samples are drawn from it; it runs here, if it seeds."""
    seed: Thing = getattr(loader, "worker_init_fn", None)
    after = []
    if not any("seed" in name for name in find_names(seed)):
        return []
    try:
        for start, worker in ((0, 0), (1, 0), (1, 1)):
            with seeded_globals(start), users_code("worker_init_fn"):
                np.random.seed([start, worker])  # a list, as torch does it: `get_state()[1][0]` is then always the same
                seed(worker)
                after.append(global_states())
        with seeded_globals(0), users_code("workers"):
            before, _ = global_states(), loader.dataset[0]
            drawn = [name for name, state in global_states().items() if state != before[name]]
    except ClasslensError:
        return []
    fixed = {name: after[1][name] == after[2][name] for name in drawn if after[0][name] == after[1][name]}
    return [
        f"{name} draws the same in every {when}, not freely as here; cure: leave out worker_init_fn, or seed in it from "
        "torch.initial_seed()"
        for name, in_workers in fixed.items()
        if (when := " and ".join(["worker"] * in_workers + ["epoch"] * (not persistent)))
    ]


def describe_repeat(holder: Thing, path: str, *, persistent: bool) -> str:
    when = "every DataLoader worker" if persistent else "every worker and epoch of a DataLoader"
    line = line_that_renews(holder, path)
    return f"{name_of_generator(holder, path)} draws the same in {when}, not freely as here; cure: {line}"


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


TELLS_EPOCH = re.compile(r"set_epoch|lightning|accelerat|Trainer\(")
RELOADS = re.compile(r"reload_dataloaders_every_n_epochs\s*=\s*[1-9]")


def loading_of(thing: Thing, origin: str, factory: Callable[[], Thing] | None) -> Loading:
    """How training loads the samples of a DataLoader, of a dataset, or of what has a `train_dataloader`.

    What the training loop does is read off the text of the user's file: whether it tells samplers the epoch, and whether
    it calls the `factory` of the loader, or reloads it, in every epoch.
    """
    file, name = users_file(origin), origin.rpartition(":")[2]
    text = file.read_text(encoding="utf-8", errors="replace") if file else ""
    beside = (one.read_text(encoding="utf-8", errors="replace") for one in (file.parent.glob("*.py") if file else ()))
    if callable(getattr(thing, "train_dataloader", None)):
        remade = f"{file and file.name}: reload_dataloaders_every_n_epochs" if RELOADS.search(text) else ""
        return Loading(lambda rank, ranks: unwrap_prefetching(load_loader(thing, "train"))[0], remade=remade)
    if not is_loader(thing):
        return Loading(lambda rank, ranks: assumed_loader(thing), assumed=True)
    loader, _ = unwrap_prefetching(thing)
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    sets_epoch = file is None or any(map(TELLS_EPOCH.search, beside))
    ranks = int(getattr(sampler, "num_replicas", None) or 1)
    line = line_in_loop(text, name) if factory else 0
    remade = f"{file and file.name}:{line} calls {name}() in every epoch" if line else ""

    def open_loader(rank: int, ranks: int) -> Thing:
        return unwrap_prefetching(factory() if factory and line else thing)[0]

    return Loading(open_loader, ranks=ranks, sets_epoch=sets_epoch, remade=remade)


@dataclass(frozen=True)
class Transformed:
    """Pictures of ours behind a transform of the user's, as a dataset of torch."""

    pictures: Dataset
    transform: Thing

    def __len__(self) -> int:
        return self.pictures.length

    def __getitem__(self, index: int) -> Thing:
        picture = Pillow.fromarray(self.pictures.to_image(self.pictures.load(index)).pixels)
        return self.transform(**sample_of(picture)) if is_albumentations(self.transform) else self.transform(picture)


def assumed_loader(dataset: Thing) -> Thing:
    """Torch's usual loader around a dataset."""
    data = import_module("torch.utils.data")
    return data.DataLoader(dataset, batch_size=2, num_workers=2, shuffle=None if kinds.is_stream(dataset) else True)


def users_file(origin: str) -> Path | None:
    """The file that an address `py:FILE.py:NAME` or `py:module:NAME` leads to; None for objects."""
    place = origin.removeprefix("py:").rpartition(":")[0]
    name = place if place.endswith(".py") else getattr(sys.modules.get(place), "__file__", None)
    return Path(name) if name and Path(name).is_file() else None


def line_in_loop(text: str, name: str) -> int:
    """The line of a loop's body that calls a function by its name; 0 if there is none."""
    for loop in ast.walk(ast.parse(text)):
        for part in loop.body if isinstance(loop, (ast.For, ast.While)) else ():
            for call in ast.walk(part):
                if isinstance(call, ast.Call) and getattr(call.func, "id", getattr(call.func, "attr", "")) == name:
                    return call.lineno
    return 0
