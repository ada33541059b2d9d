import pytest

from classlens.cam.cost import affordable_batch_size, estimate_peak
from classlens.cam.layers import find_layers
from tests.cam.conftest import classifier_of

FLOAT = 4


def test_the_batch_is_halved_until_its_peak_fits(pooled):
    layers = find_layers(pooled, ["0"])
    one = estimate_peak(pooled, layers) / 1e6

    assert [affordable_batch_size(pooled, 16, budget * one, layers) for budget in (16, 15.9, 4, 0.1)] == [16, 8, 4, 1]


def test_a_peak_is_what_the_largest_layers_hold(pooled):
    wide = classifier_of(pooled.module, size=(32, 32))

    peak, larger = (estimate_peak(one, find_layers(one, ["0"])) for one in (pooled, wide))

    conv, picture = 4 * 8 * 8 * FLOAT, 3 * 8 * 8 * FLOAT
    assert picture + 2 * conv <= peak <= picture + 6 * conv  # the layer, the clone that went on, gradients
    assert larger == pytest.approx(16 * peak, rel=0.1)


def test_layers_near_the_input_cost_more(trained):
    first, last = (estimate_peak(trained, find_layers(trained, [name])) for name in ("blocks.0", "bn2"))

    assert first > 1.5 * last
