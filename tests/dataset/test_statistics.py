"""What a survey of a dataset says, in numbers and in words."""

from dataclasses import replace

import numpy as np

from classlens.dataset.dataset import Dataset, Sample
from classlens.dataset.decode import DAMAGED
from classlens.dataset.statistics import LISTED, survey
from classlens.errors import DataError
from classlens.image import Image


def dataset_of(pictures, labels, classes):
    def load(index):
        if pictures[index] is None:
            raise DataError(f"{index}.jpg: damaged")
        return pictures[index]

    return Dataset(
        name="toy",
        length=len(pictures),
        load=load,
        stages=(),
        to_image=Image,
        sample=lambda index: Sample(None, (labels[index],)),
        classes=classes,
    )


def flat(shade, size=(2, 4)):
    return np.full((*size, 3), shade, np.uint8)


def test_classes_and_equal_pictures_beyond_those_listed_are_counted():
    names = tuple(f"class {number}" for number in range(LISTED + 3))
    pictures = [flat(number) for number in range(LISTED + 2) for _ in range(2)]

    text = survey(
        dataset_of(pictures, [number // 2 for number in range(len(pictures))], names), range(len(pictures))
    ).text()

    assert "  and 2 more classes, the smallest 2\n" in text
    assert f"  none of class {LISTED + 2}\n" in text
    assert text.endswith("and 2 more groups of the same pixels")


def test_a_picture_that_cannot_be_read_is_bad_and_a_split_of_such_has_no_ranges():
    measured = survey(dataset_of([None, flat(7)], [0, 1], ("cat", "dog")), range(2))
    nothing = survey(dataset_of([None], [0], ("cat",)), range(1))

    assert (measured.bad, measured.per_class) == (((0, "0.jpg: damaged"),), {"cat": 1, "dog": 1})
    assert measured.ranges["aspect"] == {"min": 2.0, "median": 2.0, "max": 2.0}
    assert nothing.ranges == {"width": None, "height": None, "aspect": None}
    assert "bad: #0 0.jpg: damaged" in nothing.text()


def test_other_splits_are_said_to_be_clean_to_share_pixels_or_not_to_be_compared():
    measured = survey(dataset_of([flat(7)], [0], ("cat",)), range(1))

    text = replace(measured, in_splits={"val": (), "test": ((0, 5),), "extra": "no such folder"}).text()

    assert text.endswith("none of these pixels in val")
    assert "the same pixels in test: #0 is test #5\n" in text
    assert "not compared with extra: no such folder\n" in text


def test_a_label_by_name_is_a_number_where_the_dataset_knows_it():
    known = dataset_of([flat(7)], ["dog"], ("cat", "dog"))

    assert known.number_of(known.sample(0)) == 1
    assert known.number_of(Sample(None, ("cow",))) is None
    assert replace(known, classes=None).number_of(known.sample(0)) is None


def test_names_of_two_columns_a_letter_leave_the_numbers_in_their_column():
    lines = survey(dataset_of([flat(1), flat(2)], [0, 1], ("火车", "tram")), range(2)).text().splitlines()[1:3]

    wide, narrow = (line.index("1  #") for line in sorted(lines, key=str.isascii))
    assert wide == narrow - 2


def test_a_damaged_picture_that_decodes_is_named_with_its_file():
    dataset = dataset_of([flat(1)], [0], ("cat",))
    damaged = replace(
        dataset, sample=lambda index: Sample("a.png", (0,)), remarks=lambda state: (f"{DAMAGED}wrong checksum",)
    )

    assert "bad: #0 a.png: damaged data, shown as decoded: wrong checksum" in survey(damaged, range(1)).text()
