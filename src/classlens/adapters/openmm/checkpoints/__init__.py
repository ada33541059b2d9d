"""Checkpoints: finding them, reading them without running them, and putting them into a network."""
