"""Hyper-parameters over training time, before training: Schedule -> replay -> Curves."""
