import numpy as np
import pytest
import torch

from classlens.dataset.state import to_image
from classlens.dataset.trace import trace
from classlens.pipelines.lay_open import lay_open
from tests.pipelines.foreign import dataset_of, outcomes, photo, whole

K = pytest.importorskip("kornia.augmentation")

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def tensor():
    return torch.tensor(np.asarray(photo())).permute(2, 0, 1) / 255


def members():
    return [
        K.RandomResizedCrop((64, 64)),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJiggle(0.2, 0.2, 0.2, 0.1, p=0.8),
        K.RandomRotation(20.0, p=0.5),
        K.RandomErasing(p=0.5),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    ]


def sequence():
    return K.AugmentationSequential(*members(), data_keys=["input"])


@pytest.mark.parametrize("build", [sequence, lambda: torch.nn.Sequential(*members())])
@pytest.mark.parametrize("seed", range(8))
def test_stage_by_stage_gives_what_the_sequence_gives_as_a_whole(build, seed, tensor):
    *_, (_, last) = outcomes(build(), seed, value=tensor)

    torch.testing.assert_close(last.state.value, whole(build(), seed, tensor), rtol=0, atol=0)


def test_nested_sequences_become_stages_in_a_row():
    nested = K.AugmentationSequential(
        K.ImageSequential(K.RandomHorizontalFlip(), K.RandomGrayscale()), K.Resize((8, 8))
    )

    assert [stage.name for stage in lay_open(nested)] == ["RandomHorizontalFlip", "RandomGrayscale", "Resize"]


def test_the_box_that_is_told_is_the_one_that_was_cut(tensor):
    ((_, outcome),) = outcomes(K.RandomCrop((32, 40)), seed=5, value=tensor)
    left, top, width, height = outcome.params["box"]

    assert (width, height) == (40, 32)
    torch.testing.assert_close(outcome.state.value[0], tensor[:, top : top + 32, left : left + 40])


def test_the_box_that_was_erased_is_told(tensor):
    ((_, outcome),) = outcomes(K.RandomErasing(p=1.0), seed=2, value=tensor + 0.5)
    left, top, width, height = outcome.params["erase"]

    erased = outcome.state.value[0] == 0
    assert erased[:, top : top + height, left : left + width].all()
    assert erased.sum() == 3 * width * height


def test_the_factors_of_a_colour_jitter_are_told_in_the_order_in_which_they_act(tensor):
    from kornia import enhance

    ((_, outcome),) = outcomes(K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=1.0), seed=4, value=tensor)
    picture = tensor[None]
    acts = {
        "brightness": enhance.adjust_brightness_accumulative,
        "contrast": enhance.adjust_contrast_with_mean_subtraction,
        "saturation": enhance.adjust_saturation_with_gray_subtraction,
        "hue": lambda values, factor: enhance.adjust_hue(values, factor * 2 * torch.pi),
    }

    for name, factor in outcome.params.items():
        picture = acts[name](picture, factor)

    assert sorted(outcome.params) == ["brightness", "contrast", "hue", "saturation"]
    torch.testing.assert_close(outcome.state.value, picture, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("transform", "note"),
    [
        (K.RandomHorizontalFlip(p=0.0), "disabled (p = 0)"),
        (K.RandomHorizontalFlip(p=1e-9), "not drawn (p = 1e-09)"),
        (K.RandomRotation(20.0, p=1e-9), "not drawn (p = 1e-09)"),
        (K.RandomMixUpV2(p=1.0), "mixes the pictures of a batch: there is one here"),
    ],
)
def test_a_stage_that_changed_nothing_says_why(transform, note, tensor):
    snapshot = trace(dataset_of(transform, tensor), 0).snapshots[1]

    assert not snapshot.changed
    assert snapshot.note == note
    assert snapshot.params == {}


def test_containers_that_choose_stay_one_stage_and_tell_what_ran(tensor):
    choosing = K.AugmentationSequential(
        K.RandomRotation((7.0, 7.0), p=1.0), K.RandomHorizontalFlip(p=1.0), data_keys=["input"], random_apply=1
    )
    seen = {str(outcomes(choosing, seed, value=tensor)[0][1].params) for seed in range(12)}

    assert seen == {"{'1 RandomRotation': {'angle': 7.0}}", "{'1 RandomHorizontalFlip': {}}"}


@pytest.mark.parametrize("policy", ["RandAugment", "AutoAugment", "TrivialAugment"])
def test_policies_tell_the_operations_that_acted(policy, tensor):
    from kornia.augmentation import auto

    transform = getattr(auto, policy)(**({"n": 2, "m": 10} if policy == "RandAugment" else {}))
    told = [outcomes(transform, seed, value=tensor)[0][1].params for seed in range(12)]

    names = {name.split()[1] for params in told for name in params}
    assert len(names) > 3
    assert any(values for params in told for values in params.values())


def test_a_normalisation_is_undone_for_the_eye_also_on_a_picture_of_one_colour():
    plain = torch.full((3, 8, 8), 0.25)

    *_, (_, last) = outcomes(K.Normalize(torch.tensor(MEAN), torch.tensor(STD)), value=plain)

    assert (to_image(last.state).pixels == 64).all()
    assert last.note == "normalised: mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225"


def test_pictures_of_any_kind_are_handed_over_as_float_tensors_and_labels_stay():
    for value in (photo(), np.asarray(photo()), {"image": photo(), "label": 3}, (photo(), 3)):
        ((_, outcome),) = outcomes(K.Resize((16, 20)), value=value)

        assert to_image(outcome.state).size == (16, 20)
        assert outcome.note == "now float32 tensor, channels first"
        if isinstance(value, dict):
            assert outcome.state.value["label"] == 3
        if isinstance(value, tuple):
            assert outcome.state.value[1] == 3


def test_the_users_augmentation_is_left_as_it_was(tensor):
    flip = K.RandomHorizontalFlip(p=1.0)
    flip(torch.zeros(5, 3, 4, 4))
    before = flip._params

    outcomes(flip, value=tensor)

    assert flip._params is before
    assert len(before["batch_prob"]) == 5
