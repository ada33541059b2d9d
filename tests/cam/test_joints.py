"""The default layer of networks with branches: nothing of the picture may reach the class past it."""

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.errors import ModelError
from classlens.image import Encoding
from tests.cam.conftest import classifier_of, default_layer, noise_image


def arm(channels: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class Arms(nn.Module):
    """Two stacks of layers look at the picture; how they come together is for `forward` to say."""

    def __init__(self) -> None:
        super().__init__()
        self.red, self.blue, self.head = arm(), arm(), nn.Linear(8, 3)


class Joined(Arms):
    def __init__(self) -> None:
        super().__init__()
        self.joint = nn.Conv2d(8, 8, 1)

    def forward(self, batch: Tensor) -> Tensor:
        return self.head(self.joint(torch.cat([self.red(batch), self.blue(batch)], 1)).mean((2, 3)))


class Added(Arms):
    """As a residual block adds its shortcut; but here something happens on both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, batch: Tensor) -> Tensor:
        return self.head(self.act(self.red(batch) + self.blue(batch)).mean((2, 3)))


class Parting(Arms):
    """The arms share their first layers, and meet when they are no maps any more."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())

    def forward(self, batch: Tensor) -> Tensor:
        shared = self.stem(batch)
        return self.head(torch.cat([self.red(shared).mean((2, 3)), self.blue(shared).mean((2, 3))], 1))


class Late(Arms):
    def forward(self, batch: Tensor) -> Tensor:
        return self.head(torch.cat([self.red(batch).mean((2, 3)), self.blue(batch).mean((2, 3))], 1))


class Halves(nn.Module):
    """The last norm sees half of what the layer before it put out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(4), nn.Linear(8, 3)

    def forward(self, batch: Tensor) -> Tensor:
        first, second = self.stem(batch).chunk(2, dim=1)
        return self.head(torch.cat([first.mean((2, 3)), self.norm(second).mean((2, 3))], 1))


class Residual(nn.Module):
    """A block with a shortcut: bare, or with a convolution of its own."""

    def __init__(self, shortcut: nn.Module) -> None:
        super().__init__()
        self.stem, self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.shortcut, self.act, self.head = shortcut, nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, batch: Tensor) -> Tensor:
        stem = self.stem(batch)
        out = self.norm(self.conv(stem))
        out += self.shortcut(stem)
        return self.head(self.act(out).mean((2, 3)))


def small(model: nn.Module) -> Classifier:
    return classifier_of(model.eval())


def from_timm(name: str, **settings) -> Callable[[], Classifier]:
    def build() -> Classifier:
        model = timm.create_model(name, num_classes=10, **settings).eval()
        return Classifier(name, model, model, Encoding(layout="CHW", white=1.0), model.default_cfg["input_size"][1:])

    return build


def from_torchvision(name: str, side: int) -> Callable[[], Classifier]:
    def build() -> Classifier:
        model = torchvision.models.get_model(name, num_classes=10, init_weights=False).eval()
        return Classifier(name, model, model, Encoding(layout="CHW", white=1.0), (side, side))

    return build


def slope_past(classifier: Classifier, layer: str) -> Tensor | None:
    """What the score's gradient brings back to the picture when it is cut at the layer: autograd itself says so."""
    module = classifier.module.get_submodule(layer)
    handle = module.register_forward_hook(lambda module, inputs, output: output.detach())
    picture = torch.rand(1, 3, *classifier.size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    score = classifier.logits(picture).amax(1).sum()
    handle.remove()
    return torch.autograd.grad(score, picture, allow_unused=True)[0] if score.requires_grad else None


@pytest.mark.parametrize(
    ("build", "layer"),
    [
        (from_torchvision("inception_v3", 299), "Mixed_7c"),
        (from_torchvision("googlenet", 224), "inception5b"),
        (from_timm("repvgg_a0"), "stages.3.0"),
        (from_timm("cait_xxs24_224", depth=2), "blocks.1"),
        (lambda: small(Joined()), "joint"),
        (lambda: small(Added()), "act"),
        (lambda: small(Parting()), "stem.1"),
        (lambda: small(Halves()), "stem"),
        (lambda: small(Residual(nn.Conv2d(4, 4, 1))), "act"),
    ],
    ids=[
        "torchvision's InceptionV3", "GoogLeNet", "RepVGG", "CaiT",
        "arms joined", "arms added", "arms parting", "halves", "learned shortcut",
    ],
)  # fmt: skip
def test_nothing_reaches_the_class_past_the_default_layer(build, layer):
    torch.manual_seed(0)
    classifier = build()

    assert default_layer(classifier).name == layer
    past = slope_past(classifier, layer)
    assert past is None or not past.any()


@pytest.mark.parametrize("shortcut", [nn.Identity(), nn.Dropout(0.5)])
def test_a_bare_shortcut_leaves_the_norm_of_the_block_as_documented(shortcut):
    torch.manual_seed(0)
    assert default_layer(small(Residual(shortcut))).name == "norm"


def test_arms_that_never_meet_as_maps_are_named_for_the_user_to_choose():
    torch.manual_seed(0)
    classifier = small(Late())

    with pytest.raises(ModelError, match="toy decides the class on several ways from the picture") as caught:
        explain(classifier, noise_image(8, 8))

    assert caught.value.hint == "look at each of them: --each-layer --target-layers blue.1 red.1"
    assert len(explain(classifier, noise_image(8, 8), layers=["blue.1", "red.1"])) == 2


def test_the_scales_of_a_transformer_with_several_are_named():
    torch.manual_seed(0)

    with pytest.raises(ModelError, match="crossvit_9_240 decides the class on several ways") as caught:
        default_layer(from_timm("crossvit_9_240")())

    assert caught.value.hint.endswith("--target-layers blocks.2.fusion.1.norm1 blocks.2.fusion.0.norm1")


def test_a_network_that_passes_no_gradient_to_the_picture_keeps_its_last_norm():
    class Frozen(Joined):
        def forward(self, batch: Tensor) -> Tensor:
            with torch.no_grad():
                features = self.red(batch)
            return self.head(torch.cat([self.blue[1](features), features], 1).mean((2, 3)))

    torch.manual_seed(0)
    assert default_layer(small(Frozen())).name == "blue.1"


@pytest.mark.parametrize(("facts", "passes"), [({}, 2), ({"default_layer": "joint"}, 0)])
def test_the_joint_is_found_in_two_passes_once_and_in_none_where_the_record_names_the_layer(facts, passes):
    torch.manual_seed(0)
    classifier = classifier_of(Joined().eval(), **facts)
    runs = []
    classifier.module.register_forward_hook(lambda *_: runs.append(1))

    assert {default_layer(classifier).name for _ in range(3)} == {"joint"}

    assert len(runs) == passes
