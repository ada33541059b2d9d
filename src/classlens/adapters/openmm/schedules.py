"""The schedule and the clock of a config's training run, of either generation.

The moving average of the weights (EMA) is a scheduled value as well: by how much each step moves the average. Both
generations call that momentum; here it is `ema_momentum`, because the optimizer's momentum is another thing, and
1 - ema_momentum is what papers call the decay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from classlens.adapters.openmm.parameter_groups import Parameter, decays_by_layer, groups_of
from classlens.adapters.openmm.setup import Setup, Split
from classlens.config.settings import Settings
from classlens.errors import ClasslensError, ConfigError, MissingDependency
from classlens.schedule.schedule import Batches, Clock, Group, Rule, Schedule, Steps, Trajectory, Values, distinct
from classlens.schedule.shapes import cosine

if TYPE_CHECKING:
    from classlens.adapters.openmm.layer_decay import Layers


NAME = "ema_momentum"


DEFAULTS = {"CosineEMA": 0.004}
"""The momentum of a kind of average where the config says none; that of all others is 0.0002."""


def average_of(setup: Setup) -> tuple[Group, Rule] | None:
    """The group of averaged weights and the rule of its momentum; None where the config averages nothing."""
    for hook in setup.hooks:
        if str(hook.get("type", "")).rsplit(".", 1)[-1] == "EMAHook":
            momentum = float(hook.get("momentum", DEFAULTS.get(kind_of(hook), 0.0002)))
            return Group("averaged weights", {NAME: momentum}), partial(ema_trajectory, hook, setup.generation)
    return None


def kind_of(hook: Settings) -> str:
    return str(hook.get("ema_type", "")).rsplit(".", 1)[-1]


def ema_trajectory(hook: Settings, generation: str, clock: Clock) -> Trajectory:
    """The momentum of an EMA hook; 0 before it begins, and NaN never."""
    begin = int(hook.get("begin_iter", 0)) or int(hook.get("begin_epoch", 0)) * (clock.steps_per_epoch or 0)

    def values(steps: Steps, initial: float) -> Values:
        updates = np.maximum(steps - begin, 0).astype(np.float64)
        return np.where(steps < begin, 0.0, momentum_of(hook, generation, updates, initial, clock.steps))

    # The hyperbolas are steep at first: powers of two are where straight lines between drawn points stay close to them.
    early = begin + 2 ** np.arange(0, 24, dtype=np.int64)
    return Trajectory(values, distinct(np.concatenate([[0, begin], early[early < clock.steps]]).astype(np.int64)))


def momentum_of(hook: Settings, generation: str, updates: Values, initial: float, steps: int) -> Values:
    """The momentum after so many updates, of a run of `steps`; kinds that are not known are constant."""
    kind = kind_of(hook)
    if generation == "0.x":
        return np.asarray(np.minimum(initial, (1 + updates) / (float(hook.get("warm_up", 100)) + updates)))
    if kind == "MomentumAnnealingEMA":
        gamma = float(hook.get("gamma", 100))
        return np.asarray(np.maximum(initial, gamma / (gamma + updates)))
    if kind == "CosineEMA":
        return cosine(updates / steps, initial, float(hook.get("end_momentum", 0.0)))
    if kind == "StochasticWeightAverage":
        return np.asarray(1 / (updates // int(hook.get("interval", 1)) + 1))
    return np.full(updates.shape, initial)


def open_schedule(
    setup: Setup, parameters: Sequence[Parameter] | None = None, *, count_groups: bool = False
) -> Schedule:
    """What sets the hyper-parameters of a config's training run.

    Args:
        parameters: those of the model, for its parameter groups. If they are not given, the model is built on torch's
            "meta" device where layer-wise decay or `count_groups` needs it; otherwise the rules of `paramwise_cfg`
            are shown as groups of unknown size, and torch is not loaded.

    Raises:
        ConfigError: the config has no optimizer, or a scheduler is wrong.
        NotFound: the type of a scheduler is unknown.
    """
    optimization = setup.optimization
    if parameters is None and count_groups:
        parameters = network_parameters(setup)
    layers, notes = None, list[str]()
    if decays_by_layer(optimization):
        layers, parameters, notes = layer_wise(setup, parameters)
    groups = groups_of(optimization, parameters, layers)
    if setup.generation == "1.x":
        from classlens.adapters.openmm import param_schedulers

        rules = param_schedulers.rules_of(optimization.param_scheduler or (), optimization.validation)
    else:
        from classlens.adapters.openmm import lr_config

        written = {"lr": optimization.lr_config, "momentum": optimization.momentum_config}
        rules = lr_config.rules_of(written, by_epoch=optimization.epochs is not None)
    average = average_of(setup)
    if average is not None:
        groups, rules = (*groups, average[0]), {**rules, NAME: average[1]}
    known = {name for group in groups for name in group.initial}
    notes += [f"{name} is scheduled, but the optimizer has none" for name in rules if name not in known]
    if not set(rules) - {NAME}:
        notes.append("the config has no scheduler: every value stays as it starts")
    if optimization.accumulation > 1:
        notes.append(f"gradients of {optimization.accumulation} steps are summed before each update")
    return Schedule(groups, MappingProxyType(rules), tuple(notes), batches_of(setup))


def layer_wise(
    setup: Setup, parameters: Sequence[Parameter] | None
) -> tuple[Layers | None, Sequence[Parameter] | None, list[str]]:
    """The layers of a network whose rates decay layer by layer, its parameters, and what is to be said about both.

    Parameters are counted where the network can be built here. Layers are None where training itself knows none.
    """
    from classlens.adapters.openmm.layer_decay import has_layers, layers_of

    backbone, notes = (setup.model or {}).get("backbone") or {}, []
    if parameters is None and has_layers(backbone):
        try:
            parameters = network_parameters(setup)
        except ClasslensError as error:
            notes = [f"the parameters of the layers are not counted: {error}"]
    try:
        names = None if parameters is None else [parameter.name for parameter in parameters]
        return layers_of(backbone, names), parameters, notes
    except ConfigError as error:
        return None, parameters, [f"rates should decay layer by layer, but {error}: drawn without decay"]


def network_parameters(setup: Setup) -> tuple[Parameter, ...]:
    """The parameters of the config's network."""
    try:
        from classlens.adapters.openmm.classifiers import build_module, parameters_of
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or "torch", extra="cam") from error
    return parameters_of(build_module(setup, device="meta"))


def batches_of(setup: Setup) -> Batches | None:
    """The batch sizes by which the learning rate can be scaled; None where the config does not say."""
    train, optimization = setup.splits.get("train"), setup.optimization
    batch, base = None if train is None else train.batch_size, optimization.base_batch_size
    if batch is None or base is None:
        if optimization.auto_scale:
            missing = "auto_scale_lr.base_batch_size" if base is None else "train_dataloader.batch_size"
            raise ConfigError(f"{setup.path}: auto_scale_lr is enabled, but {missing} is missing")
        return None
    if isinstance(base, bool) or not isinstance(base, int | float) or base <= 0:
        raise ConfigError(f"{setup.path}: auto_scale_lr.base_batch_size is a number above 0, not {base!r}")
    return Batches(batch, base, applied=optimization.auto_scale)


def clock_of(setup: Setup, dataset_size: int | None, gpus: int) -> Clock:
    """The clock of training: every GPU gets its share of the samples, rounded up, in batches.

    Raises:
        ConfigError: the size of the dataset is needed and unknown, or too small for one batch, or the config does not
            say how long it trains.
    """
    check_lengths(setup, dataset_size, gpus)
    optimization, train = setup.optimization, setup.splits.get("train")
    per_epoch, note = None, ""
    if train is not None and train.batch_size is not None and dataset_size is not None:
        per_epoch, note = count_steps(train, train.batch_size, dataset_size, gpus)
    if optimization.steps is not None:
        return Clock.of_steps(optimization.steps, per_epoch, note=note, gpus=gpus)
    if per_epoch is not None:
        return Clock(optimization.epochs, per_epoch, note=note, gpus=gpus)
    if train is None or train.batch_size is None:
        raise ConfigError(
            f"{setup.path}: the config has no training batch size, so the steps of an epoch are unknown",
            hint="set train_dataloader.batch_size (0.x: data.samples_per_gpu)",
        )
    raise ConfigError("the number of training samples is unknown", hint=ask_size(setup))


def check_lengths(setup: Setup, dataset_size: int | None, gpus: int) -> None:
    """Refuse numbers from which no steps can be counted."""
    optimization, train = setup.optimization, setup.splits.get("train")
    if dataset_size is not None and dataset_size < 1:
        raise ConfigError(f"a dataset has 1 sample or more, not {dataset_size}")
    if gpus < 1:
        raise ConfigError(f"training needs 1 GPU or more, not {gpus}")
    for name, count in (("epochs", optimization.epochs), ("iterations", optimization.steps)):
        if count is not None and (not isinstance(count, int) or count < 1):
            raise ConfigError(f"{setup.path}: the number of {name} is a whole number of 1 or more, not {count!r}")
    if (
        train is not None
        and train.batch_size is not None
        and not (isinstance(train.batch_size, int) and train.batch_size > 0)
    ):
        raise ConfigError(f"{setup.path}: a batch size is a whole number of 1 or more, not {train.batch_size!r}")
    if train is not None and not isinstance(train.sampler, Mapping):
        raise ConfigError(f"{setup.path}: a sampler is dict(type=...), not {train.sampler!r}")
    if optimization.epochs is None and optimization.steps is None:
        raise ConfigError(
            f"{setup.path}: the config does not say how long it trains",
            hint="train_cfg.max_epochs or train_cfg.max_iters (0.x: runner.max_epochs) does",
        )


def count_steps(train: Split, batch_size: int, dataset_size: int, gpus: int) -> tuple[int, str]:
    """Batches of one pass over the data on one GPU, as the sampler counts them, and how they were counted, in words.

    An InfiniteSampler does not share the samples out; RepeatAugSampler shows as many as there are, some repeatedly.
    """
    every_gpu_sees_all = str(train.sampler.get("type", "")).rsplit(".", 1)[-1] == "InfiniteSampler"
    share = dataset_size if every_gpu_sees_all else ceil(dataset_size / gpus)
    steps = share // batch_size if train.drop_last else ceil(share / batch_size)
    counted_gpus = f"{gpus} GPU" + ("s" if gpus > 1 else "")
    if steps == 0:
        raise ConfigError(
            f"{dataset_size:,} samples on {counted_gpus} do not fill one batch of {batch_size}, and drop_last drops it",
            hint="an epoch would have no step; lower batch_size or set drop_last=False",
        )
    batches = f"{dataset_size:,} samples / ({counted_gpus} x {batch_size})"
    if every_gpu_sees_all:
        batches = f"all {dataset_size:,} samples on every GPU / {batch_size}"
    return steps, f"{batches}, the last batch {'dropped' if train.drop_last else 'kept'}: {steps:,} steps per epoch"


KNOWN_SIZES: Mapping[str, int] = {
    "ImageNet": 1_281_167,
    "CIFAR10": 50_000,
    "CIFAR100": 50_000,
    "MNIST": 60_000,
    "FashionMNIST": 60_000,
    "CUB": 5_994,
    "StanfordCars": 8_144,
    "VOC": 5_011,
    "ImageNet21k": 14_197_122,
}
"""Training samples of public datasets; a suggestion to the user, never used unasked."""


def ask_size(setup: Setup) -> str:
    """The hint that asks for the size of the dataset, and suggests it where it is publicly known."""
    train = setup.splits.get("train")
    kind = "" if train is None else str(train.dataset.get("type", "")).rsplit(".", 1)[-1]
    known = KNOWN_SIZES.get(kind)
    return f"--dataset-size {known} is the size of {kind}" if known else "--dataset-size N"
