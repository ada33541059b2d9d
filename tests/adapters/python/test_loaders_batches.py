"""A loader's own collate function: what it makes of a batch is compared with what it returns to training."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import DataLoader, Subset, default_collate

import classlens
from classlens.adapters import open_source
from classlens.dataset.batch import mixed_batch
from classlens.errors import DataError

torchvision = pytest.importorskip("torchvision")
from torchvision import transforms  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = ("cat", "dog", "cow")


class Photos:
    classes = NAMES

    def __init__(self, transform=None):
        self.transform = transform

    def __len__(self):
        return 8

    def __getitem__(self, index):
        noise = np.random.default_rng(index).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        picture = Pillow.fromarray(noise)
        return (picture if self.transform is None else self.transform(picture)), index % 3


def normalised():
    return transforms.Compose([transforms.CenterCrop(16), transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


def own_batch(loader, indices, seed=0):
    dataset = open_source(loader).dataset()
    return mixed_batch(dataset, indices, dataset.batch, seed)


def shown(tensor, mean=MEAN, std=STD):
    """A normalised tensor as a picture, undone by torchvision."""
    undone = v2.functional.normalize(tensor, [-m / s for m, s in zip(mean, std, strict=True)], [1 / s for s in std])
    return (255 * undone.clamp(0, 1)).numpy().transpose(1, 2, 0)


class Recipe:
    """PyTorch's own recipe: `cutmix_or_mixup(*default_collate(batch))`; what it returned is kept."""

    def __init__(self, mixing):
        self.mixing, self.returned = mixing, None

    def __call__(self, batch):
        self.returned = self.mixing(*default_collate(batch))
        return self.returned


@pytest.mark.parametrize("kind", [v2.MixUp, v2.CutMix])
@pytest.mark.parametrize("seed", range(3))
def test_the_recipe_of_pytorch_is_shown_as_it_mixes(kind, seed):
    recipe = Recipe(v2.RandomChoice([kind(alpha=1.0, num_classes=3)]))
    loader = DataLoader(Photos(normalised()), batch_size=4, collate_fn=recipe)

    batch = own_batch(loader, [1, 4, 5, 6], seed)

    pictures, labels = recipe.returned
    assert batch.mixing == "collated by Recipe"
    for image, shares, picture, row in zip(batch.images, batch.shares, pictures, labels, strict=True):
        assert np.abs(image.pixels - shown(picture)).max() <= 1.01
        assert shares == pytest.approx({name: share for name, share in zip(NAMES, row.tolist(), strict=True) if share})


def test_without_mixing_a_batch_has_the_pixels_of_its_traces():
    drawing = transforms.Compose([transforms.RandomCrop(16), transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    loader = DataLoader(
        Subset(Photos(drawing), [5, 3, 2, 0]), batch_size=2, collate_fn=lambda rows: default_collate(rows)
    )
    dataset = open_source(loader).dataset()

    batch = mixed_batch(dataset, [3, 1], dataset.batch, seed=4)

    for image, index in zip(batch.images, (3, 1), strict=True):
        assert (image.pixels == classlens.trace(dataset, index, seed=4).transformed.image.pixels).all()
    assert batch.shares == ({"cat": 1.0}, {"cat": 1.0})


def test_the_seed_decides_what_the_function_draws_and_chance_is_as_it_was():
    recipe = Recipe(v2.MixUp(alpha=1.0, num_classes=3))
    loader = DataLoader(Photos(normalised()), batch_size=3, collate_fn=recipe)
    torch.manual_seed(5)
    before = torch.get_rng_state()

    first, again, other = (own_batch(loader, [0, 1, 2], seed).images[0].pixels for seed in (1, 1, 2))

    assert (first == again).all()
    assert not (first == other).all()
    assert torch.equal(before, torch.get_rng_state())


def halves(rows):
    """Mixup in the form of its authors: pictures, both labels, and the share of the first."""
    pictures, labels = default_collate(rows)
    return 0.75 * pictures + 0.25 * pictures.flip(0), labels, labels.flip(0), 0.75


def by_name(rows):
    pictures, labels = halves(rows)[:2]
    return {"pixel_values": pictures, "labels": labels}


def normalising(rows):
    pictures, labels = default_collate(rows)
    return v2.functional.normalize(pictures, list(MEAN), list(STD)), labels


def two_views(rows):
    pictures, labels = default_collate(rows)
    return [pictures, pictures.flip(-1)], labels


def test_every_form_of_batch_is_taken_apart():
    loader = {
        function: DataLoader(Photos(transforms.ToTensor()), batch_size=2, collate_fn=function)
        for function in (halves, by_name, normalising, two_views)
    }
    plain, partner = (np.asarray(Photos()[index][0]).astype(float) for index in (1, 2))
    mixture = 0.75 * plain + 0.25 * partner

    batches = {function: own_batch(one, [1, 2]) for function, one in loader.items()}

    assert np.abs(batches[halves].images[0].pixels - mixture).max() <= 1.01
    assert batches[halves].shares[0] == {"dog": 0.75, "cow": 0.25}
    assert np.abs(batches[by_name].images[0].pixels - mixture).max() <= 1.01
    assert batches[by_name].shares[0] == {"dog": 1.0}
    assert np.abs(batches[normalising].images[0].pixels - plain).max() <= 1.01
    assert batches[two_views].images[0].size == (20, 24 + 4 + 24)
    assert (batches[two_views].images[0].pixels[:, 28:] == plain[:, ::-1]).all()


def test_what_the_function_raises_is_one_error():
    def broken(rows):
        raise ValueError("no such thing")

    with pytest.raises(DataError, match="ValueError: no such thing"):
        own_batch(DataLoader(Photos(normalised()), batch_size=2, collate_fn=broken), [0, 1])


def test_a_batch_that_is_no_picture_for_each_sample_is_an_error():
    def doubled(rows):
        pictures, labels = default_collate(rows)
        return torch.cat([pictures, pictures]), labels

    with pytest.raises(DataError, match="doubled does not return a picture for each of its 2 samples"):
        own_batch(DataLoader(Photos(normalised()), batch_size=2, collate_fn=doubled), [0, 1])


def test_where_the_function_cannot_be_run_this_is_said():
    loader = DataLoader(Photos(transforms.ToTensor()), batch_size=2, collate_fn=halves)

    for beside in (transforms.CenterCrop(8), v2.MixUp(alpha=1.0, num_classes=3)):
        dataset = open_source((loader, beside)).dataset()
        batch = mixed_batch(dataset, [0, 1], dataset.batch)
        assert batch.mixing.endswith(" (halves was not run)")


def test_frameworks_that_only_stack_are_left_to_do_so():
    batch = own_batch(DataLoader(Photos(normalised()), batch_size=2), [0, 1])

    assert batch.mixing == "not mixed"


class Tensors(Photos):
    def __getitem__(self, index):
        picture, label = super().__getitem__(index)
        return transforms.functional.to_tensor(picture), label


@pytest.mark.parametrize("photos", [Photos(transforms.ToTensor()), Tensors()], ids=["laid open", "as they come"])
def test_a_batch_may_stay_a_list_of_samples(photos):
    loader = DataLoader(photos, batch_size=2, collate_fn=lambda rows: rows)

    batch = own_batch(loader, [1, 2])

    assert [tuple(one) for one in batch.shares] == [("dog",), ("cow",)]
    np.testing.assert_array_equal(batch.images[1].pixels, np.asarray(Photos()[2][0]))
