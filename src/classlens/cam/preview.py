"""The layers of a model as a tree: name, type, output shape, how it is read, parameters; the default one starred."""

from dataclasses import dataclass
from typing import Any

from classlens.cam.classifier import Classifier, layers_of
from classlens.cam.layers import default_layer, survey
from classlens.errors import ModelError


@dataclass(frozen=True)
class Row:
    """One layer of the preview; shape and layout are None where it did not run once or puts out no map."""

    name: str
    kind: str
    shape: tuple[int, ...] | None
    layout: str | None
    parameters: int
    default: bool


@dataclass(frozen=True)
class Preview:
    """Every layer of a model, as the model lists them."""

    rows: tuple[Row, ...]

    def facts(self) -> list[dict[str, Any]]:
        """As data."""
        return [vars(row) for row in self.rows]

    def text(self) -> str:
        """As a table: a star in front of the default layer, the layout where a map can be drawn."""
        widest = max((len(row.name) for row in self.rows), default=0)
        kinds = max((len(row.kind) for row in self.rows), default=0)
        lines = [
            f"{'*' if row.default else ' '} {row.name:<{widest}}  {row.kind:<{kinds}}  "
            f"{shape_text(row.shape):<20} {row.parameters:>12,}  {row.layout or ''}".rstrip()
            for row in self.rows
        ]
        return "\n".join(
            [*lines, "", "* the layer that is looked at if none is named; the last column: how a layer is read"]
        )


def shape_text(shape: tuple[int, ...] | None) -> str:
    """1 x 2048 x 7 x 7, or a dash."""
    return " x ".join(map(str, shape)) if shape else "-"


def preview(classifier: Classifier) -> Preview:
    """Look at every layer in one forward pass."""
    layers = layers_of(classifier)
    seen = {found.layer.name: found for found in survey(classifier, layers)}
    try:
        default = default_layer(classifier).name
    except ModelError:
        default = None
    rows = []
    for layer in layers:
        found = seen.get(layer.name)
        rows.append(
            Row(
                layer.name,
                type(layer.module).__name__,
                found.shape if found else None,
                str(found.layout) if found and found.layout and found.layout.positions > 1 else None,
                sum(parameter.numel() for parameter in layer.module.parameters()),
                layer.name == default,
            )
        )
    return Preview(tuple(rows))
