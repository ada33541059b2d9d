"""The maps in words and as data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classlens.cam.saliency import Fused, Saliency
from classlens.figures.overlay import caption


def describe(shown: Sequence[Saliency | Fused], pictures: Sequence[Path]) -> list[str]:
    """One line for each map: picture, class, method, layer, and where it is hottest."""
    lines = []
    for found in shown:
        subject = found.subject
        number = "" if subject is None else f"{subject.target} "
        row, column = hottest(found)
        place = f"{found.method} at {found.layer}, hottest at row {row}, column {column}"
        lines.append(f"{pictures[found.index]}: {number}{caption(subject)}, {place}")
    return lines


def facts(shown: Sequence[Saliency | Fused], pictures: Sequence[Path]) -> list[dict[str, Any]]:
    """Every map as data: what was asked, what the model said, and where the map is hottest."""
    return [{"picture": str(pictures[found.index])} | map_facts(found) for found in shown]


def map_facts(found: Saliency | Fused) -> dict[str, Any]:
    """What is known of one map, without its pixels."""
    subject = found.subject
    parts = found.parts if isinstance(found, Fused) else (found,)
    return {
        "method": found.method,
        "layers": [part.layer for part in parts],
        "layer_sizes": [list(part.values.shape) for part in parts],
        "size_as_fed": list(found.image.size),
        "target": subject.target if subject else None,
        "class_name": subject.class_name if subject else None,
        "against": subject.against if subject else None,
        "logit": subject.logit if subject else None,
        "probability": subject.probability if subject else None,
        "hottest": hottest(found),
        "empty": found.heatmap().empty,
    }


def hottest(found: Saliency | Fused) -> tuple[int, int]:
    """Row and column of the hottest pixel of the picture as fed."""
    values = found.heatmap().values
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return int(row), int(column)
