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
    from classlens.cam.saliency import Fused, Saliency
    from classlens.dataset.batch import Batch
    from classlens.dataset.trace import Trace
    from classlens.image import Image

Result: TypeAlias = Any
"""A result of one of the types in `DRAWERS`; IPython hands it over without a type."""

TitledCards: TypeAlias = tuple[str, Iterable[str]]
"""A title and a row of cards, as HTML."""

TALLEST = 240
"""Pictures in a row are shown at most so many pixels high; more of them are in the file for sharp screens."""

STYLE = {
    "row": "display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start;margin:6px 0",
    "card": "margin:0;max-width:260px;font:12px/1.45 system-ui,sans-serif;color:inherit",
    "picture": f"display:block;max-width:100%;max-height:{TALLEST}px;height:auto;border-radius:4px",
    "sheet": "display:block;max-width:100%;height:auto;background:#fff;border-radius:6px",
    "title": "font:13px/1.5 system-ui,sans-serif;margin:4px 0;color:inherit",
}
DIM = '<span style="opacity:.7">{}</span>'


def register(shell: Result) -> None:
    """Teach an IPython shell the results by name; their modules are not imported for it."""
    formatter = shell.display_formatter.mimebundle_formatter
    for name in DRAWERS:
        module, _, kind = name.rpartition(".")
        formatter.for_type_by_name(module, kind, show)


def show(result: Result, include: object = None, exclude: object = None) -> dict[str, str | bytes]:
    """A result by media type, as IPython asks for it: pictures as a row of cards, curves as SVG, tables as text."""
    drawing = draw(result)
    if drawing.rasterise is None:
        return {"text/plain": drawing.text, "text/html": f"<pre>{escape(drawing.text)}</pre>"}
    if (describe := CARDS.get(type(result).__qualname__)) is not None:
        title, cards = describe(result)
        head = f'<div style="{STYLE["title"]}">{title}</div>' if title else ""
        page = f'{head}<div style="{STYLE["row"]}">{"".join(cards)}</div>'
    else:
        source = data_uri(drawing.encode(".svg"), "svg+xml")
        page = f'<img style="{STYLE["sheet"]}" alt="{escape(repr(result))}" src="{source}">'
    return {"text/plain": repr(result), "text/html": page, "image/png": drawing.encode(".png")}


def describe_trace(result: Trace) -> TitledCards:
    """Every snapshot with its size and the parameters that were sampled, or why nothing changed."""
    from classlens.figures.filmstrip import TIMES, describe_params

    cards = []
    for snapshot in result.snapshots:
        height, width = snapshot.image.size
        size = f"{width} {TIMES} {height}{'' if snapshot.changed else ', no change'}"
        words = [escape(line) for line in describe_params(snapshot.params) or [snapshot.note] if line]
        cards.append(card(snapshot.image, f"<b>{escape(snapshot.stage)}</b>", DIM.format(size), *words))
    names, remarks = ", ".join(result.class_names) or "no label", map(escape, result.remarks)
    title = f"<b>{escape(names)}</b> #{result.index} of {escape(result.dataset)}, seed {result.seed}"
    return title + "".join(f"<div>{remark}</div>" for remark in remarks), cards


def describe_batch(result: Batch) -> TitledCards:
    """Every picture of a mixed batch with the share of each class in it."""
    from classlens.figures.filmstrip import describe_mixing

    count, dataset = len(result.images), escape(result.dataset)
    title = f"<b>{escape(', '.join(describe_mixing(result)))}</b> {count} samples of {dataset}, seed {result.seed}"
    return title, [
        card(image, *(escape(f"{share:.2f} {name}") for name, share in shares.items()))
        for image, shares in zip(result.images, result.shares, strict=True)
    ]


def describe_maps(result: Iterable[Saliency | Fused]) -> TitledCards:
    """Every map over its picture, and what it is."""
    from classlens.figures.overlay import caption, overlay

    cards = []
    for one in result:
        words = f"<b>{escape(caption(one.subject))}</b>", escape(one.method), DIM.format(f"at {escape(one.layer)}")
        cards.append(card(overlay(one.image, one.heatmap()), *words))
    return "", cards


CARDS: Mapping[str, Callable[[Result], TitledCards]] = {
    "Batch": describe_batch,
    "Explanation": describe_maps,
    "Fused": lambda result: describe_maps([result]),
    "Heatmap": lambda result: ("", [card(draw(result).image)]),
    "Saliency": lambda result: describe_maps([result]),
    "Trace": describe_trace,
}
"""Results that are made of pictures -> their title, and a card for each picture."""


def card(image: Image, *words: str) -> str:
    """A picture, no higher than a sharp screen needs, with lines of words under it."""
    from PIL import Image as Pillow

    picture, content = Pillow.fromarray(image.pixels), BytesIO()
    picture.thumbnail((4 * TALLEST, 2 * TALLEST))
    picture.save(content, "JPEG", quality=88)
    lines = "".join(f"<div>{line}</div>" for line in words)
    shown = f'<img style="{STYLE["picture"]}" src="{data_uri(content.getvalue(), "jpeg")}">'
    return f'<figure style="{STYLE["card"]}">{shown}{lines}</figure>'


def data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode('ascii')}"
