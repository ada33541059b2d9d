from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from classlens.cam.classifier import Classifier
from classlens.cam.cost import estimate_peak
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.faithfulness import randomization_test
from classlens.cam.layers import AT_ONCE, find_head, find_layers, preview
from classlens.errors import ModelError, NotFound
from classlens.image import Encoding
from tests.cam.conftest import classifier_of, default_layer, noise_image


def network(name: str, **settings) -> Classifier:
    torch.manual_seed(0)
    model = timm.create_model(name, **settings)
    return Classifier(name, model, model, Encoding(layout="CHW", white=1.0), model.default_cfg["input_size"][1:])


@pytest.fixture(scope="module")
def resnet() -> Classifier:
    return network("resnet18", num_classes=10, zero_init_last=False)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("layer4", ["layer4"]),
        ("layer4[-1]", ["layer4.1"]),
        ("layer4[0].conv1", ["layer4.0.conv1"]),
        ("layer4.1.bn2", ["layer4.1.bn2"]),
        ("layer?", ["layer1", "layer2", "layer3", "layer4"]),
        ("layer[!12].*.bn2", ["layer3.0.bn2", "layer3.1.bn2", "layer4.0.bn2", "layer4.1.bn2"]),
    ],
)
def test_layers_are_found_by_name_index_and_wildcard(resnet, name, found):
    assert [layer.name for layer in find_layers(resnet, [name])] == found


def test_layers_keep_the_order_they_are_named_in_and_come_once(resnet):
    names = [layer.name for layer in find_layers(resnet, ["layer4", "layer2", "layer4"])]

    assert names == ["layer4", "layer2"]


def test_a_misspelt_layer_suggests_the_nearest(resnet):
    with pytest.raises(NotFound, match=r"no layer named 'layer4\.1\.bm2' in resnet18") as caught:
        find_layers(resnet, ["layer4.1.bm2"])
    assert "layer4.1.bn2" in caught.value.hint


def test_a_member_of_no_layer_suggests_the_nearest(resnet):
    with pytest.raises(NotFound, match="no layer named 'layer5' in resnet18") as caught:
        find_layers(resnet, ["layer5[0]"])
    assert "layer4" in caught.value.hint


class Aside(nn.Module):
    """One convolution decides, and many that run after it do not."""

    def __init__(self):
        super().__init__()
        self.seen, self.aside = (
            nn.Conv2d(3, 2, 3, padding=1),
            nn.Sequential(*(nn.Conv2d(2, 2, 1) for _ in range(AT_ONCE))),
        )

    def forward(self, batch):
        features = self.seen(batch)
        self.aside(features)
        return features.mean((2, 3))


class Stubborn(nn.Module):
    """Scores that are learnt, and have nothing to do with the picture."""

    def __init__(self):
        super().__init__()
        self.conv, self.scores = nn.Conv2d(3, 2, 3), nn.Parameter(torch.tensor([[1.0, 2.0]]))

    def forward(self, batch):
        self.conv(batch)
        return self.scores.expand(len(batch), 2)


class Fresh(Stubborn):
    """The same, of numbers that are made anew, for which a gradient is kept."""

    def forward(self, batch):
        self.conv(batch)
        return torch.ones(len(batch), 2, requires_grad=True) * self.scores


def test_the_usual_layer_is_one_that_decides_however_many_run_after_it():
    assert default_layer(classifier_of(Aside())).name == "seen"


@pytest.mark.parametrize(
    ("network", "said"), [(Stubborn, "toy passes no gradient on"), (Fresh, "no layer of toy can be read as a map")]
)
def test_a_network_that_does_not_look_at_the_picture_is_refused(network, said):
    with pytest.raises(ModelError, match=said):
        explain(classifier_of(network()), noise_image(8, 8))


def test_a_network_without_weights_has_no_features():
    bare = classifier_of(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))

    with pytest.raises(ModelError, match="toy has no layer whose input could be its features"):
        find_head(bare)


def test_an_index_beyond_the_members_lists_them(resnet):
    with pytest.raises(NotFound, match="no member 2 of layer named 'layer4'") as caught:
        find_layers(resnet, ["layer4[2]"])
    assert "layer4.1" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "settings", "layer"),
    [
        ("resnet18", {"zero_init_last": False}, "layer4.1.bn2"),
        ("mobilenetv3_small_050", {}, "blocks.5.0.bn1"),
        ("vit_tiny_patch16_224", {"depth": 2}, "blocks.1.norm1"),
        ("vit_tiny_patch16_224", {"depth": 2, "global_pool": "avg", "class_token": False, "fc_norm": False}, "norm"),
        ("deit_tiny_distilled_patch16_224", {"depth": 2}, "blocks.1.norm1"),
        ("swin_tiny_patch4_window7_224", {"depths": (1, 1, 1, 1), "embed_dim": 24}, "norm"),
        ("convnext_atto", {}, "stages.3.blocks.1.norm"),
    ],
)
def test_the_default_is_the_last_norm_that_decides_the_class(name, settings, layer):
    assert default_layer(network(name, num_classes=10, **settings)).name == layer


def test_the_record_knows_its_default_better():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    assert default_layer(classifier_of(model)).name == "1"
    assert default_layer(classifier_of(model, default_layer="0")).name == "0"


def test_without_norm_layers_the_default_is_the_last_map():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    assert default_layer(classifier_of(model)).name == "1"


def test_a_model_without_maps_says_so():
    with pytest.raises(ModelError, match="no layer of toy can be read as a map") as caught:
        default_layer(classifier_of(nn.Sequential(nn.Flatten(), nn.Linear(192, 3))))

    assert caught.value.hint.startswith("none of them runs once for a picture and keeps positions")


def test_layers_that_cannot_be_read_are_listed_as_candidates():
    model = nn.Sequential(nn.Unflatten(3, (4, 2)), nn.Conv3d(3, 5, 1), nn.ReLU(), nn.Flatten(), nn.Linear(320, 3))

    with pytest.raises(ModelError, match="no layer of toy") as caught:
        default_layer(classifier_of(model))

    assert caught.value.hint.endswith(
        "the last candidates are 0 (1 x 3 x 8 x 4 x 2), 1 (1 x 5 x 8 x 4 x 2), 2 (1 x 5 x 8 x 4 x 2)"
    )


def test_a_head_of_zeros_is_named_after_two_passes_forth_and_back():
    classifier = network("vit_tiny_patch16_224", depth=6, num_classes=10)
    nn.init.zeros_(classifier.module.head.weight)
    runs = []
    classifier.module.register_forward_hook(lambda *_: runs.append(1))

    with pytest.raises(ModelError, match="every gradient is zero: all weights of its head 'head' are zero") as caught:
        default_layer(classifier)

    assert "checkpoint" in caught.value.hint
    assert len(runs) <= 3  # a survey without gradients, the last layers, the picture


def test_a_layer_behind_the_last_attention_is_refused_with_the_reason():
    classifier = network("vit_tiny_patch16_224", depth=2, num_classes=10)

    with pytest.raises(ModelError, match=r"gradient of the score at layer 'blocks\.1\.norm2' is zero") as caught:
        explain(classifier, noise_image(224, 224), layers="blocks.1.norm2")
    assert "in front of the last attention" in caught.value.hint


def test_the_preview_tells_shapes_layouts_and_the_default(resnet):
    text = preview(resnet).text()

    (starred,) = [line for line in text.splitlines() if line.startswith("* layer")]
    assert starred.split() == [
        "*",
        "layer4.1.bn2",
        "BatchNorm2d",
        "1",
        "x",
        "512",
        "x",
        "7",
        "x",
        "7",
        "1,024",
        "channels",
        "first,",
        "7",
        "x",
        "7",
    ]
    assert "fc" in text


def test_a_network_whose_last_norms_see_positions_as_a_batch_is_looked_at_behind_its_last_block():
    class Folded(nn.Module):
        """A block of a transformer with batch norm, as LeViT has them."""

        def __init__(self):
            super().__init__()
            self.linear, self.norm = nn.Linear(6, 6), nn.BatchNorm1d(6)

        def forward(self, tokens):
            return tokens + self.norm(self.linear(tokens).flatten(0, 1)).reshape(tokens.shape)

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.norm, self.block = nn.Conv2d(3, 6, 4, stride=4), nn.BatchNorm2d(6), Folded()
            self.head = nn.Linear(6, 3)

        def forward(self, batch):
            return self.head(self.block(self.norm(self.stem(batch)).flatten(2).mT).mean(1))

    torch.manual_seed(0)
    assert default_layer(classifier_of(Small().eval())).name == "block"


class OneSize(nn.Module):
    """As PyTorch's own CIFAR networks: the linear layer takes what is left of pictures of 32 x 32, and no others."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 4, 4), nn.BatchNorm2d(4), nn.Linear(256, 3)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(batch)).flatten(1))


@pytest.mark.parametrize("whole", [False, True])
def test_the_default_layer_is_looked_for_at_the_size_of_the_picture_fed(whole):
    """The record says 640 x 640, as for a test pipeline that leaves pictures as large as they are."""
    classifier = classifier_of(OneSize().eval(), size=(640, 640))

    found = explain(classifier, noise_image(32, 32), options=ExplainOptions(whole=whole))

    assert [(saliency.layer, saliency.values.shape) for saliency in found] == [("norm", (8, 8))]


def test_the_sanity_check_and_the_memory_of_maps_are_those_of_the_picture_fed():
    classifier = classifier_of(OneSize().eval(), size=(640, 640))
    maps = list(explain(classifier, noise_image(32, 32), methods=["Occlusion"]))

    assert len(randomization_test(classifier, maps)) == 1
    assert estimate_peak(replace(classifier, size=(32, 32)), find_layers(classifier, ["norm"])) > 32 * 32 * 3 * 4
