"""What a network of the user returns, and which of it are the class scores."""

from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classlens.adapters import open_source
from classlens.adapters.python.network import enter_like, kind_of
from classlens.cam.explain import explain
from classlens.errors import ModelError
from tests.cam.conftest import noise_image

torchvision = pytest.importorskip("torchvision")
from torchvision import transforms  # noqa: E402

AS_IT_IS = transforms.ToTensor()
Pair = namedtuple("Pair", "features prediction")


@dataclass
class Record:
    hidden: Tensor
    prediction: Tensor


class Returning(nn.Module):
    """Features, their mean (the embedding), logits of it: what comes back is said by `give`."""

    def __init__(self, give, classes: int = 3):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu, self.head = nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Linear(5, classes)
        self.give = give

    def forward(self, batch: Tensor):
        features = self.relu(self.conv(batch))
        embedding = features.mean((2, 3))
        return self.give(features, embedding, 9 * self.head(embedding))


FORMS = {
    "a tensor": lambda features, embedding, logits: logits,
    "sides of one": lambda features, embedding, logits: logits[:, :, None, None],
    "embedding, logits": lambda features, embedding, logits: (embedding, logits),
    "logits, embedding": lambda features, embedding, logits: (logits, embedding),
    "normalised embedding, logits": lambda features, embedding, logits: (F.normalize(embedding), logits),
    "logits, feature maps": lambda features, embedding, logits: [logits, features],
    "loss, logits": lambda features, embedding, logits: (logits.square().mean(), logits),
    "logits, predicted class": lambda features, embedding, logits: (logits, logits.argmax(1)),
    "other keys": lambda features, embedding, logits: {"embedding": embedding, "prediction": logits},
    "a telling key": lambda features, embedding, logits: {"x": logits + embedding.sum(), "class_logits": logits},
    "nested": lambda features, embedding, logits: {"heads": {"main": logits}, "hidden": (embedding, features)},
    "a named tuple": lambda features, embedding, logits: Pair(embedding, logits),
    "a dataclass": lambda features, embedding, logits: Record(embedding, logits),
    "an object": lambda features, embedding, logits: SimpleNamespace(hidden=features, logits=logits),
    "probabilities, logits": lambda features, embedding, logits: (logits.softmax(1), logits),
}


def opened(give, classes: int = 3):
    return open_source((Returning(give, classes).eval(), AS_IT_IS)).classifier()


@pytest.mark.parametrize("form", FORMS)
def test_the_map_is_that_of_the_logits_in_whatever_form_they_come_back(form):
    pictures = [noise_image(8, 8, seed=seed) for seed in (1, 2)]
    network = Returning(None).eval()
    fed = torch.stack([AS_IT_IS(picture.pixels) for picture in pictures])
    with torch.no_grad():
        features = network.relu(network.conv(fed))
        expected = torch.einsum("c,ncij->nij", 9 * network.head.weight[1] / 64, features)
        shares = (9 * network.head(features.mean((2, 3)))).softmax(1)[:, 1]

    for several in (pictures[:1], pictures):  # one picture first: a batch and a row look alike then
        found = explain(opened(FORMS[form]), several, layers="relu", targets=1)

        for place, one in enumerate(found):
            np.testing.assert_allclose(one.values, expected[place], rtol=1e-4, atol=1e-6)
            assert one.probability == pytest.approx(shares[place].item(), rel=1e-4)


@pytest.mark.parametrize("squeeze", [lambda logits: logits.squeeze(1), lambda logits: logits.squeeze(), torch.flatten])
@pytest.mark.parametrize("count", [1, 2])
def test_a_single_logit_may_be_squeezed(squeeze, count):
    pictures = [noise_image(8, 8, seed=seed) for seed in range(count)]
    network = Returning(None, 1).eval()
    fed = torch.stack([AS_IT_IS(picture.pixels) for picture in pictures])
    with torch.no_grad():
        logits = 9 * network.head(network.relu(network.conv(fed)).mean((2, 3)))[:, 0]

    found = explain(
        opened(lambda features, embedding, logits: squeeze(logits), 1),
        pictures,
        layers="relu",
        methods=["GradCAM", "AblationCAM", "ScoreCAM"],
        targets=1,
    )

    assert [one.logit for one in found.where(method="ScoreCAM")] == pytest.approx(logits.tolist(), rel=1e-5)


def test_scores_of_one_picture_may_lose_their_row():
    (found,) = explain(opened(lambda features, embedding, logits: logits.squeeze()), noise_image(8, 8), layers="relu")

    assert found.target in range(3)


def test_as_many_columns_as_the_network_says_it_has_classes_settle_it():
    network = Returning(lambda features, embedding, logits: (logits + 1, embedding[:, :2] + 0)).eval()
    network.num_classes = 2

    classifier = open_source((network, AS_IT_IS)).classifier()

    assert classifier.logits(torch.rand(2, 3, 8, 8)).shape == (2, 2)


REFUSED = {
    "two heads": (lambda features, embedding, logits: (logits + 1, logits + 2), "a tuple of 1 x 3 and 1 x 3"),
    "a confidence": (
        lambda features, embedding, logits: {"a": logits, "b": logits.amax(1)},
        "a dict of a 1 x 3 and b 1",
    ),
    "maps only": (lambda features, embedding, logits: {"map": features}, "a dict of map 1 x 5 x 8 x 8, not class"),
    "detections": (
        lambda features, embedding, logits: [{"boxes": torch.rand(7, 4), "scores": torch.rand(7)}],
        "a list of boxes 7 x 4 and scores 7, not class scores",
    ),
    "nothing": (lambda features, embedding, logits: None, "a NoneType, not class scores"),
    "a text": (lambda features, embedding, logits: {"class": "cat"}, "a dict, not class scores"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_be_told_is_refused_by_what_was_returned(form):
    give, words = REFUSED[form]

    with pytest.raises(ModelError, match=f"Returning returns {words}") as caught:
        opened(give).logits(torch.rand(1, 3, 8, 8))
    assert "wrap it in a module" in caught.value.hint


def test_which_tensors_were_made_of_which_leaves_no_trace_on_them():
    network = Returning(FORMS["embedding, logits"]).eval()
    before = {name: dict(vars(tensor)) for name, tensor in network.state_dict(keep_vars=True).items()}

    open_source((network, AS_IT_IS)).classifier().logits(torch.rand(1, 3, 8, 8))

    assert before == {name: dict(vars(tensor)) for name, tensor in network.state_dict(keep_vars=True).items()}


def test_a_loss_that_a_network_calls_in_training_says_so_too():
    class Trained(Returning):
        def training_step(self, batch, index):
            return F.binary_cross_entropy_with_logits(self(batch[0]), batch[1])

    class Both(Trained):
        def validation_step(self, batch, index):
            return F.cross_entropy(self(batch[0]), batch[1]), F.binary_cross_entropy(self(batch[0]), batch[1])

    assert (kind_of(Trained(None)), kind_of(Both(None)), kind_of(Returning(None))) == ("sigmoid", None, None)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (nn.BCEWithLogitsLoss(), "sigmoid"),
        (nn.MultiLabelSoftMarginLoss(), "sigmoid"),
        (nn.CrossEntropyLoss(), "softmax"),
    ],
)
def test_a_loss_among_the_parts_of_a_network_says_what_its_logits_are(loss, kind):
    network = Returning(FORMS["a tensor"]).eval()
    network.criterion = loss
    logits = network(AS_IT_IS(noise_image(8, 8).pixels)[None]).detach()

    (found,) = explain(open_source((network, AS_IT_IS)).classifier(), noise_image(8, 8), layers="relu", targets=1)

    expected = logits.sigmoid() if kind == "sigmoid" else logits.softmax(1)
    assert kind_of(network) == kind
    assert found.probability == pytest.approx(expected[0, 1].item(), rel=1e-5)


def test_a_size_beside_a_network_is_the_size_of_the_pictures_that_it_is_fed():
    classifier = open_source({"model": Returning(lambda *parts: parts[-1]).eval(), "size": 16}).classifier()

    assert classifier.prepare(noise_image(40, 20)).size == (16, 16)


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_a_picture_takes_the_range_of_the_sample_whose_place_it_takes(white):
    image = noise_image(4, 5)
    sample = (torch.full((3, 2, 2), white), 7)

    picture, label = enter_like(sample, image)

    assert (picture.dtype, label) == (torch.float32, 7)
    np.testing.assert_allclose(picture.permute(1, 2, 0), image.pixels * (white / 255), rtol=1e-6)
