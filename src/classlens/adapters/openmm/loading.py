"""The DataLoader that OpenMMLab makes of a config, for who runs it: sampler, workers and their seeds as in training.

mmengine, and 0.x before it, seed worker w of rank r with `num_workers * r + w + seed`, whatever the epoch: workers that
are started anew for every epoch draw the same in each. Both keep their workers unless the config says otherwise
(mmpretrain's tools/train.py and mmcls do). Stages of OpenMMLab draw from numpy's global generator, and a composition of
Albumentations from its own, which nobody seeds anew.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, DistributedSampler

from classlens.adapters.openmm.datasets import PERSISTENT, RESEED, places_of_copied
from classlens.adapters.openmm.setup import Setup
from classlens.dataset.dataset import Dataset
from classlens.errors import NotOffered
from classlens.source import Loading

SEED = 1


@dataclass
class ConfigSamples:
    """The samples of a split as training gets them: random numbers come from where its transforms take them."""

    dataset: Dataset
    compositions: Mapping[int, np.random.Generator]

    def __len__(self) -> int:
        return self.dataset.length

    def __getitem__(self, index: int) -> object:
        state, idle = self.dataset.load(index), np.random.default_rng(0)
        for position, stage in enumerate(self.dataset.pipeline(index)):
            chance = self.compositions.get(position, idle)
            if position not in self.compositions and not stage.draws_globally:
                chance = np.random.default_rng(np.random.randint(2**31, size=4))
            state = stage.apply(state, chance).state
        return state.value


class ConfigSampler(DistributedSampler[Any]):
    """torch's, under a name for mmengine's DefaultSampler, which seeds, pads and shares out in the same way."""


def seed_worker(worker: int, *, workers: int, rank: int) -> None:
    """mmengine.dataset.worker_init_fn."""
    seed = workers * rank + worker + SEED
    np.random.seed(seed)
    random.seed(seed)
    torch.manual_seed(seed)


def open_loading(setup: Setup, dataset: Dataset) -> Loading:
    """How training loads its samples."""
    split = setup.splits["train"]
    settings = split.loader
    workers, own = int(settings.get("num_workers") or 0), settings.get("worker_init_fn")
    if own is not None and str(own.get("type")).rpartition(".")[2] not in ("worker_init_fn", "default_worker_init_fn"):
        raise NotOffered(f"{setup.path}: its worker_init_fn is a function of its own, which is not run")
    is_shuffled = bool(split.sampler.get("shuffle", settings.get("shuffle", True)))

    def open_loader(rank: int, ranks: int) -> DataLoader[Any]:
        chances = {at: np.random.default_rng() for at in places_of_copied(dataset)}
        samples: Any = ConfigSamples(dataset, chances)
        return DataLoader(
            samples,
            split.batch_size or 1,
            sampler=ConfigSampler(samples, ranks, rank, is_shuffled, SEED),
            num_workers=workers,
            persistent_workers=workers > 0 and bool(settings.get("persistent_workers", True)),
            worker_init_fn=partial(seed_worker, workers=workers, rank=rank),
            drop_last=split.drop_last,
        )

    apart = bool(setup.randomness.get("diff_rank_seed", False))
    return Loading(
        open_loader,
        seed=lambda rank: SEED + rank * apart,
        sets_epoch=setup.tells_epoch,
        cures={
            "seeded": PERSISTENT[setup.generation] if workers else "randomness = dict(diff_rank_seed=True)",
            "copied": RESEED.format(*[at + 1 for at in places_of_copied(dataset)[:1]] or [0]),
            "order": "keep the hook DistSamplerSeedHook, which calls the sampler's set_epoch: leave out "
            "default_hooks.sampler_seed=None",
            "shuffle": "train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)",
        },
    )
