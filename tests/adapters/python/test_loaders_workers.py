"""Draws that DataLoader workers repeat: what is said is compared with what real workers do."""

import random

import numpy  # noqa: F401 - a line that cures names it
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import DataLoader, Subset

import classlens
from classlens.adapters import open_source

A = pytest.importorskip("albumentations")

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


class Photos:
    """One picture eight times: whatever differs between samples was drawn."""

    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.tensor(np.asarray(self.transform(PICTURE)))


class Albumented(Photos):
    def __getitem__(self, index):
        return self.transform(image=PICTURE)["image"]


def cropped(y, x):
    return np.ascontiguousarray(PICTURE[y : y + 8, x : x + 8])


class OwnGenerator:
    def __init__(self):
        self.rng = np.random.default_rng()

    def __call__(self, picture):
        return cropped(*self.rng.integers(0, 24, 2))


class OwnState(OwnGenerator):
    def __init__(self):
        self.rng = np.random.RandomState(3)

    def __call__(self, picture):
        return cropped(*self.rng.randint(0, 24, 2))


class OwnPython(OwnGenerator):
    def __init__(self):
        self.rng = random.Random(3)

    def __call__(self, picture):
        return cropped(self.rng.randrange(24), self.rng.randrange(24))


class OwnTorch(OwnGenerator):
    def __init__(self):
        self.rng = torch.Generator()

    def __call__(self, picture):
        return cropped(*torch.randint(0, 24, (2,), generator=self.rng).tolist())


class InDict(OwnGenerator):
    def __init__(self):
        self.parts = {"rng": np.random.default_rng(1)}

    def __call__(self, picture):
        return cropped(*self.parts["rng"].integers(0, 24, 2))


class Borrowed(OwnGenerator):
    """Keeps the global generator of numpy, as scikit-learn's `check_random_state(None)` gives it."""

    def __init__(self):
        self.rng = np.random.mtrand._rand

    def __call__(self, picture):
        return cropped(*self.rng.randint(0, 24, 2))


GENERATOR = np.random.default_rng()
COMPOSITION = A.Compose([A.RandomCrop(8, 8), A.HorizontalFlip(p=0.5)])


class ByGlobals(Photos):
    def __getitem__(self, index):
        return cropped(*GENERATOR.integers(0, 24, 2))


class ByGlobalComposition(Photos):
    def __getitem__(self, index):
        return COMPOSITION(image=PICTURE)["image"]


def by_numpy(picture):
    """What draws from numpy's global generator, seeded on import: torch seeds it anew in every worker."""
    return cropped(*np.random.randint(0, 24, 2))


def by_python(picture):
    return cropped(random.randrange(24), random.randrange(24))


def by_torch(picture):
    return cropped(*torch.randint(0, 24, (2,)).tolist())


def crop():
    return A.Compose([A.RandomCrop(8, 8), A.HorizontalFlip(p=0.5)])


def loader_of(dataset, **settings):
    return DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context="fork", **settings)


def workers_repeat(loader):
    """Whether the first two batches, made by two workers, are the same, and those of two epochs."""
    first, second = ([batch.numpy() for batch in loader] for _ in range(2))
    return np.array_equal(first[0], first[1]), np.array_equal(first[0], second[0])


def said_of(given):
    result = classlens.trace(open_source(given).dataset(), 0)
    return " ".join(remark for remark in result.remarks if "worker" in remark)


def cured(loader, remark):
    """The loader with the line that the remark gives."""
    line = remark.partition("worker_init_fn=")[2]
    return loader_of(loader.dataset, worker_init_fn=eval(line, globals()))


@pytest.mark.parametrize(
    "dataset",
    [
        lambda: Albumented(crop()),
        lambda: Subset(Albumented(crop()), range(8)),
        lambda: Albumented(A.RandomCrop(8, 8)),
        lambda: Photos(OwnGenerator()),
        lambda: Photos(OwnState()),
        lambda: Photos(OwnPython()),
        lambda: Photos(OwnTorch()),
        lambda: Photos(InDict()),
        lambda: ByGlobals(None),
        lambda: ByGlobalComposition(None),
    ],
)
def test_repeated_draws_are_said_and_the_line_cures_them(dataset):
    loader = loader_of(dataset())

    remark = said_of(loader)

    assert workers_repeat(loader) == (True, True)
    assert "draws the same in every worker and epoch of a DataLoader, not freely as here" in remark
    assert workers_repeat(cured(loader, remark)) == (False, False)


@pytest.mark.parametrize("transform", [by_numpy, by_python, by_torch, Borrowed()])
def test_global_generators_are_seeded_by_torch_and_nothing_is_said(transform):
    np.random.seed(0)
    loader = loader_of(Photos(transform))

    assert workers_repeat(loader) == (False, False)
    assert said_of(loader) == ""


def seed_worker(worker):
    """PyTorch's own advice, which does not reach generators of one's own."""
    np.random.seed(torch.initial_seed() % 2**32)
    random.seed(torch.initial_seed() % 2**32)


def reseed(worker):
    torch.utils.data.get_worker_info().dataset.transform.set_random_seed(torch.initial_seed())


def test_a_worker_function_counts_if_it_reaches_the_transforms():
    advised, reseeded = (loader_of(Albumented(crop()), worker_init_fn=function) for function in (seed_worker, reseed))

    assert workers_repeat(advised) == (True, True)
    assert "Albumentations" in said_of(advised)
    assert workers_repeat(reseeded) == (False, False)
    assert said_of(reseeded) == ""


def seed_the_same(worker):
    np.random.seed(0)


def seed_by_number(worker):
    np.random.seed(worker)


def seed_by_state(worker):
    """An old recipe: since torch seeds numpy with a list, the first number of its state is always the same."""
    np.random.seed((int(np.random.get_state()[1][0]) + worker) % 2**32)


@pytest.mark.parametrize(
    ("function", "persistent", "words"),
    [
        (seed_the_same, False, "numpy.random draws the same in every worker and epoch, not"),
        (seed_the_same, True, "numpy.random draws the same in every worker, not"),
        (seed_by_number, False, "numpy.random draws the same in every epoch, not"),
        (seed_by_number, True, ""),
        (seed_by_state, False, "numpy.random draws the same in every epoch, not"),
        (seed_worker, False, ""),
    ],
)
def test_a_worker_function_that_seeds_with_numbers_of_its_own_is_said(function, persistent, words):
    loader = loader_of(Photos(by_numpy), worker_init_fn=function, persistent_workers=persistent)
    state = np.random.get_state()[1].tolist()

    remark = said_of(loader)

    assert np.random.get_state()[1].tolist() == state
    assert remark.startswith(words) if words else remark == ""
    assert workers_repeat(loader) == ("every worker" in words, "epoch" in words)


def test_what_is_seeded_and_not_drawn_from_is_not_said():
    assert said_of(loader_of(Photos(by_torch), worker_init_fn=seed_the_same)) == ""


def test_without_workers_nothing_repeats_and_with_lasting_ones_no_epoch_does():
    alone = DataLoader(Albumented(crop()), batch_size=2, num_workers=0)
    lasting = loader_of(Albumented(crop()), persistent_workers=True)

    assert (workers_repeat(alone), said_of(alone)) == ((False, False), "")
    assert workers_repeat(lasting) == (True, False)
    assert "in every DataLoader worker, not freely" in said_of(lasting)


@pytest.mark.parametrize("fixed", [A.CenterCrop(8, 8), A.Compose([A.Resize(8, 8), A.Normalize()])])
def test_where_nothing_is_drawn_nothing_is_said(fixed):
    assert said_of(loader_of(Albumented(fixed))) == ""


class Shuffled(Photos):
    """Draws once, when it is made."""

    def __init__(self):
        super().__init__(lambda picture: picture)
        self.rng = np.random.default_rng(0)
        self.order = self.rng.permutation(8)


def test_a_generator_that_no_sample_draws_from_is_not_named():
    assert said_of(loader_of(Shuffled())) == ""


def test_a_dataset_alone_and_a_composition_beside_pictures_are_warned_of_too(tmp_path):
    (tmp_path / "cat").mkdir()
    Pillow.fromarray(PICTURE).save(tmp_path / "cat" / "0.png")

    assert "Albumentations" in said_of(Albumented(crop()))
    assert "dataset.transform.set_random_seed" in said_of((f"folder:{tmp_path}", crop()))


def test_a_composition_that_cannot_be_run_may_draw():
    dataset = open_source(loader_of(Albumented(A.Compose([A.RandomCrop(64, 64)])))).dataset()

    (remark,) = dataset.remarks(dataset.load(0))

    assert "in every worker and epoch of a DataLoader" in remark
