"""The moving average of the weights (EMA) as a scheduled value: by how much each step moves the average.

Both generations call it momentum; here it is `ema_momentum`, because the optimizer's momentum is another thing, and
1 - ema_momentum is what papers call the decay.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from classlens.adapters.openmm.setup import Settings, Setup
from classlens.schedule.clock import Clock
from classlens.schedule.formulas import cosine
from classlens.schedule.schedule import Course, Group, Rule, Steps, Values, distinct

NAME = "ema_momentum"


DEFAULTS = {"CosineEMA": 0.004}
"""The momentum of a kind of average where the config says none; that of all others is 0.0002."""


def average_of(setup: Setup) -> tuple[Group, Rule] | None:
    """The group of averaged weights and the rule of its momentum; None where the config averages nothing."""
    for hook in setup.hooks:
        if str(hook.get("type", "")).rsplit(".", 1)[-1] == "EMAHook":
            momentum = float(hook.get("momentum", DEFAULTS.get(kind_of(hook), 0.0002)))
            return Group("averaged weights", {NAME: momentum}), partial(course_of, hook, setup.generation)
    return None


def kind_of(hook: Settings) -> str:
    """The class of average that a hook keeps."""
    return str(hook.get("ema_type", "")).rsplit(".", 1)[-1]


def course_of(hook: Settings, generation: str, clock: Clock) -> Course:
    """The momentum of an EMA hook; 0 before it begins, and NaN never."""
    begin = int(hook.get("begin_iter", 0)) or int(hook.get("begin_epoch", 0)) * (clock.steps_per_epoch or 0)

    def values(steps: Steps, initial: float) -> Values:
        updates = np.maximum(steps - begin, 0).astype(np.float64)
        found = momentum_of(hook, generation, updates, initial, clock.steps)
        return np.where(steps < begin, 0.0, found)

    # The hyperbolas are steep at first: powers of two are where straight lines between drawn points stay close to them.
    early = begin + 2 ** np.arange(0, 24, dtype=np.int64)
    return Course(values, distinct(np.concatenate([[0, begin], early[early < clock.steps]]).astype(np.int64)))


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
