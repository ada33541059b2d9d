"""The user's own Python: `py:FILE.py:NAME` or `py:package.module:NAME`, and objects that are already there.

What NAME is decides what is offered: a module of torch is a classifier, a Dataset or DataLoader is data, an optimizer
with its scheduler is a schedule; a tuple or a dict of such things offers all of them. A function is called first.
This is the one place that runs the user's file: as a module of its own, with its folder on the import path for as long
as it runs, as `python FILE` would have it. Every object is sorted by what it is, and each part is built when asked for.
"""

import inspect
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from math import ceil, floor
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from classlens.adapters import Options, RunLength, open_source, split_address
from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing, is_configuration
from classlens.adapters.python.python_schedules import (
    NAMES,
    Function,
    find_functions,
    schedule_of_functions,
    schedule_of_module,
    schedule_of_optimizers,
)
from classlens.checkpoints.class_names import KEYS as CLASS_KEYS
from classlens.checkpoints.class_names import names_in, read_names
from classlens.config.open_file import names_in_file
from classlens.dataset.conventions import SPLIT_OF, SPLITS
from classlens.dataset.dataset import Dataset
from classlens.errors import ClasslensError, ConfigError, NotFound, NotOffered, suggestion
from classlens.files import suggest_path
from classlens.image import Encoding
from classlens.schedule.schedule import Clock, Length, Schedule
from classlens.sharing import ALONE
from classlens.source import Loading, Plan, Source
from classlens.user_code import importable, users_code

if TYPE_CHECKING:
    from classlens.cam.classifier import Classifier

USAGE = "write py:FILE.py:NAME or py:package.module:NAME, where NAME is a function without arguments or an object"


def open_target(rest: Thing, options: Options) -> Source:
    """Run the user's file or import the module, and offer what the name in it, or an object itself, stands for.

    A function or class is called without arguments first. A function of a name that stands for a value (`lr`,
    `momentum`) and takes the position in the run is handed on as it is.
    """
    if not isinstance(rest, str):
        return source_of(rest, type(rest).__name__, options)
    place, _, name = rest.rpartition(":")
    if name.endswith(".py") and not Path(name).is_file():  # one that is there needs a NAME behind it
        raise no_such_file(rest)
    if not place or not name:
        holds = suggestion("", names_in_file(Path(name or place)))
        hint = f"write py:{name or place}:NAME; {holds}" if holds else USAGE
        raise ConfigError(f"{rest!r} names no object in a file or module", hint=hint)
    folder, factory = str(Path(place).resolve().parent if place.endswith(".py") else Path.cwd()), None
    with importable(folder), users_code(f"py:{rest}"):
        thing: Thing = load_module(place)
        for step in name.split("."):
            if not hasattr(thing, step):
                public = [known for known in getattr(thing, "__dict__", ()) if not known.startswith("_")]
                raise NotFound("name", step, public, where=place)
            thing = getattr(thing, step)
        if inspect.isroutine(thing) or inspect.isclass(thing):
            try:
                inspect.signature(thing).bind()
            except TypeError as error:
                if step not in NAMES:
                    raise ConfigError(f"py:{rest} cannot be called without arguments: {error}", hint=USAGE) from error
            else:
                factory, thing = thing, thing()
    return source_of(thing, f"py:{rest}", options, factory)


def load_module(place: str) -> ModuleType:
    """Run a file as a module, or import a module by its dotted name."""
    if not place.endswith(".py"):
        try:
            return import_module(place)
        except ModuleNotFoundError as error:
            if error.name is not None and not place.startswith(error.name):
                raise
            raise ConfigError(f"no module named {place!r}", hint=USAGE) from error
    name = f"classlens_user_{Path(place).stem}"
    spec = spec_from_file_location(name, place)
    if not Path(place).is_file() or spec is None or spec.loader is None:
        raise no_such_file(place)
    module = module_from_spec(spec)
    with ALONE:
        sys.modules[name] = module  # dataclasses and pickle look their module up there
        spec.loader.exec_module(module)
    return module


def no_such_file(place: str) -> ConfigError:
    near = suggest_path(Path(place), lambda one: one.suffix == ".py")
    return ConfigError(f"no such file: {place}", hint=near if "did you mean" in near else USAGE)


CLASSIFIER = "classlens.cam.classifier.Classifier"
"""Our own record by name: importing it imports torch, which a user with only a dataset may not have."""

WORDS: Mapping[str, type | tuple[type, ...]] = {
    "epochs": int, "steps_per_epoch": int, "interval": str, "frequency": int,
    "classes": (tuple, str), "mean": tuple, "std": tuple, "size": (int, tuple),
}  # fmt: skip
"""Keys of a dict whose values are plain numbers and words. The names of classes may be a file of them."""

SYNONYMS: Mapping[str, str] = {
    **dict.fromkeys((*CLASS_KEYS, "labels"), "classes"),
    **dict.fromkeys(("num_epochs", "max_epochs", "n_epochs"), "epochs"),
    **dict.fromkeys(("input_size", "image_size", "img_size"), "size"),
    "epoch_length": "steps_per_epoch",
}
NUMBERS = ("mean", "std", "size")

NOT_OF_PICTURES = ("sched", "lambda", "loss", "criteri", "metric", "optim", "collate", "callback", "hook", "logger")
"""Parts of keys under which a function does something else than transform pictures."""

FUNCTION = "function that schedules"
"""What stands under a scheduler's key and is none: a function of the epoch, or a class that waits for an optimizer."""

KINDS: Mapping[str, Callable[[Thing], bool]] = {
    "source": lambda thing: isinstance(thing, Source),
    "loss": lambda thing: kinds.LOSS in kinds.bases_of(thing),
    "encoding": lambda thing: isinstance(thing, Encoding),
    "mixing": kinds.is_mixing,
    "clock": lambda thing: isinstance(thing, Clock),
    "schedule": lambda thing: isinstance(thing, Schedule),
    "classifier": lambda thing: CLASSIFIER in kinds.bases_of(thing) or kinds.is_module(thing),
    "augmentation": kinds.is_augmentation,
    "optimizer": lambda thing: kinds.OPTIMIZER in kinds.bases_of(thing),
    "scheduler": lambda thing: is_configuration(thing) or kinds.is_scheduler(thing),
    "data module": lambda thing: callable(getattr(thing, "train_dataloader", None)) and not kinds.is_module(thing),
    "dataset": lambda thing: isinstance(thing, Dataset) or kinds.is_loader(thing) or kinds.is_dataset(thing),
    "transform": lambda thing: kinds.is_transform(thing) or callable(thing) or isinstance(thing, list),
}
"""What an object is: the first kind whose test it passes."""

STEPS = {"transform", "augmentation", "mixing"}

TAKEN = (
    "it should be a torch module, a Dataset or DataLoader, an optimizer with its scheduler, a transform beside pictures, "
    "a function of the position under 'lr', an address, a classlens record, or a tuple or dict of these"
)


@dataclass(frozen=True, eq=False)
class UsersObjects:
    """The user's objects, sorted: those of each kind, datasets by split, functions by value, and plain words.

    `left_out` are the keys of plain values that say nothing here.
    """

    origin: str
    options: Options
    of_kind: defaultdict[str, list[Thing]] = field(default_factory=lambda: defaultdict(list))
    datasets: dict[str, Thing] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    words: dict[str, Thing] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def one(self, kind: str) -> Thing:
        """The object of a kind of which one can be meant, None if there is none; two are an error if one is asked for."""
        first, *others = self.of_kind[kind] or [None]
        for other in others:
            if other is not first:
                two = f"{type(first).__name__} and {type(other).__name__}"
                raise ConfigError(f"there are two objects for the {kind}: {two}", hint="give one of them")
        return first

    def source(self, part: str) -> Thing:
        """What an address beside the objects leads to, if that has the part."""
        return next((source for source in self.of_kind["source"] if part in source.parts), None)


def source_of(thing: Thing, origin: str, options: Options, factory: Callable[[], Thing] | None = None) -> Source:
    """Offer what an object, or the objects in a tuple or dict, can give. The key of a bare object is its own name.

    `factory` is the function that made it, if one did.
    """
    if isinstance(thing, Source):
        return thing
    name = origin.rpartition(":")[2].rpartition(".")[2]
    things = UsersObjects(origin, options)
    sort_objects(flatten(name, thing), things, name)
    of_kind = things.of_kind
    schedules = things.functions or any(of_kind[kind] for kind in ("schedule", "optimizer", "scheduler", FUNCTION))
    has_schedule = schedules or any(map(kinds.is_lightning, of_kind["classifier"])) or things.source("schedule")
    has_data = things.datasets or of_kind["data module"] or things.source("dataset")
    has_classifier = of_kind["classifier"] or things.source("classifier")
    source = Source(
        origin=origin,
        open_dataset=partial(open_dataset, things) if has_data else None,
        open_schedule=partial(open_schedule, things) if has_schedule else None,
        open_classifier=partial(open_classifier, things) if has_classifier else None,
        plan=plan_of(things) if has_schedule or has_data else None,
        open_loading=partial(open_loading, things, factory) if loaded_by(things) is not None else None,
        notes=tuple(note for other in of_kind["source"] for note in other.notes),
    )
    if things.left_out:
        note = f"of what {origin} holds, this says nothing here: {', '.join(things.left_out)}"
        source = replace(source, notes=(*source.notes, note))
    if source.parts:
        return source
    if of_kind["transform"] or of_kind["augmentation"] or of_kind["mixing"]:
        hint = 'give the pictures, too: data = ("folder:PATH", transform)'
        raise ConfigError(f"{origin} is a transform without pictures", hint=hint)
    raise ConfigError(f"{origin} is nothing to look at", hint=TAKEN)


def flatten(key: str, thing: Thing) -> list[tuple[str, Thing]]:
    """The members of nested dicts, lists and tuples with their keys; a list of steps, or a scheduler's dict, is one."""
    word = SYNONYMS.get(key, key)
    if word == "classes" and (names := names_in(thing)):
        return [(word, names)]
    if word in NUMBERS and isinstance(thing, (list, tuple)):
        return [(word, tuple(thing))]
    if word in WORDS and isinstance(thing, WORDS[word]):
        return [(word, thing)]
    if kinds.TRAINER in kinds.bases_of(thing):
        thing = parts_of_trainer(thing)
    if isinstance(thing, Mapping) and not is_configuration(thing):
        return [pair for name, value in thing.items() if name != "monitor" for pair in flatten(str(name), value)]
    if not isinstance(thing, (list, tuple)):
        return [] if thing is None else [(key, thing)]
    is_timms = len(thing) == 2 and hasattr(thing[0], "param_group_field")  # what its create_scheduler_v2 returns
    if is_timms and isinstance(thing, tuple) and type(thing[1]) is int:
        return [(key, thing[0]), ("epochs", thing[1])]
    is_pipeline = isinstance(thing, list) and all(type(one) is not list and kind_of(one) in STEPS for one in thing)
    return [(key, thing)] if thing and is_pipeline else [pair for value in thing for pair in flatten(key, value)]


def parts_of_trainer(trainer: Thing) -> dict[str, Thing]:
    """What a Trainer of transformers holds, and the optimizer and scheduler that it makes for its run, on a copy of it.

    Source: `Trainer.train`, which counts the last, smaller step of gradient accumulation too.
    """
    args, train, val, own = trainer.args, trainer.train_dataset, trainer.eval_dataset, copy(trainer)
    processor = getattr(trainer, "processing_class", None)
    parts = {"model": trainer.model, "train": train, "val": None if isinstance(val, Mapping) else val}
    parts["processor"] = processor if hasattr(processor, "image_mean") else None
    if not hasattr(train, "__len__") or args.deepspeed or args.fsdp:
        return parts
    batches = len(train) / args.train_batch_size
    batches = floor(batches) if args.dataloader_drop_last else ceil(batches)
    steps = max(1, ceil(batches / args.gradient_accumulation_steps))
    total = args.max_steps if args.max_steps > 0 else ceil(steps * args.num_train_epochs)
    with suppress(ClasslensError), users_code("create_optimizer_and_scheduler"):
        own.create_optimizer_and_scheduler(total)
        parts |= {"optimizer": own.optimizer, "scheduler": own.lr_scheduler, "interval": "step"}
        epochs, rest = divmod(total, steps)
        # A run that ends within an epoch is as long as it is, and counted as one epoch.
        parts |= {"epochs": 1, "steps_per_epoch": total} if rest else {"epochs": epochs, "steps_per_epoch": steps}
    return parts


def kind_of(thing: Thing) -> str | None:
    return next((kind for kind, belongs in KINDS.items() if belongs(thing)), None)


def sort_objects(pairs: Iterable[tuple[str, Thing]], things: UsersObjects, name: str) -> None:
    """Put the objects, each with the key that it stands under, in their places; `name` is the key of a bare one."""
    for key, thing in pairs:
        if isinstance(thing, WORDS.get(key, ())):
            things.words[key] = thing
            continue
        if key != name and is_plain(key, thing):
            things.left_out.append(key)
            continue
        if isinstance(thing, (str, PathLike)):
            thing = open_source(fspath(thing), options=replace(things.options, skipped=()))  # they are of the whole
        kind = kind_of(thing)
        functions = {} if kind == "source" else find_functions(key, thing)
        if functions:
            things.functions.update(functions)
        elif kind == "dataset":
            split = SPLIT_OF.get(key, key)
            if split not in SPLITS:
                split = next((one for one in SPLITS if one not in things.datasets), split)
            things.datasets[split] = thing
        elif kind is not None:
            if key != name and any(part in key for part in NOT_OF_PICTURES) and not kinds.is_transform(thing):
                of_schedule = "sched" in key or "lambda" in key
                kind = {"transform": FUNCTION if of_schedule else "loss", "classifier": "loss"}.get(kind, kind)
            things.of_kind[kind].append(thing)
        else:
            what = f"an object of type {type(thing).__name__}"
            raise ConfigError(f"{things.origin}: {what} is nothing to look at", hint=TAKEN)


PLACES = {
    *SPLITS,
    *SPLIT_OF,
    *["model", "network", "net", "data", "dataset", "config", "schedule", "source", "classifier"],
}
"""Keys under which a word is meant as an address, even one that leads nowhere."""


def is_plain(key: str, thing: Thing) -> bool:
    """Whether a value beside the objects is only a number, or a word that is no address: `"device": "cpu"`."""
    if not isinstance(thing, str):
        return isinstance(thing, (int, float))
    is_path = split_address(thing)[0] == "mm" and (Path(thing).suffix or Path(thing).exists())
    return key not in PLACES and not is_path and ":" not in thing and thing != "demo"


def run_length(things: UsersObjects) -> RunLength:
    """How long training is: as the command says, else the words beside the objects, else the DataLoader for training."""
    run, words = things.options.run, things.words
    loader: Thing = things.datasets.get("train")
    steps: int | None = run.steps_per_epoch or words.get("steps_per_epoch")
    if steps is None and kinds.is_loader(loader):
        with suppress(TypeError):  # that of a stream has no length
            steps = len(loader)
    return replace(run, epochs=run.epochs or words.get("epochs"), steps_per_epoch=steps)


def plan_of(things: UsersObjects) -> Plan | None:
    """The length of the run: a `Clock`; epochs beside a DataLoader or `steps_per_epoch`; or what the schedule knows."""
    clock: Clock | None = things.one("clock")
    run = run_length(things)
    if clock is None and run.epochs is not None and run.steps_per_epoch is not None:
        counted = "" if "steps_per_epoch" in things.words else "steps per epoch: the length of the DataLoader"
        clock = Clock(run.epochs, run.steps_per_epoch, note=counted)
    if clock is not None:
        return Plan(lambda size, gpus: clock)
    of_kind = things.of_kind
    plan = next((source.plan for source in of_kind["source"] if source.plan is not None), None)
    knowing = of_kind["schedule"] or of_kind["scheduler"] or any(map(kinds.is_lightning, of_kind["classifier"]))
    return plan or (Plan(lambda size, gpus: clock_of_schedule(things)) if knowing else None)


def clock_of_schedule(things: UsersObjects) -> Clock:
    """The run that the schedule is made for; NotOffered where it does not know."""
    run, schedule = run_length(things), open_schedule(things)
    length, schedulers = schedule.length, things.of_kind["scheduler"]
    if length is None and run.epochs and schedulers and all(getattr(one, "t_in_epochs", False) for one in schedulers):
        length = Length(run.epochs, "epoch", "what stands beside the scheduler")
    if length is None:
        hint = "say --steps N, or --epochs N --epoch-length N"
        raise NotOffered(f"{things.origin} does not say how long it trains", hint=hint)
    return length.clock(run.epochs, run.steps_per_epoch)


def open_dataset(things: UsersObjects, split: str) -> Dataset:
    """One of the datasets, with the transform and the augmentation that stand beside it behind its own stages."""
    from classlens.adapters.python import loaders
    from classlens.adapters.python.python_data import open_data

    mixing, augmentation = (things.one(kind) if split == "train" else None for kind in ("mixing", "augmentation"))
    transform = None if things.of_kind["classifier"] else things.one("transform")  # one beside a network feeds that
    behind = [one for one in (transform, augmentation) if one is not None]
    thing, data_module = things.datasets.get(split), things.one("data module")
    if thing is None and data_module is not None:
        thing = loaders.load_loader(data_module, split)
    if thing is None:
        if (source := things.source("dataset")) is None:
            raise NotFound("split", split, [f"--phase {one}" for one in things.datasets], where=things.origin)
        thing = source.dataset(split)
    if isinstance(thing, Dataset):
        return loaders.extend_dataset(thing, behind)
    loader, in_loader = loaders.unwrap_prefetching(thing)
    dataset = open_data(loader, split)
    dataset = replace(dataset, remarks=loaders.add_repeat_remarks(dataset.remarks, loader))
    if mixing is None and augmentation is not None:
        mixing = next(filter(kinds.is_mixing, augmentation.modules()), None)
    alone = not (in_loader or behind or kinds.is_stream(getattr(loader, "dataset", None)))  # else collating needs more
    plan = loaders.read_batch_plan(loader, mixing, dataset if alone else None)
    return replace(loaders.extend_dataset(dataset, [*in_loader, *behind]), batch=plan)


def loaded_by(things: UsersObjects) -> Thing:
    """What training takes its samples from: a loader, a dataset, a module of Lightning, or pictures behind a transform."""
    modules = [*things.of_kind["data module"], *filter(kinds.is_lightning, things.of_kind["classifier"])]
    thing = things.datasets.get("train")
    thing = next(iter(modules), things.source("dataset")) if thing is None else thing
    transforms = [] if things.of_kind["classifier"] else [one for one in things.of_kind["transform"] if callable(one)]
    return None if isinstance(thing, (Dataset, Source)) and len(transforms) != 1 else thing


def open_loading(things: UsersObjects, factory: Callable[[], Thing] | None) -> Loading:
    from classlens.adapters.python.loaders import Transformed, loading_of

    thing = loaded_by(things)
    thing = thing.dataset("train") if isinstance(thing, Source) else thing
    thing = Transformed(thing, things.one("transform")) if isinstance(thing, Dataset) else thing
    return loading_of(thing, things.origin, factory)


def open_schedule(things: UsersObjects) -> Schedule:
    """The user's schedule, or the rules read off functions, or off the optimizers and their schedulers."""
    schedule: Schedule | None = things.one("schedule")
    of_kind, interval = things.of_kind, things.words.get("interval")
    if schedule is not None:
        return schedule
    if things.functions:
        return schedule_of_functions(things.functions, interval)
    if of_kind["optimizer"] or of_kind["scheduler"] or of_kind[FUNCTION]:
        frequency = things.words.get("frequency", 1)
        if of_kind[FUNCTION] and not of_kind["scheduler"]:
            what = getattr(of_kind[FUNCTION][0], "__name__", type(of_kind[FUNCTION][0]).__name__)
            hint = (
                "give torch.optim.lr_scheduler.LambdaLR(optimizer, function), or the scheduler made for the optimizer"
            )
            raise ConfigError(f"{things.origin}: what stands for the scheduler is a function: {what}", hint=hint)
        return schedule_of_optimizers(of_kind["optimizer"], of_kind["scheduler"], interval, frequency=frequency)
    if any(map(kinds.is_lightning, of_kind["classifier"])):
        return schedule_of_module(things.one("classifier"), run_length(things), things.one("data module"))
    beside: Schedule = things.source("schedule").schedule()
    return beside


def open_classifier(things: UsersObjects, checkpoint: str | None) -> "Classifier":
    """The network with the weights at `checkpoint`, or as the user gave it; fed and named as what stands beside it says."""
    from classlens.adapters.python.network import classifier_of

    network, transform = things.one("classifier"), things.one("transform")
    source = things.source("dataset") if network is not None else None
    datasets: dict[str, Dataset] = {}
    for split in ("val", "test", "train"):
        if split in things.datasets or things.of_kind["data module"]:
            with suppress(NotFound):  # a data module need not have every split
                datasets[split] = open_dataset(things, split)
        elif source is not None:
            with suppress(ClasslensError):  # only for its class names
                datasets[split] = source.dataset(split)
    if network is None:  # a transform beside the name of a network is that of the pictures
        network, transform, checkpoint = things.source("classifier").classifier(checkpoint), None, None
    trust, words = things.options.trust_checkpoint, things.words
    if transform is None and network is not None and (things.of_kind["encoding"] or {*NUMBERS} & words.keys()):
        transform = {key: words[key] for key in NUMBERS if key in words} | {"encoding": things.one("encoding")}
    names = words.get("classes")
    names = read_names(names) if isinstance(names, str) else names
    classifier = classifier_of(network, things.origin, checkpoint, transform=transform, datasets=datasets, trust=trust)
    return replace(classifier, classes=names or classifier.classes)
