"""Plain functions as transforms: what they are called, and what is read off their results."""

from functools import partial

import numpy as np
import pytest
import torch

from classlens.dataset.state import State, to_image
from classlens.errors import DataError
from classlens.pipelines.lay_open import lay_open, remarks
from tests.pipelines.foreign import outcomes, photo


def turned(picture, angle=90):
    return picture.rotate(angle, expand=True)


class Brighten:
    def __init__(self, by):
        self.by = by

    def __call__(self, picture):
        return picture.point(lambda value: value + self.by)


def test_functions_objects_and_partials_have_the_names_that_their_authors_gave_them():
    names = [stage.name for stage in lay_open([turned, Brighten(3), partial(turned, angle=3), np.array, lambda x: x])]

    assert names == ["turned", "Brighten", "turned", "array", "lambda"]


def test_a_module_list_in_sequence_is_laid_open():
    sequence = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Identity())

    assert [stage.name for stage in lay_open(sequence)] == ["Identity", "Identity"]


def to_unit(picture):
    return np.asarray(picture, np.float32) / 255


def to_both_sides(picture):
    return np.asarray(picture, np.float32) / 127.5 - 1


def to_first(array):
    return torch.from_numpy(array).permute(2, 0, 1)


def standardised(array):
    mean, std = array.mean((0, 1), keepdims=True), array.std((0, 1), keepdims=True)
    return (array - mean) / std


@pytest.mark.parametrize(
    "functions",
    [[to_unit], [to_both_sides], [to_unit, to_first], [to_both_sides, to_first], [to_unit, standardised, to_first]],
)
def test_home_made_normalisations_are_recognised_by_their_effect(functions):
    *_, (_, last) = outcomes(functions)

    assert np.abs(to_image(last.state).pixels.astype(int) - np.asarray(photo())).max() <= 1


def cropped_to_both_sides(tensor):
    return (tensor[:, 10:40, 20:60] - 0.5) / 0.5


def test_values_on_both_sides_of_nothing_are_what_a_half_has_been_taken_from():
    """Where the crop in the same function hides the scale, -1..1 are left of 0..1 after mean 0.5 and std 0.5."""
    *_, (_, last) = outcomes([to_unit, to_first, cropped_to_both_sides])

    assert np.abs(to_image(last.state).pixels.astype(int) - np.asarray(photo())[10:40, 20:60]).max() <= 1


def test_what_hands_the_picture_on_leaves_its_encoding():
    *_, (_, normalised), (_, last) = outcomes([to_unit, standardised, lambda array: array])

    assert last.state.encoding == normalised.state.encoding
    assert np.abs(to_image(last.state).pixels.astype(int) - np.asarray(photo())).max() <= 1


def test_a_brighter_picture_is_not_taken_for_a_normalised_one():
    *_, (_, last) = outcomes([to_unit, lambda array: (array * 1.3).clip(0, 1)])

    assert to_image(last.state).pixels.mean() > np.asarray(photo()).mean() * 1.1


def test_samples_that_are_dicts_or_pairs_show_the_picture_in_them():
    picture = photo()

    for value in ({"label": 3, "image": picture}, (picture, 3), [{"img": picture}, 0]):
        assert (to_image(State(value)).pixels == np.asarray(picture)).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"label": 3}, "holds no picture"),
        (np.zeros((5, 7, 9)), r"shape \(5, 7, 9\) is no picture"),
        (np.zeros((0, 7, 3), np.uint8), r"shape \(0, 7, 3\) is no picture"),
        ("text", "no picture"),
    ],
)
def test_a_sample_without_a_picture_is_refused(value, message):
    with pytest.raises(DataError, match=message):
        to_image(State(value))


def test_values_that_no_picture_has_are_remarked_upon():
    wild, no_numbers, normalised = (State(np.full((4, 4, 3), one, np.float32)) for one in (300.0, np.nan, -3.0))

    assert "outside 0..255" in remarks(wild)[0]
    assert "nan..nan, outside 0..255" in remarks(no_numbers)[0]
    assert "shown stretched" in remarks(normalised)[0]
    assert remarks(State(photo())) == ()
