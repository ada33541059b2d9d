import numpy as np
import pytest

from classlens.audit.subject import match_labels
from classlens.cam.forward import Output
from classlens.dataset.dataset import Dataset
from classlens.image import Image


def dataset(*classes):
    return Dataset(
        "made", 1, lambda index: Image(np.zeros((2, 2, 3), np.uint8)), (), lambda state: state, classes=classes
    )


NETWORK = Output("softmax", names=("tench, Tinca tinca", "goldfish", "tiger cat", "tabby, tabby cat"), count=4)


def test_classes_are_matched_by_name_and_by_synonym():
    labels, notes = match_labels(dataset("tabby cat", "gold_fish", "dog"), NETWORK)

    assert labels == {0: 3, 1: 1}
    assert notes == (
        "1 of 3 classes of the pictures are none of the network's: dog; their pictures count as unlabelled",
    )


@pytest.mark.parametrize("names", [NETWORK.names, ("n01", "n02", "n03", "n04"), ("tench", "goldfish", "cat", "tabby")])
def test_as_many_classes_in_the_same_order_are_the_same(names):
    assert match_labels(dataset(*names), NETWORK) == (None, ())


def test_as_many_classes_in_another_order_go_by_name():
    labels, notes = match_labels(dataset("goldfish", "tench", "tabby", "tiger cat"), NETWORK)

    assert (labels, notes) == ({0: 1, 1: 0, 2: 3, 3: 2}, ())
