"""Networks that their own pipelines feed in unusual ways: the maps of grad-cam on what those pipelines give."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pytorch_grad_cam import GradCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision import transforms

from classlens.adapters import open_source
from classlens.cam.explain import explain
from classlens.image import Image

SIDE = 64


class Network(nn.Module):
    """`saving` says whether its body is computed a second time in the backward pass, and in which of torch's two ways."""

    def __init__(self, channels=3, saving=None):
        super().__init__()
        torch.manual_seed(1)
        self.saving = saving
        self.stem = nn.Sequential(nn.Conv2d(channels, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Linear(16, 4)

    def forward(self, batch):
        features = self.stem(batch)
        if self.saving is None:
            return self.head(self.body(features).mean((2, 3)))
        return self.head(checkpoint(self.body, features, use_reentrant=self.saving == "reentrant").mean((2, 3)))


def photo():
    coarse = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image(np.array(Pillow.fromarray(coarse).resize((90, 80), Pillow.Resampling.BICUBIC)))


class PerPicture:
    """Mean 0 and deviation 1 for every picture."""

    def __call__(self, pixels):
        return (pixels - pixels.mean()) / pixels.std()


GREY = transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.ToTensor(), transforms.Normalize(0.13, 0.31)])
OWN = transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.ToTensor(), PerPicture()])
CASES = {
    "normalised per picture": (Network(), OWN, "RGB"),
    "grey": (Network(1), GREY, "L"),
    "reentrant": (Network(saving="reentrant"), OWN, "RGB"),
    "not reentrant": (Network(saving="other"), OWN, "RGB"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("theirs", [GradCAM, LayerCAM])
def test_maps_and_scores_are_those_of_grad_cam_on_what_the_pipeline_gives(name, theirs):
    network, transform, mode = CASES[name]
    network.eval()
    batch = transform(Pillow.fromarray(photo().pixels).convert(mode))[None]

    found = explain(
        open_source((network, transform)).classifier(), photo(), methods=theirs.__name__, layers="body.2", targets=2
    )[0]

    with theirs(network, [network.body[2]]) as cam:
        expected = cam(batch.clone().requires_grad_(), [ClassifierOutputTarget(2)])[0]
    assert found.logit == pytest.approx(float(network(batch)[0, 2]), abs=1e-5)
    np.testing.assert_allclose(found.heatmap().values, expected, atol=1e-4)
