"""Where everything that reaches the class comes together: read off the graph that autograd records.

One picture of noise is run with the graph recorded from its pixels on. A layer is a joint if no path leads from the score
back to the pixels without it. A branch of an Inception block is none, nor is an arm of a network with two: its map shows
a part of the evidence only. The bare shortcut around a residual block does not count: past the block goes what went in.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from classlens.cam.classifier import Classifier, Layer, layers_of
from classlens.cam.forward import hook_layers, logits_of, noise
from classlens.cam.layout import possible_layouts
from classlens.errors import ModelError

IN_FRONT = 4
"""How many joints in front of a branch are tried: a head that reads a class token hides the last ones."""

ARMS = 6
"""How many arms of a network an error names."""


@dataclass(frozen=True, eq=False)
class RecordedOutput:
    """What a layer put out in the recorded pass: its shape, and where the graph starts to lead back from it."""

    layer: Layer
    shape: tuple[int, ...]
    edge: GradientEdge


@dataclass(frozen=True, eq=False)
class PathGraph:
    """Every path from the score back to the picture, and what the layers that ran once put out, in that order.

    `leads` has where every node leads to, in an order in which paths only lead on; `places` numbers them in it.
    `joints` are the nodes that no path avoids.
    """

    picture: Tensor
    score: Tensor
    classes: int
    leads: dict[Node, tuple[tuple[Node, int], ...]]
    places: dict[Node, int]
    joints: tuple[Node, ...]
    outputs: tuple[RecordedOutput, ...]

    def output_of(self, layer: Layer) -> RecordedOutput | None:
        return next((one for one in self.outputs if one.layer.module is layer.module), None)

    def is_entire(self, output: RecordedOutput) -> bool:
        """Whether all paths through the node of that output come by the output, not by a sibling of it, as of `split`."""
        entered = {number for leads in self.leads.values() for node, number in leads if node is output.edge.node}
        return entered == {output.edge.output_nr}


def record_paths(classifier: Classifier) -> PathGraph | None:
    """One pass that records all paths from the score to the picture; None if there is none that a gradient could go.

    To be called inside `preserved(classifier.module)`.
    """
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
    once = tuple(one for one in outputs if runs[one.layer.name] == 1 and one.edge.node in places)
    return PathGraph(picture, score, logits.shape[1], leads_of, places, tuple(joints), once)


def find_joint(classifier: Classifier, graph: PathGraph | None, branch: Layer, others: Sequence[Layer]) -> Layer:
    """The layer itself if everything that reaches the class passes through it, else the nearest one that has it all.

    That is where the branches meet again, or, if nothing there can be drawn, where they part. Where the network passes
    no gradient on to the picture, there is nothing to go by.

    Raises:
        ModelError: the branches share no layer that can be drawn; of the `others` those that lie on them are named.
    """
    own = graph.output_of(branch) if graph else None
    if graph is None or own is None:
        return branch
    if graph.is_entire(own) if own.edge.node in graph.joints else has_bare_shortcut(graph, own.edge.node):
        return branch
    for candidates in joints_around(graph, own):
        if joint := first_with_gradient(classifier, graph, candidates):
            return joint
    arms, modules = [branch.name], {layer.module for layer in others}
    in_front = set(walk_back(own.edge.node))
    for one in reversed(graph.outputs):  # those that show something, and stand in front of none that is named already
        apart = one.layer.module in modules and one.edge.node not in in_front
        if apart and first_with_gradient(classifier, graph, [one.layer]):
            arms.append(one.layer.name)
            in_front.update(walk_back(one.edge.node))
    raise ModelError(
        f"{classifier.name} decides the class on several ways from the picture, which meet in no layer with a map",
        hint=f"look at each of them: --each-layer --target-layers {' '.join(arms[:ARMS])}",
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
    behind = max((joint for joint in graph.joints if places[joint] < places[node]), key=places.__getitem__)
    in_front = min((joint for joint in graph.joints if places[joint] > places[node]), key=places.__getitem__)
    forth, back = {behind}, {in_front}  # what can be reached from there without this node
    for one, leads in graph.leads.items():
        if one in forth:
            forth.update({further for further, _ in leads} - {node})
    for one, leads in reversed(graph.leads.items()):
        if one is not node and any(further in back for further, _ in leads):
            back.add(one)
    past = [one for one in forth & back if places[behind] < places[one] < places[in_front]]
    return behind.name().startswith("Add") and not past


def joints_around(graph: PathGraph, branch: RecordedOutput) -> tuple[list[Layer], list[Layer]]:
    """The layers that put out a joint, each joint once: those behind the branch, and those in front of it.

    Behind it, the blocks that the branch is a part of come first, from the smallest on, then others from the nearest on.
    """
    behind: dict[Node, Layer] = {}
    in_front: dict[Node, Layer] = {}
    for one in sorted(graph.outputs, key=lambda one: not branch.layer.name.startswith(f"{one.layer.name}.")):
        node = one.edge.node
        if node is not branch.edge.node and node in graph.joints and graph.is_entire(one):
            side = behind if graph.places[node] < graph.places[branch.edge.node] else in_front
            side.setdefault(node, one.layer)
    return list(behind.values()), list(in_front.values())[: -IN_FRONT - 1 : -1]


def first_with_gradient(classifier: Classifier, graph: PathGraph, layers: Sequence[Layer]) -> Layer | None:
    """The first of these layers that shows more than one position and has a gradient there."""
    outputs = [one for layer in layers if (one := graph.output_of(layer))]
    shapes = [(one.layer, one.shape) for one in outputs]
    layouts = possible_layouts(classifier, shapes, (1, *graph.picture.shape[1:]))
    readable = [(one, layout) for one, layout in zip(outputs, layouts, strict=True) if layout and layout.positions > 1]
    edges = [one.edge for one, _ in readable]
    slopes = torch.autograd.grad(graph.score, edges, retain_graph=True, allow_unused=True) if edges else ()
    for (one, layout), slope in zip(readable, slopes, strict=True):
        if slope is not None and layout.grid(slope).any():
            return one.layer
    return None
