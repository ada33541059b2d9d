"""The moving average of the weights (EMA) as a scheduled value: by how much each step moves the average.

Both generations call it momentum; here it is `ema_momentum`, because the optimizer's momentum is another thing, and
1 - ema_momentum is what papers call the decay.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from classlens.adapters.openmm.setup import Settings, Setup
from classlens.schedule.clock import Clock
from classlens.schedule.schedule import Course, Group, Rule, Steps, Values

NAME = "ema_momentum"


def average_of(setup: Setup) -> tuple[Group, Rule] | None:
    """The group of averaged weights and the rule of its momentum; None where the config averages nothing."""
    for hook in setup.hooks:
        if str(hook.get("type", "")).rsplit(".", 1)[-1] == "EMAHook":
            group = Group("averaged weights", {NAME: float(hook.get("momentum", 0.0002))})
            return group, partial(course_of, hook, setup.generation)
    return None


def course_of(hook: Settings, generation: str, clock: Clock) -> Course:
    """The momentum of an EMA hook; 0 before it begins, and NaN never.

    1.x: constant, or max(momentum, gamma / (gamma + updates)) for MomentumAnnealingEMA. 0.x: min(momentum, (1 + step) /
    (warm_up + step)). Other kinds of average are drawn as constant.
    """
    begin = int(hook.get("begin_iter", 0)) or int(hook.get("begin_epoch", 0)) * (clock.steps_per_epoch or 0)
    annealed = str(hook.get("ema_type", "")).rsplit(".", 1)[-1] == "MomentumAnnealingEMA"
    gamma, warm_up = float(hook.get("gamma", 100)), float(hook.get("warm_up", 100))

    def values(steps: Steps, initial: float) -> Values:
        updates = np.maximum(steps - begin, 0).astype(np.float64)
        found = np.full(steps.shape, initial)
        if generation == "0.x":
            found = np.minimum(initial, (1 + updates) / (warm_up + updates))
        elif annealed:
            found = np.maximum(initial, gamma / (gamma + updates))
        return np.where(steps < begin, 0.0, found)

    # The hyperbola is steep at first: powers of two are where straight lines between drawn points stay close to it.
    early = begin + 2 ** np.arange(0, 24, dtype=np.int64)
    return Course(values, np.unique(np.concatenate([[0, begin], early[early < clock.steps]])).astype(np.int64))
