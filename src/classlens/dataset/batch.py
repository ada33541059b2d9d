"""Batches as training sees them: Mixup, CutMix and ResizeMix, with the labels that come out.

Mixing is linear, and so is normalisation: mixing pictures for the eye gives exactly what the network's normalised
batch looks like when it is turned back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from operator import itemgetter
from typing import Any

import cv2
import numpy as np

from classlens.dataset.dataset import BatchPlan, Dataset, Mixing, Params
from classlens.dataset.decode import Pixels
from classlens.dataset.rng import WORD
from classlens.dataset.trace import Trace, trace
from classlens.errors import DataError
from classlens.image import Image
from classlens.results import Drawable


@dataclass(frozen=True, eq=False)
class Batch(Drawable):
    """One batch: the mixed pictures, the share of every class in each, how they were mixed, and by which parameters."""

    dataset: str
    indices: tuple[int, ...]
    seed: int
    images: tuple[Image, ...]
    shares: tuple[Mapping[str, float], ...]
    mixing: str = "not mixed"
    params: Params = field(default_factory=dict)

    @property
    def partners(self) -> tuple[int, ...]:
        """The index of the sample that each one is mixed with; its own where nothing is mixed."""
        places = self.params.get("partners")
        return tuple(self.indices[place] for place in places) if isinstance(places, tuple) else self.indices

    def __repr__(self) -> str:
        return f"<Batch of {len(self.images)} samples of {self.dataset}, seed {self.seed}: {self.mixing}>"


def mixed_batch(dataset: Dataset, indices: Sequence[int], plan: BatchPlan, seed: int = 0) -> Batch:
    """Trace the samples, then mix them by parameters that the seed fixes.

    Raises:
        DataError: a sample cannot be read, or mixing is asked for and the pictures differ in size.
    """
    return mix([trace(dataset, index, seed, keep="last") for index in indices], plan, seed, name=dataset.name)


def mix(traces: Sequence[Trace], plan: BatchPlan, seed: int = 0, *, name: str) -> Batch:
    """Mix traced samples of the dataset `name`, by parameters that the seed fixes; an empty batch stays as it is."""
    indices = tuple(one.index for one in traces)
    if plan.collate is not None and traces:
        collated, of_classes = plan.collate(indices, [one.seed for one in traces], seed)
        return Batch(name, indices, seed, collated, of_classes, f"collated by {plan.collator}")
    images = tuple(one.transformed.image for one in traces)
    shares = tuple(dict.fromkeys(one.class_names, 1.0) for one in traces)
    unknown = f" ({plan.collator} was not run)" if plan.collator else ""
    batch = Batch(name, indices, seed, images, shares, f"not mixed{unknown}")
    random = np.random.default_rng([seed % WORD, *indices])
    chance, limits = random.random(), accumulate(one.probability for one in plan.mixings)
    mixing = next((one for one, limit in zip(plan.mixings, limits, strict=True) if chance < limit), None)
    if mixing is None or not images:
        return batch
    if len({image.size for image in images}) > 1:
        raise DataError(f"{name}: pictures of different sizes cannot be mixed in one batch")
    params = sample_params(mixing, len(images), images[0].size, random)
    results = apply(mixing, np.stack([image.pixels for image in images]).astype(np.float32), params)
    return replace(
        batch,
        images=tuple(Image(np.clip(one.round(), 0, 255).astype(np.uint8)) for one in results),
        shares=tuple(blend(shares[i], shares[j], params["share"]) for i, j in enumerate(params["partners"])),
        mixing=f"{mixing.kind}{unknown}",
        params=params,
    )


def sample_params(mixing: Mixing, count: int, size: tuple[int, int], random: np.random.Generator) -> Mapping[str, Any]:
    """The share of every picture's own content, each one's partner, and the box (x, y, width, height) that is pasted.

    Sources: Zhang et al., mixup, ICLR 2018, eq. 1; Yun et al., CutMix, ICCV 2019, eq. 1-2; Qin et al., ResizeMix,
    arXiv:2012.11101, section 3.
    """
    share = float(random.beta(mixing.alpha, mixing.alpha))
    partners = tuple(random.permutation(count).tolist())
    if mixing.kind == "Mixup":
        return {"share": share, "partners": partners}
    if mixing.kind == "ResizeMix":
        share = share * (mixing.high - mixing.low) + mixing.low
    if mixing.within:  # sides that are parts of the picture's, at a random place
        low, high = mixing.within
        sides = [int(random.integers(int(s * low), max(int(s * high), int(s * low) + 1))) for s in size]
        starts = [int(random.integers(0, max(s - side, 1))) for s, side in zip(size, sides, strict=True)]
    else:  # an area of 1 - share around a random centre, cut at the borders
        ratio, sides, starts = float(np.sqrt(1 - share)), [], []
        for length in size:
            centre, half = int(random.integers(0, length)), int(length * ratio) // 2
            starts.append(max(centre - half, 0))
            sides.append(min(centre + half, length) - starts[-1])
    if mixing.corrected or mixing.within:
        share = 1.0 - sides[0] * sides[1] / (size[0] * size[1])
    return {"share": share, "partners": partners, "box": (*reversed(starts), *reversed(sides))}


def apply(mixing: Mixing, pixels: Pixels, params: Mapping[str, Any]) -> Pixels:
    """The mixed pictures that follow from the parameters."""
    partners = pixels[list(params["partners"])]
    if mixing.kind == "Mixup":
        return np.asarray(params["share"] * pixels + (1 - params["share"]) * partners)
    x, y, width, height = params["box"]
    results = pixels.copy()
    if width and height:
        for result, partner in zip(results, partners, strict=True):
            patch = partner[y : y + height, x : x + width]
            if mixing.kind == "ResizeMix":
                patch = cv2.resize(partner, (width, height), interpolation=cv2.INTER_LINEAR)
            result[y : y + height, x : x + width] = patch
    return results


def blend(own: Mapping[str, float], other: Mapping[str, float], share: float) -> Mapping[str, float]:
    """The classes of a mixed sample, the largest share first."""
    total = {name: share * part for name, part in own.items()}
    for name, part in other.items():
        total[name] = total.get(name, 0.0) + (1 - share) * part
    return dict(sorted(total.items(), key=itemgetter(1), reverse=True))
