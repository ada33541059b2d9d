"""Labels in every form in which datasets give them; what is expected is what the dataset itself hands to training."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import DataLoader

import classlens
from classlens.adapters import open_source
from classlens.dataset.selection import of_classes
from classlens.dataset.statistics import survey
from classlens.errors import ConfigError, DataError

torchvision = pytest.importorskip("torchvision")
from torchvision import transforms  # noqa: E402
from torchvision.datasets import MNIST, FakeData, ImageFolder  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

NOISE = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
PICTURE = Pillow.fromarray(NOISE)


class Rows:
    """Samples as a function gives them."""

    def __init__(self, make, **attributes):
        self.make = make
        vars(self).update(attributes)

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return self.make(index)


def labels_of(given, index=1):
    return classlens.trace(open_source(given).dataset(), index).class_names


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", "cow", "dog"):
        (tmp_path / name).mkdir()
        for number in range(2):
            PICTURE.save(tmp_path / name / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("change", [lambda label: 2 - label, {0: 1, 1: 2, 2: 0}.__getitem__, lambda label: label % 2])
@pytest.mark.parametrize("transform", [None, transforms.ToTensor()])
def test_labels_are_those_after_the_target_transform(photos, change, transform):
    folder = ImageFolder(str(photos), transform=transform, target_transform=change)
    dataset = open_source(folder).dataset()

    labels = [dataset.sample(index).labels for index in range(6)]

    assert labels == [(folder[index][1],) for index in range(6)]
    counted = Counter(folder.classes[folder[index][1]] for index in range(6))
    assert survey(dataset, range(6)).per_class == counted


def test_a_one_hot_target_transform_is_the_class_that_it_marks(photos):
    def one_hot(label):
        return torch.nn.functional.one_hot(torch.tensor(label), 3).float()

    dataset = open_source(ImageFolder(str(photos), target_transform=one_hot)).dataset()

    assert [dataset.class_names(index) for index in (0, 3, 5)] == [("cat",), ("cow",), ("dog",)]


def test_a_target_transform_of_tensors_gets_the_numbers_that_torchvision_gives_it(tmp_path):
    digits = MNIST.__new__(MNIST)
    digits.data, digits.targets = torch.zeros(3, 28, 28, dtype=torch.uint8), torch.tensor([3, 5, 3])
    digits.transform, digits.target_transform = None, {3: 0, 5: 1}.__getitem__

    dataset = open_source(digits).dataset()

    assert [dataset.sample(index).labels for index in range(3)] == [(digits[index][1],) for index in range(3)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # timm leaves files open
def test_a_target_transform_of_timm_counts(photos):
    create_dataset = pytest.importorskip("timm.data").create_dataset
    given = create_dataset("", root=str(photos), target_transform=lambda label: 2 - label)

    dataset = open_source(given).dataset()

    assert [dataset.sample(index).labels for index in range(6)] == [(given[index][1],) for index in range(6)]


def test_a_target_transform_that_fails_is_one_error(photos):
    given = ImageFolder(str(photos), transform=transforms.ToTensor(), target_transform={0: 0}.__getitem__)

    with pytest.raises(DataError, match="target_transform: KeyError: 2"):
        open_source(given).dataset().sample(5)


class Mapped(ImageFolder):
    def __getitem__(self, index):
        picture, label = super().__getitem__(index)
        return picture, {0: 0, 1: 2, 2: 1}[label]


def test_labels_that_a_dataset_changes_by_itself_are_those_that_it_gives(photos):
    given = Mapped(str(photos), transform=transforms.ToTensor())

    dataset = open_source(given).dataset()

    assert [dataset.sample(index).labels for index in range(6)] == [(given[index][1],) for index in range(6)]


class Relabel(torch.nn.Module):
    def forward(self, picture, label):
        return picture, label + 1


def test_labels_that_a_joint_transform_changes_are_those_that_it_gives(photos):
    given = ImageFolder(str(photos))
    given.transforms = v2.Compose([v2.RandomCrop(8), Relabel()])

    dataset = open_source(given).dataset()

    assert [dataset.sample(index).labels for index in range(6)] == [(given[index][1],) for index in range(6)]


def test_a_list_that_is_as_long_as_the_classes_is_no_list_of_labels():
    given = Rows(lambda index: (PICTURE, index % 2), labels=["cat", "dog"])

    assert labels_of(given, 3) == ("1",)


@pytest.mark.parametrize(
    ("label", "names"),
    [
        (([0, 1, 0], [1, 0]), ("head 1: 1", "head 2: 0")),
        ([[0, 1, 0], [1, 0]], ("head 1: 1", "head 2: 0")),
        ((torch.tensor([0.0, 1.0, 0.0]), 1), ("head 1: 1", "head 2: 1")),
        ((1, 0), ("head 1: 1", "head 2: 0")),
        ((torch.tensor(1), torch.tensor(0)), ("head 1: 1", "head 2: 0")),
        (("dress", "red"), ("dress", "red")),
        ({"colour": 1, "shape": 0}, ("colour: 1", "shape: 0")),
        ("cat", ("cat",)),
        (np.str_("cat"), ("cat",)),
        (["cat", "dog"], ("cat", "dog")),
        (np.int64(3), ("3",)),
        (np.array([3]), ("3",)),
        (torch.tensor(1.0), ("1",)),
        (True, ("1",)),
        (torch.tensor([1.0, 0.0, 1.0]), ("0", "2")),
        (torch.tensor([1, 0, 1]), ("0", "2")),
        (Pillow.new("L", (24, 20)), ()),
        (torch.zeros(20, 24), ()),
        (np.ones((20, 24), bool), ()),
        (torch.ones(3, 4), ()),
        ([[1, 2, 3, 4]], ()),
        ({"target": 2, "path": "a.png"}, ("2",)),
        ({"colour": 1, "image_id": 7}, ("1",)),
        ({"boxes": torch.ones(3, 4), "labels": torch.tensor([1, 2, 2])}, ("1", "2")),
        ({"boxes": torch.ones(2, 4), "labels": torch.tensor([1, 1])}, ("1",)),
        (0.25, ()),
        ("folder/0001.png", ()),
        (None, ()),
    ],
)
def test_every_form_of_label_is_read_as_what_it_is(label, names):
    assert labels_of(Rows(lambda index: (PICTURE, label))) == names


@pytest.mark.parametrize(
    "item",
    [
        (4, PICTURE),
        (4, torch.rand(3, 20, 24)),
        (PICTURE, 4, 99),
        (PICTURE, "photos/cat/0.png", 4),
        (99, PICTURE, 4),
        (PICTURE, Pillow.new("L", (24, 20)), 4),
        ([PICTURE, PICTURE], 4),
        {"image": PICTURE, "class": 4},
        ({"image": PICTURE, "label": 4}, 99),
    ],
)
def test_the_label_is_found_wherever_it_stands(item):
    names = labels_of(Rows(lambda index: item))

    assert names == (("4",) if not isinstance(item, tuple) or not isinstance(item[0], dict) else ("99",))


def test_rows_of_numbers_mark_places_only_if_all_rows_are_zeros_and_ones():
    heads = np.array([[1, 0], [0, 3], [1, 1], [2, 0], [0, 0], [1, 2]])

    for given in (Rows(lambda index: (PICTURE, torch.tensor(heads[index]))), Rows(lambda index: PICTURE, y=heads)):
        assert labels_of(given, 0) == ("head 1: 1", "head 2: 0")


def test_names_are_counted_and_chosen_by_name():
    dataset = open_source(Rows(lambda index: (PICTURE, "cat" if index < 4 else "dog"))).dataset()

    assert survey(dataset, range(6)).per_class == {"cat": 4, "dog": 2}
    assert of_classes(dataset, ["dog"]) == [4, 5]


def test_lists_of_class_numbers_of_hugging_face_are_no_marks():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "labels": datasets.Sequence(datasets.ClassLabel(names=["a", "b", "c"]))}
    )
    table = datasets.Dataset.from_dict({"image": [PICTURE] * 3, "labels": [[1, 0], [2], [0, 1]]}, features=features)

    dataset = open_source(table).dataset()

    assert [set(dataset.class_names(index)) for index in range(3)] == [{"a", "b"}, {"c"}, {"a", "b"}]


def test_a_transform_of_hugging_face_that_changes_labels_counts():
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"label": [0, 1, 2]})
    table.set_transform(lambda rows: {"image": [PICTURE] * len(rows["label"]), "label": [9 - y for y in rows["label"]]})

    dataset = open_source(table).dataset()

    assert [dataset.sample(index).labels for index in range(3)] == [(table[index]["label"],) for index in range(3)]


def test_labels_of_a_generated_dataset_are_loaded():
    given = FakeData(size=4, image_size=(3, 8, 8), num_classes=5)

    dataset = open_source(given).dataset()

    assert [dataset.sample(index).labels for index in range(4)] == [(int(given[index][1]),) for index in range(4)]


def test_a_label_that_cannot_be_seen_as_its_sample_cannot_be_loaded_is_none():
    def broken(index):
        if index == 1:
            raise OSError("no such picture")
        return PICTURE, index

    dataset = open_source(Rows(broken)).dataset()

    assert [dataset.sample(index).labels for index in range(3)] == [(0,), (), (2,)]
    with pytest.raises(DataError, match="no such picture"):
        dataset.load(1)


class Countable:
    def __len__(self):
        return 6


def test_what_has_no_samples_by_number_is_no_dataset():
    with pytest.raises(ConfigError, match="Countable has no samples by number"):
        open_source(DataLoader(Countable(), batch_size=2)).dataset()
