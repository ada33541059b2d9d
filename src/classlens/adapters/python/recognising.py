"""From the user's objects to a `Source`: every object is sorted by what it is, and each part is built when asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from classlens.adapters import Options
from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.adapters.python.mixing import batch_plan, is_mixing
from classlens.adapters.python.training import configured, flat, schedule_of
from classlens.dataset.dataset import Dataset
from classlens.errors import ConfigError, NotFound
from classlens.schedule.clock import Clock
from classlens.schedule.schedule import Schedule
from classlens.source import Plan, Source

if TYPE_CHECKING:
    from classlens.cam.classifier import Classifier

SPLITS = ("train", "val", "test")
CLASSIFIER = "classlens.cam.classifier.Classifier"
"""Our own record by name: importing it imports torch, which a user with only a dataset may not have."""

WORDS: Mapping[str, type] = {"epochs": int, "interval": str}
"""Keys of a dict whose values are plain numbers and words."""

FIELDS: tuple[tuple[str, Callable[[Thing], bool]], ...] = (
    ("mixing", is_mixing),
    ("clock", lambda thing: isinstance(thing, Clock)),
    ("schedule", lambda thing: isinstance(thing, Schedule)),
    ("classifier", lambda thing: CLASSIFIER in kinds.kinds(thing) or kinds.is_module(thing)),
    ("optimizer", kinds.is_optimizer),
    ("scheduler", kinds.is_scheduler),
)
"""Where an object goes, and how it is told."""

TAKEN = (
    "a torch module, a Dataset or DataLoader, an optimizer with its scheduler, a test transform, "
    "a classlens record, or a tuple or dict of these"
)


@dataclass(frozen=True)
class Parts:
    """The user's objects, sorted; what was not given is None or empty."""

    classifier: Thing = None
    transform: Thing = None
    datasets: Mapping[str, Thing] = field(default_factory=dict)
    optimizer: Thing = None
    scheduler: Thing = None
    mixing: Thing = None
    schedule: Schedule | None = None
    clock: Clock | None = None
    epochs: int | None = None
    interval: str | None = None


def source_of(thing: Thing, origin: str, options: Options) -> Source:
    """Offer what an object, or the objects in a tuple or dict, can give.

    Raises:
        ConfigError: nothing in it is known.
    """
    if isinstance(thing, Source):
        return thing
    parts = Parts()
    for key, member in flat("", thing):
        parts = sorted_in(parts, key, member, origin)
    trains = parts.schedule or parts.optimizer or parts.scheduler or kinds.is_lightning(parts.classifier)
    return Source(
        origin=origin,
        open_dataset=partial(open_dataset, parts, origin) if parts.datasets else None,
        open_schedule=partial(open_schedule, parts) if trains else None,
        open_classifier=partial(open_classifier, parts, origin, options) if parts.classifier is not None else None,
        plan=plan_of(parts),
    )


def sorted_in(parts: Parts, key: str, thing: Thing, origin: str) -> Parts:
    """The parts with one more object in its place.

    Raises:
        ConfigError: the object is of no known kind.
    """
    if thing is None:
        return parts
    if isinstance(thing, WORDS.get(key, ())):
        said: dict[str, Thing] = {key: thing}
        return replace(parts, **said)
    for field_name, belongs in FIELDS:
        if belongs(thing):
            return replace(parts, **{field_name: thing})
    if isinstance(thing, Dataset) or kinds.is_loader(thing) or kinds.is_dataset(thing):
        split = key if key in SPLITS else next((name for name in SPLITS if name not in parts.datasets), key)
        return replace(parts, datasets={**parts.datasets, split: thing})
    if kinds.is_transform(thing) or callable(thing):
        return replace(parts, transform=thing)
    raise ConfigError(
        f"{origin}: an object of type {type(thing).__name__} is nothing to look at", hint=f"it should be {TAKEN}"
    )


def plan_of(parts: Parts) -> Plan | None:
    """The length of the run: a `Clock` of the user, or `epochs` beside a DataLoader for training."""
    if parts.clock is not None:
        clock = parts.clock
        return Plan(lambda size, gpus: clock)
    loader: Thing = parts.datasets.get("train")
    if parts.epochs is None or not kinds.is_loader(loader):
        return None
    made = Clock(parts.epochs, len(loader), note="steps per epoch: the length of the DataLoader")
    return Plan(lambda size, gpus: made)


def open_dataset(parts: Parts, origin: str, split: str) -> Dataset:
    """One of the datasets.

    Raises:
        NotFound: there is none for this split.
    """
    if split not in parts.datasets:
        raise NotFound("split", split, parts.datasets, where=origin)
    given = parts.datasets[split]
    if isinstance(given, Dataset):
        return given
    from classlens.adapters.python.data import open_data

    mixing = parts.mixing if split == "train" else None
    return replace(open_data(given, split), batch=batch_plan(given, mixing))


def open_schedule(parts: Parts) -> Schedule:
    """The user's schedule, or the rules read off the optimizer and its scheduler."""
    if parts.schedule is not None:
        return parts.schedule
    if parts.optimizer is None and parts.scheduler is None:
        told = configured(parts.classifier)
        return schedule_of(told["optimizer"], told.get("scheduler"), told.get("interval"))
    return schedule_of(parts.optimizer, parts.scheduler, parts.interval)


def open_classifier(parts: Parts, origin: str, options: Options, checkpoint: str | None) -> "Classifier":
    """The network with the weights at `checkpoint`, or as the user gave it."""
    from classlens.adapters.python.network import classifier_of

    return classifier_of(parts.classifier, parts.transform, origin, checkpoint, trust=options.trust_checkpoint)
