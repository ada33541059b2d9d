"""Every process of the suite computes on one thread."""

import os

# Small networks are slower on several, tests run side by side, and threads that wait for work spin. torch.set_num_threads
# cannot do it: it counts for the thread that calls it alone, and not for processes that a test starts. This has to stand
# here before torch and numpy are imported.
os.environ["OMP_NUM_THREADS"] = "1"
