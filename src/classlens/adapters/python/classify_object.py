"""From the user's objects to a `Source`: every object is sorted by what it is, and each part is built when asked for."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import partial
from os import PathLike, fspath
from typing import TYPE_CHECKING

from classlens.adapters import Options, open_source
from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.adapters.python.lightning import (
    flatten,
    is_configuration,
    is_data_module,
    is_lightning,
    load_loader,
    schedule_of,
    schedule_of_module,
)
from classlens.adapters.python.mixing import find_mixing, is_mixing, read_batch_plan, unwrap_prefetching
from classlens.adapters.python.progress_functions import Function, find_functions
from classlens.adapters.python.progress_functions import schedule_of as schedule_of_functions
from classlens.dataset.conventions import SPLIT_OF, SPLITS
from classlens.dataset.dataset import Dataset
from classlens.errors import ClasslensError, ConfigError, NotFound
from classlens.schedule.schedule import Clock, Schedule
from classlens.source import Plan, Source

if TYPE_CHECKING:
    from classlens.cam.classifier import Classifier


CLASSIFIER = "classlens.cam.classifier.Classifier"
"""Our own record by name: importing it imports torch, which a user with only a dataset may not have."""

WORDS: Mapping[str, type] = {
    "epochs": int,
    "steps_per_epoch": int,
    "interval": str,
    "frequency": int,
    "classes": str,
}
"""Keys of a dict whose values are plain numbers and words; class names come one by one."""

FIELDS: tuple[tuple[str, Callable[[Thing], bool]], ...] = (
    ("others", lambda thing: isinstance(thing, Source)),
    ("mixing", is_mixing),
    ("clock", lambda thing: isinstance(thing, Clock)),
    ("schedule", lambda thing: isinstance(thing, Schedule)),
    ("classifier", lambda thing: CLASSIFIER in kinds.kinds(thing) or kinds.is_module(thing)),
    ("augmentation", kinds.is_augmentation),
    ("optimizers", kinds.is_optimizer),
    ("schedulers", lambda thing: is_configuration(thing) or kinds.is_scheduler(thing)),
    ("loaders", is_data_module),
    ("datasets", lambda thing: isinstance(thing, Dataset) or kinds.is_loader(thing) or kinds.is_dataset(thing)),
    ("transform", lambda thing: kinds.is_transform(thing) or callable(thing) or isinstance(thing, list)),
)
"""Where an object goes: the first field whose test it passes. A field of which there may be several starts as a tuple."""

TAKEN = (
    "a torch module, a Dataset or DataLoader, an optimizer with its scheduler, a transform beside pictures, "
    "a function of the position under 'lr', an address, a classlens record, or a tuple or dict of these"
)
ALONE = 'give the pictures, too: data = ("folder:PATH", transform)'


@dataclass(frozen=True)
class UsersObjects:
    """The user's objects, sorted; what was not given is None or empty. `others` are sources opened by an address.

    `twice` says of what two were given where one can be meant: an error only if that part is asked for.
    """

    classifier: Thing = None
    transform: Thing = None
    augmentation: Thing = None
    datasets: Mapping[str, Thing] = field(default_factory=dict)
    loaders: Thing = None
    optimizers: tuple[Thing, ...] = ()
    schedulers: tuple[Thing, ...] = ()
    functions: Mapping[str, Function] = field(default_factory=dict)
    mixing: Thing = None
    schedule: Schedule | None = None
    clock: Clock | None = None
    epochs: int | None = None
    steps_per_epoch: int | None = None
    interval: str | None = None
    frequency: int = 1
    classes: tuple[str, ...] = ()
    others: tuple[Source, ...] = ()
    twice: Mapping[str, str] = field(default_factory=dict)

    def other(self, part: str) -> Thing:
        return next((source for source in self.others if part in source.parts), None)


def source_of(thing: Thing, origin: str, options: Options) -> Source:
    """Offer what an object, or the objects in a tuple or dict, can give. The key of a bare object is its own name.

    Raises:
        ConfigError: nothing in it is known, or it offers nothing by itself.
    """
    if isinstance(thing, Source):
        return thing
    named = flatten(origin.rpartition(":")[2].rpartition(".")[2], thing)
    parts = sort_objects(((key, member) for key, member in named if member is not None), origin, options)
    own = parts.schedule or parts.functions or parts.optimizers or parts.schedulers or is_lightning(parts.classifier)
    source = Source(
        origin=origin,
        open_dataset=partial(open_dataset, parts, origin)
        if parts.datasets or parts.loaders or parts.other("dataset")
        else None,
        open_schedule=partial(open_schedule, parts) if own or parts.other("schedule") else None,
        open_classifier=partial(open_classifier, parts, origin, options)
        if parts.classifier is not None or parts.other("classifier")
        else None,
        plan=plan_of(parts),
        notes=tuple(note for other in parts.others for note in other.notes),
    )
    if not source.parts:
        alone = parts.transform is not None or parts.augmentation is not None or parts.mixing is not None
        what = "a transform without pictures" if alone else "nothing to look at"
        raise ConfigError(f"{origin} is {what}", hint=ALONE if alone else f"it should be {TAKEN}")
    return source


def sort_objects(things: Iterable[tuple[str, Thing]], origin: str, options: Options) -> UsersObjects:
    """The objects, each with the key that it stands under, in their places.

    Raises:
        ConfigError: an object is of no known kind.
    """
    held = {one.name: getattr(UsersObjects(), one.name) for one in fields(UsersObjects)}
    datasets: dict[str, Thing] = {}
    functions: dict[str, Function] = {}
    twice: dict[str, str] = {}
    for key, thing in things:
        if isinstance(thing, WORDS.get(key, ())):
            held[key] = (*held[key], thing) if key == "classes" else thing
            continue
        if isinstance(thing, (str, PathLike)):
            thing = open_source(fspath(thing), options=options)
        name = next((name for name, belongs in FIELDS if belongs(thing)), None)
        if name != "others" and (found := find_functions(key, thing)):
            functions |= found
        elif name == "datasets":
            split = SPLIT_OF.get(key, key)
            datasets[split if split in SPLITS else next((one for one in SPLITS if one not in datasets), split)] = thing
        elif name is None:
            kind = type(thing).__name__
            raise ConfigError(f"{origin}: an object of type {kind} is nothing to look at", hint=f"it should be {TAKEN}")
        elif isinstance(held[name], tuple):
            held[name] += (thing,)
        else:
            if held[name] is not None and held[name] is not thing:
                twice[name] = f"{type(held[name]).__name__} and {type(thing).__name__}"
            held[name] = thing
    return UsersObjects(**{**held, "datasets": datasets, "functions": functions, "twice": twice})


def check_single(parts: UsersObjects, *names: str) -> None:
    """Refuse two objects where one can be meant.

    Raises:
        ConfigError: there are two.
    """
    for name in names:
        if name in parts.twice:
            raise ConfigError(f"there are two objects for the {name}: {parts.twice[name]}", hint="give one of them")


def plan_of(parts: UsersObjects) -> Plan | None:
    """The length of the run: a `Clock`, or `epochs` beside a DataLoader for training or beside `steps_per_epoch`."""
    check_single(parts, "clock")
    loader: Thing = parts.datasets.get("train")
    if parts.clock is not None:
        clock = parts.clock
    elif parts.epochs is not None and parts.steps_per_epoch is not None:
        clock = Clock(parts.epochs, parts.steps_per_epoch)
    elif parts.epochs is not None and kinds.is_loader(loader):
        clock = Clock(parts.epochs, len(loader), note="steps per epoch: the length of the DataLoader")
    else:
        return next((source.plan for source in parts.others if source.plan is not None), None)
    return Plan(lambda size, gpus: clock)


def open_dataset(parts: UsersObjects, origin: str, split: str) -> Dataset:
    """One of the datasets, with the transform and the augmentation that stand beside it behind its own stages.

    Raises:
        NotFound: there is none for this split.
    """
    from classlens.adapters.python.collate import Collating
    from classlens.adapters.python.python_data import extend_dataset, open_data

    check_single(parts, "transform", "augmentation", "loaders", "mixing")
    for_network = parts.classifier is not None  # a transform beside a network is how that is fed
    behind = [] if for_network or parts.transform is None else [parts.transform]
    behind += [parts.augmentation] if parts.augmentation is not None and split == "train" else []
    if split not in parts.datasets and parts.loaders is None:
        if (other := parts.other("dataset")) is None:
            raise NotFound("split", split, parts.datasets, where=origin)
        return extend_dataset(other.dataset(split), behind)
    given = parts.datasets[split] if split in parts.datasets else load_loader(parts.loaders, split)
    if isinstance(given, Dataset):
        return extend_dataset(given, behind)
    given, in_loader = unwrap_prefetching(given)
    mixing = (parts.mixing or find_mixing(parts.augmentation)) if split == "train" else None
    opened = open_data(given, split)
    own = None if in_loader or behind else Collating(given, opened)
    return replace(extend_dataset(opened, [*in_loader, *behind]), batch=read_batch_plan(given, mixing, own))


def open_schedule(parts: UsersObjects) -> Schedule:
    """The user's schedule, or the rules read off functions, or off the optimizers and their schedulers."""
    check_single(parts, "schedule")
    if parts.schedule is not None:
        return parts.schedule
    if parts.functions:
        return schedule_of_functions(parts.functions, parts.interval)
    if parts.optimizers or parts.schedulers:
        return schedule_of(parts.optimizers, parts.schedulers, parts.interval, frequency=parts.frequency)
    if is_lightning(parts.classifier):
        check_single(parts, "classifier")
        return schedule_of_module(parts.classifier)
    found: Schedule = parts.other("schedule").schedule()
    return found


def open_classifier(parts: UsersObjects, origin: str, options: Options, checkpoint: str | None) -> "Classifier":
    """The network with the weights at `checkpoint`, or as the user gave it; fed and named as what stands beside it says."""
    from classlens.adapters.python.network import classifier_of

    check_single(parts, "classifier", "transform")
    given, transform = parts.classifier, parts.transform
    if given is None:  # a transform beside the name of a network is that of the pictures
        given, transform, checkpoint = parts.other("classifier").classifier(checkpoint), None, None
    found: Classifier = classifier_of(
        given,
        origin,
        checkpoint,
        transform=transform,
        datasets=datasets_beside(parts, origin),
        trust=options.trust_checkpoint,
    )
    return replace(found, classes=parts.classes) if parts.classes else found


def datasets_beside(parts: UsersObjects, origin: str) -> Mapping[str, Dataset]:
    """The datasets that stand beside a network, those for validation and testing first."""
    opened: dict[str, Dataset] = {}
    for split in ("val", "test", "train"):
        if split in parts.datasets or parts.loaders is not None:
            with suppress(NotFound):  # a data module need not have every split
                opened[split] = open_dataset(parts, origin, split)
        elif parts.classifier is not None and (other := parts.other("dataset")) is not None:
            with suppress(ClasslensError):  # only for its class names
                opened[split] = other.dataset(split)
    return opened
