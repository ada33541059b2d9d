"""ReduceOnPlateau, the scheduler of 1.x that waits for metrics: when they arrive, and what they can cut."""

from __future__ import annotations

from classlens.adapters.openmm.schedules.scheduler import Placed
from classlens.schedule.chain import Link
from classlens.schedule.clock import Clock
from classlens.schedule.plateau import Plateau
from classlens.schedule.shapes import MultiStep

KIND = "ReduceOnPlateau"
TAKES = ("monitor", "rule", "factor", "patience", "threshold", "threshold_rule", "cooldown", "min_value", "eps")


def plateau_of(here: Placed) -> Plateau:
    """The rule as the config writes it.

    Raises:
        ConfigError: an argument is none that training takes, or metrics would have to arrive more often than after epochs.
    """
    scheduler, lowest = here.scheduler, here.arguments.get("min_value", 0.0)
    factor = here.number("factor", 0.1)
    if not 0 <= factor < 1:
        raise scheduler.wrong(f"factor lies between 0 and 1, not {factor:g}")
    if not scheduler.by_epoch or scheduler.converts:
        raise scheduler.wrong("metrics arrive after epochs: by_epoch=False and convert_to_iter_based are not possible")
    here.word("rule", ("less", "greater"))
    here.word("threshold_rule", ("rel", "abs"))
    here.number("threshold", 1e-4, least=0)
    here.number("eps", 1e-8)
    monitor = here.arguments.get("monitor", "loss")
    if not isinstance(monitor, str):
        raise scheduler.wrong(f"monitor is the name of a metric, not {monitor!r}")
    if isinstance(lowest, list | tuple) and len(lowest) != 1:
        raise scheduler.wrong(
            f"min_value has {len(lowest)} values, which are for as many parameter groups", hint="give one for all"
        )
    minimum = here.numbers("min_value")[0] if isinstance(lowest, list | tuple) else here.number("min_value", 0.0)
    patience, cooldown = int(here.number("patience", 10, least=0)), int(here.number("cooldown", 0, least=0))
    return Plateau(factor, patience, cooldown, minimum, monitor)


def cuts_of(here: Placed, plateau: Plateau, validation: tuple[int, int], clock: Clock) -> Link | None:
    """All cuts of a metric that never improves, as a scheduler; None where the run ends before the first.

    A run that counts steps validates every so many steps, and its epoch, which never ends, is epoch 0.
    """
    first, every = validation
    start = -(-max(first, 1) // every) * every
    if clock.by_epoch:
        last = min(int(here.end), clock.epochs or 1)
        looks = [epoch for epoch in range(start, last, every) if epoch >= here.begin]
    else:
        looks = list(range(start, clock.steps, every)) if here.begin <= 0 else []
    cuts = plateau.cuts(looks)
    if not cuts:
        return None
    shape = MultiStep(tuple(float(cut - cuts[0]) for cut in cuts), plateau.factor)
    return Link(shape, cuts[0], 10**15, "epoch" if clock.by_epoch else "step")
