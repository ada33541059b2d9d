"""Batches as training sees them: Mixup, CutMix and ResizeMix, with the labels that come out.

Mixing is linear, and so is normalisation: mixing pictures for the eye gives exactly what the network's normalised
batch looks like when it is turned back.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cv2
import numpy as np

from classlens.dataset.dataset import BatchPlan, Dataset, Mixing, Params
from classlens.dataset.rng import WORD
from classlens.dataset.trace import Trace, trace
from classlens.errors import DataError
from classlens.image import Image

Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch: the mixed pictures, the share of every class in each, the kind of mixing, and its parameters."""

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
    """Trace the samples, then mix them; how, follows from the seed.

    Raises:
        DataError: a sample cannot be read, or mixing is asked for and the pictures differ in size.
    """
    return mix([trace(dataset, index, seed, keep="last") for index in indices], plan, seed, name=dataset.name)


def mix(traces: Sequence[Trace], plan: BatchPlan, seed: int = 0, *, name: str) -> Batch:
    """Mix traced samples of the dataset `name`, as the seed says; without samples there is nothing to mix.

    Raises:
        DataError: mixing is asked for and the pictures differ in size, or the user's code that makes batches fails.
    """
    indices = tuple(one.index for one in traces)
    if plan.collate is not None and traces:
        return Batch(
            name,
            indices,
            seed,
            *plan.collate(indices, [one.seed for one in traces], seed),
            f"collated by {plan.collator}",
        )
    random = np.random.default_rng([seed % WORD, *indices])
    mixing = choose(plan.mixings, random)
    images = tuple(one.transformed.image for one in traces)
    shares = tuple(dict.fromkeys(one.class_names, 1.0) for one in traces)
    unknown = f" ({plan.collator} was not run)" if plan.collator else ""
    if mixing is None or not images:
        return Batch(name, indices, seed, images, shares, f"not mixed{unknown}")
    if len({image.size for image in images}) > 1:
        raise DataError(f"{name}: pictures of different sizes cannot be mixed in one batch")
    params = sample_params(mixing, len(images), images[0].size, random)
    results = apply(mixing, np.stack([image.pixels for image in images]).astype(np.float32), params)
    return Batch(
        dataset=name,
        indices=indices,
        seed=seed,
        images=tuple(Image(np.clip(one.round(), 0, 255).astype(np.uint8)) for one in results),
        shares=tuple(blend(shares[i], shares[j], params["share"]) for i, j in enumerate(params["partners"])),
        mixing=f"{mixing.kind}{unknown}",
        params=params,
    )


def choose(mixings: Sequence[Mixing], random: np.random.Generator) -> Mixing | None:
    """One of the mixings by their probabilities, or none."""
    chance = random.random()
    for mixing in mixings:
        if chance < mixing.probability:
            return mixing
        chance -= mixing.probability
    return None


def sample_params(mixing: Mixing, count: int, size: tuple[int, int], random: np.random.Generator) -> Mapping[str, Any]:
    """The share of every picture's own content, each one's partner, and the box that is pasted.

    Sources: Zhang et al., mixup, ICLR 2018, eq. 1; Yun et al., CutMix, ICCV 2019, eq. 1-2; Qin et al., ResizeMix,
    arXiv:2012.11101, section 3.
    """
    share = float(random.beta(mixing.alpha, mixing.alpha))
    partners = tuple(random.permutation(count).tolist())
    if mixing.kind == "Mixup":
        return {"share": share, "partners": partners}
    if mixing.kind == "ResizeMix":
        share = share * (mixing.high - mixing.low) + mixing.low
    box = bounded_box(size, mixing.within, random) if mixing.within else centred_box(size, share, random)
    if mixing.corrected or mixing.within:
        share = 1.0 - box[2] * box[3] / (size[0] * size[1])
    return {"share": share, "partners": partners, "box": box}


def centred_box(size: tuple[int, int], share: float, random: np.random.Generator) -> Box:
    """A box (x, y, width, height) of area 1 - share around a random centre, cut at the borders."""
    height, width = size
    ratio = float(np.sqrt(1 - share))
    box_height, box_width = int(height * ratio), int(width * ratio)
    y, x = int(random.integers(0, height)), int(random.integers(0, width))
    top, bottom = (int(np.clip(y + side, 0, height)) for side in (-(box_height // 2), box_height // 2))
    left, right = (int(np.clip(x + side, 0, width)) for side in (-(box_width // 2), box_width // 2))
    return left, top, right - left, bottom - top


def bounded_box(size: tuple[int, int], within: tuple[float, float], random: np.random.Generator) -> Box:
    """A box whose sides are parts of the picture's, at a random place."""
    height, width = size
    low, high = within
    box_height = int(random.integers(int(height * low), max(int(height * high), int(height * low) + 1)))
    box_width = int(random.integers(int(width * low), max(int(width * high), int(width * low) + 1)))
    y = int(random.integers(0, max(height - box_height, 1)))
    x = int(random.integers(0, max(width - box_width, 1)))
    return x, y, box_width, box_height


def apply(mixing: Mixing, pixels: Pixels, params: Mapping[str, Any]) -> Pixels:
    """The mixed pictures."""
    partners = pixels[list(params["partners"])]
    if mixing.kind == "Mixup":
        mixed: Pixels = params["share"] * pixels + (1 - params["share"]) * partners
        return mixed
    x, y, width, height = params["box"]
    results = pixels.copy()
    if width == 0 or height == 0:
        return results
    for number, partner in enumerate(partners):
        patch = partner[y : y + height, x : x + width]
        if mixing.kind == "ResizeMix":
            patch = cv2.resize(partner, (width, height), interpolation=cv2.INTER_LINEAR)
        results[number, y : y + height, x : x + width] = patch
    return results


def blend(own: Mapping[str, float], other: Mapping[str, float], share: float) -> Mapping[str, float]:
    """The classes of a mixed sample, the largest share first."""
    total: dict[str, float] = defaultdict(float)
    for shares, part in ((own, share), (other, 1 - share)):
        for name, weight in shares.items():
            total[name] += part * weight
    return dict(sorted(total.items(), key=lambda item: -item[1]))
