"""What the user wishes of an audit: what is opened, and what is asked about every picture. No torch in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from classlens.errors import WrongValue


@dataclass(frozen=True)
class AuditOptions:
    """Which pictures are asked about, and what.

    `phase` is their split. `methods` and `layers` are those of `explain`; no method gives rows without maps, in the time of a plain pass.
    `number` pictures, evenly spread over the dataset, are asked about instead of all. `flips` asks about the mirrored
    pictures, too, in twice the time. `batch_size` is chosen by memory unless it is given; rows depend on it, so that it
    is kept in the manifest. `seed` is for datasets that draw, and for what is sampled of the rows.
    """

    phase: str = "val"
    methods: Sequence[str] = ("GradCAM",)
    layers: Sequence[str] | None = None
    number: int | None = None
    flips: bool = False
    batch_size: int | None = None
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.methods, str) or isinstance(self.layers, str):
            raise WrongValue("methods and layers are lists of names, such as ['GradCAM']")
        for name in ("number", "batch_size"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise WrongValue(f"{name} is at least 1, not {value}")


@dataclass(frozen=True)
class Recipe:
    """How the source and what is not its own were named: what a manifest needs so that another process can open it."""

    target: str
    data: str | None = None
    checkpoint: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
