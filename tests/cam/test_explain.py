import numpy as np
import pytest
import torch
from torch import nn

from classlens.cam.evidence import Evidence
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.methods import METHODS
from classlens.cam.methods.probing import score_cam
from classlens.errors import ModelError, NotFound, WrongValue
from classlens.image import Image
from tests.cam.conftest import ESPRESSO, TABBY, classifier_of, noise_image


def state_of(module: nn.Module) -> dict:
    return {
        "training": [part.training for part in module.modules()],
        "hooks": [len(part._forward_hooks) + len(part._backward_hooks) for part in module.modules()],
        "requires_grad": [parameter.requires_grad for parameter in module.parameters()],
        "grad": [None if parameter.grad is None else parameter.grad.clone() for parameter in module.parameters()],
        "values": [tensor.clone() for tensor in module.state_dict().values()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].copy(),
    }


def same(before, after) -> bool:
    if isinstance(before, torch.Tensor):
        return torch.equal(before, after)
    if isinstance(before, np.ndarray):
        return np.array_equal(before, after)
    if isinstance(before, (list, dict)):
        items = before.items() if isinstance(before, dict) else enumerate(before)
        return len(before) == len(after) and all(same(value, after[key]) for key, value in items)
    return before == after


def a_lived_in_network() -> nn.Module:
    """Parts in different modes, one frozen parameter, gradients lying about, dropout, BatchNorm."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    network[4].eval()
    network[0].weight.requires_grad_(False)
    return network


@pytest.mark.parametrize("target", [0, 1, 2])
def test_grad_cam_is_cam_on_a_pooled_linear_network(pooled, noise, target):
    """Selvaraju et al. 2017, section 3.1: with GAP + linear, Grad-CAM is CAM / (height * width)."""
    conv, relu, _, _, head = pooled.module
    batch = torch.from_numpy(pooled.encoding.encode(noise))[None]
    cam = torch.einsum("c,chw->hw", head.weight[target], relu(conv(batch))[0]).detach().numpy()

    saliency = explain(pooled, noise, layers="1", targets=target)[0]

    np.testing.assert_allclose(saliency.values, cam / 64, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_the_positions_of_hirescam_add_up_to_the_logit_without_its_bias(pooled, noise, target):
    """Draelos & Carin 2020, section 3.3: behind the layer everything is linear."""
    saliency = explain(pooled, noise, methods="HiResCAM", layers="1", targets=target)[0]

    assert saliency.values.sum() == pytest.approx(saliency.logit - pooled.module[-1].bias[target].item(), abs=1e-5)


def test_one_call_gives_every_picture_class_method_and_layer(pooled):
    pictures = [noise_image(8, 8, seed=seed) for seed in range(3)]

    result = explain(pooled, pictures, methods=["gradcam", "Layer-CAM"], layers=["0", "1"], targets=["cat", 2])

    order = [(s.index, s.target, s.method, s.layer) for s in result]
    assert order == [
        (image, target, method, layer)
        for image in range(3)
        for target in (0, 2)
        for method in ("GradCAM", "LayerCAM")
        for layer in ("0", "1")
    ]


CONVOLUTIONAL = [name for name, method in METHODS.items() if method.needs != "attention"]
"""Methods that any network can be asked with; those of attention are in test_attention.py."""


@pytest.mark.parametrize("method", CONVOLUTIONAL)
def test_a_batch_gives_what_single_pictures_give(pooled, method):
    pictures = [noise_image(8, 8, seed=seed) for seed in range(3)]
    together = explain(pooled, pictures, methods=method, layers="1", targets=1)
    apart = [explain(pooled, picture, methods=method, layers="1", targets=1)[0] for picture in pictures]

    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one.heatmap().values, other.heatmap().values, atol=1e-5)


def test_the_batch_size_changes_nothing(pooled):
    pictures = [noise_image(8, 8, seed=seed) for seed in range(5)]
    large, small = (
        explain(pooled, pictures, layers="1", targets="top2", options=ExplainOptions(aug_smooth=True, batch_size=size))
        for size in (64, 7)
    )

    for one, other in zip(large, small, strict=True):
        assert one.subject.target == other.subject.target
        np.testing.assert_allclose(one.values, other.values, atol=1e-6)


def test_fewer_bits_in_the_model_leave_float32_maps_that_are_nearly_the_same(pooled, noise):
    exact, rough = (
        explain(pooled, noise, layers="1", targets=1, options=ExplainOptions(precision=precision))[0]
        for precision in ("float32", "bf16")
    )

    assert rough.values.dtype == np.float32
    assert not np.array_equal(exact.values, rough.values)
    np.testing.assert_allclose(rough.values, exact.values, atol=0.03 * np.abs(exact.values).max())
    assert next(pooled.module.parameters()).dtype == torch.float32
    with pytest.raises(ValueError, match="a precision is one of float32, bf16, not 'half'"):
        ExplainOptions(precision="half")


def test_progress_is_told_after_every_batch(pooled):
    told = []
    options = ExplainOptions(batch_size=2, progress=lambda *step: told.append(step))

    explain(pooled, [noise_image(8, 8, seed=seed) for seed in range(5)], layers="1", options=options)

    assert told == [("pictures", 2, 5), ("pictures", 4, 5), ("pictures", 5, 5)]


def test_several_targets_cost_one_forward_pass(pooled, noise):
    runs = []
    pooled.module.register_forward_hook(lambda *_: runs.append(1))

    explain(pooled, noise, methods=list(METHODS)[:6], layers=["0", "1"], targets=[0, 1, 2])

    assert len(runs) == 1


def test_a_method_without_class_leaves_the_model_at_the_layer(pooled, noise):
    runs = []
    pooled.module[-1].register_forward_hook(lambda *_: runs.append(1))

    saliency = explain(pooled, noise, methods="EigenCAM", layers="1")[0]

    assert runs == []
    assert (saliency.target, saliency.probability, saliency.class_name) == (None, None, "")


@pytest.mark.parametrize("method", CONVOLUTIONAL)
def test_the_model_is_given_back_as_it_was(noise, method):
    network = a_lived_in_network()
    before = state_of(network)

    explain(classifier_of(network), noise, methods=method, layers="4")

    assert same(before, state_of(network))


def test_the_model_is_given_back_also_after_an_error(noise):
    network = a_lived_in_network()
    before = state_of(network)

    with pytest.raises(NotFound, match="no class named '9'"):
        explain(classifier_of(network), noise, layers="4", targets=9)

    assert same(before, state_of(network))
    assert torch.is_grad_enabled()


def test_the_modes_of_the_caller_do_not_matter(pooled, noise):
    usual = explain(pooled, noise, layers="0", targets=1)[0].values
    with torch.no_grad():
        unrecorded = explain(pooled, noise, layers="0", targets=1)[0].values
    with torch.inference_mode():
        inferring = explain(pooled, noise, layers="0", targets=1)[0].values
    pooled.module.requires_grad_(False)
    frozen = explain(pooled, noise, layers="0", targets=1)[0].values

    for other in (unrecorded, inferring, frozen):
        np.testing.assert_array_equal(usual, other)


def test_an_activation_in_place_does_not_overwrite_the_layer_before_it(pooled, noise):
    conv, *_ = pooled.module
    batch = torch.from_numpy(pooled.encoding.encode(noise))[None]

    saliency = explain(pooled, noise, methods="HiResCAM", layers="0", targets=0)[0]

    before = conv(batch)[0]
    weight = pooled.module[-1].weight[0][:, None, None] / 64 * (before > 0)
    np.testing.assert_allclose(saliency.values, (weight * before).sum(0).detach().numpy(), atol=1e-7)


def test_a_layer_that_runs_twice_is_refused(noise):
    relu = nn.ReLU()
    network = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    with pytest.raises(ModelError, match="layer '1' ran 2 times"):
        explain(classifier_of(network), noise, layers="1")


def test_a_layer_that_never_runs_is_refused(pooled, noise):
    pooled.module.register_module("spare", nn.Conv2d(3, 3, 1))
    pooled.module.forward = lambda batch: pooled.module[4](pooled.module[3](pooled.module[2](pooled.module[0](batch))))

    with pytest.raises(ModelError, match="layer 'spare' did not run, or put out no tensor"):
        explain(pooled, noise, layers="spare")


def test_a_layer_that_the_logits_do_not_depend_on_is_refused(noise):
    class Sidestep(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen, self.used = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, batch):
            self.seen(batch)
            return self.used(batch).mean((2, 3))

    with pytest.raises(ModelError, match="do not depend on layer 'seen'"):
        explain(classifier_of(Sidestep()), noise, layers="seen")


def test_a_layer_with_a_tuple_is_looked_at_by_its_first_tensor(noise):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, batch):
            return self.conv(batch), "more"

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, batch):
            tensor, more = self.pair(batch)
            assert more == "more"
            return tensor.mean((2, 3))

    classifier = classifier_of(Network())
    result = explain(classifier, noise, layers=["pair", "pair.conv"], targets=0)

    np.testing.assert_array_equal(result[0].values, result[1].values)


def test_one_class_for_each_picture(pooled):
    pictures = [noise_image(8, 8, seed=seed) for seed in range(3)]

    result = explain(pooled, pictures, layers="1", targets=(2, 0, 1), options=ExplainOptions(batch_size=2))

    assert [saliency.target for saliency in result] == [2, 0, 1]
    with pytest.raises(ValueError, match="2 target classes for 3 pictures"):
        explain(pooled, pictures, layers="1", targets=(2, 0))


def test_a_contrast_is_the_difference_of_two_maps_where_everything_is_linear(pooled, noise):
    maps = explain(pooled, noise, layers="1", targets=["cat", "dog", "cat - dog"])

    np.testing.assert_allclose(maps[2].values, maps[0].values - maps[1].values, atol=1e-7)
    assert maps[2].class_name == "cat - dog"
    assert maps[2].logit == pytest.approx(maps[0].logit - maps[1].logit, abs=1e-6)


def test_a_whole_picture_keeps_its_aspect_ratio(trained, cat_and_cup):
    whole = explain(trained, cat_and_cup, options=ExplainOptions(whole=True))[0]
    cropped = explain(trained, cat_and_cup)[0]

    assert whole.image.size == (224, 448)
    assert whole.values.shape == (7, 14)
    assert cropped.image.size == (224, 224)


def test_a_trained_network_sees_the_cat_left_and_the_cup_right(trained, cat_and_cup):
    result = explain(trained, cat_and_cup, targets=[TABBY, ESPRESSO], options=ExplainOptions(whole=True))

    cat, cup = (saliency.heatmap().values for saliency in result)
    assert cat[:, :224].sum() > 0.8 * cat.sum()
    assert cup[:, 224:].sum() > 0.8 * cup.sum()


def test_a_picture_of_a_size_that_the_model_refuses_is_a_readable_error():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 2, 1), nn.Linear(128, 3)

        def forward(self, batch):
            return self.head(self.conv(batch).flatten(1))

    with pytest.raises(ModelError, match="toy cannot be run on a picture of 8 x 16") as caught:
        explain(classifier_of(Fixed()), noise_image(8, 16), layers="conv")
    assert "8 x 8" in caught.value.hint


def test_a_misspelt_method_names_the_near_ones(pooled, noise):
    with pytest.raises(NotFound, match="no method named 'gradcan'") as caught:
        explain(pooled, noise, methods="gradcan")
    assert "GradCAM" in caught.value.hint


def test_a_class_that_is_asked_for_twice_is_explained_once(pooled, noise):
    likeliest = explain(pooled, noise, layers="1")[0].target

    found = explain(pooled, noise, layers=["0", "1"], targets=[likeliest, "top1", "predicted"])

    assert [saliency.layer for saliency in found] == ["0", "1"]
    assert [len(fused.parts) for fused in found.fused()] == [2]


def test_a_sum_that_cancels_is_empty_instead_of_rounding_drawn_as_a_map(noise):
    """A layer norm does not see the length of what it takes, so G A adds up to zero over the channels."""

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(3, 32, 3), nn.LayerNorm(32, eps=1e-12), nn.Linear(32, 3)

        def forward(self, batch):
            return self.head(self.norm(self.conv(batch).permute(0, 2, 3, 1)).mean((1, 2)))

    hires, grad = explain(classifier_of(Normed()), noise, methods=["HiResCAM", "GradCAM"], layers="conv")

    assert not hires.values.any()
    assert hires.heatmap().empty
    assert not grad.heatmap().empty


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"samples": 0}, "a method takes at least one sample, not 0"),
        ({"batch_size": 0}, "a batch holds at least one picture, not 0"),
        ({"precision": "half"}, "a precision is one of float32, bf16, not 'half'"),
    ],
)
def test_options_that_cannot_be_met_are_refused_when_they_are_made(setting, said):
    with pytest.raises(WrongValue, match=said):
        ExplainOptions(**setting)


def test_a_method_that_asks_the_model_again_needs_one():
    evidence = Evidence(torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 3))

    with pytest.raises(ValueError, match="this evidence has no model to ask"):
        score_cam(evidence)


def test_smoothing_leaves_a_map_where_the_picture_has_it():
    module = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    for parameter in module.parameters():
        nn.init.constant_(parameter, 1.0)
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :2] = 255

    (smoothed,) = explain(
        classifier_of(module), Image(pixels), layers="1", targets=0, options=ExplainOptions(aug_smooth=True)
    )

    assert smoothed.values[:, :2].min() > 2 * smoothed.values[:, 2:].max()
