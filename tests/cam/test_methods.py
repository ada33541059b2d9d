import numpy as np
import pytest
import torch

from classlens.cam.methods import METHODS, find_method
from classlens.cam.methods.collapse import first_component
from classlens.cam.methods.loading import functions
from classlens.cam.probe import Evidence
from classlens.errors import NotFound


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
    assert all(map(callable, functions(METHODS[name])))
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


def test_a_component_of_nothing_is_nothing():
    assert not first_component(torch.zeros(1, 3, 4, 4)).any()
    assert torch.isfinite(first_component(torch.full((1, 3, 4, 4), float("nan")))).all()


def test_grad_cam_plus_plus_weighs_as_the_paper_where_its_constant_is_small():
    """Chattopadhay et al., eq. 19, written out with loops."""
    activations, gradients = random_features((1, 2, 3, 3)).abs(), random_features((1, 2, 3, 3), seed=1)

    weighted = functions(METHODS["GradCAM++"])[0](Evidence(activations, gradients))

    for channel in range(2):
        a, g = activations[0, channel].double().numpy(), gradients[0, channel].double().numpy()
        alpha = g**2 / (2 * g**2 + a.sum() * g**3)
        expected = (alpha * np.maximum(g, 0)).sum() * a
        np.testing.assert_allclose(weighted[0, channel].numpy(), expected, rtol=1e-3)
