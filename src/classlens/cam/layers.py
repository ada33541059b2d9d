"""Layers by name: exact, with indices, with wildcards; and the one that is looked at if none is named.

A name is a dotted path as in `module.named_modules()`. `[i]` counts the members of a sequence, also from its end:
`backbone.layer4[-1]` is `backbone.layer4.2`. `*` stands for one step of the path.

Without a name, it is a joint: in the graph that autograd records of a picture of noise, no path leads from the score
back to the pixels without it. A branch of an Inception block is none, nor is an arm of a network with two: its map shows
a part of the evidence only. The bare shortcut around a residual block does not count: past the block goes what went in.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from classlens.cam.classifier import COMPILED, Classifier, Layer, layers_of, preserved
from classlens.cam.evidence import NO_GRADIENT, observe
from classlens.cam.forward import OUTPUTS, hook_layers, logits_of, noise
from classlens.cam.layout import Layout, possible_layouts
from classlens.errors import ModelError, NotFound
from classlens.printed import join_lines
from classlens.results import Drawable

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
INDEX = re.compile(r"\[(-?\d+)\]")
SIDE_PATHS = {"downsample", "shortcut"}  # a norm below one of these is beside a block, and may run after its last norm
DEFAULTS: WeakKeyDictionary[Classifier, str] = WeakKeyDictionary()  # finding one costs as much as explaining a picture
AT_ONCE = 4  # candidates of a backward pass, and joints tried in front: a class-token head hides the last two or three


def find_layers(
    classifier: Classifier, names: Sequence[str] | None, size: tuple[int, int] | None = None
) -> tuple[Layer, ...]:
    """The layers of those names, in that order and each once; the default one if no name is given.

    That is the record's own, or the last norm layer that still decides the class and covers the picture: it is looked
    for once, at the `size` of the pictures which are fed, as far as that is known.
    """
    default = classifier.default_layer or DEFAULTS.get(classifier)
    if not (names or default):
        sized = classifier if size in (None, classifier.size) else replace(classifier, size=size)
        default = DEFAULTS[classifier] = find_deciding_layer(sized).name
    modules = {layer.name: layer for layer in layers_of(classifier)}
    layers: dict[str, Layer] = {}
    for name in names or [str(default)]:
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
        fitting = {
            known: layer
            for known, layer in modules.items()
            if known.count(".") == path.count(".") and all(map(fnmatchcase, known.split("."), path.split(".")))
        }
        if not fitting:
            raise NotFound("layer", name, modules, where=classifier.name)
        layers |= fitting
    return tuple(layers.values())


def find_deciding_layer(classifier: Classifier) -> Layer:
    """The layer at which everything that decides the class can be seen, as late in the model as possible.

    That is the last norm of the last block, or, if the head reads a class token only, the norm in front of the last
    attention. A model without norms, or whose last ones see every position as an item of the batch, is looked at behind
    its last module that puts out a map. Where that is one of several branches, it is the layer where they join.
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
                place = [one.layer.name for one in ran].index(chosen.name)
                if any(one.layout is None and one.shape[:1] != (1,) for one in ran[place:]):
                    chosen = last_with_gradient(classifier, survey(classifier, layers), graph)
            if chosen is not None:
                return find_joint(classifier, graph, chosen, [one.layer for one in ran if one.layout])
        several = [one for one in survey(classifier, layers) if len(one.shape) > 2 and one.shape[0] == 1][-5:]
    listed = ", ".join(f"{one.layer.name} ({shape_text(one.shape)})" for one in several)
    hint = f"name one with --target-layers; the last candidates are {listed}"
    if not several:
        hint = "none of them runs once for a picture and keeps positions; a network that averages what it says of the "
        hint += "picture and its mirror image, or of parts of it, is to be given without that"
    raise ModelError(f"no layer of {classifier.name} can be read as a map", hint=hint)


def find_head(classifier: Classifier) -> Layer:
    """The last layer with a matrix of weights that runs: what goes into it are the features.

    Raises:
        ModelError: there is none.
    """
    ran: list[Layer] = []

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        if entering is not None and entering.is_floating_point():
            ran.append(layer)

    weighted = [one for one in layers_of(classifier) if getattr(getattr(one.module, "weight", None), "ndim", 0) > 1]
    with preserved(classifier.module), torch.no_grad(), hook_layers(weighted, note):
        logits_of(classifier, noise(classifier))
    if not ran:
        raise ModelError(f"{classifier.name} has no layer whose input could be its features")
    return ran[-1]


def is_norm(layer: Layer) -> bool:
    """Whether a layer normalises on the main path; classes of other people are known by the name of their type."""
    known = isinstance(layer.module, NORMS) or type(layer.module).__name__.casefold().endswith(("norm", "norm2d"))
    return known and not SIDE_PATHS & set(layer.name.split("."))


def last_with_gradient(
    classifier: Classifier, candidates: Sequence["Surveyed"], graph: "PathGraph | None"
) -> Layer | None:
    """The candidate that runs last among those that show more than one position and have a gradient there."""
    readable = [one.layer for one in candidates if one.layout and one.layout.positions > 1][::-1]
    for start in range(0, len(readable), AT_ONCE):
        if start == AT_ONCE:  # the last few have no gradient: does any layer have one?
            check_dependence(classifier, graph)
        if chosen := first_with_gradient(classifier, graph, readable[start : start + AT_ONCE]):
            return chosen
    return None


def first_with_gradient(classifier: Classifier, graph: "PathGraph | None", layers: Sequence[Layer]) -> Layer | None:
    """The first of these layers that shows more than one position and has a gradient there."""
    if graph is None:  # the network passes no gradient on to the picture; it may do so to a layer
        captured = observe(classifier, noise(classifier), layers)
        score = captured.logits.amax(dim=1).sum()  # type: ignore[union-attr] # it was not stopped
        if not score.requires_grad:  # nor to any of these layers
            check_dependence(classifier, graph)
        slopes = torch.autograd.grad(score, captured.outputs, allow_unused=True)
        layouts: Sequence[Layout | None] = captured.layouts
    else:
        outputs = [graph.outputs[layer.name] for layer in layers if layer.name in graph.outputs]
        layers, edges = [one.layer for one in outputs], [one.edge for one in outputs]
        layouts = possible_layouts(classifier, [(one.layer, one.shape) for one in outputs], graph.picture.shape)
        slopes = torch.autograd.grad(graph.score, edges, retain_graph=True, allow_unused=True) if edges else ()
    for layer, layout, slope in zip(layers, layouts, slopes, strict=True):
        if layout and layout.positions > 1 and slope is not None and layout.grid(slope).any():
            return layer
    return None


def check_dependence(classifier: Classifier, graph: "PathGraph | None") -> None:
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


@dataclass(frozen=True, eq=False)
class RecordedOutput:
    """What a layer put out in the recorded pass: its shape, and where the graph starts to lead back from it."""

    layer: Layer
    shape: tuple[int, ...]
    edge: GradientEdge


@dataclass(frozen=True, eq=False)
class PathGraph:
    """Every path from the score back to the picture, and by name what the layers that ran once put out, in that order.

    `leads` says where nodes lead to, in an order, `places`, in which paths only lead on; no path avoids the `joints`.
    """

    picture: Tensor
    score: Tensor
    classes: int
    leads: dict[Node, tuple[tuple[Node, int], ...]]
    places: dict[Node, int]
    joints: tuple[Any, ...]  # those of quantised layers do not count as Node
    outputs: dict[str, RecordedOutput]

    def is_entire(self, output: RecordedOutput) -> bool:
        """Whether all paths through the node of that output come by the output, not by a sibling of it, as of `split`."""
        entered = {number for leads in self.leads.values() for node, number in leads if node is output.edge.node}
        return entered == {output.edge.output_nr}


def record_paths(classifier: Classifier) -> PathGraph | None:
    """Inside `preserved`, record all paths from the score to the picture; None if there is none that a gradient could go."""
    outputs: list[RecordedOutput] = []
    runs: Counter[str] = Counter()

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        runs[layer.name] += 1
        if leaving.requires_grad:
            # Asked for at once: what follows may overwrite the tensor in place, and then it has another node.
            outputs.append(RecordedOutput(layer, tuple(leaving.shape), get_gradient_edge(leaving)))

    picture = noise(classifier).requires_grad_()
    try:
        with hook_layers(layers_of(classifier), note):
            logits = logits_of(classifier, picture.clone())
    except (RuntimeError, ModelError):  # overwrites in place what a gradient would need: nobody can train it
        return None
    if not logits.requires_grad:
        return None
    score = logits.amax(dim=1).sum()
    root, end = get_gradient_edge(score).node, get_gradient_edge(picture).node
    back: dict[Node, tuple[tuple[Node, int], ...]] = {end: ()}
    for node in walk_back(root):
        if leads := tuple((further, number) for further, number in node.next_functions if further in back):
            back[node] = leads
    if root not in back:
        return None
    leads_of = dict(reversed(back.items()))
    places = {node: place for place, node in enumerate(leads_of)}
    joints, furthest = [], 0
    for node, leads in leads_of.items():
        if furthest <= places[node]:
            joints.append(node)
        furthest = max([furthest, *(places[further] for further, _ in leads)])
    once = {one.layer.name: one for one in outputs if runs[one.layer.name] == 1 and one.edge.node in places}
    return PathGraph(picture, score, logits.shape[1], leads_of, places, tuple(joints), once)


def find_joint(classifier: Classifier, graph: PathGraph | None, branch: Layer, others: Sequence[Layer]) -> Layer:
    """The layer itself if everything that reaches the class passes through it, else the nearest one that has it all.

    That is where the branches meet again, or, if nothing there can be drawn, where they part; or else an error names
    those of the `others`. Where no gradient reaches the picture, there is nothing to go by.
    """
    own = graph.outputs.get(branch.name) if graph else None
    if graph is None or own is None:
        return branch
    if graph.is_entire(own) if own.edge.node in graph.joints else has_bare_shortcut(graph, own.edge.node):
        return branch
    behind: dict[Node, Layer] = {}
    in_front: dict[Node, Layer] = {}
    # Behind it, the blocks that the branch is a part of come first, from the smallest on, then others from the nearest on.
    for one in sorted(graph.outputs.values(), key=lambda one: not branch.name.startswith(f"{one.layer.name}.")):
        node = one.edge.node
        if node is not own.edge.node and node in graph.joints and graph.is_entire(one):
            side = behind if graph.places[node] < graph.places[own.edge.node] else in_front
            side.setdefault(node, one.layer)
    for candidates in (list(behind.values()), list(in_front.values())[: -AT_ONCE - 1 : -1]):
        if joint := first_with_gradient(classifier, graph, candidates):
            return joint
    arms, names, in_front_of_arms = [branch.name], {layer.name for layer in others}, set(walk_back(own.edge.node))
    for name, one in reversed(graph.outputs.items()):
        apart = name in names and one.edge.node not in in_front_of_arms
        if apart and first_with_gradient(classifier, graph, [one.layer]):
            arms.append(name)
            in_front_of_arms.update(walk_back(one.edge.node))
    raise ModelError(
        f"{classifier.name} decides the class on several ways from the picture, which meet in no layer with a map",
        hint=f"look at each of them: --each-layer --target-layers {' '.join(arms[:6])}",
    )


def walk_back(root: Node) -> Iterator[Node]:
    """Every node behind the root, each after all those that it leads to."""
    begun, path = {root}, [(root, iter(root.next_functions))]
    while path:
        node, leads = path[-1]
        further = next((one for one, _ in leads if one is not None and one not in begun), None)
        if further is None:
            path.pop()
            yield node
        else:
            begun.add(further)
            path.append((further, iter(further.next_functions)))


def has_bare_shortcut(graph: PathGraph, node: Node) -> bool:
    """Whether all that leads past a node is the shortcut of a sum, as in a residual block: nothing happens on it."""
    places = graph.places
    behind = [joint for joint in graph.joints if places[joint] < places[node]][-1]
    in_front = next(joint for joint in graph.joints if places[joint] > places[node])
    forth, back = {behind}, {in_front}  # what can be reached from there without this node
    for one, leads in graph.leads.items():
        if one in forth:
            forth.update({further for further, _ in leads} - {node})
    for one, leads in reversed(graph.leads.items()):
        if one is not node and any(further in back for further, _ in leads):
            back.add(one)
    past = [one for one in forth & back if places[behind] < places[one] < places[in_front]]
    return behind.name().startswith("Add") and not past


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


def is_signed(activations: Tensor) -> bool:
    return float(activations.clamp_max(0).abs().sum()) > float(activations.abs().sum()) / 20


def find_unsigned(classifier: Classifier, name: str, size: tuple[int, int]) -> str:
    """The layer with a map of no negative features that is next behind a layer, or right around it; "" if none.

    It is looked for at the `size` of a picture that is fed.
    """
    classifier, unsigned = replace(classifier, size=size), set[str]()

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        if leaving.is_floating_point() and not is_signed(leaving):
            unsigned.add(layer.name)

    maps = [one.layer for one in survey(classifier, layers_of(classifier)) if one.layout and one.layout.positions > 1]
    with preserved(classifier.module), torch.no_grad(), hook_layers(maps, note):
        logits_of(classifier, noise(classifier))
    names = [layer.name for layer in maps]
    behind = [one for one in names[names.index(name) + 1 if name in names else 0 :] if one in unsigned]
    around = name.rpartition(".")[0]
    return around if around in behind else next(iter(behind), "")


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
class Preview(Drawable):
    """Every layer of a model, as the model lists them; `text` is the table that draws it."""

    rows: tuple[PreviewRow, ...]

    def as_data(self) -> list[dict[str, Any]]:
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
        return join_lines([*lines, "", legend])


def shape_text(shape: tuple[int, ...] | None) -> str:
    return " x ".join(map(str, shape)) if shape else "-"


def preview(classifier: Classifier) -> Preview:
    """Look at every layer in one forward pass."""
    layers = layers_of(classifier)
    surveyed = {one.layer.name: one for one in survey(classifier, layers)}
    default = None
    with suppress(ModelError):
        default = find_layers(classifier, None)[0].name
    rows = []
    for layer in layers:
        one = surveyed.get(layer.name)
        layout = str(one.layout) if one and one.layout and one.layout.positions > 1 else None
        parameters = sum(parameter.numel() for parameter in layer.module.parameters())
        kind, shape = type(layer.module).__name__, one.shape if one else None
        rows.append(PreviewRow(layer.name, kind, shape, layout, parameters, layer.name == default))
    return Preview(tuple(rows))
