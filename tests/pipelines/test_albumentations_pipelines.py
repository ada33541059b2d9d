import numpy as np
import pytest
import torch

from classlens.adapters import open_source
from classlens.dataset.state import to_image
from classlens.dataset.trace import trace
from classlens.pipelines.lay_open import lay_open
from tests.pipelines.foreign import dataset_of, outcomes, photo

A = pytest.importorskip("albumentations")


def pipeline():
    return A.Compose(
        [
            A.RandomResizedCrop((64, 64)),
            A.HorizontalFlip(p=0.5),
            A.OneOf([A.GaussianBlur(p=1), A.RandomBrightnessContrast(p=1)], p=0.9),
            A.SomeOf([A.CoarseDropout(p=1), A.Rotate(p=1), A.HueSaturationValue(p=1)], n=2),
            A.Normalize(),
            A.ToTensorV2(),
        ]
    )


def test_a_composition_becomes_its_members_and_its_picture_is_shown_through_the_normalisation():
    result = trace(dataset_of(pipeline()), 0, seed=4)

    names = [snapshot.stage for snapshot in result.snapshots[1:]]
    assert names == ["RandomResizedCrop", "HorizontalFlip", "OneOf", "SomeOf", "Normalize", "ToTensorV2"]
    assert (result.snapshots[-3].image.pixels == result.transformed.image.pixels).all()


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others():
    dataset = dataset_of(pipeline())

    first, again, other = (trace(dataset, 0, seed=seed).transformed.image.pixels for seed in (1, 1, 2))

    assert (first == again).all()
    assert not np.array_equal(first, other)


def test_generators_of_the_transforms_are_given_back():
    crop = A.RandomCrop(32, 32)
    generator, python = crop.random_generator, crop.py_random
    state = python.getstate()

    outcomes(crop)

    assert crop.random_generator is generator
    assert crop.py_random is python
    assert python.getstate() == state


def test_the_box_that_is_told_is_the_one_that_was_cut():
    ((_, outcome),) = outcomes(A.RandomCrop(32, 40), seed=5)
    left, top, width, height = outcome.params["box"]

    expected = np.asarray(photo())[top : top + height, left : left + width]

    assert (width, height) == (40, 32)
    assert (outcome.state.value["image"] == expected).all()


def test_choices_tell_what_was_chosen_and_idle_stages_why():
    never = outcomes(A.OneOf([A.GaussianBlur(p=1), A.Rotate(p=1)], p=1e-9))[0][1]
    once = outcomes(A.OneOf([A.VerticalFlip(p=1), A.VerticalFlip(p=1)], p=1.0))[0][1]
    flip = outcomes(A.HorizontalFlip(p=1e-9))[0][1]

    assert never.note == "not drawn (p = 1e-09)"
    assert list(once.params) == ["1 VerticalFlip"]
    assert flip.note == "not drawn (p = 1e-09)"
    assert flip.params == never.params == {}


def test_a_composition_that_may_be_skipped_as_a_whole_stays_one_stage():
    names = [stage.name for stage in lay_open(A.Compose([A.Compose([A.Rotate(), A.HorizontalFlip()], p=0.3)]))]

    assert names == ["Compose"]


@pytest.mark.parametrize("normalize", [A.Normalize(), A.Normalize(mean=0.5, std=0.25), A.ToFloat(max_value=255)])
def test_every_normalisation_is_undone_for_the_eye(normalize):
    *_, (_, last) = outcomes(A.Compose([normalize, A.ToTensorV2()]))

    assert isinstance(last.state.value["image"], torch.Tensor)
    assert np.abs(to_image(last.state).pixels.astype(int) - np.asarray(photo())).max() <= 1


def test_a_replayable_composition_is_laid_open_too():
    replayable = A.ReplayCompose([A.RandomCrop(32, 32), A.HorizontalFlip(p=1.0)])

    assert [stage.name for stage, _ in outcomes(replayable)] == ["RandomCrop", "HorizontalFlip"]


def test_factors_and_angles_are_told_as_the_numbers_that_were_drawn():
    jitter = outcomes(A.ColorJitter(p=1.0), seed=1)[0][1].params
    angle = outcomes(A.Rotate(p=1.0), seed=1)[0][1].params

    assert {"brightness", "contrast", "saturation", "hue"} <= jitter.keys()
    assert all(isinstance(jitter[name], float) for name in ("brightness", "contrast", "saturation", "hue"))
    assert angle


def test_a_transform_that_draws_lists_of_arrays_is_shown():
    ((_, outcome),) = outcomes(A.RandomShadow(p=1.0), value=np.asarray(photo()))

    assert outcome.params
    assert not np.array_equal(outcome.state.value["image"], np.asarray(photo()))


def test_a_transform_is_left_as_it_was():
    for transform in (A.Rotate(p=1.0), A.OneOf([A.GaussianBlur(p=1), A.Rotate(p=1)])):
        parts = [transform, *getattr(transform, "transforms", [])]
        before = [set(vars(part)) for part in parts]

        outcomes(transform)

        assert [set(vars(part)) for part in parts] == before


def test_a_composition_beside_pictures_is_their_pipeline_though_it_has_members_by_number(tmp_path):
    (tmp_path / "cat").mkdir()
    photo().save(tmp_path / "cat" / "0.png")

    dataset = open_source((f"folder:{tmp_path}", A.Compose([A.RandomCrop(32, 32), A.Normalize()]))).dataset()

    assert [snapshot.stage for snapshot in trace(dataset, 0).snapshots[1:]] == ["RandomCrop", "Normalize"]


def test_the_scale_of_an_affine_map_is_told_as_a_pair():
    ((_, outcome),) = outcomes(A.Affine(scale={"x": (0.5, 0.6), "y": (2.0, 2.2)}, keep_ratio=False, p=1))

    across, down = outcome.params["scale"]
    assert 0.5 <= across <= 0.6
    assert 2.0 <= down <= 2.2
