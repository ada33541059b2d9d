"""Chance that can be repeated: every sample and stage has a generator of its own, and global ones are borrowed.

The same (seed, index, stage) gives the same numbers on any machine, in any order and in any number of processes,
and a stage that draws more does not change what the stages after it draw.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from classlens.sharing import ALONE

WORD = 2**64


def generator(seed: int, index: int, stage: int) -> np.random.Generator:
    """Of one stage for one sample, by Philox (Salmon et al., SC 2011): streams never overlap, and start quickly."""
    key = np.array([seed % WORD, index % WORD], dtype=np.uint64)
    counter = np.array([0, 0, 0, stage % WORD], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def seed_of(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([abs(seed), index]).generate_state(1, np.uint64)[0])


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Set the global generators of `random`, numpy and torch, then give them back as they were."""
    with ALONE:
        torch = sys.modules.get("torch")  # a pipeline that draws from it has imported it
        python, legacy = random.getstate(), np.random.get_state()
        tensor = torch.get_rng_state() if torch else None
        random.seed(seed)
        np.random.seed(seed % 2**32)
        if torch:
            torch.random.default_generator.manual_seed(seed % WORD)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)
            if torch:
                torch.set_rng_state(tensor)
