import numpy as np
import pytest

from classlens.dataset.batch import apply, mixed_batch, sample_params
from classlens.dataset.dataset import BatchPlan, Dataset, Mixing, Sample
from classlens.errors import DataError
from classlens.figures import draw
from classlens.image import Image


def shades(sizes=(20,) * 6):
    return Dataset(
        name="shades",
        length=len(sizes),
        load=lambda index: np.full((sizes[index], sizes[index], 3), 40 * index, np.uint8),
        stages=(),
        to_image=Image,
        sample=lambda index: Sample(None, (index,)),
        classes=tuple("abcdef"),
    )


def batch_of(kind, seed=0, **settings):
    plan = BatchPlan(6, (Mixing(kind, alpha=1.0, **settings),))
    return mixed_batch(shades(), range(6), plan, seed)


def brightness(batch):
    return [float(image.pixels.mean()) for image in batch.images]


@pytest.mark.parametrize("kind", ["Mixup", "CutMix", "ResizeMix"])
@pytest.mark.parametrize("seed", range(5))
def test_the_shares_of_the_labels_are_those_of_the_pixels(kind, seed):
    batch = batch_of(kind, seed)

    for image, shares in zip(batch.images, batch.shares, strict=True):
        expected = sum(40 * "abcdef".index(name) * share for name, share in shares.items())
        assert image.pixels.mean() == pytest.approx(expected, abs=0.6)
        assert sum(shares.values()) == pytest.approx(1)


def test_the_seed_decides_the_batch():
    assert brightness(batch_of("CutMix", 1)) == brightness(batch_of("CutMix", 1))
    assert brightness(batch_of("CutMix", 1)) != brightness(batch_of("CutMix", 2))


def test_what_the_probabilities_leave_over_is_not_mixed():
    kinds = [batch_of("Mixup", seed, probability=0.3).mixing for seed in range(200)]

    assert kinds.count("Mixup") == pytest.approx(60, abs=25)
    assert batch_of("Mixup", probability=0.0).shares[2] == {"c": 1.0}


def test_bounded_boxes_keep_to_their_part_of_the_picture():
    random = np.random.default_rng(0)
    mixing = Mixing("CutMix", 1.0, within=(0.2, 0.5))

    boxes = [sample_params(mixing, 2, (100, 200), random)["box"] for _ in range(200)]

    assert all(20 <= height < 50 and 40 <= width < 100 for _, _, width, height in boxes)
    assert all(x + width <= 200 and y + height <= 100 for x, y, width, height in boxes)


def test_an_uncorrected_share_is_the_drawn_one():
    assert "share" in sample_params(Mixing("CutMix", 1.0, corrected=False), 2, (10, 10), np.random.default_rng(0))
    corrected = sample_params(Mixing("CutMix", 1.0), 2, (10, 10), np.random.default_rng(0))
    assert corrected["share"] == 1 - corrected["box"][2] * corrected["box"][3] / 100


def test_an_empty_box_changes_nothing():
    pixels = np.random.default_rng(0).random((2, 4, 4, 3)).astype(np.float32)

    mixed = apply(Mixing("ResizeMix", 1.0), pixels, {"share": 1.0, "partners": (1, 0), "box": (2, 2, 0, 0)})

    np.testing.assert_array_equal(mixed, pixels)


def test_pictures_of_different_sizes_cannot_be_mixed():
    with pytest.raises(DataError, match="different sizes"):
        mixed_batch(shades((20, 30)), [0, 1], BatchPlan(2, (Mixing("Mixup", 1.0),)))


def test_a_batch_is_drawn_with_every_picture():
    assert draw(batch_of("Mixup")).size[1] > 6 * 112
