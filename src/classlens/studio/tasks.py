"""What workshops do, each in its own process: load networks, list their layers, explain pictures, check a target.

It is done by the functions behind `classlens cam` and `classlens check`. Networks are kept. Nothing of torch leaves the
process: what goes back are numbers, names, pictures, and heat maps of one byte a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from classlens.cam.saliency import facts as facts_of
from classlens.image import Image
from classlens.runs.explain_files import MapOptions, MapRequest, ModelRequest, plan_maps
from classlens.runs.own_process import Progress, collecting_later
from classlens.studio.jobs import WORKING_WRONG, Made

if TYPE_CHECKING:
    from classlens.cam.layers import PreviewRow
    from classlens.cam.saliency import Saliency
    from classlens.runs.check_run import CheckRequest
    from classlens.runs.map_pictures import Network
    from classlens.runs.report_run import ReportRequest

PROBE = (512, 512, 3)  # a picture that shows to which size a test pipeline brings pictures
RANKS = 5  # so many classes of a picture are named


@dataclass(frozen=True)
class LookOrder:
    """What is to be explained: a picture, by which of the networks, and how; the words are those of `explain`."""

    image: Image
    checkpoints: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    classes: tuple[int | str, ...] = ()
    whole: bool = False
    evaluate: bool = False


NETWORKS: dict[str, dict[str, Network]] = {}
"""By what was asked for, every checkpoint's network, under a short name."""


def load(report: Progress, number: int, model: ModelRequest) -> Made:
    """Open the networks of a target, and say what can be asked of them."""
    report("importing torch", 0, 3)
    notes: list[str] = []
    networks = open_once(report, model, notes)
    from classlens.cam.layers import preview
    from classlens.cam.methods.attention import find_refused

    report("looking at every layer", 2, 3)
    first = next(iter(networks.values()))
    classifier = first.classifier
    facts: dict[str, Any] = {"default_layer": first.layers[0], "checkpoints": list(networks)}
    classes = None if classifier.classes is None else list(classifier.classes)
    facts |= {"classes": classes, "size": list(classifier.size), "name": classifier.name}
    facts["refused"] = {}
    with suppress(*WORKING_WRONG):  # what is wrong with a method is said when it is asked for, too
        facts["refused"] = {name: error.hint or str(error) for name, error in find_refused(classifier).items()}
    return Made(facts | {"layers": layer_tree(preview(classifier).rows), "notes": list(dict.fromkeys(notes))})


def open_once(report: Progress, model: ModelRequest, notes: list[str]) -> Mapping[str, Network]:
    """The networks, opened when they are first asked for."""
    key = repr(model)
    if key not in NETWORKS:
        with collecting_later("torch"):
            from classlens.runs.map_pictures import open_networks

        report("building the network and reading its weights", 1, 3)
        plan = plan_maps(MapRequest((), model, MapOptions()))
        NETWORKS[key] = open_networks(plan, Image(np.zeros(PROBE, np.uint8)), lambda kind, text: notes.append(text))
    return NETWORKS[key]


def layer_tree(rows: Sequence[PreviewRow]) -> list[dict[str, Any]]:
    """The layers inside each other, as their names say."""
    top: list[dict[str, Any]] = []
    places: dict[str, list[dict[str, Any]]] = {"": top}
    for row in rows:
        children: list[dict[str, Any]] = []
        facts = asdict(row) | {"shape": row.shape and list(row.shape), "children": children}
        places.get(row.name.rpartition(".")[0], top).append(facts)
        places[row.name] = children
    return top


def explain_picture(report: Progress, number: int, model: ModelRequest, order: LookOrder) -> Made:
    """Explain a picture by some of the networks, and score the maps if that is wanted."""
    networks = list(open_once(report, model, []).items())
    chosen = [networks[place] for place in order.checkpoints if place < len(networks)] or networks[:1]
    report("explaining", 0, 0)
    from classlens.cam.classifier import put_weights
    from classlens.figures.page import webp_of
    from classlens.runs.picture_inputs import explain

    described: list[dict[str, Any]] = []
    top, pictures, parts = [], [], list[bytes]()
    for place, (_, network) in enumerate(chosen):
        if network.weights:
            put_weights(network.classifier.module, network.weights)
        maps = explain(
            network.classifier,
            order.image,
            methods=order.methods or ("GradCAM",),
            layers=order.layers or network.layers,
            targets=list(order.classes) or ["predicted"],
            options=replace(network.options, whole=order.whole, progress=report, ranks=RANKS),
        )
        fed = maps[0].image
        pictures.append(f"/part/{number}/{len(parts)}.webp")
        parts.append(webp_of(fed, max(fed.size), exact=True))
        top.append([asdict(one) for one in maps[0].ranking])
        for one in maps:
            values = (255 * one.heatmap().values).astype(np.uint8)  # as the overlay of `classlens cam` colours them
            height, width = values.shape
            where = {"values": f"/part/{number}/{len(parts)}.bin", "width": width, "height": height}
            described.append({"checkpoint": place, "layer": one.layer, **facts_of(one), **where})
            parts.append(values.tobytes())
        if order.evaluate:
            add_scores(network, list(maps), described[-len(maps) :], report)
    shown = {"picture": pictures[0], "pictures": pictures, "checkpoints": [name for name, _ in chosen]}
    size = {name: described[0][name] for name in ("width", "height")}
    return Made({**shown, **size, "top": top, "maps": described}, parts)


def add_scores(network: Network, maps: list[Saliency], described: list[dict[str, Any]], report: Progress) -> None:
    """How faithful each map of a class is, beside a uniform and a random one."""
    from classlens.cam.faithfulness import evaluations
    from classlens.runs.map_scores import group_by

    done = 0
    report("maps scored", 0, len(maps))
    for group in group_by(list(zip(maps, described, strict=True)), lambda pair: pair[0].subject).values():
        if group[0][0].subject is not None:
            scored = evaluations(network.classifier, [one for one, _ in group], options=network.options)
            for (_, facts), evaluation in zip(group, scored, strict=True):
                facts["scores"] = asdict(evaluation)
                done += 1
                report("maps scored", done, len(maps))


def make_report(progress: Progress, number: int, request: ReportRequest) -> Made:
    """The page of `classlens report`."""
    progress("opening the target", 0, 0)
    from classlens.runs.report_run import report

    return Made({}, [report(request, progress=progress).page])


def check_target(report: Progress, number: int, request: CheckRequest) -> Made:
    """Run the rules of `classlens check`; the pictures of the findings come as WebP."""
    report("opening the target", 0, 0)
    from classlens.figures.findings import LARGEST, SMALLEST
    from classlens.figures.page import webp_of
    from classlens.runs.check_run import run_checks

    notes, parts = list[str](), list[bytes]()
    findings = run_checks(request, on_note=lambda kind, text: notes.append(text), progress=report)
    facts = findings.as_data() | {"summary": findings.summary(), "ran": list(findings.ran), "notes": notes, "bad": {}}
    for finding, described in zip(findings.findings, facts["findings"], strict=True):
        for split, index, trouble in finding.samples:
            if trouble:
                facts["bad"].setdefault(split, {})[index] = trouble
        described["pictures"] = []
        for one in finding.pictures:
            described["pictures"].append({"url": f"/part/{number}/{len(parts)}.webp", "caption": one.caption})
            parts.append(webp_of(one.image, longest=LARGEST, quality=80, smallest=SMALLEST))
    return Made(facts, parts)
