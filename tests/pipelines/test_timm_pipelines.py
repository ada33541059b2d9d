import numpy as np
import pytest
import torch

import classlens
from classlens.adapters import open_source
from classlens.dataset.state import to_image
from tests.pipelines.foreign import outcomes, photo, seed_all, whole

timm = pytest.importorskip("timm")
from timm.data import create_transform  # noqa: E402
from timm.data.random_erasing import RandomErasing  # noqa: E402


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
        params = dict(next(o.params for s, o in outcomes(pipeline, seed) if s.name == "RandAugment"))
        counts.append(len(params))
        assert all(key.split()[0].isdigit() for key in params if key != "applied")

    assert min(counts) < max(counts) <= 4


def test_the_box_erased_in_place_is_told():
    erase = RandomErasing(probability=1.0, mode="const", device="cpu", max_area=0.2)
    tensor = torch.ones(3, 64, 64)

    ((_, outcome),) = outcomes(erase, seed=1, value=tensor.clone())
    left, top, width, height = outcome.params["erase"]

    assert int((outcome.state.value == 0).sum()) == 3 * width * height
    assert not outcome.state.value[:, top : top + height, left : left + width].any()


def test_the_test_transform_shows_the_picture_under_its_normalisation():
    pipeline = create_transform(64, is_training=False)

    found = outcomes(pipeline)
    cropped, last = found[1][1], found[-1][1]

    assert np.abs(to_image(cropped.state).pixels.astype(int) - to_image(last.state).pixels).max() <= 1
    assert to_image(last.state).size == (64, 64)
    assert photo().size == (120, 96)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # timm's dataset leaves files open
@pytest.mark.parametrize("erasing", [0.0, 1.0])
def test_what_a_prefetching_loader_does_on_the_device_is_shown_as_stages(tmp_path, erasing):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        photo(64).save(tmp_path / name / "0.png")
    data = timm.data.ImageDataset(str(tmp_path))
    loader = timm.data.create_loader(
        data, (3, 48, 48), batch_size=1, is_training=True, scale=(1, 1), ratio=(1, 1), hflip=0, color_jitter=None,
        interpolation="bilinear", re_prob=erasing, num_workers=0, device=torch.device("cpu"), persistent_workers=False,
    )  # fmt: skip

    dataset = open_source(loader).dataset()
    last = dataset.load(0)
    seed_all(3)
    for stage in dataset.stages:
        last = stage.apply(last, np.random.default_rng(0)).state
    seed_all(3)
    expected = next(iter(loader))[0][0]

    assert [stage.name for stage in dataset.stages][-2:] == (
        ["Normalize", "RandomErasing"] if erasing else ["MaybePILToTensor", "Normalize"]
    )
    assert dataset.batch.size == 1
    if not erasing:
        torch.testing.assert_close(last.value, expected, rtol=0, atol=1e-5)
        shown = classlens.trace(dataset, 0).snapshots
        assert not shown[-1].changed
