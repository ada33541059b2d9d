import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from classlens.dataset.state import to_image
from classlens.dataset.trace import trace
from classlens.errors import DataError
from classlens.image import GAP
from classlens.pipelines.lay_open import lay_open
from tests.pipelines.foreign import dataset_of, outcomes, photo, whole

torchvision = pytest.importorskip("torchvision")
from torchvision import transforms as first  # noqa: E402
from torchvision.transforms import functional, v2  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def first_generation():
    return first.Compose(
        [
            first.RandomResizedCrop(64),
            first.RandomHorizontalFlip(),
            first.RandomApply([first.ColorJitter(0.4, 0.4, 0.4, 0.1), first.GaussianBlur(3)], p=0.5),
            first.RandomChoice([first.RandomRotation(20), first.RandomGrayscale(1.0)]),
            first.RandAugment(),
            first.AutoAugment(),
            first.TrivialAugmentWide(),
            first.ToTensor(),
            first.Normalize(MEAN, STD),
            first.RandomErasing(p=0.5),
        ]
    )


def second_generation():
    return v2.Compose(
        [
            v2.ToImage(),
            v2.Compose([v2.RandomResizedCrop(64, antialias=True), v2.RandomHorizontalFlip()]),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomChoice([v2.RandomRotation(20), v2.GaussianBlur(5)]),
            v2.RandomOrder([v2.RandomGrayscale(), v2.RandomSolarize(128.0)]),
            v2.RandAugment(),
            v2.AugMix(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
            v2.RandomErasing(p=0.5),
        ]
    )


@pytest.mark.parametrize("build", [first_generation, second_generation])
@pytest.mark.parametrize("seed", range(8))
def test_stage_by_stage_gives_what_the_pipeline_gives_as_a_whole(build, seed):
    *_, (_, last) = outcomes(build(), seed)

    torch.testing.assert_close(last.state.value, whole(build(), seed), rtol=0, atol=0)


@pytest.mark.parametrize("build", [first_generation, second_generation])
def test_nested_compositions_become_stages_in_a_row_and_transforms_are_left_as_they_were(build):
    pipeline = build()
    before = [dict(vars(part)) for part in pipeline.transforms]

    names = [stage.name for stage, _ in outcomes(pipeline)]

    assert "RandomHorizontalFlip" in names
    assert "Compose" not in names
    assert [dict(vars(part)) for part in pipeline.transforms] == before


def test_a_listener_is_taken_off_after_an_error():
    broken = first.RandomApply([first.Lambda(lambda picture: picture.nothing)], p=1.0)

    with pytest.raises(
        DataError, match=r"RandomApply fails at .*test_torchvision_pipelines\.py:\d+: AttributeError: .*nothing"
    ):
        outcomes(broken)

    assert type(broken.transforms) is list
    assert isinstance(broken.transforms[0], first.Lambda)


@pytest.mark.parametrize("kind", [first.RandomResizedCrop, v2.RandomResizedCrop])
def test_the_box_that_is_told_is_the_one_that_was_cut(kind):
    ((_, outcome),) = outcomes(kind(32), seed=3)
    left, top, width, height = outcome.params["box"]

    expected = functional.resized_crop(photo(), top, left, height, width, [32, 32])

    assert (np.asarray(expected) == np.asarray(outcome.state.value)).all()


@pytest.mark.parametrize("kind", [first.ColorJitter, v2.ColorJitter])
def test_the_factors_of_a_colour_jitter_are_told_in_the_order_in_which_they_act(kind):
    ((_, outcome),) = outcomes(kind(0.5, 0.5, 0.5, 0.1), seed=1)
    picture = photo()

    for name, factor in outcome.params.items():
        picture = getattr(functional, f"adjust_{name}")(picture, factor)

    assert sorted(outcome.params) == ["brightness", "contrast", "hue", "saturation"]
    assert np.abs(np.asarray(picture, int) - np.asarray(outcome.state.value, int)).max() <= 1


@pytest.mark.parametrize("kind", [first.RandomErasing, v2.RandomErasing])
def test_the_box_that_was_erased_is_told(kind):
    tensor = functional.to_tensor(photo()) + 0.5

    ((_, outcome),) = outcomes(kind(p=1.0, value=0), seed=2, value=tensor)
    left, top, width, height = outcome.params["erase"]

    erased = outcome.state.value == 0
    assert erased[:, top : top + height, left : left + width].all()
    assert erased.sum() == 3 * width * height


@pytest.mark.parametrize(
    ("transform", "note"),
    [
        (first.RandomHorizontalFlip(0.0), "disabled (p = 0)"),
        (first.RandomHorizontalFlip(1e-9), "not drawn (p = 1e-09)"),
        (v2.RandomGrayscale(1e-9), "not drawn (p = 1e-09)"),
        (v2.RandomApply([v2.Grayscale()], p=1e-9), "not drawn (p = 1e-09)"),
        (first.Lambda(lambda picture: picture), "did nothing to this sample"),
    ],
)
def test_a_stage_that_changed_nothing_says_why(transform, note):
    snapshot = trace(dataset_of(transform), 0).snapshots[1]

    assert not snapshot.changed
    assert snapshot.note == note
    assert snapshot.params == {}


def test_a_container_tells_which_of_its_transforms_ran_and_what_they_drew():
    chosen = first.RandomChoice([first.RandomRotation((10, 10)), first.RandomRotation((10, 10))])
    applied = v2.RandomApply([v2.RandomRotation((7, 7)), v2.Grayscale()], p=1.0)

    ((_, choice),) = outcomes(chosen)
    ((_, application),) = outcomes(applied)

    assert choice.params == {"1 RandomRotation": {"angle": 10.0}}
    assert application.params == {"applied": "yes", "1 RandomRotation": {"angle": 7.0}, "2 Grayscale": {}}


@pytest.mark.parametrize("kind", [first.RandAugment, v2.RandAugment])
def test_policies_tell_the_operations_and_their_magnitudes(kind):
    seen = {}
    for seed in range(20):
        ((_, outcome),) = outcomes(kind(num_ops=2, magnitude=9), seed=seed)
        assert len(outcome.params) == 2
        seen |= {name.split()[1]: told for name, told in outcome.params.items()}

    assert abs(seen["Rotate"]["magnitude"]) == pytest.approx(9.0)


def test_a_normalised_tensor_is_shown_as_the_picture_that_it_encodes():
    pipeline = first.Compose([first.ToTensor(), first.Normalize(MEAN, STD)])

    *_, (_, last) = outcomes(pipeline)

    assert (to_image(last.state).pixels == np.asarray(photo())).all()
    assert last.note == "normalised: mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225"


def test_two_normalisations_in_a_row_are_both_undone():
    pipeline = first.Compose(
        [first.ToTensor(), first.Normalize([0.5] * 3, [0.5] * 3), first.Normalize([0.1] * 3, [2.0] * 3)]
    )

    *_, (_, last) = outcomes(pipeline)

    assert np.abs(to_image(last.state).pixels.astype(int) - np.asarray(photo())).max() <= 1


def test_a_preset_is_unfolded_into_resizing_cropping_and_normalising():
    preset = torchvision.models.ResNet18_Weights.DEFAULT.transforms()

    names = [stage.name for stage in lay_open(preset)]
    *_, (_, last) = outcomes(preset)

    assert names == ["Resize", "CenterCrop", "PILToTensor", "ConvertImageDtype", "Normalize"]
    torch.testing.assert_close(last.state.value, preset(photo()), rtol=0, atol=1e-6)


def test_settings_of_a_stage_are_those_of_the_transform():
    (stage,) = lay_open(first.RandomHorizontalFlip(0.25))

    assert stage.settings == {"p": 0.25}


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_pictures_of_any_mode_can_be_looked_at(mode):
    *_, (_, last) = outcomes(first.Resize(16), value=photo().convert(mode))

    assert to_image(last.state).size == (16, 20)


def test_grey_tensors_are_shown_in_grey_and_batches_by_all_their_pictures():
    grey = torch.rand(4, 1, 8, 8)

    ((_, last),) = outcomes(first.Lambda(lambda value: value * 1), value=grey)

    pixels = to_image(last.state).pixels
    assert (pixels[..., 0] == pixels[..., 2]).all()
    for number, picture in enumerate(grey):
        left = number * (8 + GAP)
        assert (pixels[:, left : left + 8, 0] == (picture[0] * 255).round().numpy()).all()


def test_pillow_pictures_are_not_changed_by_being_looked_at():
    value = photo()

    outcomes(first_generation(), value=value)

    assert value.tobytes() == photo().tobytes()
    assert isinstance(value, Pillow.Image)
