"""The schedules of 0.x: `lr_config` and `momentum_config`, a policy and a warm-up.

Every value is computed afresh from the initial one: value(t) = policy(p) * warm-up(t), where p counts epochs or steps
(`by_epoch`) and the warm-up always counts steps; momentum is divided by the warm-up. Nothing is chained, so a cosine
under a warm-up has already decayed when the warm-up ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from classlens.adapters.openmm.schedules.regular import POLICIES, Numbers, Run
from classlens.adapters.openmm.setup import Settings
from classlens.errors import ConfigError, NotFound
from classlens.schedule.clock import Clock
from classlens.schedule.schedule import Course, Mark, Setting, Stairs, Steps, Values, distinct

WARM_UPS = ("constant", "linear", "exp")
OWN_CLOCK = {"cyclic", "onecycle"}
"""Policies that count steps unless they are told otherwise."""


@dataclass(frozen=True)
class Warmup:
    """How the first `length` steps or epochs are scaled, starting at `ratio`."""

    kind: str
    length: float
    ratio: float
    in_epochs: bool

    def factors(self, progress: Numbers) -> Numbers:
        """The factor at each progress, from 0 to 1 where the warm-up ends."""
        if self.kind == "constant":
            return np.full(progress.shape, self.ratio)
        if self.kind == "linear":
            return 1 - (1 - progress) * (1 - self.ratio)
        return np.float_power(self.ratio, 1 - progress)


@dataclass(frozen=True)
class Policy:
    """`lr_config` or `momentum_config`, checked."""

    where: str
    name: str
    kind: str
    arguments: Mapping[str, Any]
    by_epoch: bool
    warmup: Warmup | None


def checked(settings: Settings, name: str, *, by_epoch: bool) -> Policy:
    """Read `lr_config` (name "lr") or `momentum_config` (name "momentum").

    Args:
        by_epoch: whether training counts epochs, which is what a policy counts if it does not say.

    Raises:
        NotFound: the policy is unknown.
        ConfigError: an argument is unknown, missing or out of range.
    """
    where = f"{name}_config"
    if "policy" not in settings and "type" not in settings:
        raise ConfigError(f"{where}: policy is missing")
    written = str(settings.get("policy", settings.get("type")))
    kind = written.replace("_", "").lower().removesuffix("updaterhook").removesuffix("lr").removesuffix("momentum")
    if kind not in POLICIES:
        raise NotFound("policy", written, [policy.name for policy in POLICIES.values()], where=where)
    rest = {key: value for key, value in settings.items() if key not in {"policy", "type", "by_epoch"}}
    arguments = {key: value for key, value in rest.items() if not key.startswith("warmup")}
    policy = POLICIES[kind]
    for key in arguments:
        if key.format(name=name) not in policy.arguments(name):
            raise ConfigError(f"{where} ({written}): unknown argument {key!r}", hint=f"it takes {policy.takes(name)}")
        if isinstance(arguments[key], str) and key != "anneal_strategy":
            raise ConfigError(f"{where} ({written}): {key} is a number, not {arguments[key]!r}")
    for key in policy.needs_of(name):
        if key not in arguments:
            raise ConfigError(f"{where} ({written}): {key} is missing")
    counts_epochs = bool(settings.get("by_epoch", by_epoch and kind not in OWN_CLOCK))
    return Policy(where, name, kind, arguments, counts_epochs, warmup_of(rest, name, where))


def warmup_of(settings: Settings, name: str, where: str) -> Warmup | None:
    """The warm-up of a policy, if it has one.

    Raises:
        ConfigError: its kind, length or ratio is not possible.
    """
    kind = settings.get("warmup")
    if kind is None:
        return None
    if kind not in WARM_UPS:
        raise NotFound("warm-up", str(kind), WARM_UPS, where=where)
    length = settings.get("warmup_iters", 0)
    ratio = settings.get("warmup_ratio", 0.1 if name == "lr" else 0.9)
    if not length > 0:
        raise ConfigError(f"{where}: warmup_iters is above 0, not {length!r}")
    if not 0 < ratio <= 1:
        raise ConfigError(f"{where}: warmup_ratio lies above 0 and up to 1, not {ratio!r}")
    return Warmup(str(kind), length, ratio, bool(settings.get("warmup_by_epoch", False)))


def course_of(policy: Policy, clock: Clock) -> Course:
    """The course of one hyper-parameter under a 0.x policy.

    Raises:
        ConfigError: the run is too short or too long for the policy.
    """
    if policy.by_epoch and not clock.by_epoch:
        # A run over steps never announces an epoch, and a policy by epoch waits for that to set anything at all.
        return Course(
            lambda steps, initial: np.full(steps.shape, float(initial)),
            np.zeros(1, np.int64),
            settings=settings_of(policy, clock),
        )
    width = (clock.steps_per_epoch or 1) if policy.by_epoch else 1
    total = (clock.epochs or 1) if policy.by_epoch else clock.steps
    run = Run(policy.name, policy.arguments, total, policy.where)
    regular = POLICIES[policy.kind]
    regular.check(run)
    warm = warm_steps(policy, clock)

    def values(steps: Steps, initial: float) -> Values:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found = regular.values(run, initial, np.floor(steps / width))
            if policy.warmup is None:
                return found
            factors = policy.warmup.factors(steps / warm)
            return np.where(steps < warm, found * factors if policy.name == "lr" else found / factors, found)

    jumps = np.array([0, warm, *(jump * width for jump in regular.jumps(run))], np.float64)
    breaks = distinct(np.ceil(jumps[jumps < clock.steps]).astype(np.int64))
    stairs = (Stairs(width, width, clock.steps),) if width > 1 and policy.kind != "fixed" else ()
    marks = [Mark(round(step * width), what) for step, what in regular.marks(run)]
    marks += [Mark(int(np.ceil(warm)), "warm-up ends")] if warm else []
    return Course(
        values, breaks, stairs, tuple(mark for mark in marks if 0 < mark.step < clock.steps), settings_of(policy, clock)
    )


def warm_steps(policy: Policy, clock: Clock) -> float:
    """Steps of the warm-up; 0 without one.

    Raises:
        ConfigError: it is given in epochs whose length is unknown.
    """
    if policy.warmup is None:
        return 0
    if not policy.warmup.in_epochs:
        return policy.warmup.length
    if clock.steps_per_epoch is None:
        raise ConfigError(
            f"{policy.where}: the warm-up is given in epochs, but the steps of an epoch are unknown",
            hint="give the number of samples with --dataset-size",
        )
    return policy.warmup.length * clock.steps_per_epoch


def settings_of(policy: Policy, clock: Clock) -> tuple[Setting, ...]:
    """The policy and its warm-up in the words of the plot and its checks."""
    unit = "epoch" if policy.by_epoch else "step"
    total = (clock.epochs or 1) if policy.by_epoch else clock.steps
    regular = {**policy.arguments, "type": POLICIES[policy.kind].name, "where": policy.where}
    found = [Setting("Policy", unit, 0, total, regular)]
    if policy.warmup is not None:
        warm = {"type": policy.warmup.kind, "ratio": policy.warmup.ratio, "where": policy.where}
        found.append(Setting("Warmup", "step", 0, warm_steps(policy, clock), warm))
    return tuple(found)
