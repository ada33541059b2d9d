"""What the settings of single stages do to a picture, worked out by hand: sizes, borders, colours, masks."""

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageEnhance

from classlens.adapters.openmm.stages.build_stages import build_stages, read_test_pipeline
from classlens.dataset.rng import generator
from classlens.dataset.state import BGR, State, to_image
from classlens.errors import ConfigError, DataError
from classlens.image import Image

PICTURE = np.random.default_rng(0).integers(1, 255, (60, 90, 3), dtype=np.uint8)  # neither black nor white anywhere


def run(picture=PICTURE, seed=0, **settings):
    (built,) = build_stages([settings], where="train pipeline")
    return built.apply(State(picture, BGR), generator(seed, 0, 0))


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"type": "Resize", "scale_factor": 0.5}, (30, 45)),
        ({"type": "Resize", "scale": 1}, (1, 1)),
        ({"type": "Resize", "scale_factor": (2.0, 0.5)}, (30, 180)),
        ({"type": "Resize", "scale": (60, 50), "keep_ratio": True}, (40, 60)),  # 2/3, though 50/60 would fit the edge
        ({"type": "Pad", "pad_to_square": True}, (90, 90)),
        ({"type": "Pad", "size_divisor": 32}, (64, 96)),
        ({"type": "CenterCrop", "crop_size": 70, "auto_pad": True}, (70, 70)),
        ({"type": "RandomChoiceResize", "scales": [30], "resize_type": "ResizeEdge"}, (30, 45)),
        ({"type": "RandomChoiceResize", "scales": [30], "resize_type": "ResizeEdge", "edge": "long"}, (20, 30)),
        ({"type": "RandomResize", "scale": [(40, 30), (40, 30)]}, (30, 40)),
        ({"type": "RandomCrop", "crop_size": (64, 20), "padding": 2}, (64, 20)),
        ({"type": "RandomCrop", "crop_size": 64}, (60, 64)),
        ({"type": "RandomCrop", "crop_size": 100, "padding": (3, 4)}, (68, 96)),
        ({"type": "RandomCrop", "crop_size": 100, "padding": (1, 2, 3, 4)}, (66, 94)),
        ({"type": "RandomCrop", "crop_size": 100, "pad_if_needed": True}, (100, 100)),
        ({"type": "RandomResizedCropAndInterpolationWithTwoPic", "size": (20, 10)}, (10, 20)),
    ],
    ids=str,
)
def test_a_stage_leaves_a_picture_of_the_size_that_follows_from_its_settings(settings, size):
    assert run(**settings).state.value.shape == (*size, 3)


def test_a_random_size_lies_between_the_edges_of_two():
    sizes = {
        run(seed=seed, type="RandomResize", scale=[(20, 12), (10, 14)]).state.value.shape[:2] for seed in range(60)
    }

    assert {height for height, _ in sizes} == {12, 13, 14}
    assert {width for _, width in sizes} <= set(range(10, 21))
    assert len(sizes) > 15


def test_beit_s_crop_gives_two_views_of_one_box():
    settings = {"type": "RandomResizedCropAndInterpolationWithTwoPic", "size": 20, "interpolation": "random"}
    ramp = np.broadcast_to(np.arange(90, dtype=np.uint8)[None, :, None] * 2, (60, 90, 3))
    outcomes = [run(ramp, seed, **settings, second_size=(6, 8)) for seed in range(12)]

    assert {outcome.params["interpolation"] for outcome in outcomes} == {"bilinear", "bicubic"}
    for outcome in outcomes:
        x, y, width, height = outcome.params["box"]
        first, second = (view.value.astype(int) for view in outcome.state.views)
        assert (first.shape, second.shape) == ((20, 20, 3), (8, 6, 3))
        assert x + width < 90
        assert y + height < 60
        assert abs(first.mean() - 2 * (x + (width - 1) / 2)) < 2 > abs(second.mean() - first.mean())


def test_after_ten_misses_beit_s_crop_is_the_largest_centre_box_of_an_allowed_shape():
    settings = {"type": "RandomResizedCropAndInterpolationWithTwoPic", "size": 8, "scale": (1.0, 1.0)}

    assert run(**settings, ratio=(1.0, 1.0)).params["box"] == (15, 0, 60, 60)


def test_a_picture_lies_in_the_middle_of_a_black_square():
    square = run(type="RandomTranslatePad", size=100).state.value

    np.testing.assert_array_equal(square[20:80, 5:95], PICTURE)
    assert (square > 0).sum() == PICTURE.size


@pytest.mark.parametrize("size", [89, 90])
def test_a_picture_that_fits_no_square_is_a_bad_sample(size):
    with pytest.raises(DataError, match=f"a picture of 90 x 60 does not fit into {size} pixels"):
        run(type="RandomTranslatePad", size=size, aug_translate=True)


def test_erasing_leaves_a_picture_alone_or_fills_a_box_of_it_with_noise():
    kept = run(type="RandomErasing", erase_prob=0.0)
    filled = run(type="RandomErasing", erase_prob=1.0, mode="rand", min_area_ratio=0.3)

    x, y, width, height = filled.params["erase"]
    changed = (filled.state.value != PICTURE).any(axis=2)
    assert kept.params == {"erase": "no"}
    assert kept.state.value is PICTURE
    assert changed[y : y + height, x : x + width].mean() > 0.99
    assert changed.sum() == changed[y : y + height, x : x + width].sum()


def test_grey_is_the_luminance_by_opencv_where_0x_asks_for_it():
    red, weights = np.full((2, 2, 3), (100, 0, 0), np.uint8), {"channel_weights": None}

    assert run(red, type="RandomGrayscale", prob=1.0, **weights).state.value.tolist() == [[30, 30], [30, 30]]
    assert run(red, type="RandomGrayscale", prob=0.0, **weights).state.value is red


def test_equalizing_leaves_a_channel_of_one_value_as_it_is():
    plain = np.full((4, 4, 3), (7, 8, 9), np.uint8)

    np.testing.assert_array_equal(run(plain, type="Equalize", prob=1.0).state.value, plain)


def test_lighting_of_0x_leaves_floats_that_do_not_wrap_around():
    light = {"type": "Lighting", "eigval": [500.0, 0.0, 0.0], "eigvec": [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]}
    outcome = run(**light, wrapped=False)

    (shift, _, _) = outcome.params["alpha"]
    assert outcome.state.value.dtype == np.float32
    np.testing.assert_allclose(
        outcome.state.value - PICTURE, np.broadcast_to((500 * shift, 0, 0), PICTURE.shape), atol=1e-3
    )


def test_arrays_are_made_of_the_type_that_is_named():
    outcome = run(type="PILToNumpy", dtype="float32")

    assert outcome.state.value.dtype == np.float32
    np.testing.assert_array_equal(outcome.state.value, PICTURE)


def test_only_a_picture_with_its_channels_last_is_transposed():
    assert run(type="Transpose", keys=["gt_label"], order=(1, 0)).state.value is PICTURE
    with pytest.raises(DataError, match="the channels of this picture are not its last axis"):
        run(PICTURE[..., 0], type="Transpose", keys=["img"], order=(2, 0, 1))


def test_a_mask_that_never_gets_full_is_a_bad_sample(monkeypatch):
    """Blocks of about a million patches do not fit into 8 x 8; upstream tries for ever."""
    monkeypatch.setattr("classlens.adapters.openmm.stages.formats.ATTEMPTS", 100)

    with pytest.raises(DataError, match="BEiTMaskGenerator: no 20 patches after 100 blocks"):
        run(type="BEiTMaskGenerator", input_size=8, num_masking_patches=20, min_num_patches=10**6)


def test_most_stages_cannot_follow_one_that_makes_several_views():
    view, invert = {"type": "RandomCrop", "crop_size": 20}, {"type": "Invert", "prob": 1.0}
    views, inverted = build_stages(
        [{"type": "MultiView", "transforms": [[view]], "num_views": [2]}, invert], where="train"
    )
    random = generator(0, 0, 0)

    with pytest.raises(TypeError, match="cannot follow a stage that makes several views"):
        inverted.apply(views.apply(State(PICTURE, BGR), random).state, random)


FLIP = {"type": "RandomFlip", "prob": 1.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "Resize"}, "scale or scale_factor must be given"),
        ({"type": "Resize", "scale": "big"}, "scale must be above 0, not 'big'"),
        ({"type": "Pad"}, "one of size, size_divisor and pad_to_square must be given"),
        ({"type": "Pad", "size": (9, 9), "size_divisor": 2}, "one of size, size_divisor and pad_to_square"),
        ({"type": "RandomFlip", "prob": [0.3, 0.3]}, "2 probabilities for 1 directions"),
        ({"type": "RandomResize", "scale": (9, 9)}, "scale is .width, height. with a ratio_range, or a list of two"),
        ({"type": "RandomResize", "scale": (9, 9), "ratio_range": (2, 1)}, "ratio_range is .low, high."),
        ({"type": "RandomChoiceResize", "scales": [(9, 9)], "edge": "long"}, "edge is a setting of ResizeEdge"),
        ({"type": "RandomChoiceResize", "scales": [9]}, "Resize needs scales of type tuple above 0"),
        ({"type": "RandomErasing", "erase_prob": 1.0, "min_area_ratio": 0.9}, "min_area_ratio 0.9 is above max_area"),
        ({"type": "Lighting", "eigval": [1.0], "eigvec": [[1.0]]}, "eigvec is 3 x 1, not 1 x 1"),
        ({"type": "Transpose", "keys": ["image"], "order": (2, 0, 1)}, "keys are among gt_label, gt_score, img, mask"),
        ({"type": "RandomChoice", "transforms": [[FLIP], [FLIP]], "prob": [-0.5, 1.5]}, "floats that add up to"),
        ({"type": "Transpose", "keys": ["img"], "order": (0, 2, 1)}, "order names the axes 0, 1 and 2 once each"),
        ({"type": "Cutout", "magnitude_range": (-9, -5), "magnitude_level": 10, "prob": 1.0}, "shape is not below 0"),
        ({"type": "KeyMapper", "transforms": [FLIP], "remapping": {}, "auto_remap": True}, "remapping must be None"),
        ({"type": "RandomChoice", "transforms": [FLIP, 3]}, "RandomChoice: transforms are dicts, not 3"),
        ({"type": "MultiView", "transforms": [[FLIP]], "num_views": [1, 2]}, "1 pipelines cannot share .1, 2."),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused_before_any_picture_is_read(settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build_stages([settings], where="train pipeline")

    assert str(caught.value).startswith("train pipeline: stage 1")


def test_settings_of_a_test_pipeline_are_tried_before_any_picture_is_fed():
    with pytest.raises(ConfigError, match="test pipeline: stage 1: Resize: scale or scale_factor must be given"):
        read_test_pipeline([{"type": "Resize"}], where="test pipeline")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "torchvision/RandomHorizontalFlap"}, "torchvision has no transform named 'RandomHorizontalFlap'"),
        ({"type": "Albu", "transforms": {"type": "Blur"}}, "Albu: transforms is a list, not"),
        (
            {"type": "Albu", "transforms": [], "keymap": {"img": "picture"}},
            "gives the picture another name than 'image'",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_read_of_other_packages_transforms_is_refused(settings, message):
    pytest.importorskip("torchvision")
    pytest.importorskip("albumentations")

    with pytest.raises(ConfigError, match=message):
        build_stages([settings], where="train pipeline")


def test_words_stand_for_the_values_that_torchvision_takes():
    """Nearest in torchvision repeats pixels; float32 divides by 255."""
    functional = pytest.importorskip("torchvision.transforms.functional")
    rows = [
        {"type": "ToPIL"},
        {"type": "torchvision/Resize", "size": [120, 180], "interpolation": "Nearest"},
        {"type": "torchvision/PILToTensor"},
        {"type": "torchvision/ConvertImageDtype", "dtype": "float32"},
    ]
    state = State(PICTURE, BGR)

    for built in build_stages(rows, where="train"):
        state = built.apply(state, generator(0, 0, 0)).state

    expected = functional.to_tensor(PICTURE.repeat(2, axis=0).repeat(2, axis=1))
    np.testing.assert_array_equal(state.value.numpy(), expected.numpy())


def test_a_transposed_picture_is_shown_as_it_was():
    channels_first = run(type="Transpose", keys=["img"], order=(2, 0, 1)).state
    turned = run(type="Transpose", keys=["img"], order=(1, 0, 2)).state

    assert (channels_first.encoding.layout, turned.encoding.layout) == ("CHW", "HWC")
    np.testing.assert_array_equal(to_image(channels_first).pixels, PICTURE[..., ::-1])
    np.testing.assert_array_equal(to_image(turned).pixels, PICTURE[..., ::-1].transpose(1, 0, 2))


def test_a_test_pipeline_works_on_channels_in_opencv_s_order():
    prepare = read_test_pipeline([{"type": "Pad", "size": (100, 100), "pad_val": {"img": (255, 0, 0)}}], where="test")

    padded = prepare(Image(PICTURE)).pixels

    np.testing.assert_array_equal(padded[:60, :90], PICTURE)
    assert padded[99, 99].tolist() == [0, 0, 255]


def test_light_wraps_around():
    """`Lighting` of mmpretrain adds the noise to uint8 pictures by mmcv, as integers of 8 bits."""
    outcome = run(type="Lighting", eigval=[300.0, 50.0, 900.0], eigvec=np.eye(3).tolist(), alphastd=0.5)
    shift = np.array(outcome.params["alpha"]) * [300.0, 50.0, 900.0]

    expected = (PICTURE.astype(np.float32) + shift).astype(np.int64) % 256

    np.testing.assert_array_equal(outcome.state.pixels, expected)


def test_half_a_turn_is_a_flip_of_both_axes():
    outcome = run(type="Rotate", angle=180.0, prob=1.0, random_negative_prob=0.0)

    np.testing.assert_array_equal(outcome.state.pixels, PICTURE[::-1, ::-1])


def test_a_box_without_a_side_cuts_nothing_out():
    np.testing.assert_array_equal(run(type="Cutout", shape=0, prob=1.0).state.pixels, PICTURE)


def test_what_is_cut_out_is_grey_unless_said_otherwise():
    cut = run(type="Cutout", shape=20, prob=1.0).state.pixels

    assert {tuple(colour) for colour in cut[(cut != PICTURE).any(axis=2)].tolist()} == {(128, 128, 128)}


def test_pipelines_are_chosen_as_often_as_their_weights_say():
    settings = {"type": "RandomChoice", "transforms": [[{"type": "Invert", "prob": 1.0}], [FLIP]]}
    drawn = [run(seed=seed, **settings, prob=[0.25, 0.75]).state.pixels for seed in range(80)]

    flipped = sum(np.array_equal(pixels, PICTURE[:, ::-1]) for pixels in drawn)

    assert 50 <= flipped <= 70
    assert flipped + sum(np.array_equal(pixels, 255 - PICTURE) for pixels in drawn) == 80


def test_efficientnet_s_crop_draws_its_boxes_by_default():
    boxes = {run(seed=seed, type="EfficientNetRandomCrop", scale=20).params["box"] for seed in range(20)}

    assert len(boxes) > 10


@pytest.mark.parametrize("magnitude", [0.8, -0.7])
def test_sharpness_is_pillow_s_inside_the_border(magnitude):
    outcome = run(type="Sharpness", magnitude=magnitude, prob=1.0, random_negative_prob=0.0).state.pixels

    expected = np.asarray(ImageEnhance.Sharpness(Pillow.fromarray(PICTURE)).enhance(1 + magnitude))

    np.testing.assert_allclose(outcome[1:-1, 1:-1].astype(int), expected[1:-1, 1:-1].astype(int), atol=2)
