"""Samples with several pictures: every view is shown, and what only looks like a view is not."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import classlens
from classlens.adapters import open_source
from classlens.dataset.state import State, to_image
from classlens.image import GAP
from tests.pipelines.foreign import dataset_of, outcomes, photo

torchvision = pytest.importorskip("torchvision")
from torchvision import transforms  # noqa: E402
from torchvision.transforms import functional, v2  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Views:
    """Several calls of a pipeline on one picture, as the code of SimCLR, MoCo and DINO does it."""

    def __init__(self, *pipelines):
        self.pipelines = pipelines

    def __call__(self, picture):
        return [pipeline(picture) for pipeline in self.pipelines]


class Rows:
    def __init__(self, make, transform=None):
        self.make, self.transform = make, transform

    def __len__(self):
        return 4

    def __getitem__(self, index):
        item = self.make(index)
        return item if self.transform is None else (self.transform(item), index)


def views_in(image, widths):
    starts = np.cumsum([0, *(width + GAP for width in widths)])
    assert image.size[1] == starts[-1] - GAP
    return [image.pixels[:, start : start + width] for start, width in zip(starts, widths, strict=False)]


@pytest.mark.parametrize("crops", [functional.ten_crop, functional.five_crop])
def test_all_crops_are_shown_as_they_are_and_as_a_stack_of_tensors(crops):
    cropping = {functional.ten_crop: transforms.TenCrop, functional.five_crop: transforms.FiveCrop}[crops](32)
    stacking = transforms.Lambda(lambda views: torch.stack([transforms.ToTensor()(view) for view in views]))

    (_, cut), (_, stacked) = outcomes(transforms.Compose([cropping, stacking]))

    expected = crops(photo(), 32)
    for outcome in (cut, stacked):
        for shown, view in zip(views_in(to_image(outcome.state), [32] * len(expected)), expected, strict=True):
            assert (shown == np.asarray(view)).all()
    assert cut.note == f"now {len(expected)} views, Pillow RGB"


def test_the_ten_crops_of_the_second_generation_are_shown_after_normalisation_too():
    ten = v2.Compose(
        [v2.ToImage(), v2.TenCrop(32), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(MEAN), list(STD))]
    )

    *_, (_, last) = outcomes(ten)

    for shown, view in zip(views_in(to_image(last.state), [32] * 10), functional.ten_crop(photo(), 32), strict=True):
        assert np.abs(shown.astype(int) - np.asarray(view)).max() <= 1


def around(pipeline):
    return lambda picture: (pipeline(picture), pipeline(picture))


@pytest.mark.parametrize(
    "pairing",
    [
        lambda pipeline: Views(pipeline, pipeline),
        around,
        lambda pipeline: transforms.Lambda(lambda picture: torch.stack([pipeline(picture), pipeline(picture)])),
    ],
)
def test_both_views_of_a_pair_are_shown_with_their_normalisation_undone(pairing):
    single = transforms.Compose([transforms.RandomCrop(40), transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    dataset = open_source(Rows(lambda index: photo(), pairing(single))).dataset()

    result = classlens.trace(dataset, 2, seed=1)

    first, second = views_in(result.transformed.image, [40, 40])
    whole = np.asarray(photo()).astype(int)
    places = [
        [(y, x) for y in range(57) for x in range(81) if np.abs(whole[y : y + 40, x : x + 40] - shown).max() <= 1]
        for shown in (first, second)
    ]
    assert len(places[0]) == len(places[1]) == 1
    assert places[0] != places[1]
    assert result.class_names == ("2",)


def test_views_of_several_sizes_stand_side_by_side():
    crops = Views(*[transforms.CenterCrop(48)] * 2, *[transforms.CenterCrop(24)] * 6)

    ((_, outcome),) = outcomes(crops)

    assert to_image(outcome.state).size == (48, 2 * 48 + 6 * 24 + 7 * GAP)


@pytest.mark.parametrize(
    "make",
    [
        lambda index: (photo(32), photo(32)),
        lambda index: ([photo(32), photo(32)], index),
        lambda index: {"image": [photo(32), photo(32)], "label": index},
        lambda index: {"image": photo(32), "view2": photo(32), "label": index},
        lambda index: (torch.stack([functional.to_tensor(photo(32))] * 2), index),
    ],
)
def test_pairs_that_a_dataset_gives_are_both_shown(make):
    image = classlens.trace(open_source(Rows(make)).dataset(), 1).original.image

    for shown in views_in(image, [40, 40]):
        assert (shown == np.asarray(photo(32))).all()


@pytest.mark.parametrize(
    "other",
    [
        Pillow.new("L", (40, 32)),
        torch.zeros(32, 40, dtype=torch.long),
        torch.zeros(1, 32, 40),
        torch.rand(3, 4),
        {"boxes": torch.rand(3, 4), "labels": torch.tensor([1, 2, 2]), "masks": torch.zeros(3, 32, 40)},
    ],
)
def test_masks_and_boxes_are_no_views(other):
    assert to_image(State((photo(32), other))).size == (32, 40)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_any_precision_are_shown(dtype):
    pipeline = v2.Compose([v2.ToImage(), v2.ToDtype(dtype, scale=True), v2.Normalize(list(MEAN), list(STD))])

    image = classlens.trace(dataset_of(pipeline), 0).transformed.image

    expected = v2.functional.normalize(
        pipeline(photo()).float(), [-mean / std for mean, std in zip(MEAN, STD, strict=True)], [1 / std for std in STD]
    )
    assert np.abs(image.pixels - 255.0 * expected.numpy().transpose(1, 2, 0)).max() <= 1.01


def test_a_dataset_of_half_precision_is_shown():
    tensor = torch.rand(3, 8, 8)

    image = classlens.trace(open_source(Rows(lambda index: (tensor.bfloat16(), 0))).dataset(), 0).original.image

    assert np.abs(image.pixels - 255 * tensor.numpy().transpose(1, 2, 0)).max() <= 1.5
