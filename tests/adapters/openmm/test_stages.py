from random import Random

import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.adapters.openmm.stages.build_stages import build_stages, read_test_pipeline, transform
from classlens.dataset.dataset import Dataset
from classlens.dataset.rng import generator
from classlens.dataset.state import BGR, State, to_image
from classlens.dataset.trace import trace
from classlens.errors import ConfigError
from classlens.image import Image

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def stage(**settings):
    (built,) = build_stages([settings], where="train pipeline")
    return built


def drawn_often(times=400, picture=PICTURE, **settings):
    record = transform(settings, "test")
    return [record.sample_params(picture, generator(0, number, 0)) for number in range(times)]


def run(picture=PICTURE, seed=0, **settings):
    return stage(**settings).apply(State(picture, BGR), generator(seed, 0, 0))


EVERY_TYPE = [
    {"type": "Resize", "scale": 32},
    {"type": "ResizeEdge", "scale": 32},
    {"type": "CenterCrop", "crop_size": 32},
    {"type": "EfficientNetCenterCrop", "crop_size": 32},
    {"type": "Pad", "size": (100, 100)},
    {"type": "RandomFlip", "prob": 0.5},
    {"type": "RandomCrop", "crop_size": 32},
    {"type": "RandomResizedCrop", "scale": 32},
    {"type": "EfficientNetRandomCrop", "scale": 32},
    {"type": "MAERandomResizedCrop", "size": 32},
    {"type": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.5},
    {"type": "ColorJitter", "brightness": 0.4, "hue": 0.5, "backend": "cv2"},
    {"type": "Lighting", "eigval": [55.0, 4.8, 1.1], "eigvec": np.eye(3).tolist()},
    {"type": "RandomGrayscale", "prob": 0.5},
    {"type": "RandomErasing", "erase_prob": 0.9, "mode": "rand", "fill_std": 20},
    {"type": "RandAugment", "policies": "timm_increasing", "num_policies": 3, "magnitude_level": 9},
    {"type": "AutoAugment", "policies": "imagenet"},
    {"type": "GaussianBlur", "radius": 1.5, "prob": 0.9},
    {"type": "Cutout", "magnitude_range": (0, 40), "prob": 0.9},
    {"type": "Normalize", "mean": [1, 2, 3], "std": [4, 5, 6]},
    {"type": "RandomApply", "transforms": [{"type": "RandomFlip", "prob": 1.0}], "prob": 0.5},
    {"type": "RandomChoice", "transforms": [[{"type": "RandomFlip", "prob": 1.0}], [{"type": "Invert", "prob": 1.0}]]},
    {"type": "MultiView", "transforms": [[{"type": "RandomResizedCrop", "scale": 20}]], "num_views": [2]},
    {"type": "Compose", "transforms": [{"type": "RandomFlip", "prob": 1.0}, {"type": "Invert", "prob": 1.0}]},
    {"type": "SimMIMMaskGenerator"},
    {"type": "BEiTMaskGenerator", "input_size": (14, 14), "num_masking_patches": 75, "min_num_patches": 16},
    {"type": "RandomResize", "scale": (40, 30), "ratio_range": (0.5, 2.0)},
    {"type": "RandomChoiceResize", "scales": [(40, 30), (20, 20)]},
    {"type": "RandomTranslatePad", "size": 320, "aug_translate": True},
    {"type": "Transpose", "keys": ["img"], "order": (2, 0, 1)},
]


@pytest.mark.parametrize("settings", EVERY_TYPE, ids=lambda settings: settings["type"])
def test_a_stage_repeats_itself_and_leaves_its_input_alone(settings):
    before = PICTURE.copy()

    first, second = run(**settings), run(**settings)

    np.testing.assert_array_equal(to_image(first.state).pixels, to_image(second.state).pixels)
    np.testing.assert_array_equal(PICTURE, before)
    assert first.params.keys() == second.params.keys()


@pytest.mark.parametrize("settings", EVERY_TYPE, ids=lambda settings: settings["type"])
@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (28, 28)])
def test_a_stage_takes_pictures_of_any_shape(settings, size):
    picture = np.full((*size, 3), 100, np.uint8)

    shown = to_image(run(picture, **settings).state)

    assert shown.pixels.dtype == np.uint8


def test_packing_and_loading_are_no_stages_of_their_own():
    keyed = [{"type": name, "keys": ["img"]} for name in ("Collect", "ToTensor", "ImageToTensor")]
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "PackInputs"}, *keyed]

    assert build_stages(pipeline, where="train") == ()


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"type": "RandomFlap"}, "stage 1: no transform named 'RandomFlap'", "RandomFlip"),
        ({"type": "RandomFlip", "probb": 1}, "RandomFlip has no setting 'probb'", "prob"),
        ({"type": "RandomFlip"}, "RandomFlip needs the setting 'prob'", ""),
        ({"type": "RandomFlip", "prob": 2.0}, r"must lie in \[0, 1\]", ""),
        ({"type": "RandomFlip", "prob": 0.5, "direction": "up"}, "direction is one of", ""),
        ({"type": "Resize", "scale": 0}, "scale must be above 0", ""),
        ({"type": "Resize", "scale": 9, "backend": "PIL"}, "backend is one of cv2, pillow", ""),
        ({"type": "Resize", "scale": 9, "interpolation": "bicubik"}, "cv2 has no interpolation 'bicubik'", ""),
        ({"type": "Resize", "scale": 9, "interpolation": "area", "backend": "pillow"}, "pillow has no", ""),
        (
            {"type": "RandAugment", "policies": "timm", "num_policies": 1, "magnitude_level": 1},
            "policies is a list of dicts with a type, or one of timm_increasing",
            "",
        ),
        ({"type": "RandAugment", "policies": "timm_increasing"}, "needs the setting 'num_policies'", ""),
        ({"type": "AutoAugment", "policies": [[{"type": "Rotat"}]]}, "no operation named 'Rotat'", "Rotate"),
        ({"type": "Rotate", "prob": 1.0}, "one of angle and magnitude_range", ""),
        ({"type": "Shear", "magnitude": 1, "direction": "up"}, "direction is one of horizontal, vertical", ""),
        ({"type": "RandomChoice", "transforms": [[]], "prob": [0.5]}, "RandomChoice: prob are floats", ""),
        ({"type": "RandomApply"}, "needs the setting 'transforms'", ""),
        ({"type": "Normalize", "mean": [0, 0], "std": [1, 1]}, "three numbers", ""),
        ({"type": "Posterize", "bits": 100}, "Posterize: bits is at most 8, not 100", ""),
        ({"type": "RandomResizedCrop", "scale": 8, "max_attempts": -1}, "max_attempts is a whole number", ""),
        ({"type": "EfficientNetRandomCrop", "scale": 8, "min_covered": -1}, "min_covered", ""),
        ({"type": "EfficientNetCenterCrop", "crop_size": 8, "crop_padding": -1}, "crop_padding", ""),
        ({"type": "SolarizeAdd", "magnitude": 1, "thr": "hi"}, "thr is a number, not 'hi'", ""),
        ({"type": "Solarize", "thr": 1, "random_negative_prob": 0.5}, "has no setting 'random_negative_prob'", ""),
        ({"type": "RandomFlip", "prob": 1}, "prob is a float or a list of them.* not 1", ""),
        ({"type": "RandomChoice", "transforms": [[], [], []], "prob": [0.7, 0.2, 0.2]}, "exactly 1 .* as 1 minus", ""),
        ({"type": "PackInputs", "input_keys": "img"}, "PackInputs has no setting 'input_keys'", "input_key"),
        ({"type": "SimMIMMaskGenerator", "input_size": 100}, "no multiple of mask_patch_size", ""),
        ({"type": "BEiTMaskGenerator", "input_size": 8, "num_masking_patches": 60}, "wait for ever", ""),
        (
            {"type": "RandAugment", "policies": [3], "num_policies": 1, "magnitude_level": 1},
            "policies is a list of dicts",
            "",
        ),
        ({"type": "MyTransform"}, "no transform named 'MyTransform'", "--trust-config"),
        ("Resize", "stage 1 is not a dict with a type", ""),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named_with_its_stage_before_any_picture_is_read(settings, message, hint):
    with pytest.raises(ConfigError, match=message) as caught:
        build_stages([settings], where="train pipeline")

    assert str(caught.value).startswith("train pipeline: stage 1")
    assert hint in caught.value.hint


def test_flips_come_as_often_as_their_probabilities_say():
    flips = [
        sample_params["flip"]
        for sample_params in drawn_often(type="RandomFlip", prob=[0.3, 0.5], direction=["horizontal", "vertical"])
    ]

    assert flips.count("horizontal") == pytest.approx(120, abs=35)
    assert flips.count("vertical") == pytest.approx(200, abs=35)


def test_crop_boxes_lie_inside_the_picture_and_within_the_ratios():
    draws = drawn_often(type="RandomResizedCrop", scale=32, crop_ratio_range=(0.2, 0.5), aspect_ratio_range=(0.5, 2.0))

    for sample_params in draws:
        x, y, width, height = sample_params["box"]
        assert 0 <= x <= 90 - width
        assert 0 <= y <= 60 - height
        assert 0.18 < width * height / 5400 < 0.52
        assert 0.47 < width / height < 2.1


def test_a_picture_without_room_for_a_crop_is_cut_at_the_centre():
    (sample_params,) = drawn_often(1, np.zeros((10, 500, 3), np.uint8), type="RandomResizedCrop", scale=8)

    assert sample_params["box"] == (243, 0, 13, 10)


def test_erased_boxes_and_jitter_factors_keep_to_their_ranges():
    boxes = [
        sample_params["erase"]
        for sample_params in drawn_often(type="RandomErasing", erase_prob=1.0, max_area_ratio=0.2)
    ]
    factors = drawn_often(type="ColorJitter", brightness=0.4, contrast=(0.5, 0.6), hue=0.1)

    assert all(x + width <= 90 and y + height <= 60 and width * height <= 0.23 * 5400 for x, y, width, height in boxes)
    assert all(
        0.6 <= sample_params["brightness"] <= 1.4 and 0.5 <= sample_params["contrast"] <= 0.6
        for sample_params in factors
    )
    assert all(-0.1 <= sample_params["hue"] <= 0.1 and "saturation" not in sample_params for sample_params in factors)
    assert len({tuple(sample_params) for sample_params in factors}) == 6


def test_a_chosen_operation_is_told_with_its_amount():
    settings = {"type": "RandAugment", "num_policies": 1, "magnitude_level": 5}
    policies = [{"type": "Rotate", "magnitude_range": (0, 30), "prob": 1.0}]

    outcome = run(policies=policies, **settings)

    assert abs(outcome.params["1 Rotate"]["angle"]) == 15


@pytest.mark.parametrize("std", [0.0, 0.5, "inf"])
def test_magnitude_levels_follow_their_noise(std):
    settings = {
        "type": "Solarize",
        "magnitude_range": (256, 0),
        "magnitude_level": 9,
        "magnitude_std": std,
        "prob": 1.0,
    }

    thresholds = [sample_params["thr"] for sample_params in drawn_often(**settings)]

    assert all(0 <= threshold <= 256 for threshold in thresholds)
    assert len(set(thresholds)) == 1 if std == 0.0 else len(set(thresholds)) > 100


def test_normalised_pictures_look_as_before():
    outcome = run(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)

    assert outcome.state.value.dtype == np.float32
    np.testing.assert_array_equal(to_image(outcome.state).pixels, PICTURE[..., ::-1])


def test_a_grey_picture_is_normalised_by_one_number():
    outcome = run(PICTURE[..., 0], type="Normalize", mean=[33.46], std=[78.87], to_rgb=True)

    assert outcome.state.value.ndim == 2
    np.testing.assert_array_equal(to_image(outcome.state).pixels, np.repeat(PICTURE[..., :1], 3, axis=2))


def test_nested_stages_tell_what_they_drew():
    flip = {"type": "RandomFlip", "prob": 1.0}

    applied = run(type="RandomApply", transforms=flip, prob=1.0)
    skipped = run(type="RandomApply", transforms=flip, prob=0.0)

    assert applied.params == {"applied": "yes", "1 RandomFlip": {"flip": "horizontal"}}
    assert skipped.state.value is PICTURE
    assert skipped.note == "not drawn"


def test_views_are_drawn_apart_and_shown_side_by_side():
    outcome = run(type="MultiView", transforms=[[{"type": "RandomResizedCrop", "scale": 20}]], num_views=[3])

    boxes = [str(params) for params in outcome.params.values()]
    assert len(set(boxes)) == 3
    assert to_image(outcome.state).size == (20, 68)


def test_key_mapper_runs_what_is_inside_unless_the_picture_is_not_mapped_back():
    flip = [{"type": "RandomFlip", "prob": 1.0}]

    mapped = run(type="KeyMapper", transforms=flip, mapping={"img": "img"}, auto_remap=True)
    dropped = run(type="KeyMapper", transforms=flip, remapping={"label": "gt_label"})

    assert mapped.params == {"1 RandomFlip": {"flip": "horizontal"}}
    assert np.array_equal(mapped.state.value, PICTURE[:, ::-1])
    assert dropped.state.value is PICTURE


def test_a_broadcaster_runs_once_for_each_picture_and_may_share_what_is_drawn():
    crop = {"transforms": [{"type": "RandomResizedCrop", "scale": 20}], "mapping": {"img": ["img", "img"]}}

    shared = run(type="TransformBroadcaster", **crop, auto_remap=False, share_random_params=True)
    apart = run(type="TransformBroadcaster", **crop, auto_remap=False)
    last = run(type="TransformBroadcaster", **crop)

    assert np.array_equal(*(view.value for view in shared.state.views))
    assert apart.params["picture 1"] != apart.params["picture 2"]
    assert not last.state.views


@pytest.mark.parametrize("mapping", [{"img": "lq"}, {"x": "img"}])
def test_a_key_mapper_of_other_pictures_is_refused(mapping):
    with pytest.raises(ConfigError, match="keeps its name"):
        run(type="KeyMapper", transforms=[], mapping=mapping)


def test_a_test_pipeline_refuses_chance():
    with pytest.raises(ConfigError, match="RandomFlip is a random stage"):
        read_test_pipeline([{"type": "RandomFlip", "prob": 0.5}], where="test pipeline")


def test_a_test_pipeline_leaves_normalising_and_packing_to_others():
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "ResizeEdge", "scale": 30},
        {"type": "CenterCrop", "crop_size": 30},
        {"type": "Normalize", "mean": [0, 0, 0], "std": [1, 1, 1]},
        {"type": "Collect", "keys": ["img"]},
    ]

    fed = read_test_pipeline(pipeline, where="test pipeline")(Image(PICTURE))

    assert fed.size == (30, 30)
    assert fed.pixels.dtype == np.uint8


ALBUMENTATIONS = [
    [{"type": "HorizontalFlip", "p": 1.0}, {"type": "Rotate", "limit": 30, "p": 1.0}],
    [{"type": "RandomBrightnessContrast", "p": 1.0}, {"type": "GaussianBlur", "p": 1.0}],
    [{"type": "OneOf", "transforms": [{"type": "Blur"}, {"type": "HueSaturationValue"}], "p": 1.0}],
    [{"type": "CoarseDropout", "p": 1.0}, {"type": "RandomResizedCrop", "size": [24, 32], "p": 1.0}],
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rows", ALBUMENTATIONS, ids=lambda rows: rows[0]["type"])
@pytest.mark.parametrize("seed", [0, 7])
def test_albumentations_makes_the_packages_own_pixels(rows, seed):
    """As mmpretrain does, the picture is handed over as it is, in BGR."""
    package = pytest.importorskip("albumentations")

    def made(row):
        inner = {"transforms": [made(one) for one in row["transforms"]]} if "transforms" in row else {}
        given = {key: value for key, value in row.items() if key != "type"}
        return getattr(package, row["type"])(**{**given, **inner})

    composed, chance = package.Compose([made(row) for row in rows]), generator(seed, 0, 0)
    composed.set_random_state(py_random=Random(int(chance.integers(2**63))), random_generator=chance)

    outcome = run(seed=seed, type="Albumentations", transforms=rows)

    np.testing.assert_array_equal(outcome.state.value, composed(image=PICTURE)["image"])


def test_albumentations_repeats_itself_and_tells_what_it_applied():
    pytest.importorskip("albumentations")
    flip = {"type": "HorizontalFlip", "p": 1.0}
    either = {"type": "OneOf", "transforms": [{"type": "Blur"}, {"type": "RandomBrightnessContrast"}], "p": 1.0}

    outcomes = [run(seed=seed, type="Albu", transforms=[flip, either]) for seed in (0, 0, 1, 2, 3)]

    np.testing.assert_array_equal(outcomes[0].state.value, outcomes[1].state.value)
    assert len({outcome.state.value.tobytes() for outcome in outcomes}) > 1
    assert all("1 HorizontalFlip" in outcome.params and len(outcome.params) == 2 for outcome in outcomes)
    with pytest.raises(ConfigError, match="albumentations has no transform named 'Flop'"):
        stage(type="Albu", transforms=[{"type": "Flop"}])


@pytest.mark.parametrize("seed", range(4))
def test_every_transform_of_a_composition_says_what_it_drew(seed):
    """The told boxes and holes, cut and filled by hand, give the picture."""
    pytest.importorskip("albumentations")
    crops = [{"type": "RandomCrop", "height": side, "width": side + 4, "p": 1.0} for side in (50, 30)]
    hole = {"type": "CoarseDropout", "num_holes_range": [1, 2], "fill": 7, "p": 1.0}

    params = (outcome := run(seed=seed, type="Albumentations", transforms=[*crops, hole])).params

    expected = PICTURE
    for left, top, width, height in (params["1 RandomCrop"]["box"], params["2 RandomCrop"]["box"]):
        expected = expected[top : top + height, left : left + width]
    expected = expected.copy()
    holes = params["3 CoarseDropout"]["erase"]
    for left, top, width, height in [holes] if isinstance(holes[0], int) else holes:
        expected[top : top + height, left : left + width] = 7
    np.testing.assert_array_equal(outcome.state.value, expected)


def test_transforms_of_one_composition_draw_apart():
    """In training they share one stream; one seed for each of them would make two equal dice fall alike."""
    pytest.importorskip("albumentations")
    flips = [{"type": "HorizontalFlip"}, {"type": "HorizontalFlip"}]

    params = [run(seed=seed, type="Albu", transforms=flips).params for seed in range(200)]

    assert sum(len(one) == 1 for one in params) == pytest.approx(100, abs=25)


def test_a_picture_that_albumentations_normalises_is_shown_as_it_was():
    pytest.importorskip("albumentations")
    rows = [{"type": "RandomCrop", "height": 40, "width": 30, "p": 1.0}, {"type": "Normalize"}, {"type": "ToTensorV2"}]

    outcome = run(type="Albu", transforms=rows)

    left, top, width, height = outcome.params["1 RandomCrop"]["box"]
    expected = PICTURE[top : top + height, left : left + width, ::-1]
    np.testing.assert_array_equal(to_image(outcome.state).pixels, expected)


def test_what_torchvision_draws_in_a_config_is_said_and_replays():
    """torchvision's own functions, called with what is said, give the picture."""
    functional = pytest.importorskip("torchvision.transforms.functional")
    crop = {"type": "torchvision/RandomResizedCrop", "size": 24}
    jitter = {"type": "torchvision/ColorJitter", "brightness": 0.4, "hue": 0.1}
    flip = {"type": "torchvision/RandomHorizontalFlip", "p": 1.0}
    pipeline = [{"type": "ToPIL", "to_rgb": True}, crop, jitter, flip]
    dataset = Dataset("toy", 1, lambda _: State(PICTURE, BGR), build_stages(pipeline, where="train"), to_image)

    _, pillow, cropped, changed, flipped = trace(dataset, 0, seed=3).snapshots

    left, top, width, height = cropped.params["box"]
    expected = functional.resized_crop(Pillow.fromarray(pillow.image.pixels), top, left, height, width, [24, 24])
    np.testing.assert_array_equal(cropped.image.pixels, np.asarray(expected))
    for name, factor in changed.params.items():
        expected = getattr(functional, f"adjust_{name}")(expected, factor)
    assert np.abs(changed.image.pixels.astype(int) - np.asarray(expected)).max() <= 1
    assert flipped.params == {} or flipped.params["flip"] == "horizontal"


@pytest.mark.parametrize("name", ["hamming", "nearest-exact", "cubic"])
def test_an_interpolation_that_upstream_does_not_know_for_torchvision_is_refused(name):
    pytest.importorskip("torchvision")

    with pytest.raises(ConfigError, match=f"torchvision/Resize: no interpolation '{name}'"):
        stage(type="torchvision/Resize", size=8, interpolation=name)


def test_five_crops_are_shown_as_views_and_dicts_inside_torchvision_are_refused():
    pytest.importorskip("torchvision")
    state = State(PICTURE, BGR)

    for built in build_stages([{"type": "ToPIL"}, {"type": "torchvision/FiveCrop", "size": 20}], where="train"):
        state = built.apply(state, generator(0, 0, 0)).state

    assert len(state.value) == 5
    assert to_image(state).size == (20, 5 * 20 + 4 * 4)
    with pytest.raises(ConfigError, match="torchvision/RandomApply takes transforms, not dicts") as caught:
        stage(type="torchvision/RandomApply", transforms=[{"type": "ColorJitter"}])
    assert "RandomApply without torchvision/" in caught.value.hint


def test_torchvision_stages_work_on_pillow_pictures():
    pytest.importorskip("torchvision")
    pipeline = [
        {"type": "ToPIL", "to_rgb": True},
        {"type": "torchvision/CenterCrop", "size": 40},
        {"type": "RandomFlip", "prob": 0.0},
        {"type": "ToNumpy", "to_bgr": True},
    ]
    state = State(PICTURE, BGR)

    for built in build_stages(pipeline, where="train"):
        state = built.apply(state, generator(0, 0, 0)).state

    np.testing.assert_array_equal(to_image(state).pixels, PICTURE[10:50, 25:65, ::-1])


def test_types_with_a_scope_or_a_module_are_the_same_types():
    pipeline = [
        {"type": "mmpretrain.datasets.LoadImageFromFile"},
        {"type": "mmcls.RandomFlip", "prob": 0.5},
        {
            "type": "mmpretrain.RandAugment",
            "policies": [{"type": "mmcls.Invert"}],
            "num_policies": 1,
            "magnitude_level": 1,
        },
        {"type": "mmpretrain.PackInputs"},
    ]

    assert [stage.name for stage in build_stages(pipeline, where="train")] == ["RandomFlip", "RandAugment"]
