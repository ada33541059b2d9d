from dataclasses import replace

import numpy as np
import pytest
from torch import nn

import classlens
from classlens.audit.fed import Fed, prepare_here
from classlens.audit.rows import read_rows
from classlens.audit.subject import match_labels, open_subject
from classlens.cam.forward import Output
from classlens.dataset.dataset import Dataset
from classlens.errors import DataError, NotOffered
from classlens.image import Image
from tests.audit.tiny_setup import write_network, write_pictures


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


def test_the_usual_size_is_that_of_the_pictures_as_fed(tmp_path):
    """A network of any size on small pictures: they go through it in batches, not one by one."""
    network = classlens.open_source(write_network(tmp_path)).classifier()
    pictures = classlens.open_source(write_pictures(tmp_path / "photos", 6, bad=(0,), other_size=(1, 2, 3, 4, 5)))

    subject = open_subject(pictures.dataset("val"), network)

    assert (network.size, subject.classifier.size) == ((16, 16), (20, 20))


def test_pictures_that_are_lacking_are_an_error(tmp_path):
    network = classlens.open_source(write_network(tmp_path))
    nothing = classlens.Source("empty", lambda split: replace(dataset("blue"), length=0))

    with pytest.raises(NotOffered, match="has no pictures"):
        classlens.audit(network, tmp_path / "out")
    with pytest.raises(DataError, match="the dataset made has no samples"):
        classlens.audit(network, tmp_path / "out", pictures=nothing)


def test_a_picture_that_another_process_read_may_still_be_bad():
    def prepare(image):
        raise ValueError("too small\nto be fed")

    read = Fed(3, Image(np.zeros((2, 2, 3), np.uint8)), "3.png", 1)

    assert vars(prepare_here(read, prepare)) == vars(Fed(3, None, "3.png", error="too small"))
    assert prepare_here(replace(read, image=None), prepare).image is None


class Contrast(nn.Module):
    """Scores of a picture brought to unit contrast, which one of a single colour does not have."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 2)

    def forward(self, batch):
        flat = batch.flatten(1)
        return self.head((flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True))


def test_a_picture_whose_scores_are_no_numbers_is_one_bad_row(tmp_path):
    pictures, module = np.random.default_rng(0).integers(0, 255, (6, 2, 2, 3), np.uint8), Contrast().eval()
    pictures[4] = 7
    classifier = classlens.Classifier("contrast", module, module, classlens.Encoding("RGB", "CHW", 1.0), (2, 2))
    photos = replace(dataset(), length=6, load=lambda index: Image(pictures[index]))
    source, steps = classlens.Source("made", lambda split: photos, open_classifier=lambda checkpoint: classifier), []

    result = classlens.audit(
        source,
        tmp_path,
        options=classlens.AuditOptions(methods=[], batch_size=3),
        progress=lambda *step: steps.append(step),
    )

    (bad,) = read_rows(result.folder, ["error"], bad=True)
    assert bad["index"].tolist() == [4]
    assert "not finite" in bad["error"][0]
    assert result.summary.good == 5
    assert steps[-1] == ("pictures", 6, 6)
