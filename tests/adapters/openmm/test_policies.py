"""The tables of policies against those that torchvision and timm carry."""

import pytest
from timm.data.auto_augment import LEVEL_TO_ARG
from torchvision.transforms import AutoAugment

from classlens.adapters.openmm.stages.policies import IMAGENET, INCREASING

NAMES = {"Color": "ColorTransform", "ShearX": "Shear", "TranslateX": "Translate"}
SETTINGS = {
    "Posterize": lambda level: {"bits": 8 - round(level / (9 / 4))},
    "Rotate": lambda level: {"angle": 30 / 9 * level},
    "Solarize": lambda level: {"thr": 256 / 9 * (9 - level)},
    "Shear": lambda level: {"magnitude": 0.3 / 9 * level, "direction": "horizontal"},
    **dict.fromkeys(("ColorTransform", "Contrast", "Sharpness"), lambda level: {"magnitude": 0.1 * level}),
}


@pytest.mark.parametrize(("row", "published"), [*zip(IMAGENET, AutoAugment().policies, strict=True)])
def test_a_policy_of_autoaugment_is_the_published_one(row, published):
    for ours, (name, probability, level) in zip(row, published, strict=True):
        name = NAMES.get(name, name)
        settings = {} if level is None else SETTINGS[name](level)

        assert ours == pytest.approx({"type": name, "prob": probability, **settings})


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Rotate", "Rotate"),
        ("Posterize", "PosterizeIncreasing"),
        ("Solarize", "SolarizeIncreasing"),
        ("SolarizeAdd", "SolarizeAdd"),
        ("Shear", "ShearX"),
        ("Translate", "TranslateXRel"),
    ],
)
def test_randaugment_s_operations_reach_as_far_as_timm_s(kind, name):
    ranges = {row["magnitude_range"] for row in INCREASING if row["type"] == kind}

    assert ranges == {tuple(abs(LEVEL_TO_ARG[name](level, {})[0]) for level in (0, 10))}
