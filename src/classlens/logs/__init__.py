"""What a training run leaves behind, read without running anything: the learning rates that it logged, and where it ended."""
