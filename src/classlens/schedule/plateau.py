"""Rates that a metric cuts when it stops improving: known before training are only the bounds of what can happen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from classlens.schedule.schedule import Course, Steps, Undecided, Values, distinct


@dataclass(frozen=True)
class Plateau:
    """Times `factor` once the metric has been bad more than `patience` times in a row, but not below `minimum`.

    After a cut the next `cooldown` metrics count for nothing. The first metric of all is never bad.
    """

    factor: float
    patience: int
    cooldown: int = 0
    minimum: float = 0.0
    metric: str = ""

    def cuts(self, looks: Sequence[int]) -> Sequence[int]:
        """Of the times at which a metric arrives, those of a cut if it never improves."""
        return looks[self.patience + 1 :: self.patience + 1 + self.cooldown]


def open_to(plateau: Plateau, known: Course, worst: Course, first: int) -> Course:
    """The course of a value that a metric may cut from step `first` on.

    Args:
        known: its course if the metric always improves.
        worst: its course with all the cuts of a metric that never does, without regard to the minimum.
    """

    def lowest(steps: Steps, initial: float) -> Values:
        held = np.minimum(plateau.minimum, known.values(steps, initial))
        return np.asarray(np.maximum(worst.values(steps, initial), held))

    breaks = distinct(np.concatenate([known.breaks, worst.breaks, [first]]))
    return replace(known, breaks=breaks, undecided=Undecided(first, lowest, plateau.metric))
