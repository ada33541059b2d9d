"""A rule for `classlens check`: HOUSE001, a split for validation that is too small to trust."""

from collections.abc import Iterator
from math import sqrt

from classlens import Finding, Inspection, Rule

FEWEST = 100


def small_validation(inspection: Inspection) -> Iterator[Finding]:
    """A split for validation with fewer than 100 pictures.

    Why it matters: at 90 % accuracy, 50 pictures tell it with an error of 8 points; two runs cannot be told apart.

    Example: 1,000 pictures for training and 20 for validation.

    Cure: hold out more pictures, or use cross-validation.
    """
    val = inspection.splits.get("val")
    if val is not None and val.length < FEWEST:
        points = 196 * sqrt(0.9 * 0.1 / val.length)
        yield Finding(
            f"{val.length} pictures are few: an accuracy of 90 % is known to {points:.0f} points only",
            where=val.name,
            evidence={"pictures": val.length, "points": round(points, 1)},
        )


RULES = (Rule("HOUSE001", "small validation split", "warning", ("dataset",), small_validation),)
