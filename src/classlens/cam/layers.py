"""Layers by name: exact, with indices, with wildcards; and the one that is looked at if none is named.

A name is a dotted path as in `module.named_modules()`. `[i]` counts the members of a sequence, also from its end:
`backbone.layer4[-1]` is `backbone.layer4.2`. `*` stands for one step of the path.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from classlens.cam.capture import NO_GRADIENT, observe, runs_repeatedly
from classlens.cam.classifier import Classifier, Layer, bare, layers_of, modules_of
from classlens.cam.hooks import first_tensor, hooked, logits_of, noise
from classlens.cam.joints import Ways, first_telling, joint_for, recorded
from classlens.cam.layout import Layout
from classlens.cam.layout_inference import possible_layouts
from classlens.cam.model_state import preserved
from classlens.cam.output import output_of
from classlens.errors import ModelError, NotFound

NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)
INDEX = re.compile(r"\[(-?\d+)\]")
SIDE_PATHS = {"downsample", "shortcut"}
"""Steps of a name that lead to a norm beside a block, which may run after the block's last one."""

FOUND: WeakKeyDictionary[Classifier, str] = WeakKeyDictionary()
"""Default layers that were found; finding one costs as much as explaining a picture."""

SHOWN = 5
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
    found = {layer.name: layer for name in names for layer in matching(classifier, name)}
    return tuple(found.values())


def matching(classifier: Classifier, name: str) -> list[Layer]:
    """The one layer of that name, or all that fit its wildcards.

    Raises:
        NotFound: there is none.
    """
    modules = modules_of(classifier)
    path = bare(name)
    if path.partition(".")[0] not in modules:
        path = path.removeprefix("module.")
    path = counted(path, modules, classifier.name)
    if path in modules:
        return [Layer(path, modules[path])]
    fitting = [Layer(known, module) for known, module in modules.items() if fits(known, path)]
    if not fitting:
        raise NotFound("layer", name, modules, where=classifier.name)
    return fitting


def counted(name: str, modules: Mapping[str, nn.Module], where: str) -> str:
    """The name with its `[i]` replaced by the name of the member they point at.

    Raises:
        NotFound: the part in front of `[i]` does not exist or has fewer members.
    """
    path = name
    while index := INDEX.search(path):
        before, position = path[: index.start()], int(index[1])
        if before not in modules:
            raise NotFound("layer", before, modules, where=where)
        members = [child for child, _ in modules[before].named_children()]
        if not -len(members) <= position < len(members):
            raise NotFound(f"member {position} of layer", before, [f"{before}.{member}" for member in members])
        path = f"{before}.{members[position]}{path[index.end() :]}"
    return path


def fits(path: str, pattern: str) -> bool:
    """Whether the steps of a path fit those of a pattern one by one."""
    steps, wanted = path.split("."), pattern.split(".")
    return len(steps) == len(wanted) and all(map(fnmatchcase, steps, wanted))


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
    name = classifier.default_layer or FOUND.get(classifier)
    if name is None:
        sized = classifier if size in (None, classifier.size) else replace(classifier, size=size)
        name = FOUND[classifier] = deciding_layer(sized).name
    return matching(classifier, name)[0]


def deciding_layer(classifier: Classifier) -> Layer:
    """The layer at which everything that decides the class can be seen, as late in the model as possible."""
    layers = layers_of(classifier)
    norms = [layer for layer in layers if is_norm(layer.module, layer.name)]
    leaves = [layer for layer in layers if not any(True for _ in layer.module.children())]
    with preserved(classifier.module):
        ways = recorded(classifier)
        for candidates in (norms, leaves):
            seen = survey(classifier, candidates)
            chosen = last_telling(classifier, seen, ways)
            if chosen is not None and candidates is norms and folded_after(chosen, seen):
                chosen = last_telling(classifier, survey(classifier, layers), ways)
            if chosen is not None:
                return joint_for(classifier, ways, chosen, [one.layer for one in seen if one.layout])
    raise runs_repeatedly(classifier) or ModelError(
        f"no layer of {classifier.name} can be read as a map", hint=candidates_in(survey(classifier, layers))
    )


def candidates_in(ran: Sequence["Surveyed"]) -> str:
    """The last layers that could hold a map if somebody knew how to read them, and what they put out."""
    several = [seen for seen in ran if len(seen.shape) > 2][-SHOWN:]
    told = ", ".join(f"{seen.layer.name} ({' x '.join(map(str, seen.shape))})" for seen in several)
    return f"name one with --target-layers; the last candidates are {told}" if told else "none of them keeps positions"


def is_norm(module: nn.Module, name: str) -> bool:
    """Whether a module normalises on the main path; classes of other people are known by the name of their type."""
    if SIDE_PATHS & set(name.split(".")):
        return False
    return isinstance(module, NORMS) or type(module).__name__.casefold().endswith(("norm", "norm2d"))


def folded_after(chosen: Layer, ran: Sequence["Surveyed"]) -> bool:
    """Whether norms that see every position as an item of the batch ran after the chosen one: it is not the last."""
    place = next(place for place, seen in enumerate(ran) if seen.layer.module is chosen.module)
    return any(seen.layout is None and seen.shape[:1] != (1,) for seen in ran[place:])


def last_telling(classifier: Classifier, candidates: Sequence["Surveyed"], ways: Ways | None) -> Layer | None:
    """The candidate that runs last among those that show more than one position and have a gradient there."""
    readable = [seen.layer for seen in candidates if seen.layout and seen.layout.positions > 1]
    some = len(readable)
    while readable:
        if len(readable) < some:  # none of the last few tells anything: before going on, is there anything to be told?
            check_dependence(classifier, ways)
            some = 0
        readable, last = readable[:-AT_ONCE], readable[-AT_ONCE:]
        chosen = first_telling(classifier, ways, last[::-1]) if ways else last_of_cut(classifier, last)
        if chosen is not None:
            return chosen
    return None


def last_of_cut(classifier: Classifier, layers: Sequence[Layer]) -> Layer | None:
    """The last of these layers that has a gradient, in a network that passes none on to the picture."""
    seen = observe(classifier, noise(classifier), layers)
    if seen.logits is None:
        return None
    gradients = torch.autograd.grad(seen.logits.amax(dim=1).sum(), seen.outputs, allow_unused=True)
    for layer, layout, gradient in reversed(list(zip(layers, seen.layouts, gradients, strict=True))):
        if gradient is not None and layout.grid(gradient).any():
            return layer
    return None


def check_dependence(classifier: Classifier, ways: Ways | None) -> None:
    """Find out by one pass back whether the scores depend on the picture at all.

    Raises:
        ModelError: they do not, most often because the weights of the head are zeros.
    """
    (slope,) = torch.autograd.grad(ways.score, ways.picture, retain_graph=True, allow_unused=True) if ways else (None,)
    if ways is None or slope is None:
        raise ModelError(f"{classifier.name} {NO_GRADIENT}", hint="name a layer with --target-layers")
    if slope.any():
        return
    columns = 1 if output_of(classifier).single else ways.classes
    heads = [layer.name for layer in layers_of(classifier) if is_zero_head(layer.module, columns)]
    because = f": all weights of its head {heads[-1]!r} are zero" if heads else ""
    raise ModelError(
        f"the scores of {classifier.name} do not depend on the picture, every gradient is zero{because}",
        hint="give a checkpoint: some networks start with a head of zeros",
    )


def is_zero_head(module: nn.Module, classes: int) -> bool:
    return isinstance(module, (nn.Linear, nn.Conv2d)) and len(module.weight) == classes and not module.weight.any()


@dataclass(frozen=True, eq=False)
class Surveyed:
    """What a layer put out in one forward pass: its shape, and how it is read, None where it is no map."""

    layer: Layer
    shape: tuple[int, ...]
    layout: Layout | None


def survey(classifier: Classifier, layers: Sequence[Layer]) -> list[Surveyed]:
    """Layers that run once and put out a tensor, in the order in which they ran on one picture of noise."""
    ran: list[tuple[Layer, tuple[int, ...]]] = []

    def noting(layer: Layer) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, inputs: object, output: object) -> None:
            tensor = first_tensor(output)
            if tensor is not None:
                ran.append((layer, tuple(tensor.shape)))

        return note

    picture = noise(classifier)
    with preserved(classifier.module), torch.no_grad():
        with hooked([(layer.module, noting(layer)) for layer in layers]):
            logits_of(classifier, picture)
        times = Counter(layer.name for layer, _ in ran)
        once = [(layer, shape) for layer, shape in ran if times[layer.name] == 1]
        found = possible_layouts(classifier, once, tuple(picture.shape))
    return [Surveyed(layer, shape, layout) for (layer, shape), layout in zip(once, found, strict=True)]


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
