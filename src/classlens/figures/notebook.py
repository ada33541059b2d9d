"""How results show themselves in Jupyter, VS Code and other front ends of IPython: text, a PNG, and static HTML.

Words are text in the colours of the notebook, so that they are readable on light and on dark; pictures carry their
own background. `register` is called when classlens is imported inside IPython, and imports nothing heavy: a result is
drawn when it is shown.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

from classlens.figures import DRAWERS, draw

if TYPE_CHECKING:
    from classlens.cam.saliency import Explanation, Heatmap, Saliency
    from classlens.dataset.batch import Batch
    from classlens.dataset.trace import Snapshot, Trace
    from classlens.figures.drawing import Drawing
    from classlens.image import Image
    from classlens.schedule.replay import Curve, Curves

Result: TypeAlias = Any
"""A result of one of the types in `SHOWN`; IPython hands it over without a type."""

TALLEST = 240
"""Pictures in a row are shown at most so many pixels high; more of them are in the file for sharp screens."""

STYLE = {
    "row": "display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start;margin:6px 0",
    "card": "margin:0;max-width:260px;font:12px/1.45 system-ui,sans-serif;color:inherit",
    "dim": "opacity:.7",
    "picture": f"display:block;max-width:100%;max-height:{TALLEST}px;height:auto;border-radius:4px",
    "sheet": "display:block;max-width:100%;height:auto;background:#fff;border-radius:6px",
    "title": "font:13px/1.5 system-ui,sans-serif;margin:4px 0;color:inherit",
}


def register(shell: Result) -> None:
    """Teach an IPython shell the results by name; their modules are not imported for it."""
    formatter = shell.display_formatter.mimebundle_formatter
    for name in SHOWN:
        module, _, kind = name.rpartition(".")
        formatter.for_type_by_name(module, kind, show)


def show(result: Result, include: object = None, exclude: object = None) -> dict[str, str | bytes]:
    """A result by media type, as IPython asks for it."""
    drawing = draw(result)
    page = SHOWN[f"{type(result).__module__}.{type(result).__qualname__}"](result, drawing)
    if drawing.rasterise is None:
        return {"text/plain": drawing.text, "text/html": page}
    return {"text/plain": repr(result), "text/html": page, "image/png": drawing.encode(".png")}


def show_trace(result: Trace, drawing: Drawing) -> str:
    """Every snapshot as a card with the parameters that were sampled."""
    title = f"<b>{escape(', '.join(result.class_names) or 'no label')}</b> #{result.index} of {escape(result.dataset)}"
    remarks = "".join(f"<div>{escape(remark)}</div>" for remark in result.remarks)
    return titled_row(f"{title}, seed {result.seed}{remarks}", map(snapshot_card, result.snapshots))


def snapshot_card(snapshot: Snapshot) -> str:
    """One picture of a trace, its stage, its size, and its parameters or why nothing changed."""
    from classlens.figures.filmstrip import TIMES, describe_params

    height, width = snapshot.image.size
    lines = [escape(line) for line in describe_params(snapshot.params)] or [escape(snapshot.note)]
    unchanged = "" if snapshot.changed else ", no change"
    words = [f"<b>{escape(snapshot.stage)}</b>", dim(f"{width} {TIMES} {height}{unchanged}"), *filter(None, lines)]
    return card(snapshot.image, *words)


def show_batch(result: Batch, drawing: Drawing) -> str:
    """Every picture of a mixed batch as a card with the share of each class in it."""
    from classlens.figures.filmstrip import describe_params

    params = describe_params({key: value for key, value in result.params.items() if key != "partners"})
    title = (
        f"<b>{escape(', '.join([result.mixing, *params]))}</b> {len(result.images)} samples of {escape(result.dataset)}"
    )
    cards = (
        card(image, *(escape(f"{share:.2f} {name}") for name, share in shares.items()))
        for image, shares in zip(result.images, result.shares, strict=True)
    )
    return titled_row(f"{title}, seed {result.seed}", cards)


def show_explanation(result: Explanation, drawing: Drawing) -> str:
    return f'<div style="{STYLE["row"]}">{"".join(show_saliency(one, drawing) for one in result)}</div>'


def show_saliency(result: Saliency, drawing: Drawing) -> str:
    """One map over its picture, and what it is."""
    from classlens.figures.overlay import caption, overlay

    words = f"<b>{escape(caption(result.subject))}</b>", escape(result.method), dim(f"at {escape(result.layer)}")
    return card(overlay(result.image, result.heatmap()), *words)


def show_heatmap(result: Heatmap, drawing: Drawing) -> str:
    return card(drawing.image)


def show_curves(result: Curves | Curve, drawing: Drawing) -> str:
    """The plot as SVG."""
    source = data_uri(drawing.encode(".svg"), "svg+xml")
    return f'<img style="{STYLE["sheet"]}" alt="{escape(repr(result))}" src="{source}">'


def show_table(result: Result, drawing: Drawing) -> str:
    return f"<pre>{escape(drawing.text)}</pre>"


def titled_row(title: str, cards: Iterable[str]) -> str:
    return f'<div style="{STYLE["title"]}">{title}</div><div style="{STYLE["row"]}">{"".join(cards)}</div>'


def card(image: Image, *words: str) -> str:
    """A picture, no higher than a sharp screen needs, with lines of words under it."""
    from PIL import Image as Pillow

    picture, content = Pillow.fromarray(image.pixels), BytesIO()
    picture.thumbnail((4 * TALLEST, 2 * TALLEST))
    picture.save(content, "JPEG", quality=88)
    lines = "".join(f"<div>{line}</div>" for line in words)
    shown = f'<img style="{STYLE["picture"]}" src="{data_uri(content.getvalue(), "jpeg")}">'
    return f'<figure style="{STYLE["card"]}">{shown}{lines}</figure>'


def dim(text: str) -> str:
    return f'<span style="{STYLE["dim"]}">{text}</span>'


def data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode('ascii')}"


SHOWN: Mapping[str, Callable[[Result, Drawing], str]] = dict.fromkeys(DRAWERS, show_table) | {
    "classlens.cam.saliency.Explanation": show_explanation,
    "classlens.cam.saliency.Heatmap": show_heatmap,
    "classlens.cam.saliency.Saliency": show_saliency,
    "classlens.cam.saliency.Fused": show_saliency,
    "classlens.dataset.batch.Batch": show_batch,
    "classlens.dataset.trace.Trace": show_trace,
    "classlens.runs.schedule_plots.SchedulePlots": show_curves,
    "classlens.schedule.replay.Curve": show_curves,
    "classlens.schedule.replay.Curves": show_curves,
}
"""Type of a result -> its HTML; the others are drawings of text."""
