"""Turn results into drawings. `draw` is the one verb; it picks the drawer by the type of the result.

Drawers are named in a table and imported when first used: drawing a curve never loads what colours a heatmap, and
importing `classlens.figures` loads neither matplotlib nor numpy. A new kind of result is one line in `DRAWERS`.
"""

from importlib import import_module
from typing import Any

from classlens.errors import WrongType
from classlens.figures.drawing import Drawing

DRAWERS: dict[str, str] = {
    "classlens.audit.carry_out.Audit": "classlens.figures.audit_report:draw_audit",
    "classlens.audit.comparison.AuditComparison": "classlens.figures.comparison_page:draw_comparison",
    "classlens.audit.answers.Answers": "classlens.figures.comparison_page:draw_answers",
    "classlens.audit.verification.Verification": "classlens.figures.drawing:draw_text",
    "classlens.cam.layers.Preview": "classlens.figures.drawing:draw_text",
    "classlens.cam.saliency.Explanation": "classlens.figures.overlay:draw_maps",
    "classlens.cam.saliency.Fused": "classlens.figures.overlay:draw_maps",
    "classlens.cam.saliency.Heatmap": "classlens.figures.overlay:draw_heatmap",
    "classlens.cam.saliency.Saliency": "classlens.figures.overlay:draw_maps",
    "classlens.check.finding.Findings": "classlens.figures.findings:draw_findings",
    "classlens.dataset.batch.Batch": "classlens.figures.filmstrip:draw_batch",
    "classlens.dataset.statistics.Survey": "classlens.figures.drawing:draw_text",
    "classlens.dataset.trace.Snapshot": "classlens.figures.drawing:draw_image",
    "classlens.dataset.trace.Trace": "classlens.figures.filmstrip:draw_trace",
    "classlens.image.Image": "classlens.figures.drawing:draw_image",
    "classlens.runs.browse_run.BrowseRun": "classlens.figures.drawing:draw_text",
    "classlens.runs.explain_files.MapRun": "classlens.figures.drawing:draw_text",
    "classlens.runs.map_scores.MapScores": "classlens.figures.drawing:draw_text",
    "classlens.runs.report_run.ReportRun": "classlens.figures.drawing:draw_text",
    "classlens.runs.schedule_plots.SchedulePlots": "classlens.runs.schedule_plots:draw_plots",
    "classlens.schedule.replay.Curve": "classlens.figures.curves:draw_curve",
    "classlens.schedule.replay.Curves": "classlens.figures.curves:draw_curves",
}
"""Type of a result -> the function that draws it, as `module:function`; and returns a `Drawing` or an `Image`."""


def draw(result: object, **options: Any) -> Drawing:  # noqa: ANN401 - each drawer has its own
    """Draw a result: what `trace`, `replay` or `explain` returned, or a table such as that of `explain_files`.

    The options are those of the drawer, e.g. `draw(curves, log=True)`; `DRAWERS` says where each one is documented.

    Raises:
        TypeError: nothing is known that draws this type.
    """
    from classlens.image import Image

    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(result).__mro__)
    address = next((DRAWERS[name] for name in names if name in DRAWERS), None)
    if address is None:
        raise WrongType(f"cannot draw a {type(result).__name__}")
    module, _, drawer = address.partition(":")
    drawn: Drawing | Image = getattr(import_module(module), drawer)(result, **options)
    return Drawing(lambda: drawn) if isinstance(drawn, Image) else drawn
