"""The user's optimizer and scheduler as a schedule."""

from classlens.adapters.python.kinds import Thing
from classlens.schedule.schedule import Schedule


def schedule_of(optimizer: Thing, scheduler: Thing, module: Thing) -> Schedule:
    """Soon."""
    raise NotImplementedError
