"""Layers by name: exact, with indices, with wildcards; and the one that is looked at if none is named.

A name is a dotted path as in `module.named_modules()`. `[i]` counts the members of a sequence, also from its end:
`backbone.layer4[-1]` is `backbone.layer4.2`. `*` stands for one step of the path.
"""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from classlens.cam.classifier import COMPILED, Classifier, Layer, layers_of
from classlens.cam.evidence import NO_GRADIENT, observe
from classlens.cam.forward import OUTPUTS, hook_layers, logits_of, noise
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

    `size` is that of the pictures which are fed, as far as it is known: the default layer is looked for at it, once per
    classifier. That is the record's own, or the last norm layer that still decides the class and covers the picture.

    Raises:
        NotFound: a name fits no layer.
        ModelError: no name is given, and the model has no layer that can be drawn, or its scores do not depend on the
            picture.
    """
    if names is None and (default := classifier.default_layer or DEFAULTS.get(classifier)):
        names = [default]
    elif names is None:
        sized = classifier if size in (None, classifier.size) else replace(classifier, size=size)
        names = [DEFAULTS.setdefault(classifier, find_deciding_layer(sized).name)]
    modules = {layer.name: layer for layer in layers_of(classifier)}
    layers: dict[str, Layer] = {}
    for name in names:
        path = COMPILED.sub("", name).lstrip(".")
        if path.partition(".")[0] not in modules:
            path = path.removeprefix("module.")
        while index := INDEX.search(path):  # each `[i]` by the name of the member that it points at
            before, position = path[: index.start()], int(index[1])
            if before not in modules:
                raise NotFound("layer", before, modules, where=classifier.name)
            members = [f"{before}.{member}" for member, _ in modules[before].module.named_children()]
            if not -len(members) <= position < len(members):
                raise NotFound(f"member {position} of layer", before, members)
            path = members[position] + path[index.end() :]
        steps = path.split(".")
        fitting = (
            [path]
            if path in modules
            else [
                known
                for known in modules
                if len(own := known.split(".")) == len(steps) and all(map(fnmatchcase, own, steps))
            ]
        )
        if not fitting:
            raise NotFound("layer", name, modules, where=classifier.name)
        layers |= {known: modules[known] for known in fitting}
    return tuple(layers.values())


def default_layer(classifier: Classifier) -> Layer:
    """The layer that is looked at if none is named; see `find_layers`."""
    return find_layers(classifier, None)[0]


def find_deciding_layer(classifier: Classifier) -> Layer:
    """The layer at which everything that decides the class can be seen, as late in the model as possible.

    That is the last norm of the last block; with a head that reads a class token, whose patch tokens no longer matter
    after the last attention, it is the norm in front of that attention. A model without norms, or whose last ones see
    every position as an item of the batch, is looked at behind its last module that puts out a map. Where that is one
    of several branches, it is the layer where they join. Found by two passes on noise, and a part of the way back.
    """
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
    check_repetition(classifier)
    listed = ", ".join(f"{one.layer.name} ({shape_text(one.shape)})" for one in several)
    hint = f"name one with --target-layers; the last candidates are {listed}"
    raise ModelError(
        f"no layer of {classifier.name} can be read as a map", hint=hint if several else "none of them keeps positions"
    )


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
    score = captured.logits.amax(dim=1).sum()  # type: ignore[union-attr] # it was not stopped
    gradients = torch.autograd.grad(score, captured.outputs, allow_unused=True)
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
    columns = 1 if OUTPUTS[classifier].single else graph.classes
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


def check_repetition(classifier: Classifier) -> None:
    """Refuse a network all of whose maps are made several times in one pass, or of several pictures for one that is fed.

    The picture turned, mirrored, or cut: what such a network says of it is an average.
    """
    times: Counter[str] = Counter()

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        times[layer.name] += len(leaving) if leaving.ndim > 2 else 0

    with preserved(classifier.module), torch.no_grad(), hook_layers(layers_of(classifier), note):
        logits_of(classifier, noise(classifier))
    name, count = (+times).most_common()[-1] if +times else ("", 0)  # the plus leaves out those without a map
    if count > 1:
        raise ModelError(
            f"every layer of {classifier.name} looks at a picture {count} times or more in one forward pass, {name!r} too",
            hint="does it average what it says of the picture mirrored or cropped? give the network that looks once",
        )


@dataclass(frozen=True, eq=False)
class Surveyed:
    """What a layer put out in one forward pass: its shape, and how it is read, None where it is no map."""

    layer: Layer
    shape: tuple[int, ...]
    layout: Layout | None


def survey(classifier: Classifier, layers: Sequence[Layer]) -> list[Surveyed]:
    """Layers that run once and put out a tensor, in the order in which they ran on one picture of noise."""
    ran: dict[Layer, list[tuple[int, ...]]] = {}

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        ran.setdefault(layer, []).append(tuple(leaving.shape))

    picture = noise(classifier)
    with preserved(classifier.module), torch.no_grad():
        with hook_layers(layers, note):
            logits_of(classifier, picture)
        once = [(layer, shapes[0]) for layer, shapes in ran.items() if len(shapes) == 1]
        layouts = possible_layouts(classifier, once, picture.shape)
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
        names = max((len(row.name) for row in self.rows), default=0)
        kinds = max((len(row.kind) for row in self.rows), default=0)
        lines = [
            f"{'*' if row.default else ' '} {row.name:<{names}}  {row.kind:<{kinds}}  "
            f"{shape_text(row.shape):<20} {row.parameters:>12,}  {row.layout or ''}".rstrip()
            for row in self.rows
        ]
        legend = "* the layer that is looked at if none is named; the last column: how a layer is read"
        return "\n".join([*lines, "", legend])


def shape_text(shape: tuple[int, ...] | None) -> str:
    return " x ".join(map(str, shape)) if shape else "-"


def preview(classifier: Classifier) -> Preview:
    """Look at every layer in one forward pass."""
    layers = layers_of(classifier)
    surveyed = {one.layer.name: one for one in survey(classifier, layers)}
    default = None
    with suppress(ModelError):
        default = default_layer(classifier).name
    rows = []
    for layer in layers:
        one = surveyed.get(layer.name)
        layout = str(one.layout) if one and one.layout and one.layout.positions > 1 else None
        parameters = sum(parameter.numel() for parameter in layer.module.parameters())
        kind, shape = type(layer.module).__name__, one.shape if one else None
        rows.append(PreviewRow(layer.name, kind, shape, layout, parameters, layer.name == default))
    return Preview(tuple(rows))
