"""Where everything that reaches the class comes together: read off the graph that autograd records.

One picture of noise is run with the graph recorded from its pixels on. A layer is a joint if no way leads from the score
back to the pixels without it. A branch of an Inception block is none, nor is an arm of a network with two: its map shows
a part of the evidence only. The bare shortcut around a residual block does not count: past the block goes what went in.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from classlens.cam.classifier import Classifier, Layer, layers_of
from classlens.cam.hooks import first_tensor, hooked, logits_of, noise
from classlens.cam.layout_inference import possible_layouts
from classlens.errors import ModelError

IN_FRONT = 4
"""How many joints in front of a branch are tried: a head that reads a class token hides the last ones."""

ARMS = 6
"""How many arms of a network an error names."""


@dataclass(frozen=True, eq=False)
class Output:
    """What a layer put out in the recorded pass: its shape, and where the graph starts to lead back from it."""

    layer: Layer
    shape: tuple[int, ...]
    edge: GradientEdge


@dataclass(frozen=True, eq=False)
class Ways:
    """Every way from the score back to the picture, and what the layers that ran once put out, in that order.

    The nodes are in an order in which ways only lead on, each with where they lead from there.
    """

    picture: Tensor
    score: Tensor
    classes: int
    nodes: dict[Node, tuple[tuple[Node, int], ...]]
    outputs: tuple[Output, ...]

    def of(self, layer: Layer) -> Output | None:
        return next((one for one in self.outputs if one.layer.module is layer.module), None)

    def avoiding(self, cut: set[Node]) -> set[Node]:
        """The nodes of those ways that do not pass the nodes cut."""
        first, *_, last = self.nodes
        forth, back = {first}, {last}
        for node, leads in self.nodes.items():
            if node in forth:
                forth.update({further for further, _ in leads} - cut)
        for node, leads in reversed(self.nodes.items()):
            if node not in cut and any(further in back for further, _ in leads):
                back.add(node)
        return forth & back

    def joints(self) -> list[Node]:
        """The nodes that no way avoids, from the score to the picture."""
        places = {node: place for place, node in enumerate(self.nodes)}
        found, furthest = [], 0
        for node, leads in self.nodes.items():
            if furthest <= places[node]:
                found.append(node)
            furthest = max([furthest, *(places[further] for further, _ in leads)])
        return found

    def entirely(self, output: Output) -> bool:
        """Whether all ways through the node of that output come by the output, and not by a sibling of its, as of `split`."""
        entered = {number for leads in self.nodes.values() for node, number in leads if node is output.edge.node}
        return entered == {output.edge.output_nr}


def joint_for(classifier: Classifier, ways: Ways | None, branch: Layer, others: Sequence[Layer]) -> Layer:
    """The layer itself if everything that reaches the class passes through it, else the nearest one that has it all.

    That is where the branches meet again, or, if nothing there can be drawn, where they part. Where the network passes
    no gradient on to the picture, there is nothing to go by.

    Raises:
        ModelError: the branches share no layer that can be drawn; of the `others` those that lie on them are named.
    """
    own = ways.of(branch) if ways else None
    if ways is None or own is None:
        return branch
    joints = ways.joints()
    if ways.entirely(own) if own.edge.node in joints else has_bare_shortcut(ways, own.edge.node, joints):
        return branch
    for candidates in joints_around(ways, own, joints):
        if joint := first_telling(classifier, ways, candidates):
            return joint
    arms = " ".join(layer.name for layer in arms_of(classifier, ways, own, others))
    raise ModelError(
        f"{classifier.name} decides the class on several ways from the picture, which meet in no layer with a map",
        hint=f"look at each of them: --each-layer --target-layers {arms}",
    )


def recorded(classifier: Classifier) -> Ways | None:
    """One pass that records all ways from the score to the picture; None if there is none that a gradient could go.

    To be called inside `borrowed(classifier.module)`.
    """
    outputs: list[Output] = []
    ran: Counter[str] = Counter()

    def noting(layer: Layer) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, inputs: object, output: object) -> None:
            ran[layer.name] += 1
            tensor = first_tensor(output)
            if tensor is not None and tensor.requires_grad:
                # Asked for at once: what follows may overwrite the tensor in place, and then it has another node.
                outputs.append(Output(layer, tuple(tensor.shape), get_gradient_edge(tensor)))

        return note

    picture = noise(classifier).requires_grad_()
    try:
        with hooked([(layer.module, noting(layer)) for layer in layers_of(classifier)]):
            logits = logits_of(classifier, picture.clone())
    except (RuntimeError, ModelError):  # overwrites in place what a gradient would need: nobody can train it
        return None
    if not logits.requires_grad:
        return None
    score = logits.amax(dim=1).sum()
    root, end = get_gradient_edge(score).node, get_gradient_edge(picture).node
    nodes: dict[Node, tuple[tuple[Node, int], ...]] = {end: ()}
    for node in backwards(root):
        leads = tuple((further, number) for further, number in node.next_functions if further in nodes)
        if leads:
            nodes[node] = leads
    if root not in nodes:
        return None
    once = tuple(one for one in outputs if ran[one.layer.name] == 1 and one.edge.node in nodes)
    return Ways(picture, score, logits.shape[1], dict(reversed(nodes.items())), once)


def backwards(root: Node) -> Iterator[Node]:
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


def has_bare_shortcut(ways: Ways, node: Node, joints: Sequence[Node]) -> bool:
    """Whether all that leads past a node is the shortcut of a sum, as in a residual block: nothing happens on it."""
    places = {one: place for place, one in enumerate(ways.nodes)}
    behind = max((joint for joint in joints if places[joint] < places[node]), key=places.__getitem__)
    around = range(places[behind] + 1, min(places[joint] for joint in joints if places[joint] > places[node]))
    return behind.name().startswith("Add") and not any(places[one] in around for one in ways.avoiding({node}))


def joints_around(ways: Ways, branch: Output, joints: Sequence[Node]) -> Iterator[list[Layer]]:
    """The layers that put out a joint, each joint once: those behind the branch, then those in front of it.

    Behind it, the blocks that the branch is a part of come first, from the smallest on, then others from the nearest on.
    """
    places = {node: place for place, node in enumerate(ways.nodes)}
    own = places[branch.edge.node]
    whole = [one for one in ways.outputs if one.edge.node in joints and ways.entirely(one)]
    behind: dict[Node, Layer] = {}
    in_front: dict[Node, Layer] = {}
    for one in sorted(whole, key=lambda one: not branch.layer.name.startswith(f"{one.layer.name}.")):
        if places[one.edge.node] < own:
            behind.setdefault(one.edge.node, one.layer)
    for one in whole:
        if places[one.edge.node] > own:
            in_front.setdefault(one.edge.node, one.layer)
    yield list(behind.values())
    yield list(in_front.values())[: -IN_FRONT - 1 : -1]


def first_telling(classifier: Classifier, ways: Ways, layers: Sequence[Layer]) -> Layer | None:
    """The first of these layers that shows more than one position and has a gradient there."""
    outputs = [one for layer in layers if (one := ways.of(layer))]
    size = (1, *ways.picture.shape[1:])
    layouts = possible_layouts(classifier, [(one.layer, one.shape) for one in outputs], size)
    readable = [(one, layout) for one, layout in zip(outputs, layouts, strict=True) if layout and layout.positions > 1]
    edges = [one.edge for one, _ in readable]
    slopes = torch.autograd.grad(ways.score, edges, retain_graph=True, allow_unused=True) if edges else ()
    for (one, layout), slope in zip(readable, slopes, strict=True):
        if slope is not None and layout.grid(slope).any():
            return one.layer
    return None


def arms_of(classifier: Classifier, ways: Ways, branch: Output, others: Sequence[Layer]) -> list[Layer]:
    """The branch, and those of the other layers that tell something and stand in front of none that is named already."""
    arms, modules = [branch.layer], {layer.module for layer in others}
    in_front = set(backwards(branch.edge.node))
    for one in reversed(ways.outputs):
        apart = one.layer.module in modules and one.edge.node not in in_front
        if apart and first_telling(classifier, ways, [one.layer]):
            arms.append(one.layer)
            in_front.update(backwards(one.edge.node))
    return arms[:ARMS]
