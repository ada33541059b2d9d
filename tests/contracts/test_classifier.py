"""What holds for the classifier of every adapter."""

import numpy as np
import pytest
import torch

import classlens
from classlens.image import Image
from tests.contracts.openings import ROOT, offering

pytestmark = pytest.mark.parametrize("source", offering("classifier"), indirect=True)


@pytest.fixture
def picture():
    return classlens.read_image(ROOT / "demo" / "photos" / "chelsea.png")


def batch_of(classifier, picture):
    return torch.from_numpy(classifier.encoding.encode(classifier.prepare(picture)))[None]


def test_a_prepared_picture_has_the_size_that_the_record_says(source, picture):
    classifier = source.classifier()

    assert classifier.prepare(picture).size == classifier.size
    assert classifier.encoding.layout == "CHW"


def test_pictures_smaller_and_longer_than_expected_are_prepared_too(source):
    classifier = source.classifier()

    for height, width in ((31, 57), (400, 90)):
        assert classifier.prepare(Image(np.zeros((height, width, 3), np.uint8))).size == classifier.size


def test_there_is_one_score_per_class_and_one_name_per_score(source, picture):
    classifier = source.classifier()

    with torch.no_grad():
        logits = classifier.logits(torch.cat([batch_of(classifier, picture)] * 2))

    assert logits.ndim == 2
    assert len(logits) == 2
    assert classifier.classes is None or len(classifier.classes) == logits.shape[1]
    assert torch.isfinite(logits).all()


def test_building_it_twice_from_the_same_weights_gives_the_same_scores(source, picture):
    if source.origin.startswith(("timm", "torchvision", "py")):
        pytest.skip("untrained: the weights are drawn anew")

    with torch.no_grad():
        first, second = (one.logits(batch_of(one, picture)) for one in (source.classifier(), source.classifier()))

    torch.testing.assert_close(first, second)


def test_it_can_be_explained_without_naming_a_layer(source, picture):
    classifier = source.classifier()
    training = [part.training for part in classifier.module.modules()]

    saliency = classlens.explain(classifier, picture, methods="LayerCAM")[0]

    assert saliency.values.ndim == 2
    assert saliency.values.size > 1
    assert [part.training for part in classifier.module.modules()] == training
    assert all(parameter.grad is None for parameter in classifier.module.parameters())


def test_a_checkpoint_that_is_not_there_is_refused(source):
    with pytest.raises(classlens.ClasslensError, match=r"nowhere\.pth"):
        source.classifier("nowhere.pth")
