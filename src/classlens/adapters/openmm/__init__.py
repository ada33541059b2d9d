"""OpenMMLab-style configs of both generations, opened without OpenMMLab.

`open_config` reads a config and offers its dataset, schedule and classifier; each is built only when asked for, so
that drawing a schedule never imports torch and browsing never builds a network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from classlens.adapters.openmm.setup import names_of, read_setup
from classlens.config import load_config
from classlens.config.open_file import hint_for_own_python
from classlens.dataset.conventions import SPLITS
from classlens.errors import ConfigError, DataError, NotFound, first_line, suggestion
from classlens.files import CONFIGS
from classlens.printed import print_aside
from classlens.source import Plan, Source

if TYPE_CHECKING:
    from classlens.adapters import Options
    from classlens.adapters.openmm.setup import Setup
    from classlens.dataset.dataset import Dataset
    from classlens.source import Loading


DEMO_DATA_ROOT = "out/demo/photos"
"""Where the demo config looks for its photos; as an address it uses those in the cache folder instead."""


def open_config(path: str | Path, options: Options, photos: Path | None = None) -> Source:
    """Offer the parts that the config at `path` has; the others stay None.

    `photos` is where the demo's photos are made when data are first asked for.
    """
    make_data = None
    try:
        config = load_config(path, options.overrides, trust=options.trust_config)
    except ConfigError as fault:
        if hint := hint_for_own_python(Path(path)):
            raise ConfigError(str(fault), hint=hint) from fault
        raise
    if photos:
        from classlens.demo_photos import make_photos

        make_data = partial(make_photos, photos)
        for split in SPLITS:
            dataset = config[f"{split}_dataloader"]["dataset"]
            if dataset["data_root"] == DEMO_DATA_ROOT:
                dataset["data_root"] = str(photos)
    try:
        setup = read_setup(config, Path(path))
    except MISFITS as fault:
        raise misfit(str(path), fault) from fault
    head = (setup.model or {}).get("head")
    outputs = head.get("num_classes") if isinstance(head, Mapping) else None
    trains, counts = setup.optimization.optimizer is not None, {"count_groups": options.count_groups}
    key, trust = "param_scheduler" if setup.generation == "1.x" else "lr_config", options.trust_config
    schedule = partial(build, setup, "schedules:open_schedule", key, counts, trust=trust and options.count_groups)
    how = {"untrained": options.untrained, "trust_checkpoint": options.trust_checkpoint}
    classifier = partial(build, setup, "classifiers:open_classifier", "model", how, trust=trust)
    clock = partial(build, setup, "schedules:clock_of", "", {})
    source = Source(
        origin=str(setup.path),
        open_dataset=partial(open_dataset, setup, options, make_data) if setup.splits else None,
        open_schedule=schedule if trains else None,
        open_classifier=classifier if setup.model else None,
        open_loading=partial(open_loading, setup, options, make_data) if "train" in setup.splits else None,
        plan=Plan(clock, partial(count, setup, make_data) if "train" in setup.splits else None),
        outputs=outputs if trains and "train" in setup.splits and isinstance(outputs, int) else None,
        notes=(*config.deprecations, *config.slips),
    )
    is_empty = not (setup.splits or setup.model or trains)
    if is_empty and (hint := hint_for_own_python(Path(path))):
        raise ConfigError(f"{path} sets nothing that a config sets", hint=hint)
    return source


def open_demo(rest: str, options: Options) -> Source:
    """Offer the shipped network and photos; the latter are made in the cache folder."""
    from platformdirs import user_cache_path

    path = CONFIGS / "demo" / "efficientnet-lite0_photos.py"
    source = open_config(path, options, user_cache_path("classlens") / "demo-photos-2")
    return replace(source, class_names=partial(names_of, "ImageNet"), outputs=None)  # it looks, and is not trained


def open_dataset(setup: Setup, options: Options, make_data: Callable[[], object] | None, name: str) -> Dataset:
    """The samples and stages of one split; for training also how they are batched, in the epoch asked for."""
    from classlens.adapters.openmm.datasets import native_only, open_split, open_training

    if name not in setup.splits:
        raise ConfigError(
            f"{setup.path} has no {name} split", hint=suggestion(name, [f"--phase {one}" for one in setup.splits])
        )
    if make_data:
        make_data()
    if options.as_loaded:
        splits = {split: replace(one, dataset=native_only(one.dataset)) for split, one in setup.splits.items()}
        setup = replace(setup, splits=splits)
    trusted = setup.imports if options.trust_config else None
    try:
        if name == "train":
            return open_training(setup, epoch=options.epoch, trusted=trusted)
        return open_split(setup.splits[name], name=name, classes=setup.classes, trusted=trusted)
    except MISFITS as fault:
        if options.trust_config:  # it may be the user's own code that complains
            raise
        raise misfit(f"{setup.path}: the {name} data", fault) from fault


def open_loading(setup: Setup, options: Options, make_data: Callable[[], object] | None) -> Loading:
    """How training loads the samples, as mmengine builds its DataLoader."""
    from classlens.adapters.openmm import loading

    dataset = open_dataset(setup, options, make_data, "train")
    try:
        return loading.open_loading(setup, dataset)
    except MISFITS as fault:
        raise misfit(f"{setup.path}: the training loader", fault) from fault


def count(setup: Setup, make_data: Callable[[], object] | None) -> int | None:
    """How many samples training sees in an epoch, without decoding one; None if the run does not depend on it.

    A published dataset that is not on this disk has as many as were published, and that is said.
    """
    from classlens.adapters.openmm.datasets import open_split
    from classlens.adapters.openmm.parameter_groups import kind_of
    from classlens.adapters.openmm.schedules import ask_size, published_size

    if size := setup.optimization.steps is None and published_size(setup):
        name = kind_of(setup.training.dataset)
        print_aside(
            f"note:  {name} is not on this disk: {size:,} samples, as published (--dataset-size N says otherwise)"
        )
        return size
    try:
        if make_data:
            make_data()
        return open_split(setup.splits["train"], name="train", classes=None, has_stages=False).length
    except (ConfigError, DataError) as error:
        missing, hint = isinstance(error, DataError), f"say how many training samples there are: {ask_size(setup)}"
        if missing and setup.optimization.steps is not None:
            return None
        raise type(error)(str(error), hint=hint if missing else error.hint or hint) from error


def build(setup: Setup, opener: str, key: str, how: Mapping[str, bool], *arguments: object, trust: bool = False) -> Any:  # noqa: ANN401 - whichever part of the setup it is
    """A part of the setup, by the `module:function` of this package that builds it, imported when it is asked for.

    Before that come the modules that a trusted config names. Complaints about `key`, if one is named, begin with the
    place where it is written.
    """
    function = resolve_name(f"classlens.adapters.openmm.{opener}")
    if trust:
        from classlens.adapters.openmm.stages.foreign import import_modules  # it brings what only pictures need

        import_modules(setup)
    try:
        return function(setup, *arguments, **how)
    except (ConfigError, NotFound) as error:
        place = key and setup.where(key)
        if not place or str(error).startswith((place, str(setup.path))):
            raise
        raise ConfigError(f"{place}: {error}", hint=error.hint) from error
    except MISFITS as fault:
        if trust:
            raise
        raise misfit((key and setup.where(key)) or str(setup.path), fault) from fault


MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a setting of another kind than the usual one leads to, such as a list where all configs have a dict."""


def misfit(where: str, fault: Exception) -> ConfigError:
    what = f"a setting is not of the kind that is needed: {first_line(fault)}"
    return ConfigError(f"{where}: {what}", hint="compare it with the config that it was made from")
