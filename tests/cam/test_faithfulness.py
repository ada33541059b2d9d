from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from torch import nn

from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.faithfulness import (
    BETTER,
    Faithfulness,
    box_as_fed,
    evaluate,
    evaluations,
    fill_in,
    mean,
    pointing_and_energy,
)
from classlens.cam.saliency import ExplainedClass, Heatmap, Saliency
from classlens.image import Image
from tests.cam.conftest import ESPRESSO, classifier_of

SIDE = 32


class Corner(nn.Module):
    """Class 0 if the upper left quarter is bright, else class 1: the one map that is true is known."""

    def __init__(self):
        super().__init__()
        self.seen = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.ones_(self.seen.weight)

    def forward(self, batch):
        bright = self.seen(batch)[:, 0, : SIDE // 2, : SIDE // 2].mean((1, 2))
        return torch.stack([4 * bright, torch.full_like(bright, 2)], dim=1)


def told(rows: slice, columns: slice) -> Saliency:
    pixels = np.full((SIDE, SIDE, 3), 30, np.uint8)
    pixels[: SIDE // 2, : SIDE // 2] = 230
    image = Image(pixels)
    values = np.random.default_rng(0).random((1, SIDE, SIDE), dtype=np.float32) / 100
    values[0, rows, columns] += 1
    return Saliency(image, values, "GradCAM", "seen", ExplainedClass(0, 1.0, 0.9, "corner"))


HALF, REST = slice(0, SIDE // 2), slice(SIDE // 2, SIDE)


def test_a_true_map_beats_the_baselines_and_a_false_one_does_not():
    classifier = classifier_of(Corner(), size=(SIDE, SIDE))

    true, false = evaluate(classifier, told(HALF, HALF)), evaluate(classifier, told(REST, REST))

    for name, good in BETTER.items():
        if name in ("pointing", "energy", "increase", "insertion"):
            continue
        sign = 1 if good == "higher" else -1
        assert sign * getattr(true.own, name) > sign * getattr(false.own, name), name
    assert true.own.deletion < min(true.random.deletion, false.own.deletion)
    assert true.own.drop == pytest.approx(0, abs=1)


def test_the_areas_are_those_of_a_switch_thrown_at_a_quarter():
    """The probability falls only while the quarter goes: linear in the logit, then it stays low."""
    result = evaluate(classifier_of(Corner(), size=(SIDE, SIDE)), told(HALF, HALF)).own

    logit = 4 * 3 * 230 / 255
    share = np.linspace(0, 1, 51)
    left = np.clip(1 - share * 4, 0, 1)
    expected = 1 / (1 + np.exp(2 - logit * left))
    assert result.deletion == pytest.approx(trapezoid(expected, share), abs=0.01)


def test_a_uniform_map_says_nothing_about_filled_in_pixels():
    assert evaluate(classifier_of(Corner(), size=(SIDE, SIDE)), told(HALF, HALF)).uniform.road == 0


def test_boxes_are_judged_by_the_hottest_pixel_and_by_the_share_inside():
    values = np.zeros((4, 6), np.float32)
    values[1, 4], values[3, 0] = 1, 0.25

    assert pointing_and_energy(Heatmap(values), (4, 1, 6, 2)) == (1, pytest.approx(0.8))
    assert pointing_and_energy(Heatmap(np.ones((4, 6), np.float32)), (0, 0, 3, 4))[0] == 0.5
    assert not pointing_and_energy(Heatmap(values), (0, 1, 4, 4))[0]
    assert pointing_and_energy(Heatmap(np.zeros((4, 6), np.float32)), (0, 0, 1, 1))[1] == 0


def test_a_box_outside_the_picture_is_refused():
    with pytest.raises(ValueError, match="does not lie in a picture of 32 x 32"):
        evaluate(classifier_of(Corner(), size=(SIDE, SIDE)), told(HALF, HALF), box=(0, 0, 33, 4))


def test_a_map_about_no_class_is_refused(pooled, noise):
    with pytest.raises(ValueError, match="name a target"):
        evaluate(pooled, explain(pooled, noise, methods="EigenCAM", layers="1")[0])


def test_a_trained_network_s_map_beats_the_baselines_by_every_measure(trained, cat_and_cup):
    smaller = replace(trained, size=(128, 128))
    found = explain(smaller, cat_and_cup, targets=ESPRESSO, options=ExplainOptions(whole=True))[0]

    result = evaluate(smaller, found, box=(128, 0, 256, 128))

    assert result.own.deletion < min(result.uniform.deletion, result.random.deletion)
    assert result.own.insertion > max(result.uniform.insertion, result.random.insertion)
    assert result.own.road > max(result.uniform.road, result.random.road)
    assert result.own.pointing
    assert result.own.energy > 0.8 > 0.6 > result.random.energy
    assert asdict(result.own).keys() == Faithfulness.__dataclass_fields__.keys() == BETTER.keys()


def test_missing_pixels_take_the_weighted_mean_of_their_neighbours():
    picture = np.random.default_rng(0).random((3, 9, 9), dtype=np.float32)
    missing = np.zeros((9, 9), bool)
    missing[4, 4] = missing[0, 0] = True

    found = fill_in(picture, missing)

    sides = picture[:, [3, 5, 4, 4], [4, 4, 3, 5]].sum(1) / 6
    corners = picture[:, [3, 3, 5, 5], [3, 5, 3, 5]].sum(1) / 12
    np.testing.assert_allclose(found[:, 4, 4], sides + corners, atol=1e-4)
    edge = (picture[:, 0, 1] / 6 + picture[:, 1, 0] / 6 + picture[:, 1, 1] / 12) / (5 / 12)
    np.testing.assert_allclose(found[:, 0, 0], edge, atol=1e-4)
    assert np.array_equal(found[:, ~missing], picture[:, ~missing])


def test_a_large_gap_in_a_ramp_is_filled_with_the_ramp():
    ramp = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (3, 40, 1))
    missing = np.zeros((40, 40), bool)
    missing[5:35, 5:35] = True

    np.testing.assert_allclose(fill_in(ramp, missing), ramp, atol=2e-3)


def test_baselines_are_scored_once_for_all_maps_of_a_picture():
    classifier = classifier_of(Corner(), size=(SIDE, SIDE))
    true, false = told(HALF, HALF), told(REST, REST)
    runs = []
    classifier.module.register_forward_hook(lambda *_: runs.append(1))

    one = evaluate(classifier, true)
    alone = len(runs)
    both = list(evaluations(classifier, [true, false]))

    assert both[0] == one
    assert both[1].random == one.random
    assert len(runs) - alone < 1.5 * alone


def test_maps_of_two_classes_are_not_evaluated_together():
    other = replace(told(HALF, HALF), subject=ExplainedClass(1, 1.0, 0.1, "rest"))
    with pytest.raises(ValueError, match="one picture and one class"):
        list(evaluations(classifier_of(Corner(), size=(SIDE, SIDE)), [told(HALF, HALF), other]))


def test_of_a_contrast_the_two_classes_compete_alone():
    """With two classes there is no third: the contrast's probabilities are those of the class."""
    classifier = classifier_of(Corner(), size=(SIDE, SIDE))
    plain = told(HALF, HALF)
    contrast = replace(plain, subject=ExplainedClass(0, 1.0, 0.9, "corner - rest", 1, 0.1))

    one, other = evaluate(classifier, plain).own, evaluate(classifier, contrast).own

    assert (other.deletion, other.insertion, other.drop) == (one.deletion, one.insertion, one.drop)
    assert other.road == pytest.approx(one.road)  # the rival's logit never changes


def test_an_empty_map_points_nowhere():
    empty = Heatmap(np.zeros((4, 6), np.float32))

    assert empty.hottest is None
    assert not pointing_and_energy(empty, (0, 0, 6, 4))[0]
    assert repr(empty) == "<Heatmap 6 x 4: empty>"


def test_means_over_pictures_are_the_average_drop_and_the_shares_that_rose_and_hit():
    scores = [
        Faithfulness(0.1, 0.9, 10.0, False, 2.0, 1.0, 0.5),
        Faithfulness(0.3, 0.7, 30.0, True, 4.0),
    ]

    found = mean(scores)

    assert found == pytest.approx(
        {"deletion": 0.2, "insertion": 0.8, "drop": 20, "increase": 0.5, "road": 3, "pointing": 1, "energy": 0.5}
    )


@pytest.mark.parametrize("turned", [False, True], ids=["as it is", "mirrored"])
def test_a_box_follows_the_picture_through_any_pipeline(turned):
    def feed(image: Image) -> Image:
        pixels = image.pixels[::2, ::2, :][2:18]
        return Image(np.ascontiguousarray(pixels[:, ::-1] if turned else pixels))

    found = box_as_fed(feed, (40, 60), (10, 8, 30, 20))

    assert found == ((15, 2, 25, 8) if turned else (5, 2, 15, 8))
    assert box_as_fed(feed, (40, 60), (0, 38, 9, 40)) is None


def test_of_a_picture_without_gaps_nothing_is_filled_in():
    picture = np.random.default_rng(0).random((3, 4, 4), np.float32)

    assert np.array_equal(fill_in(picture, np.zeros((4, 4), bool)), picture)
