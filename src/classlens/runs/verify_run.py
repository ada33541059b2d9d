"""Verify an audit: what `classlens verify` does, from Python.

    assert classlens.verify_audit("out/audit", share=0.1).is_equal

The manifest opens the same network and pictures again. Rows are made again in their batches, pictures of the report from
their rows; both are compared byte by byte.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classlens.adapters import Options
from classlens.audit.carry_out import REPORT, show
from classlens.audit.place import Place
from classlens.audit.wishes import AuditOptions
from classlens.errors import DataError
from classlens.figures.drawing import PAGES
from classlens.files import read_regular
from classlens.runs.audit_run import AuditRequest, OpenAudit, open_audit
from classlens.runs.own_process import Progress, silent

if TYPE_CHECKING:
    from classlens.audit.manifest import Manifest
    from classlens.audit.verification import Verification

DATA = re.compile(r'<script type="application/json" class="data">(.*?)</script>', re.DOTALL)


def verify_audit(
    target: str,
    *,
    share: float = 0.01,
    seed: int | None = None,
    options: Options | None = None,
    progress: Progress = silent,
) -> Verification:
    """Make a share of the rows of an audit again, 1 for all, and every picture of its report; or a report by itself.

    `seed` chooses the same rows again. `options` say which code may be run, as for the audit.

    Raises:
        DataError: there is no audit or report, or a shard is missing.
        ClasslensError: what it was made of cannot be opened any more.
    """
    from classlens.audit.manifest import parse_manifest, read_manifest
    from classlens.audit.verification import Verification, choose_batches, verify_rows

    if target.endswith(PAGES):
        page = read_page(read_regular(target, "list") if Path(target).is_file() else None, target)
        manifest, batches = parse_manifest(json.dumps(page["manifest"]), target), []
    else:
        manifest = read_manifest(Place(target))
        content = Place(target).read(REPORT)
        page = read_page(content, f"{target}/{REPORT}") if content else {"rows": {}}
        batches = choose_batches(manifest, share, seed)
    opened = open_again(manifest, target, options or Options())
    setup = [] if opened.spec.manifest == manifest else manifest.differences(opened.spec.manifest)
    rows, different = 0, list[str]()
    for done, (count, lines) in enumerate(verify_rows(opened.questions, manifest, opened.place, batches), 1):
        rows, different = rows + count, different + lines
        progress("batches", done, len(batches))
    different += verify_pictures(opened, manifest, page["rows"])
    return Verification(target, rows, len(page["rows"]), tuple(different), tuple(setup))


def read_page(content: bytes | None, where: str) -> dict[str, Any]:
    """The data that a report carries: its manifest, and rows by the numbers of their pictures."""
    match = DATA.search((content or b"").decode(errors="replace"))
    try:
        data: dict[str, Any] = json.loads(match[1]) if match else {}
        return {"manifest": data["manifest"], "rows": {int(row["index"]): dict(row) for row in data["rows"]}}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where} is no report of an audit", hint="`classlens audit` writes report.html") from error


def open_again(manifest: Manifest, folder: str, options: Options) -> OpenAudit:
    """The network and the pictures of a manifest."""
    layers = tuple(dict.fromkeys(one.layer for one in manifest.maps if one.layer != "input"))
    wishes = AuditOptions(
        phase=manifest.phase,
        methods=tuple(dict.fromkeys(one.method for one in manifest.maps)),
        layers=layers or None,
        number=manifest.pictures,
        flips=manifest.flips,
        batch_size=manifest.batch_size,
        device=manifest.device.partition(":")[0],
        seed=manifest.seed,
    )
    options = replace(options, overrides=manifest.overrides)
    return open_audit(AuditRequest(manifest.target, folder, manifest.checkpoint, manifest.data, options, wishes))


def verify_pictures(opened: OpenAudit, manifest: Manifest, rows: dict[int, dict[str, Any]]) -> list[str]:
    """Make the pictures of a report again, and what is said of them: what differs, a line each."""
    from classlens.audit.verification import measure_again
    from classlens.figures.audit_report import digest_of, show_picture

    lines = list[str]()
    for fed, again in measure_again(opened.questions, manifest, rows):
        where = f"picture {fed.index} of the report"
        shown = show(fed, again)
        if shown is None:
            lines.append(f"{where}: {fed.error or again['error']}")
            continue
        made = json.loads(json.dumps({**shown.facts, "picture": digest_of(show_picture(manifest, shown))}))
        if names := [name for name, value in made.items() if rows[fed.index].get(name) != value]:
            lines.append(f"{where}: {', '.join(names)}")
    return lines
