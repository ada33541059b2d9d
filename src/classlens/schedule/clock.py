"""Training time: how long a run is, in steps and in epochs.

A step is one training batch, counted from 0; an epoch is a pass over the data. Whatever mixes the two goes through a
`Clock`, so that a number of epochs is never taken for a number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """How long a training run is.

    `Clock(epochs=100, steps_per_epoch=5005)` is a run over epochs. `Clock.of_steps(160_000)` is one that counts steps
    only, where nothing happens at the end of an epoch; it may still know how many steps a pass over the data takes.
    `note` says in words how the steps were counted, `gpus` how many share each of them: where the source scales its
    learning rate by batch size, they decide it.

    Raises:
        ValueError: the run has no step, or an epoch has none.
    """

    epochs: int | None
    steps_per_epoch: int | None
    total: int | None = None
    note: str = ""
    gpus: int = 1

    def __post_init__(self) -> None:
        if self.total is None and (self.epochs is None or self.steps_per_epoch is None):
            raise ValueError("a clock needs epochs and steps_per_epoch; for a run counted in steps use Clock.of_steps")
        counts = {
            "epochs": self.epochs,
            "steps_per_epoch": self.steps_per_epoch,
            "steps": self.total,
            "gpus": self.gpus,
        }
        for name, count in counts.items():
            if count is not None and count < 1:
                raise ValueError(f"a clock needs {name} of 1 or more, not {count}")

    @classmethod
    def of_steps(cls, steps: int, steps_per_epoch: int | None = None, *, note: str = "", gpus: int = 1) -> Clock:
        """The clock of a run that is counted in steps, whatever the size of the dataset."""
        return cls(None, steps_per_epoch, steps, note, gpus)

    @property
    def by_epoch(self) -> bool:
        """Whether the run has epochs, at whose ends schedules may move."""
        return self.epochs is not None

    @property
    def steps(self) -> int:
        """Steps in the whole run."""
        if self.total is not None:
            return self.total
        return (self.epochs or 0) * (self.steps_per_epoch or 0)

    def epoch(self, step: float) -> float | None:
        """Epochs completed before `step`, with their fraction; None where the length of an epoch is unknown."""
        return None if self.steps_per_epoch is None else step / self.steps_per_epoch

    def __str__(self) -> str:
        if self.epochs is not None:
            return f"{self.steps:,} steps = {self.epochs:,} epochs x {self.steps_per_epoch:,} steps"
        known = self.epoch(self.steps)
        return f"{self.steps:,} steps" + ("" if known is None else f", {known:,.4g} passes over the data")
