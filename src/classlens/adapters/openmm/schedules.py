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

import numpy as np

from classlens.adapters.openmm.parameter_groups import Layers, Parameter, groups_of, has_layers, kind_of, layers_of
from classlens.adapters.openmm.setup import Setup
from classlens.config.settings import Settings
from classlens.dataset.storage import exists
from classlens.errors import ClasslensError, ConfigError, MissingDependency, count_of, short_repr
from classlens.schedule.schedule import (
    Accumulation,
    Batches,
    Clock,
    Group,
    Rule,
    Schedule,
    Steps,
    Trajectory,
    Values,
    distinct,
)
from classlens.schedule.shapes import cosine

AVERAGE = "ema_momentum"


def open_schedule(setup: Setup, *, count_groups: bool = False) -> Schedule:
    """What sets the hyper-parameters of a config's training run.

    `count_groups` builds the model on torch's "meta" device to count what is in its parameter groups. Otherwise that is
    done for layer-wise decay only; `paramwise_cfg` is shown as groups of unknown size, and torch is not loaded.
    """
    optimization, layers, notes = setup.optimization, None, list[str]()
    parameters: Sequence[Parameter] | None = network_parameters(setup) if count_groups else None
    if any(word in str(optimization.constructor) for word in ("LearningRateDecay", "LayerDecay")):
        layers, parameters, notes = layer_wise(setup, parameters)
    groups, rules = groups_of(optimization, parameters, layers), dict[str, Rule]()
    if setup.generation == "1.x":
        from classlens.adapters.openmm import param_schedulers

        configs, together = optimization.param_scheduler or (), dict[str, list[param_schedulers.Scheduler]]()
        for index, config in enumerate(configs):
            place = f"param_scheduler[{index}]" if len(configs) > 1 else "param_scheduler"
            scheduler = param_schedulers.check_scheduler(config, place)
            together.setdefault(scheduler.name, []).append(scheduler)
        for name, alike in together.items():
            rules[name] = partial(param_schedulers.trajectory_of, alike, validation=optimization.validation)
    else:
        from classlens.adapters.openmm import lr_config

        for name, settings in (("lr", optimization.lr_config), ("momentum", optimization.momentum_config)):
            if settings:
                policy = lr_config.check_policy(settings, name, by_epoch=optimization.epochs is not None)
                rules[name] = partial(lr_config.trajectory_of, policy)
    if not rules:
        notes.append("the config has no scheduler: every value stays as it starts")
    known = {name for group in groups for name in group.initial}
    notes += [f"{name} is scheduled, but the optimizer has none" for name in rules if name not in known]
    if optimization.accumulation > 1:
        notes.append(f"gradients of {optimization.accumulation} steps are summed before each update")
    if (hook := next((hook for hook in setup.hooks if kind_of(hook) == "EMAHook"), None)) is not None:
        group, rule = average_of(hook, setup.generation)
        groups, rules[AVERAGE] = (*groups, group), rule
    summed = Accumulation(int(optimization.accumulation))
    return Schedule(groups, MappingProxyType(rules), tuple(notes), batches_of(setup), accumulation=summed)


def layer_wise(
    setup: Setup, parameters: Sequence[Parameter] | None
) -> tuple[Layers | None, Sequence[Parameter] | None, list[str]]:
    """The layers of a network whose rates decay layer by layer, its parameters, and what is to be said about both.

    Parameters are counted where the network can be built here. Layers are None where training itself knows none.
    """
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
    try:
        from classlens.adapters.openmm.classifiers import build_module, parameters_of
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or "torch", extra="cam") from error
    return parameters_of(build_module(setup, device="meta"))


def average_of(hook: Settings, generation: str) -> tuple[Group, Rule]:
    """The group of averaged weights and the rule of its momentum, which is 0 before the average begins."""
    kind = str(hook.get("ema_type", "")).rsplit(".", 1)[-1]

    def trajectory_of(clock: Clock) -> Trajectory:
        begin = int(hook.get("begin_iter", 0)) or int(hook.get("begin_epoch", 0)) * (clock.steps_per_epoch or 0)

        def values(steps: Steps, initial: float) -> Values:
            updates = np.maximum(steps - begin, 0).astype(np.float64)
            return np.where(steps < begin, 0.0, momentum_after(updates, initial, clock))

        # The hyperbolas are steep at first: between powers of two straight lines stay close to them.
        early = begin + 2 ** np.arange(0, 24, dtype=np.int64)
        return Trajectory(values, distinct(np.concatenate([[0, begin], early[early < clock.steps]]).astype(np.int64)))

    def momentum_after(updates: Values, initial: float, clock: Clock) -> Values:
        if generation == "0.x":
            return np.asarray(np.minimum(initial, (1 + updates) / (float(hook.get("warm_up", 100)) + updates)))
        if kind == "MomentumAnnealingEMA":
            gamma = float(hook.get("gamma", 100))
            return np.asarray(np.maximum(initial, gamma / (gamma + updates)))
        if kind == "CosineEMA":
            return cosine(updates / clock.steps, initial, float(hook.get("end_momentum", 0.0)))
        if kind == "StochasticWeightAverage":
            return np.asarray(1 / (updates // int(hook.get("interval", 1)) + 1))
        return np.full(updates.shape, initial)

    momentum = float(hook.get("momentum", 0.004 if kind == "CosineEMA" else 0.0002))
    return Group("averaged weights", {AVERAGE: momentum}), trajectory_of


def batches_of(setup: Setup) -> Batches | None:
    """The batch sizes by which the learning rate can be scaled; None where the config does not say."""
    optimization = setup.optimization
    batch, base = setup.training.batch_size, optimization.base_batch_size
    if batch is None or base is None:
        if optimization.auto_scale:
            missing = "auto_scale_lr.base_batch_size" if base is None else "train_dataloader.batch_size"
            raise ConfigError(f"{setup.path}: auto_scale_lr is enabled, but {missing} is missing")
        return None
    if isinstance(base, bool) or not isinstance(base, int | float) or base <= 0:
        raise ConfigError(f"{setup.path}: auto_scale_lr.base_batch_size is a number above 0, not {short_repr(base)}")
    return Batches(batch, base, applied=optimization.auto_scale)


MOST = 10**9  # of anything that is counted: the steps of a run must fit into 64 bits


def clock_of(setup: Setup, dataset_size: int | None, gpus: int) -> Clock:
    """The clock of training: every GPU gets its share of the samples, rounded up, in batches, as the sampler counts them.

    An InfiniteSampler does not share the samples out; RepeatAugSampler shows as many as there are, some repeatedly.
    """
    epochs, steps, train = setup.optimization.epochs, setup.optimization.steps, setup.training
    batch = train.batch_size
    counts = {"dataset size": dataset_size, "number of GPUs": gpus, "batch size": batch}
    counts |= {"number of epochs": epochs, "number of iterations": steps}
    for name, count in counts.items():
        if count is not None and not (isinstance(count, int) and 1 <= count <= MOST):
            words = f"a whole number of 1 or more, not {short_repr(count, 40)}"
            raise ConfigError(f"{setup.path}: the {name} is {words}", hint=f"it is at most {MOST:,}")
    if epochs is None and steps is None:
        raise ConfigError(
            f"{setup.path}: the config does not say how long it trains",
            hint="train_cfg.max_epochs or train_cfg.max_iters (0.x: runner.max_epochs) does",
        )
    if not isinstance(train.sampler, Mapping):
        raise ConfigError(f"{setup.path}: a sampler is dict(type=...), not {short_repr(train.sampler)}")
    if batch is None or dataset_size is None:
        if steps is not None:
            return Clock.of_steps(steps, gpus=gpus)
        if batch is None:
            raise ConfigError(
                f"{setup.path}: the config has no training batch size, so the steps of an epoch are unknown",
                hint="set train_dataloader.batch_size (0.x: data.samples_per_gpu)",
            )
        raise ConfigError("the number of training samples is unknown", hint=ask_size(setup))
    every_gpu_sees_all = str(train.sampler.get("type")).endswith("InfiniteSampler")
    share = dataset_size if every_gpu_sees_all else ceil(dataset_size / gpus)
    per_epoch = share // batch if train.drop_last else ceil(share / batch)
    counted_gpus = f"{gpus} GPU" + ("s" if gpus > 1 else "")
    if per_epoch == 0:
        raise ConfigError(
            f"{count_of(dataset_size, 'sample')} on {counted_gpus} do not fill one batch of {batch}, and drop_last drops it",
            hint="an epoch would have no step; lower batch_size or set drop_last=False",
        )
    batches = f"{count_of(dataset_size, 'sample')} / ({counted_gpus} x {batch})"
    if every_gpu_sees_all:
        batches = f"all {count_of(dataset_size, 'sample')} on every GPU / {batch}"
    note = (
        f"{batches}, the last batch {'dropped' if train.drop_last else 'kept'}: {count_of(per_epoch, 'step')} per epoch"
    )
    return Clock(epochs if steps is None else None, per_epoch, steps, note, gpus)


KNOWN_SIZES: Mapping[str, int] = {
    "ImageNet": 1_281_167, "CIFAR10": 50_000, "CIFAR100": 50_000, "MNIST": 60_000, "FashionMNIST": 60_000, "CUB": 5_994,
    "StanfordCars": 8_144, "VOC": 5_011,
}  # fmt: skip
"""Training samples of public datasets."""


def published_size(setup: Setup) -> int | None:
    """The training samples of a published dataset, if the config takes it whole, from a folder of its name that is missing.

    Many call their own pictures an ImageNet: the name of the folder tells.
    """
    dataset = setup.training.dataset
    kind, folder = kind_of(dataset), str(dataset.get("data_root") or dataset.get("data_prefix"))
    is_whole = not any(dataset.get(key) for key in ("classes", "indices", "metainfo", "extensions"))
    is_missing = kind.lower() in folder.lower() and not exists(folder)
    return KNOWN_SIZES.get(kind) if is_whole and is_missing else None


def ask_size(setup: Setup) -> str:
    kind = kind_of(setup.training.dataset)
    return f"--dataset-size {KNOWN_SIZES[kind]} is the size of {kind}" if kind in KNOWN_SIZES else "--dataset-size N"
