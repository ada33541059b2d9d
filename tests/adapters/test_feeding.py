"""A network gets exactly what its own pipeline gives: the right scores are those of running both by hand."""

import albumentations as A
import numpy as np
import pytest
import torch
from albumentations.pytorch import ToTensorV2
from PIL import Image as Pillow
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import classlens
from classlens.adapters import open_source
from classlens.cam.explain import ExplainOptions
from classlens.cam.faithfulness import box_as_fed, evaluate
from classlens.errors import DataError, ModelError
from classlens.image import Image

SCORES = 3


def network(channels=3):
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, 8, 3, padding=1)
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, SCORES)).eval()


def picture(seed=0, size=(50, 70)):
    """Smooth enough that resizing leaves something to tell apart."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image(np.array(Pillow.fromarray(coarse).resize(size[::-1], Pillow.Resampling.BICUBIC)))


def explained(source, *pictures, **options):
    """The score of every class, picture by picture, as classlens has it."""
    classifier = source if isinstance(source, classlens.Classifier) else open_source(source).classifier()
    maps = classlens.explain(classifier, pictures, targets=list(range(SCORES)), options=ExplainOptions(**options))
    return torch.tensor([one.logit for one in maps]).reshape(len(pictures), SCORES)


def by_hand(module, *tensors):
    with torch.no_grad():
        return torch.cat([module(tensor[None].float()) for tensor in tensors])


def per_picture(pillow):
    """Home-made: every picture has mean 0 and deviation 1."""
    pixels = np.asarray(pillow.resize((32, 32)), np.float32)
    return torch.from_numpy(((pixels - pixels.mean()) / pixels.std()).transpose(2, 0, 1))


def roots(pillow):
    """Home-made: no scale and shift at all."""
    return torch.from_numpy(np.sqrt(np.asarray(pillow.resize((32, 32)), np.float32) / 255).transpose(2, 0, 1))


def albumentation(kind):
    whole = A.Compose([A.Resize(32, 32), A.Normalize(normalization=kind), ToTensorV2()])
    return whole, lambda pillow: whole(image=np.array(pillow))["image"]


HALF = transforms.Normalize([0.5] * 3, [0.1] * 3)
PIPELINES = {
    "one mean for all pictures": (transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor(), HALF]), None),
    "resized as floats": (transforms.Compose([transforms.ToTensor(), transforms.Resize((32, 32)), HALF]), None),
    "bytes": (v2.Compose([v2.PILToTensor(), v2.Resize((32, 32))]), None),
    "own, per picture": (per_picture, None),
    "own, not affine": (roots, None),
    **{kind: albumentation(kind) for kind in ("image", "image_per_channel", "min_max", "min_max_per_channel")},
}


@pytest.mark.parametrize("name", PIPELINES)
def test_scores_are_those_of_what_the_pipeline_gives(name):
    transform, run = PIPELINES[name]
    module, pictures = network(), [picture(0), picture(1, (64, 40)), picture(2)]

    scores = explained((module, transform), *pictures)

    inputs = [(run or transform)(Pillow.fromarray(one.pixels)) for one in pictures]
    torch.testing.assert_close(scores, by_hand(module, *inputs), rtol=1e-5, atol=1e-5)


def test_what_is_seen_is_the_picture_also_where_every_picture_has_a_mean_of_its_own():
    pillow = Pillow.fromarray(picture().pixels)
    known, own = (open_source((network(), one)).classifier() for one in (PIPELINES["image"][0], per_picture))

    resized = A.Resize(32, 32)(image=picture().pixels)["image"].astype(int)
    np.testing.assert_allclose(known.prepare(picture()).pixels, resized, atol=1)
    resized = np.asarray(pillow.resize((32, 32))).astype(float)
    stretched = 255 * (resized - resized.min()) / np.ptp(resized)
    np.testing.assert_allclose(own.prepare(picture()).pixels, stretched, atol=1)


def test_faithfulness_starts_from_the_same_numbers():
    transform, run = PIPELINES["image"]
    module = network()
    classifier = open_source((module, transform)).classifier()
    found = classlens.explain(classifier, picture(), targets=1)[0]
    fed = run(Pillow.fromarray(picture().pixels)).float()
    hot = torch.from_numpy(found.heatmap().values)

    before, after = by_hand(module, fed, fed * hot).softmax(1)[:, 1].tolist()

    assert evaluate(classifier, found).own.drop == pytest.approx(100 * max(0, before - after) / before, abs=1e-3)


def test_a_whole_picture_goes_through_all_but_the_stages_that_change_its_size():
    module = network()
    steps = [transforms.Resize(40), transforms.CenterCrop(32), transforms.Grayscale(3), transforms.ToTensor(), HALF]

    scores = explained((module, transforms.Compose(steps)), picture(), whole=True)

    small = Pillow.fromarray(picture().pixels).resize((45, 32), Pillow.Resampling.BICUBIC)
    torch.testing.assert_close(scores, by_hand(module, transforms.Compose(steps[2:])(small)), rtol=1e-5, atol=1e-5)


def test_a_whole_picture_keeps_its_own_mean():
    module = network()

    scores = explained((module, PIPELINES["image"][0]), picture(), whole=True)

    small = np.array(Pillow.fromarray(picture().pixels).resize((45, 32), Pillow.Resampling.BICUBIC))
    fed = A.Compose([A.Normalize(normalization="image"), ToTensorV2()])(image=small)["image"]
    torch.testing.assert_close(scores, by_hand(module, fed), rtol=1e-5, atol=1e-5)


def test_a_transform_that_resizes_and_encodes_at_once_feeds_no_whole_pictures():
    with pytest.raises(DataError, match="per_picture resizes and encodes in one step") as caught:
        explained((network(), per_picture), picture(), whole=True)

    assert "--whole" in caught.value.hint


def test_a_box_is_followed_through_a_pipeline_that_normalises_per_picture():
    classifier = open_source((network(), PIPELINES["image"][0])).classifier()

    box = box_as_fed(classifier.prepare, (64, 64), (16, 8, 48, 32))

    assert box == (8, 4, 24, 16)


def test_draws_of_a_pipeline_that_is_not_for_testing_come_out_alike_every_time():
    module = network()
    source = (module, transforms.Compose([transforms.RandomCrop(32), transforms.ToTensor()]))

    torch.testing.assert_close(explained(source, picture()), explained(source, picture()), rtol=0, atol=0)


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", "cup", "dog"):
        (tmp_path / name).mkdir()
        Pillow.new("RGB", (40, 50), (90, 9, 9)).save(tmp_path / name / "1.png")
    return tmp_path


TEST = transforms.Compose([transforms.Resize(40), transforms.CenterCrop(32), transforms.ToTensor(), HALF])
TRAIN = transforms.Compose([transforms.RandomResizedCrop(24), transforms.ToTensor()])


class Drawn(Dataset):
    """Samples in the forms in which people keep them."""

    classes = ("cat", "cup", "dog")

    def __init__(self, **transform):
        vars(self).update(transform)

    def __len__(self):
        return 4


class Grey(Drawn):
    def __getitem__(self, index):
        return self.transform(Pillow.new("L", (28, 28), index)), index % 3


class Arrays(Drawn):
    def __getitem__(self, index):
        return self.transform(image=np.full((40, 50, 3), index, np.uint8))["image"], index % 3


class Pairs(Drawn):
    def __getitem__(self, index):
        return self.transforms(Pillow.new("RGB", (50, 40)), index % 3)


class Tensors(Drawn):
    def __getitem__(self, index):
        return self.transform(torch.zeros(3, 40, 50, dtype=torch.uint8)), index % 3


@pytest.mark.parametrize("key", ["val", "valid", "validation", "test"])
@pytest.mark.parametrize("wrapped", [lambda data: data, lambda data: DataLoader(Subset(data, [1]), batch_size=2)])
def test_the_transform_of_a_validation_dataset_says_how_the_network_is_fed(photos, key, wrapped):
    module = network()
    train, other = ImageFolder(str(photos), transform=TRAIN), wrapped(ImageFolder(str(photos), transform=TEST))

    classifier = open_source({"model": module, "train": train, key: other}).classifier()

    assert (classifier.size, classifier.classes, classifier.notes) == ((32, 32), ("cat", "cup", "dog"), ())
    expected = by_hand(module, TEST(Pillow.fromarray(picture().pixels)))
    torch.testing.assert_close(explained(classifier, picture()), expected, rtol=1e-5, atol=1e-5)


def test_pictures_reach_the_pipeline_in_the_form_in_which_the_dataset_gives_them():
    module, pillow = network(), Pillow.fromarray(picture().pixels)
    alb, run = PIPELINES["image"]
    floats = v2.Compose([v2.Resize((32, 32)), v2.ToDtype(torch.float32, scale=True), HALF])
    digits = transforms.Compose([transforms.Resize((28, 28)), transforms.ToTensor(), transforms.Normalize(0.13, 0.31)])
    grey = network(1)

    for data, expected in (
        (Arrays(transform=alb), by_hand(module, run(pillow))),
        (Pairs(transforms=lambda image, label: (TEST(image), label)), by_hand(module, TEST(pillow))),
        (Tensors(transform=floats), by_hand(module, floats(v2.functional.pil_to_tensor(pillow)))),
        (Grey(transform=digits), by_hand(grey, digits(pillow.convert("L")))),
    ):
        source = {"model": grey if isinstance(data, Grey) else module, "val": data}
        torch.testing.assert_close(explained(source, picture()), expected, rtol=1e-5, atol=1e-5)


def test_a_grey_network_gets_grey_from_a_transform_that_does_not_make_it():
    grey = network(1)
    digits = transforms.Compose([transforms.Resize((28, 28)), transforms.ToTensor(), transforms.Normalize(0.13, 0.31)])

    scores = explained((grey, digits), picture())

    expected = by_hand(grey, digits(Pillow.fromarray(picture().pixels).convert("L")))
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)


def test_a_network_that_nothing_feeds_is_said_to_be_fed_as_imagenet_models_are(photos):
    for source in (network(), {"model": network(), "train": ImageFolder(str(photos), transform=TRAIN)}):
        (note,) = open_source(source).classifier().notes
        assert "fed as ImageNet models get them, 224 x 224" in note


def test_class_names_come_from_what_is_said_then_the_checkpoint_then_the_network_then_the_data(photos, tmp_path):
    module, data = network(), ImageFolder(str(photos), transform=TEST)
    torch.save({"state_dict": module.state_dict(), "class_to_idx": {"b": 1, "a": 0, "c": 2}}, tmp_path / "named.pth")
    beside = {"model": module, "train": data}

    assert open_source(beside).classifier().classes == ("cat", "cup", "dog")
    assert open_source((module, f"folder:{photos}")).classifier().classes == ("cat", "cup", "dog")
    assert open_source(beside).classifier(str(tmp_path / "named.pth")).classes == ("a", "b", "c")
    assert open_source(beside | {"classes": ["x", "y", "z"]}).classifier().classes == ("x", "y", "z")
    module.classes = ["one", "two", "three"]
    assert open_source(beside).classifier().classes == ("one", "two", "three")


def test_as_many_names_as_scores():
    source = {"model": network(), "transform": TEST, "classes": ["x", "y", "z", "too many"]}

    with pytest.raises(ModelError, match=r"^4 class names for 3 scores"):
        explained(source, picture())


@pytest.mark.parametrize("crops", [transforms.FiveCrop(32), transforms.TenCrop(32)])
@pytest.mark.parametrize("stacked", [True, False])
def test_a_pipeline_of_several_views_is_refused(crops, stacked):
    steps = [crops, transforms.Lambda(lambda views: torch.stack([transforms.ToTensor()(one) for one in views]))]

    with pytest.raises(DataError, match=r"makes (5|10) views of a picture"):
        open_source((network(), transforms.Compose(steps[: 1 + stacked]))).classifier()


def test_the_transform_of_a_dataset_without_a_split_counts_if_it_draws_nothing(photos):
    module = network()
    flips = transforms.Compose([transforms.Resize((32, 32)), transforms.RandomHorizontalFlip(), transforms.ToTensor()])

    assert open_source((module, ImageFolder(str(photos), transform=TEST))).classifier().size == (32, 32)
    assert open_source((module, ImageFolder(str(photos), transform=flips))).classifier().size == (224, 224)
