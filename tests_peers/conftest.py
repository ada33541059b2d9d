"""Every process of the suite computes on one thread, as in `tests`."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
