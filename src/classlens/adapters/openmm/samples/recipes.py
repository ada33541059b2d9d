"""Training that changes on the way: the pipeline and the mixing in force in a given epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from classlens.adapters.openmm.samples import open_split
from classlens.adapters.openmm.samples.batches import batch_plan
from classlens.adapters.openmm.setup import BatchAugments, Settings, Setup, Split, with_pipeline
from classlens.adapters.openmm.stages.transform import named
from classlens.dataset.dataset import Dataset
from classlens.errors import ConfigError


def open_training(setup: Setup, split: Split, *, epoch: int | None, trusted: Sequence[str] | None) -> Dataset:
    """The training split as it is in `epoch`, counted from 1; None is the beginning.

    Raises:
        ConfigError: the recipe of that epoch says something unknown.
    """
    augments = setup.batch_augments
    for recipe in recipes(setup, epoch or 1):
        if "train_pipeline" in recipe:
            split = replace(split, dataset=with_pipeline(split.dataset, recipe["train_pipeline"]), places={})
        if "batch_augments" in recipe:
            augments = augments_of(recipe["batch_augments"])
    dataset = open_split(split, name="train", classes=setup.classes, trusted=trusted)
    try:
        return replace(dataset, batch=batch_plan(split, augments))
    except ConfigError as error:  # single samples can be browsed all the same
        return replace(dataset, warnings=(*dataset.warnings, f"batches cannot be mixed: {error}"))


def recipes(setup: Setup, epoch: int) -> list[Settings]:
    """What SwitchRecipeHook has changed up to an epoch, in the order of the epochs."""
    switches = [hook for hook in setup.hooks if named(hook).get("type") == "SwitchRecipeHook"]
    found = [recipe for hook in switches for recipe in hook.get("schedule", ())]
    for recipe in found:
        if not isinstance(recipe, Mapping) or not isinstance(recipe.get("action_epoch"), int):
            raise ConfigError(f"{setup.path}: a recipe of SwitchRecipeHook has no action_epoch")
    return sorted((one for one in found if one["action_epoch"] <= epoch), key=lambda one: int(one["action_epoch"]))


def augments_of(given: Settings | None) -> BatchAugments:
    """The mixing of a recipe; None switches it off."""
    if not given:
        return BatchAugments()
    augments = given.get("augments") or ()
    rows = (augments,) if isinstance(augments, Mapping) else tuple(augments)
    equal = [1 / len(rows)] * len(rows)
    return BatchAugments(rows, tuple(float(chance) for chance in given.get("probs") or equal))
