import sys

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks are slower on several threads, and tests run side by side."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
