from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import classlens
from classlens.adapters import open_source
from classlens.errors import ConfigError, DataError, NotFound

torchvision = pytest.importorskip("torchvision")
from classlens.adapters import torchvision as adapter  # noqa: E402

PHOTO = Path(__file__).parents[2] / "demo" / "photos" / "chelsea.png"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(adapter, "reachable", lambda url: False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


def test_a_picture_is_fed_as_the_weights_want_it():
    classifier = open_source("torchvision:squeezenet1_1:none").classifier()
    picture = classlens.read_image(PHOTO)
    preset = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()

    encoded = classifier.encoding.encode(classifier.prepare(picture))

    np.testing.assert_allclose(encoded, preset(Pillow.fromarray(picture.pixels)).numpy(), atol=1e-5)
    assert classifier.size == (224, 224)
    assert classifier.classes[281] == "tabby"


@pytest.mark.parametrize(("said", "side"), [("", 224), ("?image_size=64", 64)])
def test_a_vision_transformer_is_fed_the_size_that_it_was_built_for(said, side, monkeypatch):
    monkeypatch.setattr(torchvision.models.VisionTransformer, "__init__", small_transformer)

    classifier = open_source(f"torchvision:vit_h_14:none{said}").classifier()  # its weights are for 518 x 518

    assert classifier.size == (side, side)


def small_transformer(self, image_size, **settings):
    torch.nn.Module.__init__(self)
    self.image_size = image_size


def test_a_checkpoint_replaces_the_published_weights(offline, tmp_path):
    network = torchvision.models.squeezenet1_1(num_classes=4)
    torch.save(network.state_dict(), tmp_path / "mine.pth")

    classifier = open_source("torchvision:squeezenet1_1?num_classes=4").classifier(str(tmp_path / "mine.pth"))

    torch.testing.assert_close(classifier.module.classifier[1].weight, network.classifier[1].weight)
    assert classifier.classes is None
    assert "fed as those of torchvision:squeezenet1_1:IMAGENET1K_V1" in classifier.notes[0]


def test_weights_that_are_in_the_cache_need_no_network(offline, tmp_path):
    network = torchvision.models.squeezenet1_1()
    weights = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    path = tmp_path / "checkpoints" / weights.url.rpartition("/")[2]
    path.parent.mkdir()
    torch.save(network.state_dict(), path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights.value, "url", weights.url)
        classifier = open_source("torchvision:squeezenet1_1:IMAGENET1K_V1")
        assert adapter.is_on_disk(weights.url)
        assert classifier.parts == ("classifier",)


def test_weights_out_of_reach_are_refused_at_once_with_what_to_do(offline):
    with pytest.raises(DataError, match="no network") as caught:
        open_source("torchvision:squeezenet1_1").classifier()

    assert "torchvision:squeezenet1_1:none" in caught.value.hint


def test_unknown_models_weights_and_settings_are_told():
    with pytest.raises(NotFound, match="no torchvision classifier named 'resnet17'"):
        open_source("torchvision:resnet17")
    with pytest.raises(NotFound, match="no weights named 'V9' in torchvision:resnet18") as caught:
        open_source("torchvision:resnet18:V9")
    assert "IMAGENET1K_V1" in caught.value.hint
    with pytest.raises(ConfigError, match="cannot be built"):
        open_source("torchvision:squeezenet1_1:none?nose=1").classifier()
    with pytest.raises(NotFound, match="fcn_resnet50"):
        open_source("torchvision:fcn_resnet50")
