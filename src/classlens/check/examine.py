"""The verb: run rules on a source, and gather what they find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from classlens.check.finding import Finding, Findings, Skip
from classlens.check.inspection import PICTURES, Inspection
from classlens.check.rule import Rule, choose_rules
from classlens.checkpoints.download import find_checkpoint
from classlens.errors import ClasslensError, DataError, NotOffered
from classlens.source import Source


def check(
    source: Source,
    checkpoint: str | None = None,
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    samples: int = PICTURES,
    log: str | PathLike[str] | None = None,
) -> Findings:
    """Look for silent mismatches in a training setup: in its data, its network, its classes, and its schedule.

    Args:
        checkpoint: the address of weights; the source's own, if None.
        select: beginnings of the codes of the rules that are run, such as "D" or "C001"; all, if empty.
        ignore: beginnings of the codes of rules that are not run.
        samples: at most so many labelled pictures are shown to the network.
        log: what a training run wrote, or its folder, for rules that compare it with the schedule.

    Raises:
        NotFound: no rule has such a code.
        NotOffered: no rule could be run, or there is a checkpoint and no network for it.
        DataError: there is no such checkpoint or log.
        TypeError: the source is not opened.
    """
    if not isinstance(source, Source):
        raise TypeError(f"check takes an opened source: classlens.check(classlens.open_source({source!r}))")
    place = None if log is None else Path(log)
    return examine(Inspection(source, checkpoint, samples, place), choose_rules(select, ignore))


def examine(inspection: Inspection, rules: Sequence[Rule]) -> Findings:
    """Run the rules, one after the other. One that cannot be run, or stops on the way, is skipped with the reason."""
    source, checkpoint, log = inspection.source, inspection.checkpoint, inspection.log
    if checkpoint is not None:
        if source.open_classifier is None:
            source.classifier(checkpoint)  # raises, with what is offered
        find_checkpoint(checkpoint)
    if log is not None and not log.exists():
        raise DataError(f"no such log: {log}", hint="give the file that the training run wrote, or its folder")
    findings: list[Finding] = []
    skipped: dict[Skip, str] = {}
    for rule in rules:
        try:
            for need in rule.needs:
                inspection.require(need)
            for one in rule.examine(inspection):
                cure = one.cure or rule.page.get("Cure", "")
                command = one.command or inspection.command("check", "--select", rule.code)
                findings.append(replace(one, code=rule.code, severity=rule.severity, cure=cure, command=command))
        except ClasslensError as error:
            skipped[Skip(rule.code, str(error))] = error.hint
    missed, target = {skip.code for skip in skipped}, inspection.target or inspection.source.origin
    ran = tuple(rule.code for rule in rules if rule.code not in missed)
    if not ran and not findings:
        reasons = "; ".join(dict.fromkeys(skip.why for skip in skipped)) or "none is chosen"
        hint = max(filter(None, skipped.values()), key=lambda one: "--dataset-size" in one, default="")  # helps most
        raise NotOffered(f"no rule can be run on {target}: {reasons}", hint=hint)
    return Findings(target, tuple(findings), tuple(skipped), ran)
