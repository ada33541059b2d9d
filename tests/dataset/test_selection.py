from collections import Counter

import numpy as np
import pytest

from classlens.dataset.dataset import Dataset, Sample
from classlens.dataset.selection import check_indices, of_classes, shuffle, spread
from classlens.dataset.statistics import survey
from classlens.errors import DataError, NotFound
from classlens.image import Image


def sorted_dataset(*counts):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    names = tuple(f"class {label}" for label in range(len(counts)))
    return Dataset(
        name="toy",
        length=len(labels),
        load=lambda index: np.full((4, 4 + index % 2, 3), labels[index] * 10, np.uint8),
        stages=(),
        to_image=Image,
        sample=lambda index: Sample(None, (labels[index],)),
        classes=names,
    )


def test_a_spread_shows_every_class_before_any_comes_again():
    dataset = sorted_dataset(1000, 5, 50, 2)

    chosen = [dataset.sample(index).labels[0] for index in spread(dataset, 8, seed=0)]

    assert set(chosen[:4]) == {0, 1, 2, 3}
    assert Counter(chosen) == {0: 2, 1: 2, 2: 2, 3: 2}


def test_the_seed_decides_the_selection():
    dataset = sorted_dataset(100, 100)

    assert spread(dataset, 6, seed=1) == spread(dataset, 6, seed=1)
    assert spread(dataset, 6, seed=1) != spread(dataset, 6, seed=2)
    assert shuffle(dataset, 6, seed=1) == shuffle(dataset, 6, seed=1)


def test_a_spread_over_a_huge_dataset_looks_at_few_labels():
    asked = []
    huge = Dataset(
        "huge", 3_000_000, int, (), Image, lambda index: asked.append(index) or Sample(None, (index % 1000,))
    )

    chosen = spread(huge, 100, seed=0)

    assert len(set(chosen)) == 100
    assert len({index % 1000 for index in chosen}) == 100
    assert len(asked) <= 20_000


def test_classes_are_chosen_by_name_or_number():
    dataset = sorted_dataset(3, 2, 4)

    assert of_classes(dataset, ["class 1"]) == [3, 4]
    assert of_classes(dataset, ["1", "class 0"]) == [0, 1, 2, 3, 4]
    with pytest.raises(NotFound, match="no class named 'class 7' in toy"):
        of_classes(dataset, ["class 7"])


def test_a_sample_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="no sample 3 in toy"):
        check_indices(sorted_dataset(3), [0, 3])


def test_a_class_without_samples_is_named():
    with pytest.raises(DataError, match="no sample of toy belongs to class 1"):
        of_classes(sorted_dataset(3, 0), ["class 1"])


def test_a_survey_counts_classes_sizes_colours_and_duplicates():
    found = survey(sorted_dataset(2, 1), range(3))

    assert found.per_class == {"class 0": 2, "class 1": 1}
    assert found.sizes == {(4, 4): 2, (4, 5): 1}
    assert found.duplicates == ()
    assert found.mean == pytest.approx([10 * 16 / (16 + 20 + 16)] * 3)
    assert survey(sorted_dataset(3), range(3)).duplicates == ((0, 2),)
