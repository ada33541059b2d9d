import pytest

from classlens.cam.budget import affordable


@pytest.mark.parametrize(("megabytes", "size"), [(1, 16), (4 * 4 * 256 * 5 / 1e6, 4), (1e-9, 1)])
def test_the_batch_is_halved_until_four_of_the_largest_outputs_fit(pooled, megabytes, size):
    """The largest output of the network is 4 channels x 8 x 8, in float32."""
    assert affordable(pooled, 16, megabytes) == size
