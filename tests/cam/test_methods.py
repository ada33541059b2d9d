from pkgutil import resolve_name

import numpy as np
import pytest
import torch

from classlens.cam.cost import count_runs, seconds_per_run
from classlens.cam.evidence import Evidence
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.forward import Objective
from classlens.cam.layers import find_layers
from classlens.cam.methods import METHODS, find_method
from classlens.cam.methods.weights import first_component, first_component_of_evidence, grad_cam_plus_plus
from classlens.errors import ModelError, NotFound
from classlens.image import Image
from tests.cam.conftest import classifier_of, noise_image


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gradcam", "GradCAM"),
        ("Grad-CAM++", "GradCAM++"),
        ("GRADCAMPLUSPLUS", "GradCAM++"),
        ("eigen-grad-cam", "EigenGradCAM"),
        ("layer_cam", "LayerCAM"),
    ],
)
def test_names_of_methods_are_forgiving(name, found):
    assert find_method(name).name == found


def test_an_unknown_method_is_refused():
    with pytest.raises(NotFound, match="no method named 'cam5'"):
        find_method("cam5")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_table_exists_and_has_a_paper(name):
    addresses = [address for address in (METHODS[name].weigh, METHODS[name].collapse) if address]

    assert all(callable(resolve_name(f"classlens.cam.methods.{address}")) for address in addresses)
    assert METHODS[name].paper


def random_features(shape, seed=0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(2, 3, 6, 7), (2, 50, 3, 4), (1, 1, 5, 5)], ids=["wide", "deep", "one channel"])
def test_the_first_component_is_that_of_a_singular_value_decomposition(shape):
    features = random_features(shape)

    found = first_component(features).flatten(1).double()

    rows = features.flatten(2).mT.double()
    rows = rows - rows.mean(1, keepdim=True)
    expected = (rows @ torch.linalg.svd(rows, full_matrices=False).Vh[:, :1].mT)[..., 0]
    sign = (found * expected).sum(1, keepdim=True).sign()
    torch.testing.assert_close(found * sign, expected, rtol=1e-5, atol=1e-5)


def test_the_sign_of_a_component_puts_strong_places_up():
    features = torch.zeros(1, 3, 4, 4)
    features[0, :, 1:3, 1:3] = torch.tensor([-3.0, -1.0, 2.0])[:, None, None]

    found = first_component(features)[0]

    assert found[1:3, 1:3].min() > 0 > found[0].max()


def test_the_sign_of_a_component_of_evidence_puts_what_speaks_for_the_class_up():
    weighted = torch.zeros(1, 2, 1, 4)
    weighted[0, 0] = torch.tensor([1.0, 0.0, 0.0, -3.0])  # what speaks against it is stronger

    found = first_component_of_evidence(weighted)[0, 0]

    assert found.argmax() == 0
    assert found.argmin() == 3


@pytest.mark.parametrize("method", [name for name, one in METHODS.items() if one.quick and not one.adds_channels])
def test_eigen_smooth_leaves_a_method_alone_that_adds_up_no_channels(pooled, noise, method):
    usual, smooth = (
        explain(pooled, noise, methods=method, layers="0", targets=1, options=ExplainOptions(eigen_smooth=smooth))[
            0
        ].values
        for smooth in (False, True)
    )

    np.testing.assert_array_equal(smooth, usual)


def test_a_component_of_nothing_is_nothing():
    assert not first_component(torch.zeros(1, 3, 4, 4)).any()
    assert torch.isfinite(first_component(torch.full((1, 3, 4, 4), float("nan")))).all()


def test_grad_cam_plus_plus_weighs_as_the_paper_where_its_constant_is_small():
    """Chattopadhay et al., eq. 19, written out with loops."""
    activations, gradients = random_features((1, 2, 3, 3)).abs(), random_features((1, 2, 3, 3), seed=1)

    weighted = grad_cam_plus_plus(Evidence(activations, gradients))

    for channel in range(2):
        a, g = activations[0, channel].double().numpy(), gradients[0, channel].double().numpy()
        alpha = g**2 / (2 * g**2 + a.sum() * g**3)
        expected = (alpha * np.maximum(g, 0)).sum() * a
        np.testing.assert_allclose(weighted[0, channel].numpy(), expected, rtol=1e-3)


def test_shapley_cam_of_a_square_halves_the_slope():
    """The score is the sum of A^2: the gradient is 2 A, the Hessian times A is 2 A too, so the weights are mean(A)."""

    class Square(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = torch.nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, batch):
            return self.seen(batch).square().sum((2, 3))[:, :2].sum(1, keepdim=True).repeat(1, 3)

    torch.manual_seed(0)
    classifier, image = classifier_of(Square()), noise_image(8, 8)
    activations = classifier.module.seen(torch.from_numpy(classifier.encoding.encode(image))[None])[0].detach()

    saliency = explain(classifier, image, methods="ShapleyCAM", layers="seen", targets=0)[0]

    expected = (activations[:2].mean((1, 2), keepdim=True) * activations[:2]).sum(0)
    np.testing.assert_allclose(saliency.values, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_integrated_gradients_add_up_to_what_the_picture_changes(noise):
    """Sundararajan et al. 2017, proposition 1 (completeness); zero in the encoding is the baseline."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.Softplus(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )

    saliency = explain(classifier_of(network), noise, methods="IntegratedGradients", layers="0", targets=5)[0]

    with torch.no_grad():
        nothing = network(torch.zeros(1, 3, 8, 8))[0, 5].item()
    assert saliency.layer == "input"
    assert saliency.values.sum() == pytest.approx(saliency.logit - nothing, abs=1e-5)


def test_ablating_all_of_a_linear_score_gives_each_channel_its_share(pooled, noise):
    """Behind the layer everything is linear: the drop is what the channel gives to the logit."""
    _, relu, _, _, head = pooled.module
    activations = relu(pooled.module[0](torch.from_numpy(pooled.encoding.encode(noise))[None]))[0].detach()

    saliency = explain(pooled, noise, methods="AblationCAM", layers="1", targets=1)[0]

    gives = head.weight[1].detach() * activations.mean((1, 2))
    expected = torch.einsum("c,chw->hw", gives / saliency.logit, activations)
    np.testing.assert_allclose(saliency.values, expected.numpy(), rtol=1e-3, atol=1e-6)


def test_channels_with_negative_numbers_are_ablated_to_zero(pooled, noise):
    """Desai & Ramaswamy 2020, eq. 4, written out. grad-cam puts minus ten million in the place of such channels."""
    conv, rest = pooled.module[0], pooled.module[1:]
    features = conv(torch.from_numpy(pooled.encoding.encode(noise))[None]).detach()
    score = rest(features.clone())[0, 1]
    weights = []
    for channel in range(4):
        without = features.clone()
        without[:, channel] = 0
        weights.append((score - rest(without)[0, 1]) / score)

    found = explain(pooled, noise, methods="AblationCAM", layers="0", targets=1)[0]

    assert features.min() < 0
    by_hand = (torch.stack(weights)[:, None, None] * features[0]).sum(0)
    np.testing.assert_allclose(found.values, by_hand.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_occlusion_finds_the_only_place_that_counts():
    class Corner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = torch.nn.Conv2d(3, 3, 1)

        def forward(self, batch):
            return self.seen(batch)[:, :, :8, :8].mean((2, 3)) + batch[:, :, :8, :8].mean((2, 3))

    image = Image(np.full((32, 32, 3), 255, np.uint8))
    values = explain(classifier_of(Corner(), size=(32, 32)), image, methods="Occlusion", layers="seen", targets=0)[
        0
    ].values

    assert (values[:7, :7] != 0).all()
    assert not values[10:, 10:].any()


def test_fullgrad_of_a_network_without_biases_is_refused(noise):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 3, 1, bias=False), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    with pytest.raises(ModelError, match="no convolution or BatchNorm with a bias"):
        explain(classifier_of(network), noise, methods="FullGrad", layers="0")


def test_finer_cam_tells_a_class_from_those_most_like_it():
    logits = torch.tensor([[5.0, 4.9, 4.8, 4.7, -9.0]], requires_grad=True)

    score = Objective(torch.tensor([0])).finer(logits)

    expected = (logits.softmax(1)[0, 1:4] / logits.softmax(1)[0, 1:4].sum() * (5.0 - logits[0, 1:4])).sum()
    torch.testing.assert_close(score[0], expected)


class Residual(torch.nn.Module):
    """A network that goes on from `seen` with a shortcut around it; `own` is what it does with the size of the batch."""

    def __init__(self, own):
        super().__init__()
        self.first, self.seen = torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.Conv2d(6, 6, 3, padding=1)
        self.head = torch.nn.Linear(6, 3)
        self.own = own

    def forward(self, batch):
        first = self.first(batch)
        return self.head(self.own(first + self.seen(first).relu(), len(batch)))


def pooled_over(features: torch.Tensor, count: int) -> torch.Tensor:
    return features.mean((2, 3))


def counting_on_the_batch(features: torch.Tensor, count: int) -> torch.Tensor:
    return features.reshape(count, 6, -1).mean(2)


def mixing_up_the_batch(features: torch.Tensor, count: int) -> torch.Tensor:
    return features.mean((2, 3)) * features.shape[0] / count


@pytest.mark.parametrize(
    ("own", "whole"),
    [(pooled_over, 1), (counting_on_the_batch, 12), (mixing_up_the_batch, 12)],
    ids=["a network that batches as one", "that counts on the batch", "that mixes it up"],
)
def test_ablation_runs_what_precedes_the_layer_once_where_the_network_allows(own, whole):
    torch.manual_seed(0)
    network = Residual(own)
    pictures = [noise_image(8, 8, seed=seed) for seed in range(2)]
    fed = []
    network.first.register_forward_hook(lambda module, inputs, output: fed.append(len(output)))

    found = explain(classifier_of(network), pictures, methods="AblationCAM", layers="seen", targets=1)

    assert max(fed[-whole:]) == (1 if whole == 1 else 7)
    for picture, saliency in zip(pictures, found, strict=True):
        with torch.no_grad():
            first = network.first(torch.from_numpy(np.asarray(picture.pixels, np.float32) / 255).permute(2, 0, 1)[None])
            features = network.seen(first)
            scores = [saliency.logit]
            for channel in range(6):
                changed = features.clone()
                changed[:, channel] = 0
                scores.append(network.head(own(first + changed.relu(), 1))[0, 1].item())
        drop = (scores[0] - np.array(scores[1:])) / scores[0]
        expected = np.einsum("c,chw->hw", drop, features[0].numpy())
        np.testing.assert_allclose(saliency.values, expected, rtol=1e-3, atol=1e-5)


def test_channels_that_are_the_same_everywhere_are_asked_about_once():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 40, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    with torch.no_grad():
        network[0].bias[:30], network[0].bias[30:] = -100, 1
    told = []
    explain(
        classifier_of(network),
        noise_image(8, 8),
        methods="ScoreCAM",
        layers="1",
        targets=35,
        options=ExplainOptions(progress=lambda *step: told.append(step)),
    )

    assert told[:-1][-1] == ("ScoreCAM", 11, 40)


def test_slow_methods_tell_how_far_they_are_and_take_as_many_samples_as_wanted(pooled, noise):
    told = []
    options = ExplainOptions(batch_size=4, samples=6, progress=lambda *step: told.append(step))

    few, usual = (
        explain(pooled, noise, methods="RISE", layers="1", targets=1, options=one)[0]
        for one in (options, ExplainOptions())
    )

    assert told == [("RISE", 4, 6), ("RISE", 6, 6), ("pictures", 1, 1)]
    assert not np.allclose(few.values, usual.values)


@pytest.mark.parametrize("method", ["ScoreCAM", "SS-CAM", "IS-CAM", "AblationCAM", "RISE", "Occlusion", "SmoothGrad"])
def test_a_batch_of_slow_maps_is_that_of_single_pictures(pooled, method):
    pictures = [noise_image(8, 8, seed=seed) for seed in range(3)]
    together = explain(
        pooled, pictures, methods=method, layers="1", targets=1, options=ExplainOptions(batch_size=5, samples=8)
    )

    for picture, one in zip(pictures, together, strict=True):
        alone = explain(pooled, picture, methods=method, layers="1", targets=1, options=ExplainOptions(samples=8))[0]
        np.testing.assert_allclose(one.values, alone.values, rtol=1e-4, atol=1e-5)


def test_the_cost_of_slow_methods_is_known_before(pooled):
    options = ExplainOptions(samples=7)

    found = count_runs(
        pooled, ["GradCAM", "ScoreCAM", "SS-CAM", "Occlusion", "RISE"], find_layers(pooled, ["0", "1"]), options
    )

    assert found == {"ScoreCAM": 8, "SS-CAM": 56, "Occlusion": 49, "RISE": 7}
    assert seconds_per_run(pooled, 2) < 1


def test_a_model_that_relies_on_the_usual_order_of_memory_is_fed_in_it():
    class Viewing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = torch.nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, batch):
            return self.seen(batch).view(len(batch), 4, 64).mean(2)

    found = explain(classifier_of(Viewing()), noise_image(8, 8), methods="ScoreCAM", layers="seen", targets=1)[0]

    assert np.isfinite(found.values).all()
