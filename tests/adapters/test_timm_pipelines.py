import numpy as np
import pytest
import torch

from classlens.adapters.pipelines.carried import look
from tests.adapters.foreign import outcomes, photo, whole

pytest.importorskip("timm")
from timm.data import create_transform
from timm.data.random_erasing import RandomErasing


@pytest.mark.parametrize("policy", ["rand-m9-mstd0.5-inc1", "original-mstd0.5", "augmix-m5-w2", "3a"])
@pytest.mark.parametrize("seed", range(3))
def test_stage_by_stage_gives_what_the_training_transform_gives_as_a_whole(policy, seed):
    pipeline = create_transform(
        64, is_training=True, auto_augment=policy, color_jitter=None, re_prob=0.5, re_mode="const"
    )

    *_, (_, last) = outcomes(pipeline, seed)

    torch.testing.assert_close(last.state.value, whole(pipeline, seed), rtol=0, atol=0)


def test_the_parts_of_a_separate_pipeline_become_one():
    pipeline = create_transform(64, is_training=True, auto_augment="rand-m9", separate=True)

    names = [stage.name for stage, _ in outcomes(pipeline)]

    assert names == [
        "RandomResizedCropAndInterpolation",
        "RandomHorizontalFlip",
        "RandAugment",
        "MaybeToTensor",
        "Normalize",
    ]


def test_operations_that_the_die_skipped_are_not_told_and_those_that_ran_are_told_with_their_level():
    pipeline = create_transform(64, is_training=True, auto_augment="rand-m9-p0.5-n4")
    counts = []
    for seed in range(12):
        drawn = dict(next(o.drawn for s, o in outcomes(pipeline, seed) if s.name == "RandAugment"))
        counts.append(len(drawn))
        assert all(key.split()[0].isdigit() for key in drawn if key != "applied")

    assert min(counts) < max(counts) <= 4


def test_the_box_erased_in_place_is_told():
    erase = RandomErasing(probability=1.0, mode="const", device="cpu", max_area=0.2)
    tensor = torch.ones(3, 64, 64)

    ((_, outcome),) = outcomes(erase, seed=1, value=tensor.clone())
    left, top, width, height = outcome.drawn["erase"]

    assert int((outcome.state.value == 0).sum()) == 3 * width * height
    assert not outcome.state.value[:, top : top + height, left : left + width].any()


def test_the_test_transform_shows_the_picture_under_its_normalisation():
    pipeline = create_transform(64, is_training=False)

    found = outcomes(pipeline)
    cropped, last = found[1][1], found[-1][1]

    assert np.abs(look(cropped.state).pixels.astype(int) - look(last.state).pixels).max() <= 1
    assert look(last.state).size == (64, 64)
    assert photo().size == (120, 96)
