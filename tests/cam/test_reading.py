import numpy as np
import pytest
import torch
from torch import Tensor, nn

from classlens.cam.explain import explain
from classlens.cam.layers import find_layers, survey
from classlens.errors import ModelError
from tests.cam.conftest import classifier_of


class Square(nn.Module):
    """As many channels as the map is high and wide, put out by a module that does not say which is which."""

    def __init__(self, *, fixed: bool = False) -> None:
        super().__init__()
        self.stem, self.act, self.fixed = nn.Conv2d(3, 8, 1), nn.Sequential(nn.ReLU()), fixed
        self.head = nn.Linear(8, 3)

    def forward(self, batch: Tensor) -> Tensor:
        if self.fixed and batch.shape[3] != 8:
            raise ValueError("expected 8 x 8")
        return self.head(self.act(self.stem(batch)).mean((2, 3)))


def test_a_wider_picture_tells_channels_from_positions(noise):
    classifier = classifier_of(Square())

    behind, before = explain(classifier, noise, layers=["act", "stem"], methods="EigenCAM")

    assert behind.values.shape == before.values.shape == (8, 8)
    layouts = {seen.layer.name: seen.layout for seen in survey(classifier, find_layers(classifier, ["act"]))}
    assert str(layouts["act"]) == "channels first, 8 x 8"


def test_a_head_of_one_size_does_not_keep_the_layer_before_it_from_being_read(noise):
    """As in captum's network for tests: as many channels as rows and columns, then `view` and a linear layer."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 3))
    classifier = classifier_of(model)

    found = explain(classifier, noise, layers="1", targets=0, methods="HiResCAM")[0]

    features = model[:2](torch.from_numpy(classifier.encoding.encode(noise))[None])[0]
    by_hand = (features * model[3].weight[0].reshape(8, 8, 8)).sum(0)
    np.testing.assert_allclose(found.values, by_hand.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_a_model_of_one_size_leaves_the_doubt_and_says_so(noise):
    with pytest.raises(ModelError, match=r"'act', 1 x 8 x 8 x 8, can be read as channels first.* or channels last"):
        explain(classifier_of(Square(fixed=True)), noise, layers="act")
