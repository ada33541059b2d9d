"""What people's own files hold in their first hour: datasets, schedulers, modules and checkpoints as they were written."""

import pytest
import torch
from PIL import Image
from torch.utils.data import ChainDataset, ConcatDataset, DataLoader, IterableDataset, Subset, random_split
from torchvision import transforms
from torchvision.datasets import ImageFolder

import classlens as cl
from classlens.errors import DataError

SMALL = transforms.Compose([transforms.Resize(16), transforms.CenterCrop(16), transforms.ToTensor()])
FLIPPED = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])


@pytest.fixture
def folders(tmp_path):
    """Two folders of the same classes, and one with a third class between them."""
    for root, names in (("a", ("cat", "dog")), ("b", ("cat", "dog")), ("c", ("cat", "cow", "dog"))):
        for name in names:
            for number in range(2):
                path = tmp_path / root / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (20 + number, 24), (number * 90, 60, 30)).save(path)
    return tmp_path


class Stream(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        for number in range(self.count):
            yield torch.rand(3, 8, 8), number % 2


def members(folders):
    return [ImageFolder(folders / "a", SMALL), ImageFolder(folders / "b", FLIPPED)]


@pytest.mark.parametrize(
    ("wrap", "place", "file", "stages"),
    [
        (ConcatDataset, 0, "a/cat/0.png", ["Resize", "CenterCrop", "ToTensor"]),
        (ConcatDataset, 7, "b/dog/1.png", ["RandomHorizontalFlip", "ToTensor"]),
        (lambda both: both[0] + both[1], 5, "b/cat/1.png", ["RandomHorizontalFlip", "ToTensor"]),
        (lambda both: Subset(ConcatDataset(both), [6, 1]), 0, "b/dog/0.png", ["RandomHorizontalFlip", "ToTensor"]),
        (lambda both: Subset(ConcatDataset(both), [-1, 1]), 0, "b/dog/1.png", ["RandomHorizontalFlip", "ToTensor"]),
        (lambda both: ConcatDataset([Subset(both[0], [3]), both[1]]), 0, "a/dog/1.png", ["Resize", "CenterCrop", "ToTensor"]),
        (lambda both: ConcatDataset([ConcatDataset(both), both[0]]), 9, "a/cat/1.png", ["Resize", "CenterCrop", "ToTensor"]),
        (lambda both: DataLoader(ConcatDataset(both), 2), 4, "b/cat/0.png", ["RandomHorizontalFlip", "ToTensor"]),
    ],
)  # fmt: skip
def test_a_concatenated_dataset_keeps_files_classes_and_pipelines(folders, wrap, place, file, stages):
    dataset = cl.open_source(wrap(members(folders))).dataset()

    trace = cl.trace(dataset, index=place)

    assert dataset.classes == ("cat", "dog")
    assert (trace.path, trace.class_names) == (str(folders / file), (file.split("/")[1],))
    assert [one.stage for one in trace.snapshots] == ["ImageFolder", *stages]


def test_a_random_split_of_a_concatenation_gives_the_samples_of_training(folders):
    part, _ = random_split(ConcatDataset(members(folders)), [5, 3])

    dataset = cl.open_source(part).dataset()

    labels = [dataset.sample(index).labels for index in range(dataset.length)]
    assert labels == [(part[index][1],) for index in range(len(part))]


def test_members_with_other_classes_name_their_own_and_this_is_said(folders):
    both = ConcatDataset([ImageFolder(folders / "a", SMALL), ImageFolder(folders / "c", SMALL)])

    dataset = cl.open_source(both).dataset()

    names = [dataset.class_names(index) for index in (2, 6, 8)]
    assert names == [("dog",), ("cow",), ("dog",)]  # training gets 1, 1 and 2
    assert "dataset 2 of ConcatDataset has 3 classes (cat, cow, dog), the first one 2 classes" in dataset.warnings[0]


def test_a_transform_beside_a_concatenation_stands_behind_every_member(folders):
    bare = [ImageFolder(folders / name, transforms.Resize(12)) for name in "ab"]

    dataset = cl.open_source((ConcatDataset(bare), FLIPPED)).dataset()

    assert [one.name for one in dataset.pipeline(7)] == ["Resize", "RandomHorizontalFlip", "ToTensor"]


def test_batches_of_a_concatenation_run_the_own_collate_function(folders):
    def stack(samples):
        return torch.utils.data.default_collate([(torch.zeros(3, 4, 4), label) for _, label in samples])

    dataset = cl.open_source(DataLoader(ConcatDataset(members(folders)), 2, collate_fn=stack)).dataset()

    _, shares = dataset.batch.collate([3, 4], [0, 0], 0)
    assert shares == ({"dog": 1.0}, {"cat": 1.0})


@pytest.mark.parametrize(
    ("stream", "count", "those"),
    [
        (Stream(5), 5, "all of one pass"),
        (Stream(10**9), 64, "the first 64 of one pass"),
        (DataLoader(Stream(5), 2), 5, "all"),
        (ChainDataset([Stream(2), Stream(3)]), 5, "all"),
        ((sample for sample in Stream(4)), 4, "all"),
    ],
)
def test_a_stream_shows_its_first_samples_in_order_and_says_so(stream, count, those):
    dataset = cl.open_source(stream).dataset()

    assert dataset.length == count
    assert [dataset.sample(index).labels for index in range(4)] == [(0,), (1,), (0,), (1,)]
    assert cl.trace(dataset, index=1).transformed.size == (8, 8)
    assert f"gives its samples one after the other, none by its number: {those}" in dataset.warnings[0]


def test_a_streaming_dataset_of_hugging_face_keeps_its_class_names(folders):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [Image.new("RGB", (9, 9))] * 3, "label": [1, 0, 1]}
    stream = datasets.Dataset.from_dict(rows, features).to_iterable_dataset()

    dataset = cl.open_source(stream).dataset()

    assert [dataset.class_names(index) for index in range(3)] == [("dog",), ("cat",), ("dog",)]


def test_a_stream_that_breaks_off_is_an_error_with_the_line():
    def broken():
        yield torch.rand(3, 8, 8), 0
        raise ValueError("shard 3 is gone")

    with pytest.raises(DataError, match=r"asked for its first 64 samples, fails at .*: ValueError: shard 3 is gone"):
        cl.open_source(broken()).dataset()


class Photos:
    """A dataset whose transform stands in the body of the class."""

    transform = SMALL

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.transform(Image.new("RGB", (30, 20), (90 * index, 0, 0))), index


class Named(Photos):
    transform = None
    augmentation = FLIPPED

    def __getitem__(self, index):
        return self.augmentation(Image.new("RGB", (30, 20))), index


class Looped(Photos):
    transforms = (transforms.Resize(16), transforms.ToTensor())

    def __getitem__(self, index):
        picture = Image.new("RGB", (30, 20))
        for one in self.transforms:
            picture = one(picture)
        return picture, index


class Method(Photos):
    def transform(self, picture):
        return FLIPPED(picture)


class Property(Photos):
    @property
    def transform(self):
        return FLIPPED


@pytest.mark.parametrize(
    ("kind", "stages"),
    [
        (Photos, ["Resize", "CenterCrop", "ToTensor"]),
        (Named, ["RandomHorizontalFlip", "ToTensor"]),
        (Looped, ["Resize", "ToTensor"]),
        (Method, []),
        (Property, []),
    ],
)
def test_a_transform_in_the_body_of_a_class_is_laid_open(kind, stages):
    trace = cl.trace(cl.open_source(kind()).dataset(), index=1)

    assert [one.stage for one in trace.snapshots] == [kind.__name__, *stages]
    assert "transform" not in vars(kind())  # the user's own class and objects are as they were
