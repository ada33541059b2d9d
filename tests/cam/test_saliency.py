from dataclasses import replace

import numpy as np
import pytest

from classlens.cam.saliency import ExplainedClass, Explanation, Fused, Heatmap, Saliency
from classlens.errors import NotFound
from classlens.image import Image
from tests.cam.conftest import noise_image

CAT = ExplainedClass(0, 2.0, 0.7, "cat")
DOG = ExplainedClass(1, 1.0, 0.2, "dog")


def saliency(values, *, layer="a", method="GradCAM", subject=CAT, index=0, size=(4, 4)) -> Saliency:
    variants = np.asarray(values, np.float32)
    variants = variants[None] if variants.ndim == 2 else variants
    return Saliency(noise_image(*size), variants, method, layer, subject, index)


def test_a_heatmap_lies_in_0_to_1_at_the_size_of_the_picture():
    heat = saliency([[-5.0, 1.0], [2.0, 4.0]], size=(6, 10)).heatmap().values

    assert (heat.shape, heat.dtype) == ((6, 10), np.float32)
    assert heat[0, 0] == 0
    assert heat.max() == pytest.approx(1)


def test_a_heatmap_refuses_numbers_that_are_not_a_heatmap():
    with pytest.raises(ValueError, match=r"lies in \[0, 1\], this one in \[0, 255\]"):
        Heatmap(np.linspace(0, 255, 64, dtype=np.float32).reshape(8, 8))


def test_a_heatmap_refuses_nan():
    with pytest.raises(ValueError, match="this one in"):
        Heatmap(np.full((2, 2), np.nan, np.float32))


def test_a_map_that_is_negative_everywhere_is_empty():
    assert saliency([[-1.0, -2.0], [-3.0, -4.0]]).heatmap().empty
    assert not saliency([[-1.0, 2.0], [-3.0, -4.0]]).heatmap().empty


def test_fused_layers_are_the_mean_of_normalised_maps_normalised_again():
    large, small = np.array([[8.0, 4.0, 0.0, 0.0]]), np.array([[0.0, 0.25, 0.5, 0.0]])
    fused = Fused((saliency(large, size=(1, 4)), saliency(small, layer="b", size=(1, 4)))).heatmap()

    # Each counts the same, although one is sixteen times the other.
    np.testing.assert_allclose(fused.values, [[1, 1, 1, 0]], atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 3e-5, 700.0])
@pytest.mark.parametrize("shape", [(2, 2), (7, 7)])
def test_layers_that_add_up_to_the_same_everywhere_are_empty(shape, scale):
    """One is hot where the other is cold; what is left of both is rounding, and what a small constant takes."""
    values = np.random.default_rng(0).random(shape)
    other = (values.max() - values) * scale

    assert Fused((saliency(values, size=(75, 75)), saliency(other, layer="b", size=(75, 75)))).heatmap().empty
    other[0, 0] += 0.01 * other.max()
    assert not Fused((saliency(values, size=(75, 75)), saliency(other, layer="b", size=(75, 75)))).heatmap().empty


def test_a_map_that_is_flat_but_for_rounding_is_empty():
    noise = np.float32(1e-7) * np.random.default_rng(0).random((7, 7))

    assert saliency(3 + noise, size=(75, 75)).heatmap().empty
    assert not saliency(noise, size=(75, 75)).heatmap().empty


def test_variants_are_averaged_as_heatmaps_and_not_scaled_again():
    two = np.array([[[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 9.0]]])

    heat = saliency(two, size=(2, 2)).heatmap().values

    np.testing.assert_allclose(heat, [[0.5, 0], [0, 0.5]], atol=1e-6)


def test_an_explanation_is_searched_by_image_method_layer_and_class():
    maps = [
        saliency([[0.0, 1.0], [0.0, 1.0]], layer=layer, method=method, subject=subject, index=index)
        for index in (0, 1)
        for subject in (CAT, DOG)
        for method in ("GradCAM", "LayerCAM")
        for layer in ("a", "b")
    ]
    explanation = Explanation(tuple(maps))

    (found,) = explanation.where(image=1, method="layercam", layer="b", target="dog")

    assert found is maps[-1]
    assert list(explanation.where(target=0, image=0, method="GradCAM")) == maps[:2]
    assert len(explanation.fused()) == 8
    with pytest.raises(NotFound, match="no layer named 'c' in this explanation") as caught:
        explanation.where(layer="c")
    assert caught.value.hint == "there is: a, b"


def test_single_pixels_do_not_outshine_a_capped_map():
    """Smilkov et al. 2017, section 3.1: what is above the 99th percentile is shown as that is."""
    values = np.linspace(0, 1, 400, dtype=np.float32).reshape(1, 20, 20)
    values[0, 0, 0] = 1000
    plain = Saliency(Image(np.zeros((20, 20, 3), np.uint8)), values, "SmoothGrad", "input", CAT)

    assert plain.heatmap().values.mean() < 0.01
    assert replace(plain, cap=0.99).heatmap().values.mean() == pytest.approx(0.5, abs=0.02)
    assert replace(plain, cap=0.99).values.max() == 1000
