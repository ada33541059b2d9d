"""Networks of the user as `open_source` opens them: every method draws them, in every precision, and nothing is shadowed.

A record made by hand calls the network directly; one that is opened runs it where every error is the user's.
"""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from classlens.adapters import open_source
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.faithfulness import evaluate, randomization_test
from classlens.cam.methods import METHODS
from classlens.errors import ModelError
from classlens.image import Image
from tests.cam.conftest import noise_image

torchvision = pytest.importorskip("torchvision")
from torchvision import transforms  # noqa: E402

METHODS_FOR_ALL = [one.name for one in METHODS.values() if one.needs != "attention"]
SLOW = [one.name for one in METHODS.values() if one.needs == "scores"]
AS_IT_IS = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()])


class Tutorial(nn.Module):
    """The network of PyTorch's CIFAR-10 tutorial, whose `.view` takes no other order in memory than the usual."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2, self.pool = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 8, 5), nn.MaxPool2d(2, 2)
        self.fc1, self.fc2 = nn.Linear(8 * 5 * 5, 20), nn.Linear(20, 10)

    def forward(self, batch: Tensor) -> Tensor:
        batch = self.pool(self.conv1(batch).relu())
        batch = self.pool(self.conv2(batch).relu())
        return self.fc2(self.fc1(batch.view(-1, 8 * 5 * 5)).relu())


def opened(network: nn.Module):
    return open_source((network.eval(), AS_IT_IS)).classifier()


@pytest.fixture
def picture() -> Image:
    return noise_image(32, 32)


@pytest.mark.parametrize("method", [one.name for one in METHODS.values() if one.needs == "activations"])
def test_methods_that_know_no_class_draw_a_network_of_the_user(method, picture):
    (found,) = explain(opened(Tutorial()), picture, methods=method, layers="conv2")

    assert found.subject is None
    assert found.values.shape == (10, 10)
    assert found.values.any()


def test_the_rest_of_the_network_does_not_run_behind_the_last_layer_that_they_need(picture):
    ran = []
    network = Tutorial()
    network.fc1.register_forward_hook(lambda module, inputs, output: ran.append(1))

    explain(opened(network), picture, methods="EigenCAM", layers="conv2")

    assert ran == []


@pytest.mark.parametrize("kind", [torch.float32, torch.half, torch.bfloat16, torch.double])
def test_every_method_draws_a_network_of_the_user_in_every_precision(kind, picture):
    classifier = opened(Tutorial().to(kind))
    options = ExplainOptions(samples=2)

    found = explain(classifier, picture, methods=METHODS_FOR_ALL, layers="conv2", targets=1, options=options)

    usual = explain(opened(Tutorial()), picture, methods=METHODS_FOR_ALL, layers="conv2", targets=1, options=options)
    assert [one.method for one in found] == METHODS_FOR_ALL
    for one, other in zip(found, usual, strict=True):
        if one.method in SLOW:
            likeness = np.corrcoef(one.values.ravel(), other.values.ravel())[0, 1]
            assert likeness > 0.9, one.method


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.double])
def test_maps_of_a_network_of_the_user_are_evaluated(kind, picture):
    classifier = opened(Tutorial().to(kind))
    (found,) = explain(classifier, picture, layers="conv2", targets=1)

    scores, usual = evaluate(classifier, found).own, evaluate(opened(Tutorial()), found).own
    (kept,) = randomization_test(classifier, [found])

    assert scores.deletion == pytest.approx(usual.deletion, rel=1e-2)
    assert len(kept.rank) == len(kept.layers)


def test_maps_by_ablation_are_those_of_a_hand_computation(picture):
    network = Tutorial().double().eval()
    fed = AS_IT_IS(torchvision.transforms.functional.to_pil_image(picture.pixels))[None].double()
    with torch.no_grad():
        features = network.conv2(network.pool(network.conv1(fed).relu()))

        def score(maps: Tensor) -> float:
            return network.fc2(network.fc1(network.pool(maps.relu()).flatten(1)).relu())[0, 1].item()

        usual = score(features)
        shares = []
        for channel in range(8):
            without = features.clone()
            without[:, channel] = 0
            shares.append((usual - score(without)) / usual)
    expected = sum(share * features[0, channel] for channel, share in enumerate(shares)).numpy()

    (found,) = explain(opened(network), picture, methods="AblationCAM", layers="conv2", targets=1)

    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)


class Mirrored(nn.Module):
    """Every layer sees the picture, and the picture mirrored."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Tutorial()

    def forward(self, batch: Tensor) -> Tensor:
        return (self.network(batch) + self.network(batch.flip(3))) / 2


class Stacked(Mirrored):
    """The same with both in one batch."""

    def forward(self, batch: Tensor) -> Tensor:
        return sum(self.network(torch.cat([batch, batch.flip(3)])).chunk(2)) / 2


@pytest.mark.parametrize("kind", [Mirrored, Stacked])
def test_a_network_that_looks_twice_is_refused_for_that(kind, picture):
    with pytest.raises(ModelError, match="no layer of tuple can be read as a map") as caught:
        explain(opened(kind()), picture)

    assert "averages what it says of the picture and its mirror image" in caught.value.hint


def test_a_fault_of_the_users_own_is_told_by_its_own_name(picture):
    class Faulty(Tutorial):
        def forward(self, batch: Tensor) -> Tensor:
            return super().forward(batch) / {}["scale"]

    for method in ("GradCAM", "RISE"):
        with pytest.raises(ModelError, match="KeyError: 'scale'"):
            explain(opened(Faulty()), picture, methods=method, layers="conv2")
