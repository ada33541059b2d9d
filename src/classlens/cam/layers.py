"""Layers by name: exact, with indices, with wildcards; and the one that is looked at if none is named.

A name is a dotted path as in `module.named_modules()`. `[i]` counts the members of a sequence, also from its end:
`backbone.layer4[-1]` is `backbone.layer4.2`. `*` stands for one step of the path.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from classlens.cam.capture import NO_GRADIENT, observe, runs_repeatedly
from classlens.cam.classifier import COMPILED, Classifier, Layer, layers_of, modules_of
from classlens.cam.forward import first_tensor, hook_layers, logits_of, noise, output_of
from classlens.cam.joints import PathGraph, find_joint, first_with_gradient, record_paths
from classlens.cam.layout import Layout, possible_layouts
from classlens.cam.model_state import preserved
from classlens.errors import ModelError, NotFound

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
INDEX = re.compile(r"\[(-?\d+)\]")
SIDE_PATHS = {"downsample", "shortcut"}
"""Steps of a name that lead to a norm beside a block, which may run after the block's last one."""

DEFAULTS: WeakKeyDictionary[Classifier, str] = WeakKeyDictionary()
"""Default layers by classifier; finding one costs as much as explaining a picture."""

LISTED = 5
"""How many candidates an error lists."""

AT_ONCE = 4
"""How many candidates one backward pass looks at, from the end: a class-token head hides the last two or three."""


def find_layers(
    classifier: Classifier, names: Sequence[str] | None, size: tuple[int, int] | None = None
) -> tuple[Layer, ...]:
    """The layers of those names, in that order and each once; the default one if no name is given.

    `size` is that of the pictures which are fed, as far as it is known: the default layer is looked for at it.

    Raises:
        NotFound: a name fits no layer.
        ModelError: no name is given, and the model has no layer that can be drawn.
    """
    if names is None:
        return (default_layer(classifier, size),)
    return tuple({layer.name: layer for name in names for layer in match_layers(classifier, name)}.values())


def match_layers(classifier: Classifier, name: str) -> list[Layer]:
    """The one layer of that name, or all that fit its wildcards; there has to be one."""
    modules = modules_of(classifier)
    path = COMPILED.sub("", name).lstrip(".")
    if path.partition(".")[0] not in modules:
        path = path.removeprefix("module.")
    if "[" in path:
        path = with_names_for_indices(path, modules, classifier.name)
    if path in modules:
        return [Layer(path, modules[path])]
    steps = path.split(".")
    fitting = [
        Layer(known, module)
        for known, module in modules.items()
        if len(own := known.split(".")) == len(steps) and all(map(fnmatchcase, own, steps))
    ]
    if not fitting:
        raise NotFound("layer", name, modules, where=classifier.name)
    return fitting


def with_names_for_indices(path: str, modules: Mapping[str, nn.Module], where: str) -> str:
    """The path with each `[i]` replaced by the name of the member it points at; there has to be one."""
    while index := INDEX.search(path):
        before, position = path[: index.start()], int(index[1])
        if before not in modules:
            raise NotFound("layer", before, modules, where=where)
        members = [child for child, _ in modules[before].named_children()]
        if not -len(members) <= position < len(members):
            raise NotFound(f"member {position} of layer", before, [f"{before}.{member}" for member in members])
        path = f"{before}.{members[position]}{path[index.end() :]}"
    return path


def default_layer(classifier: Classifier, size: tuple[int, int] | None = None) -> Layer:
    """The record's own default, or the last norm layer that still decides the class and covers the picture.

    That is the last norm of the last block; with a head that reads a class token, whose patch tokens no longer matter
    after the last attention, it is the norm in front of that attention. A model without norms, or whose last ones see
    every position as an item of the batch, is looked at behind its last module that puts out a map. Where that is one
    of several branches, it is the layer where they join. Found by two passes on noise of that `size`, or of the size
    that the classifier is made for, and a part of the way back; once per classifier.

    Raises:
        ModelError: no layer of the model can be drawn, or its scores do not depend on the picture.
    """
    name = classifier.default_layer or DEFAULTS.get(classifier)
    if name is None:
        sized = classifier if size in (None, classifier.size) else replace(classifier, size=size)
        name = DEFAULTS[classifier] = find_deciding_layer(sized).name
    return match_layers(classifier, name)[0]


def find_deciding_layer(classifier: Classifier) -> Layer:
    """The layer at which everything that decides the class can be seen, as late in the model as possible."""
    layers = layers_of(classifier)
    norms = [layer for layer in layers if is_norm(layer)]
    leaves = [layer for layer in layers if not any(True for _ in layer.module.children())]
    with preserved(classifier.module):
        graph = record_paths(classifier)
        for candidates in (norms, leaves):
            ran = survey(classifier, candidates)
            chosen = last_with_gradient(classifier, ran, graph)
            if chosen is not None and candidates is norms:
                # Norms that see every position as an item of the batch may have run after it: it is not the last then.
                place = next(place for place, one in enumerate(ran) if one.layer.module is chosen.module)
                if any(one.layout is None and one.shape[:1] != (1,) for one in ran[place:]):
                    chosen = last_with_gradient(classifier, survey(classifier, layers), graph)
            if chosen is not None:
                return find_joint(classifier, graph, chosen, [one.layer for one in ran if one.layout])
        several = [one for one in survey(classifier, layers) if len(one.shape) > 2][-LISTED:]
    listed = ", ".join(f"{one.layer.name} ({shape_text(one.shape)})" for one in several)
    hint = (
        f"name one with --target-layers; the last candidates are {listed}" if listed else "none of them keeps positions"
    )
    raise runs_repeatedly(classifier) or ModelError(f"no layer of {classifier.name} can be read as a map", hint=hint)


def is_norm(layer: Layer) -> bool:
    """Whether a layer normalises on the main path; classes of other people are known by the name of their type."""
    if SIDE_PATHS & set(layer.name.split(".")):
        return False
    return isinstance(layer.module, NORMS) or type(layer.module).__name__.casefold().endswith(("norm", "norm2d"))


def last_with_gradient(
    classifier: Classifier, candidates: Sequence["Surveyed"], graph: PathGraph | None
) -> Layer | None:
    """The candidate that runs last among those that show more than one position and have a gradient there."""
    readable = [one.layer for one in candidates if one.layout and one.layout.positions > 1]
    for end in range(len(readable), 0, -AT_ONCE):
        if end == len(readable) - AT_ONCE:  # the last few have no gradient: does any layer have one?
            check_dependence(classifier, graph)
        last = readable[max(0, end - AT_ONCE) : end]
        chosen = first_with_gradient(classifier, graph, last[::-1]) if graph else last_of_cut(classifier, last)
        if chosen is not None:
            return chosen
    return None


def last_of_cut(classifier: Classifier, layers: Sequence[Layer]) -> Layer | None:
    """The last of these layers that has a gradient, in a network that passes none on to the picture."""
    captured = observe(classifier, noise(classifier), layers)
    if captured.logits is None:
        return None
    gradients = torch.autograd.grad(captured.logits.amax(dim=1).sum(), captured.outputs, allow_unused=True)
    for layer, layout, gradient in reversed(list(zip(layers, captured.layouts, gradients, strict=True))):
        if gradient is not None and layout.grid(gradient).any():
            return layer
    return None


def check_dependence(classifier: Classifier, graph: PathGraph | None) -> None:
    """Refuse a model whose scores do not depend on the picture, most often because its head has zero weights."""
    slope = None
    if graph is not None:
        (slope,) = torch.autograd.grad(graph.score, graph.picture, retain_graph=True, allow_unused=True)
    if graph is None or slope is None:
        raise ModelError(f"{classifier.name} {NO_GRADIENT}", hint="name a layer with --target-layers")
    if slope.any():
        return
    columns = 1 if output_of(classifier).single else graph.classes
    zero_heads = [
        layer.name
        for layer in layers_of(classifier)
        if isinstance(layer.module, (nn.Linear, nn.Conv2d))
        if len(layer.module.weight) == columns and not layer.module.weight.any()
    ]
    because = f": all weights of its head {zero_heads[-1]!r} are zero" if zero_heads else ""
    raise ModelError(
        f"the scores of {classifier.name} do not depend on the picture, every gradient is zero{because}",
        hint="give a checkpoint: some networks start with a head of zeros",
    )


@dataclass(frozen=True, eq=False)
class Surveyed:
    """What a layer put out in one forward pass: its shape, and how it is read, None where it is no map."""

    layer: Layer
    shape: tuple[int, ...]
    layout: Layout | None


def survey(classifier: Classifier, layers: Sequence[Layer]) -> list[Surveyed]:
    """Layers that run once and put out a tensor, in the order in which they ran on one picture of noise."""
    ran: list[tuple[Layer, tuple[int, ...]]] = []

    def note(layer: Layer, inputs: object, output: object) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            ran.append((layer, tuple(tensor.shape)))

    picture = noise(classifier)
    with preserved(classifier.module), torch.no_grad():
        with hook_layers(layers, note):
            logits_of(classifier, picture)
        times = Counter(layer.name for layer, _ in ran)
        once = [(layer, shape) for layer, shape in ran if times[layer.name] == 1]
        layouts = possible_layouts(classifier, once, tuple(picture.shape))
    return [Surveyed(layer, shape, layout) for (layer, shape), layout in zip(once, layouts, strict=True)]


@dataclass(frozen=True)
class PreviewRow:
    """One layer of the preview; shape and layout are None where it did not run once or puts out no map."""

    name: str
    kind: str
    shape: tuple[int, ...] | None
    layout: str | None
    parameters: int
    default: bool


@dataclass(frozen=True)
class Preview:
    """Every layer of a model, as the model lists them; `text` is the table that draws it."""

    rows: tuple[PreviewRow, ...]

    def facts(self) -> list[dict[str, Any]]:
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
    return " x ".join(map(str, shape)) if shape else "-"


def preview(classifier: Classifier) -> Preview:
    """Look at every layer in one forward pass."""
    layers = layers_of(classifier)
    surveyed = {one.layer.name: one for one in survey(classifier, layers)}
    try:
        default = default_layer(classifier).name
    except ModelError:
        default = None
    rows = []
    for layer in layers:
        one = surveyed.get(layer.name)
        layout = str(one.layout) if one and one.layout and one.layout.positions > 1 else None
        parameters = sum(parameter.numel() for parameter in layer.module.parameters())
        shape = one.shape if one else None
        rows.append(
            PreviewRow(layer.name, type(layer.module).__name__, shape, layout, parameters, layer.name == default)
        )
    return Preview(tuple(rows))
