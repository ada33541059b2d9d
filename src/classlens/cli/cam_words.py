"""What `classlens cam` says about maps: a line for each, and what to mistrust."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classlens.cam.saliency import Fused, Saliency
from classlens.figures.overlay import caption


def sentence(found: Saliency | Fused, told: dict[str, Any]) -> str:
    """One line about one map: picture, class, method, layer, and where it is hottest."""
    subject = found.subject
    number = "" if subject is None else f"{subject.as_target} "
    lead = "" if subject is None or subject.against is None else f", logits {subject.logit:+.2f} apart"
    where = "empty" if told["empty"] else "hottest at row {}, column {}".format(*told["hottest"])
    return f"{told['picture']}: {number}{caption(subject)}{lead}, {found.method} at {found.layer}, {where}"


def complain(shown: Sequence[Saliency | Fused], paths: Sequence[Path], warned: set[str]) -> None:
    """Maps that show nothing, or had better be made of another layer, are complained of on the side, each layer once."""
    for found in shown:
        if found.heatmap().empty:
            where = f"{paths[found.index]}: the {found.method} map at {found.layer}"
            print(f"warning: {where} is empty: no evidence for this class", file=sys.stderr)
        for part in found.parts:
            warning = mistrust(part)
            if part.signed and warning not in warned:
                warned.add(warning)
                print(f"warning: {warning}", file=sys.stderr)


def mistrust(found: Saliency) -> str:
    """Why a map of features with both signs can mislead, and where to look instead."""
    behind = found.layer.rpartition(".")[0]
    hint = f", e.g. --target-layers {behind}" if behind else ""
    return (
        f"{found.method} assumes non-negative features, and those of {found.layer} are negative in part: its map can mislead; "
        f"choose a layer behind the activation{hint}"
    )
