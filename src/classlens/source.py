"""What an adapter returns: up to three ways into one training setup, each built only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from classlens.errors import NotOffered

if TYPE_CHECKING:
    from classlens.cam.classifier import Classifier
    from classlens.dataset.dataset import Dataset
    from classlens.schedule.schedule import Clock, Schedule


@dataclass(frozen=True)
class Plan:
    """What a source knows about the length of its training run; None where only the user can say.

    `clock(dataset_size, gpus)` turns it into the clock that training would follow.
    """

    clock: Callable[[int | None, int], Clock]
    dataset_size: Callable[[], int | None] | None = None


@dataclass(frozen=True, eq=False)
class Loading:
    """How training loads its samples: torch's DataLoader, for who runs it.

    `open(rank, ranks)` gives the loader as that process of training has it, whose global generators start at
    `seed(rank)`; at least so many `ranks` share the samples. Where training makes the loader anew before every epoch,
    `remade` says so; `sets_epoch` says whether its samplers hear of a new one. Of an `assumed` loader only the dataset is
    the user's. `cures` say what to change in the framework's words: for generators that are "seeded" in workers or
    "copied" to them, for the "order" of samples, and for a "shuffle" that is missing.
    """

    open: Callable[[int, int], Any]
    seed: Callable[[int], int] = lambda rank: 1 + rank
    ranks: int = 1
    remade: str = ""
    sets_epoch: bool = True
    assumed: bool = False
    cures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A training setup, opened but not yet built.

    A part that the framework cannot give is None: a timm model name has no schedule, and says so here rather than
    by failing later; to open it raises NotOffered. `open_classifier` takes the address of a checkpoint, or None for the
    source's own weights, whose `class_names` may be known before they are read; a head that is to be trained on the
    dataset tells `outputs` classes apart. `notes` are what the user should hear about how the target was opened, such as
    an override that hit nothing.
    """

    origin: str
    open_dataset: Callable[[str], Dataset] | None = None
    open_schedule: Callable[[], Schedule] | None = None
    open_classifier: Callable[[str | None], Classifier] | None = None
    plan: Plan | None = None
    open_loading: Callable[[], Loading] | None = None
    class_names: Callable[[], tuple[str, ...] | None] | None = None
    outputs: int | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Source {self.origin}: {', '.join(self.parts) or 'offers nothing'}>"

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts on offer, in the order dataset, schedule, classifier."""
        offers = {"dataset": self.open_dataset, "schedule": self.open_schedule, "classifier": self.open_classifier}
        return tuple(name for name, opener in offers.items() if opener is not None)

    def dataset(self, split: str = "train") -> Dataset:
        """Open one split: train, val or test."""
        return (self.open_dataset or self._refuse("dataset"))(split)

    def schedule(self) -> Schedule:
        """Open the schedule."""
        return (self.open_schedule or self._refuse("schedule"))()

    def clock(self, *, dataset_size: int | None = None, gpus: int = 1) -> Clock:
        """How long training runs, given the number of samples (the dataset is counted if it is not given)."""
        plan = self.plan or self._refuse("training length")
        if dataset_size is None and plan.dataset_size is not None:
            dataset_size = plan.dataset_size()
        clock = plan.clock(dataset_size, gpus)
        return replace(clock, gpus=gpus) if gpus > 1 else clock

    def loading(self) -> Loading:
        """Open what loads the samples of training."""
        return (self.open_loading or self._refuse("loader of training samples"))()

    def classifier(self, checkpoint: str | None = None) -> Classifier:
        """Build the model with the weights at `checkpoint`, or with the source's own."""
        return (self.open_classifier or self._refuse("classifier"))(checkpoint)

    def _refuse(self, part: str) -> NoReturn:
        offers = ", ".join(self.parts) or "nothing"
        raise NotOffered(f"{self.origin} has no {part}", hint=f"it offers: {offers}")
