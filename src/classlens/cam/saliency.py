"""What the CAM engine returns. Raw numbers and displayable numbers are different types; no torch in here.

`Saliency` is what a method says, in its own unit, at the layer's resolution. `Heatmap` lies in 0..1 at the size of the
picture that was fed, and only it can be coloured. `Fused` is several layers seen as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, ClassVar, overload
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from classlens.arrays import Float32
from classlens.errors import NotFound
from classlens.image import Image
from classlens.results import Array, Drawable

EPSILON = 1e-7  # added to a map's maximum before it divides, as in the reference: a hottest pixel is 1 - 1e-7
ROUNDING = 1e-6  # a smaller share is float32's rounding: layers that add up to a constant leave up to 4e-7


@dataclass(frozen=True, eq=False)
class Heatmap(Drawable, Array):
    """A map ready for a colour scale: 0 is cold, 1 is hot, nothing is outside."""

    values: Float32[np.ndarray, "height width"]
    numbers: ClassVar[str] = "values"

    def __post_init__(self) -> None:
        low, high = self.values.min(), self.values.max()
        if not 0 <= low <= high <= 1:
            raise ValueError(f"a heatmap lies in [0, 1], this one in [{low:.3g}, {high:.3g}]")

    def __repr__(self) -> str:
        height, width = self.values.shape
        return f"<Heatmap {width} x {height}: {'hottest at row {}, column {}'.format(*self.hottest) if self.hottest else 'empty'}>"

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see: no evidence for the class at any position."""
        return self.hottest is None

    @property
    def hottest(self) -> tuple[int, int] | None:
        """Row and column of the hottest pixel, the first of several; None where nothing is hot."""
        row, column = np.unravel_index(int(self.values.argmax()), self.values.shape)
        return (int(row), int(column)) if self.values[row, column] else None


@dataclass(frozen=True)
class ExplainedClass:
    """The class that a map is about. `against` is the class it is contrasted with, if any.

    `logit` is the raw score (for a contrast, the difference), `probability` that of the target class, and
    `against_probability` that of the other one; `output` makes them of logits, "softmax" or "sigmoid".
    """

    target: int
    logit: float
    probability: float
    class_name: str
    against: int | None = None
    against_probability: float | None = None
    output: str = "softmax"

    @property
    def as_target(self) -> int | str:
        return self.target if self.against is None else f"{self.target} - {self.against}"


HEATMAPS: "WeakKeyDictionary[Saliency | Fused, Heatmap]" = WeakKeyDictionary()  # picture, text and numbers ask for one


@dataclass(frozen=True, eq=False)
class Saliency(Drawable, Array):
    """The evidence for a class at each position of a layer, in the method's own unit, at the layer's resolution.

    `variants` holds one map, or with aug-smooth one for each variant of the input, turned back to the picture's own
    orientation. `image` is the picture as fed, `index` its place in the call. A method that knows no class, run alone,
    has no subject. `signed` says that the layer put out many negative numbers, which not every method can read
    (`Method.assumes_non_negative`). `cap` is the share of positions below the hottest colour of the heat map.
    `predicted` is the class with the highest score, whichever is explained, and `ranking` are the likeliest, if they were
    asked for. To numpy a map is its raw `values`.
    """

    image: Image
    variants: Float32[np.ndarray, "variants height width"]
    method: str
    layer: str
    subject: ExplainedClass | None
    index: int = 0
    signed: bool = False
    cap: float = 1.0
    predicted: ExplainedClass | None = None
    ranking: tuple[ExplainedClass, ...] = ()
    numbers: ClassVar[str] = "values"

    def __repr__(self) -> str:
        height, width = self.variants.shape[1:]
        subject = f" for {self.class_name} ({self.subject.probability:.1%})" if self.subject else ""
        return f"<Saliency by {self.method} at {self.layer}{subject}: {height} x {width}>"

    @property
    def values(self) -> Float32[np.ndarray, "height width"]:
        """The raw map; the mean of the variants' if there are several."""
        return np.asarray(self.variants.mean(axis=0, dtype=np.float32))

    @property
    def parts(self) -> tuple["Saliency", ...]:
        """The map itself, as the only part: so that it can stand where a `Fused` can."""
        return (self,)

    @property
    def target(self) -> int | None:
        return self.subject.target if self.subject else None

    @property
    def logit(self) -> float | None:
        return self.subject.logit if self.subject else None

    @property
    def probability(self) -> float | None:
        return self.subject.probability if self.subject else None

    @property
    def class_name(self) -> str:
        """Name of the class explained, its number if it has none, empty if the method knows no class."""
        return self.subject.class_name if self.subject else ""

    def heatmap(self) -> Heatmap:
        """Negative values cut, scaled to 0..1, enlarged to the picture; a map that is negative everywhere is zero."""
        return HEATMAPS.get(self) or HEATMAPS.setdefault(self, fuse([self]))


@dataclass(frozen=True, eq=False)
class Fused(Drawable):
    """Several layers seen as one: same picture, method and class."""

    parts: tuple[Saliency, ...]

    @property
    def image(self) -> Image:
        return self.parts[0].image

    @property
    def method(self) -> str:
        return self.parts[0].method

    @property
    def layer(self) -> str:
        return " + ".join(part.layer for part in self.parts)

    @property
    def subject(self) -> ExplainedClass | None:
        return self.parts[0].subject

    @property
    def predicted(self) -> ExplainedClass | None:
        return self.parts[0].predicted

    @property
    def index(self) -> int:
        return self.parts[0].index

    def heatmap(self) -> Heatmap:
        """The mean of the layers' normalised maps, normalised again."""
        return HEATMAPS.get(self) or HEATMAPS.setdefault(self, fuse(self.parts))


@dataclass(frozen=True, eq=False)
class Explanation(Drawable, Sequence[Saliency]):
    """All maps of one call, picture by picture, then class by class, method by method, layer by layer.

    `bad` are the files that could not be read, or are damaged, and why.
    """

    saliencies: tuple[Saliency, ...]
    bad: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = [f"Explanation of {len(self)} map{'s' * (len(self) != 1)}:", *map("  {!r}".format, self.saliencies)]
        return "\n".join([*lines, *(f"  bad: {reason}" for reason in self.bad)])

    def __len__(self) -> int:
        return len(self.saliencies)

    @overload
    def __getitem__(self, position: int) -> Saliency: ...
    @overload
    def __getitem__(self, position: slice) -> "Explanation": ...
    def __getitem__(self, position: int | slice) -> "Saliency | Explanation":
        chosen = self.saliencies[position]
        return chosen if isinstance(chosen, Saliency) else Explanation(chosen)

    def where(
        self,
        *,
        image: int | None = None,
        method: str | None = None,
        layer: str | None = None,
        target: int | str | None = None,
    ) -> "Explanation":
        """The maps of one picture (by its place in the call), method, layer or class (index, name or synonym).

        Raises:
            NotFound: no map is left.
        """
        of_class = "class_name" if isinstance(target, str) else "target"
        left = self.saliencies
        criteria = {"index": image, "method": method, "layer": layer, of_class: target}
        for kind, (attribute, wanted) in zip(("image", "method", "layer", "class"), criteria.items(), strict=True):
            names = [str(getattr(saliency, attribute)) for saliency in left]
            if wanted is None:
                continue
            word = str(wanted).casefold()  # of a class, any of its synonyms
            fits = [word in (name.casefold(), *name.casefold().split(", ")) for name in names]
            if not any(fits):
                raise NotFound(kind, str(wanted), set(names), where="this explanation")
            left = tuple(compress(left, fits))
        return Explanation(left)

    def fused(self) -> "tuple[Saliency | Fused, ...]":
        """One map over all layers for each picture, class and method; of a single layer that is its own map."""
        groups: dict[tuple[object, ...], list[Saliency]] = {}
        for saliency in self.saliencies:
            groups.setdefault((saliency.index, saliency.subject, saliency.method), []).append(saliency)
        return tuple(parts[0] if len(parts) == 1 else Fused(tuple(parts)) for parts in groups.values())


def fuse(saliencies: Sequence[Saliency]) -> Heatmap:
    """Mean over layers of the normalised maps, normalised again; then the mean over variants, left as it is.

    So it is in the reference, but for layers that add up to the same everywhere: nothing is hot then.
    """
    height, width = saliencies[0].image.size
    variants = len(saliencies[0].variants)
    total = np.zeros((height, width), np.float32)
    for variant in range(variants):
        layers, evened = np.zeros((2, height, width), np.float32)
        for saliency in saliencies:
            positive = np.maximum(saliency.variants[variant], 0)
            if saliency.cap < 1:
                positive = np.minimum(positive, np.quantile(positive, saliency.cap))
            low = normalise(positive)
            large = np.maximum(cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR), 0)
            layers += large
            if len(saliencies) > 1 and low.any():
                evened += large / low.max()  # without what EPSILON takes, which differs from layer to layer
        if len(saliencies) == 1 or np.ptp(evened) > ROUNDING * evened.max():
            total += normalise(layers / len(saliencies))
    return Heatmap((total / variants).clip(0, 1))


def normalise(values: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """Shifted and scaled to 0..1; a map that is flat, up to rounding, becomes zero."""
    shifted = values - values.min()
    if shifted.max() <= ROUNDING * np.abs(values).max():
        return np.zeros_like(values)
    return np.asarray(shifted / (np.float32(EPSILON) + shifted.max()), np.float32)


def facts(saliency: Saliency | Fused) -> dict[str, Any]:
    """Everything about one map except its pixels; lists and numbers only."""
    hottest = saliency.heatmap().hottest
    about_class = ("target", "class_name", "against", "logit", "probability", "against_probability", "output")
    return {
        "method": saliency.method,
        "layers": [part.layer for part in saliency.parts],
        "layer_sizes": [list(part.variants.shape[1:]) for part in saliency.parts],
        "ranges": [[float(part.values.min()), float(part.values.max())] for part in saliency.parts],
        "size_as_fed": list(saliency.image.size),
        **{name: getattr(saliency.subject, name, None) for name in about_class},
        "predicted": getattr(saliency.predicted, "target", None),
        "predicted_name": getattr(saliency.predicted, "class_name", None),
        "predicted_probability": getattr(saliency.predicted, "probability", None),
        "hottest": list(hottest) if hottest else None,
        "empty": hottest is None,
    }
