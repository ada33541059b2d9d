import pytest

from tests.contracts.openings import OPENINGS


@pytest.fixture
def source(request, tmp_path):
    """The source of the adapter that the test is run for."""
    return OPENINGS[request.param].open(tmp_path)
