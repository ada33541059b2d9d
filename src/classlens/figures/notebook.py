"""How results show themselves in Jupyter, VS Code and other front ends of IPython: text, a PNG, and static HTML.

Words are text in the colours of the notebook, so that they are readable on light and on dark; pictures carry their
own background. `register` is called when classlens is imported inside IPython, and imports nothing else: a result is
drawn when it is shown.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from classlens.cam.saliency import Explanation, Heatmap, Saliency
    from classlens.dataset.batch import Batch
    from classlens.dataset.trace import Snapshot, Trace
    from classlens.image import Image
    from classlens.schedule.replay import Curve, Curves

Result: TypeAlias = Any
"""One of the results in `SHOWN`; IPython hands them over without a type."""

Bundle: TypeAlias = dict[str, str | bytes]

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
    """Teach an IPython shell the results by name; nothing is imported for it."""
    formatter = shell.display_formatter.mimebundle_formatter
    for name, show in SHOWN.items():
        module, _, kind = name.rpartition(".")
        formatter.for_type_by_name(module, kind, show)


def trace_bundle(result: Trace, include: object = None, exclude: object = None) -> Bundle:
    """A trace: every snapshot as a card with what was drawn."""
    cards = "".join(map(snapshot_card, result.snapshots))
    title = f"<b>{escape(', '.join(result.class_names) or 'no label')}</b> #{result.index} of {escape(result.dataset)}"
    remarks = "".join(f"<div>{escape(remark)}</div>" for remark in result.remarks)
    html = f'<div style="{STYLE["title"]}">{title}, seed {result.seed}{remarks}</div><div style="{STYLE["row"]}">{cards}</div>'
    return {"text/plain": repr(result), "text/html": html, "image/png": png(params(result))}


def snapshot_card(snapshot: Snapshot) -> str:
    """One picture of a trace, its stage, its size, and what was drawn or why nothing changed."""
    from classlens.figures.filmstrip import TIMES, describe_params

    height, width = snapshot.image.size
    lines = [escape(line) for line in describe_params(snapshot.params)] or [escape(snapshot.note)]
    unchanged = "" if snapshot.changed else ", no change"
    words = [f"<b>{escape(snapshot.stage)}</b>", dim(f"{width} {TIMES} {height}{unchanged}"), *filter(None, lines)]
    return card(snapshot.image, words)


def batch_bundle(result: Batch, include: object = None, exclude: object = None) -> Bundle:
    """A mixed batch: every picture as a card with the share of each class in it."""
    from classlens.figures.filmstrip import describe_params

    told = [result.mixing, *describe_params({key: value for key, value in result.params.items() if key != "partners"})]
    title = (
        f"<b>{escape(', '.join(told))}</b> {len(result.images)} samples of {escape(result.dataset)}, seed {result.seed}"
    )
    cards = "".join(
        card(image, [escape(f"{share:.2f} {name}") for name, share in shares.items()])
        for image, shares in zip(result.images, result.shares, strict=True)
    )
    html = f'<div style="{STYLE["title"]}">{title}</div><div style="{STYLE["row"]}">{cards}</div>'
    return {"text/plain": repr(result), "text/html": html, "image/png": png(params(result))}


def explanation_bundle(result: Explanation, include: object = None, exclude: object = None) -> Bundle:
    """An explanation: every map over its picture, with class, probability, method and layer."""
    html = f'<div style="{STYLE["row"]}">{"".join(map(saliency_card, result))}</div>'
    return {"text/plain": repr(result), "text/html": html, "image/png": png(params(result))}


def saliency_bundle(result: Saliency, include: object = None, exclude: object = None) -> Bundle:
    return {"text/plain": repr(result), "text/html": saliency_card(result), "image/png": png(params(result))}


def saliency_card(saliency: Saliency) -> str:
    """One map over its picture, and what it is."""
    from classlens.figures.overlay import caption, overlay

    words = [
        f"<b>{escape(caption(saliency.subject))}</b>",
        escape(saliency.method),
        dim(f"at {escape(saliency.layer)}"),
    ]
    return card(overlay(saliency.image, saliency.heatmap()), words)


def heatmap_bundle(result: Heatmap, include: object = None, exclude: object = None) -> Bundle:
    """A heatmap in its colours."""
    picture = params(result)
    return {"text/plain": repr(result), "text/html": card(picture, []), "image/png": png(picture)}


def curves_bundle(result: Curves | Curve, include: object = None, exclude: object = None) -> Bundle:
    """Curves as a plot."""
    figure = params(result)
    scalable, pixels = BytesIO(), BytesIO()
    figure.savefig(scalable, format="svg", metadata={"Date": None})
    figure.savefig(pixels, format="png", dpi=120)
    html = f'<img style="{STYLE["sheet"]}" alt="{escape(repr(result))}" src="{uri(scalable.getvalue(), "svg+xml")}">'
    return {"text/plain": repr(result), "text/html": html, "image/png": pixels.getvalue()}


def params(result: Result) -> Result:
    """What `classlens.draw` makes of the result."""
    from classlens.figures import draw

    return draw(result)


def card(image: Image, words: list[str]) -> str:
    """A picture with lines of words under it."""
    lines = "".join(f"<div>{line}</div>" for line in words)
    picture = f'<img style="{STYLE["picture"]}" src="{uri(jpeg(image), "jpeg")}">'
    return f'<figure style="{STYLE["card"]}">{picture}{lines}</figure>'


def dim(text: str) -> str:
    return f'<span style="{STYLE["dim"]}">{text}</span>'


def uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode('ascii')}"


def jpeg(image: Image) -> bytes:
    """A picture for the page, no higher than a sharp screen needs."""
    from PIL import Image as Pillow

    picture = Pillow.fromarray(image.pixels)
    picture.thumbnail((4 * TALLEST, 2 * TALLEST))
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def png(image: Image) -> bytes:
    return image._repr_png_()


SHOWN: Mapping[str, Callable[..., Bundle]] = {
    "classlens.cam.saliency.Explanation": explanation_bundle,
    "classlens.cam.saliency.Heatmap": heatmap_bundle,
    "classlens.cam.saliency.Saliency": saliency_bundle,
    "classlens.cam.saliency.Fused": saliency_bundle,
    "classlens.dataset.batch.Batch": batch_bundle,
    "classlens.dataset.trace.Trace": trace_bundle,
    "classlens.schedule.replay.Curve": curves_bundle,
    "classlens.schedule.replay.Curves": curves_bundle,
}
"""Type of a result -> what a notebook shows of it."""
