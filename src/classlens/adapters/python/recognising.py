"""From the user's objects to a `Source`: every object is sorted by what it is, and each part is built when asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from classlens.adapters import Options
from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.dataset.dataset import Dataset
from classlens.errors import ConfigError, NotFound
from classlens.schedule.clock import Clock
from classlens.schedule.schedule import Schedule
from classlens.source import Plan, Source

if TYPE_CHECKING:
    from classlens.cam.classifier import Classifier

SPLITS = ("train", "val", "test")
RECORDS = ("classlens.cam.classifier.Classifier",)
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
    schedule: Schedule | None = None
    clock: Clock | None = None
    epochs: int | None = None


def source_of(thing: Thing, origin: str, options: Options) -> Source:
    """Offer what an object, or the objects in a tuple or dict, can give.

    Raises:
        ConfigError: nothing in it is known.
    """
    if isinstance(thing, Source):
        return thing
    parts = Parts()
    for key, member in members(thing):
        parts = sorted_in(parts, key, member, origin)
    trains = parts.schedule or parts.optimizer or parts.scheduler or kinds.is_lightning(parts.classifier)
    return Source(
        origin=origin,
        open_dataset=partial(open_dataset, parts, origin) if parts.datasets else None,
        open_schedule=partial(open_schedule, parts) if trains else None,
        open_classifier=partial(open_classifier, parts, origin, options) if parts.classifier is not None else None,
        plan=plan_of(parts),
    )


def members(thing: Thing) -> Iterator[tuple[str, Thing]]:
    """The objects in a dict, a tuple or a list, nested or not, with the key of a dict that they stand under."""
    if isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from ((str(key), inner) for _, inner in members(value))
    elif isinstance(thing, (tuple, list)):
        for value in thing:
            yield from members(value)
    else:
        yield "", thing


def sorted_in(parts: Parts, key: str, thing: Thing, origin: str) -> Parts:
    """The parts with one more object in its place.

    Raises:
        ConfigError: the object is of no known kind.
    """
    names = kinds.kinds(thing)
    if thing is None:
        return parts
    if key == "epochs" and isinstance(thing, int):
        return replace(parts, epochs=thing)
    if isinstance(thing, Clock):
        return replace(parts, clock=thing)
    if isinstance(thing, Schedule):
        return replace(parts, schedule=thing)
    if names & set(RECORDS) or kinds.is_module(thing):
        return replace(parts, classifier=thing)
    if kinds.is_optimizer(thing):
        return replace(parts, optimizer=thing)
    if kinds.is_scheduler(thing):
        return replace(parts, scheduler=thing)
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

    return open_data(given, split)


def open_schedule(parts: Parts) -> Schedule:
    """The user's schedule, or the rules read off the optimizer and its scheduler."""
    if parts.schedule is not None:
        return parts.schedule
    from classlens.adapters.python.training import schedule_of

    return schedule_of(parts.optimizer, parts.scheduler, parts.classifier)


def open_classifier(parts: Parts, origin: str, options: Options, checkpoint: str | None) -> "Classifier":
    """The network with the weights at `checkpoint`, or as the user gave it."""
    from classlens.adapters.python.network import classifier_of

    return classifier_of(parts.classifier, parts.transform, origin, checkpoint, trust=options.trust_checkpoint)
