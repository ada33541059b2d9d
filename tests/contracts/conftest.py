import pytest
import torch

from tests.contracts.openings import OPENINGS


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def source(request, tmp_path):
    """The source of the adapter that the test is run for."""
    return OPENINGS[request.param].open(tmp_path)
