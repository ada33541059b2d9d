"""Family F: pictures that reach the network otherwise than those that it was trained on.

Where labels fit the network, other feeds are tried on some hundred pictures; else the statistics that its batch norms
recorded say, less surely, what came in during training. Splits that are encoded unlike each other show by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from classlens.check.class_order import tail
from classlens.check.class_rules import compared
from classlens.check.feed_variants import Array, Served, Variant, variants_of
from classlens.check.finding import Exhibit, Finding
from classlens.check.inspection import BATCH, UNREADABLE, Inspection
from classlens.check.rule import Rule
from classlens.dataset.conventions import join_first
from classlens.dataset.dataset import Dataset
from classlens.dataset.rng import generator, seeded_globals
from classlens.dataset.selection import spread
from classlens.dataset.state import State, array_of, picture_in
from classlens.errors import ClasslensError, DataError
from classlens.image import Encoding

if TYPE_CHECKING:
    from torch import Tensor

    from classlens.cam.classifier import Classifier, Layer

MOST = 500  # labelled pictures that a feed is judged by
ROUNDS = (32, 64, 128, 256)  # so many pictures have been shown when the worse half of the variants is dropped
FEWEST = 24  # labelled pictures with which it is worth to begin
RARE = 0.01  # how likely chance alone may be to favour a feed, all that were tried taken together
CLEAR = 0.03  # and by how much of all pictures it must be better
ALIKE = 0.05  # a feed is told apart from the best if chance explains the difference less often


@dataclass(frozen=True, eq=False)
class Trial:
    """One variant, and how the network did: whether right, and the probability of the label, picture by picture."""

    variant: Variant | None
    right: list[bool] = field(default_factory=list)
    belief: list[float] = field(default_factory=list)

    @property
    def score(self) -> float:
        """That of all pictures."""
        return self.after(len(self.right))

    def after(self, pictures: int) -> float:
        """The share of right answers to the first pictures; where it is equal, the probability of the label decides.

        That alone would not do: numbers that are too large make a network surer, and no better.
        """
        return float(np.mean(self.right[:pictures]) + np.mean(self.belief[:pictures]) / 10) if self.right else 0.0

    def against(self, other: Trial) -> tuple[int, int, float]:
        """How many pictures only this one gets right, and only the other; and the chance, by McNemar's exact test."""
        right, others = np.array(self.right, bool), np.array(other.right, bool)
        better, worse = int((right & ~others).sum()), int((others & ~right).sum())
        return better, worse, min(1.0, 2 * tail(max(better, worse), better + worse))


def fed_otherwise(inspection: Inspection) -> Iterator[Finding]:
    """The network is right far more often when it is fed otherwise than the source says.

    Tried are colours in the other order, other ranges, means and deviations, grey, height and width exchanged, EXIF,
    other crops, padding, interpolations and sizes, each alone, on up to 500 labelled pictures. The worse half is
    dropped after 32, 64, 128 and 256. A feed counts if it is better by 3 points, and if McNemar's exact test, times the
    number of feeds tried, leaves less than 1 % to chance.

    Why it matters: nothing fails. Such a mismatch costs 1 to 40 points of accuracy, and public threads are full of them.
    Example: a network trained on what OpenCV reads (BGR), tested on what Pillow reads (RGB).
    Cure: feed the network as it was trained: change the line that the finding names.
    """
    trials = inspection.once("trials", lambda: try_feeds(inspection))
    if len(trials) < 2:
        return
    given, tried = trials[0], len(trials) - 1
    finalists = [one for one in trials[1:] if len(one.right) == len(given.right)]
    best = most_likely(inspection, finalists) or given
    better, worse, p = best.against(given)
    chance = min(1.0, tried * p)
    if best.variant is None or better - worse < CLEAR * len(given.right) or chance > RARE:
        return
    alike = [one.variant.name for one in finalists if one is not best and one.variant and one.against(best)[2] > ALIKE]
    before, after = (interval(sum(one.right), len(one.right)) for one in (given, best))
    shares = [float(np.mean(one.right)) for one in (given, best)]
    message = (
        f"{shares[0]:.0%} of {len(given.right)} answers are right ({before[0]:.0%} to {before[1]:.0%}), and {shares[1]:.0%} "
        f"({after[0]:.0%} to {after[1]:.0%}) if the network is fed otherwise: {best.variant.name}"
    )
    message += f"; not to be told apart by these pictures: {join_first(alike, 2)}" if alike else ""
    split, dataset = inspection.held_out
    yield Finding(
        message,
        where=f"{inspection.source.origin}, {split}",
        evidence={
            "pictures": len(given.right),
            "right as fed": shares[0],
            "fed so": best.variant.name,
            "right so": shares[1],
            "right only so": better,
            "right only as fed": worse,
            "feeds tried": tried,
            "p": chance,
            "as good": alike,
        },
        pictures=tuple(show_feeds(inspection, dataset, best.variant)),
        cure=line_to_change(inspection, best.variant),
    )


def most_likely(inspection: Inspection, trials: Sequence[Trial]) -> Trial | None:
    """The best feed; of several that the pictures do not tell apart, the one that batch norms recorded, or the usual one."""
    top = max(trials, key=lambda one: one.score, default=None)
    if top is None:
        return None
    alike = [one for one in trials if one.score >= top.score - CLEAR and one.against(top)[2] > ALIKE]
    served: list[Served] = inspection.kept["first served"]
    gaps = [np.inf if len(alike) == 1 else gap_of(inspection.classifier, one, served) for one in alike]
    return next(one for one, gap in zip(alike, gaps, strict=True) if gap <= 2 * min(gaps))


def gap_of(classifier: Classifier, trial: Trial, served: Sequence[Served]) -> float:
    gap = mismatch(classifier, [trial.variant.numbers(one) for one in served]) if trial.variant else None
    return np.inf if gap is None else gap


def try_feeds(inspection: Inspection) -> list[Trial]:
    """The feed of the source first, then its variants; those that were dropped have seen fewer pictures."""
    predictions, classifier = compared(inspection), inspection.classifier
    order = np.random.default_rng(0).permutation(len(predictions.labels))[:MOST]
    if len(order) < FEWEST:
        raise DataError(f"{len(order)} labelled pictures are too few to compare feeds by: {FEWEST} are needed")
    given = Trial(None)
    judge(given, predictions.logits[order], predictions.labels[order])
    if 1 - np.mean(given.right) < CLEAR:  # nothing could be so much better
        return [given]
    _, dataset = inspection.held_out
    batch = serve(classifier, dataset, predictions.indices[order[:FEWEST]].tolist())
    inspection.kept["first served"] = batch
    trials = [Trial(one) for one in variants_of(classifier.encoding, classifier.prepare, batch)]
    alive, seen = trials, 0
    for end in sorted({*(number for number in ROUNDS if number < len(order)), len(order)}):
        places = order[seen:end]
        served = batch + serve(classifier, dataset, predictions.indices[order[max(seen, len(batch)) : end]].tolist())
        batch = []
        for one in list(alive):
            logits = score(classifier, [one.variant.numbers(picture) for picture in served]) if one.variant else None
            if logits is None:  # the network does not take pictures of that size
                alive.remove(one)
            else:
                judge(one, logits, predictions.labels[places])
        seen = end
        # Only what is ahead of the feed so far goes on, and at most half of it.
        ahead = [one for one in alive if one.score > given.after(seen)]
        alive = sorted(ahead, key=lambda one: -one.score)[: max(3, len(alive) // 2)]
        if not alive:
            break
    return [given, *trials]


def serve(classifier: Classifier, dataset: Dataset, indices: Sequence[int]) -> list[Served]:
    """Pictures, each decoded and prepared once."""
    served = []
    for index in indices:
        read = dataset.to_image(dataset.load(index))
        prepared = classifier.prepare(read)
        numbers = classifier.encoding.encode(prepared) if prepared.encoded is None else prepared.encoded
        served.append(Served(read, prepared, numbers, dataset.sample(index).path))
    return served


def score(classifier: Classifier, numbers: Sequence[Array]) -> Array | None:
    """Logits for pictures of any sizes; None if the network refuses one."""
    import torch

    from classlens.cam.classifier import preserved
    from classlens.cam.forward import logits_of

    rows: dict[int, Array] = {}
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for place, one in enumerate(numbers):
        by_shape.setdefault(one.shape, []).append(place)
    with preserved(classifier.module), torch.no_grad():
        for places in by_shape.values():
            for start in range(0, len(places), BATCH):
                chosen = places[start : start + BATCH]
                stack = torch.from_numpy(np.stack([numbers[place] for place in chosen]).astype(np.float32))
                try:
                    rows |= dict(zip(chosen, logits_of(classifier, stack).cpu().numpy(), strict=True))
                except (ClasslensError, RuntimeError, ValueError, AssertionError):
                    return None
    return np.stack([rows[place] for place in range(len(numbers))])


def judge(trial: Trial, logits: Array, labels: Array) -> None:
    """Add what the network says about some pictures."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    belief = shifted / shifted.sum(axis=1, keepdims=True)
    inside = (labels >= 0) & (labels < logits.shape[1])
    trial.right.extend((logits.argmax(axis=1) == labels).tolist())
    trial.belief.extend(np.where(inside, belief[np.arange(len(labels)), np.where(inside, labels, 0)], 0.0).tolist())


def interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    z, share = 1.96, successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return middle - half, middle + half


def line_to_change(inspection: Inspection, variant: Variant) -> str:
    """What to write, in the words of the source."""
    is_config = inspection.source.origin.endswith(".py") and not inspection.source.origin.startswith("py:")
    return f"feed it as it was trained: {variant.config if is_config else variant.python}"


def show_feeds(inspection: Inspection, dataset: Dataset, variant: Variant) -> Iterator[Exhibit]:
    """A picture as it is fed, and what a network that expects the variant takes these numbers for, or the variant."""
    index = int(inspection.predictions.indices[0])
    one = serve(inspection.classifier, dataset, [index])[0]
    yield Exhibit(one.prepared, f"#{index} as it is fed")
    if variant.encoding is None:
        yield Exhibit(inspection.classifier.encoding.decode(variant.numbers(one)), f"#{index}: {variant.name}")
    else:
        yield Exhibit(
            variant.encoding.decode(one.numbers), f"#{index} as a network sees it that expects {variant.name}"
        )


class Enough(Exception):
    """Ends a pass through the network behind the layers that are looked at."""


LOOKED = 48  # pictures whose channels are compared with what batch norms recorded
LAYERS = 3
FAR, TIMES = 0.5, 4.0  # a mismatch of this size, and so many times that of the best feed, is worth a warning


def unlike_statistics(inspection: Inspection) -> Iterator[Finding]:
    """What reaches the first batch norms is far from what they recorded in training, and close to it if fed otherwise.

    For every channel, mean and variance over some pictures are compared with `running_mean` and `running_var`. This
    needs no labels, and says less than they do: so it looks only where no labels fit the network.

    Why it matters: the same as that of F001; here nobody can count right answers.
    Example: `Normalize` left out of a script that sorts pictures of which nobody knows the class.
    Cure: feed the network as it was trained: change the line that the finding names.
    """
    try:
        compared(inspection)
    except ClasslensError:
        pass
    else:
        return
    classifier, (split, dataset) = inspection.classifier, inspection.held_out
    served = list(readable(inspection, dataset))
    given = mismatch(classifier, [one.numbers for one in served]) if len(served) >= FEWEST else None
    if given is None or given < FAR:
        return
    variants = [one for one in variants_of(classifier.encoding, classifier.prepare, served) if one.encoding]
    gaps = [mismatch(classifier, [one.numbers(picture) for picture in served]) for one in variants]
    least, best = min(
        ((gap, one) for gap, one in zip(gaps, variants, strict=True) if gap is not None),
        key=lambda pair: pair[0],
        default=(np.inf, None),
    )
    if best is None or given < TIMES * least:
        return
    yield Finding(
        f"what reaches the first batch norms is {given:.2g} from what they recorded in training, and {least:.2g} if fed "
        f"otherwise: {best.name} (without labels, so this is a hint)",
        where=f"{inspection.source.origin}, {split}",
        evidence={
            "pictures": len(served),
            "mismatch as fed": given,
            "mismatch so": least,
            "feeds tried": len(variants),
        },
        cure=line_to_change(inspection, best),
    )


def readable(inspection: Inspection, dataset: Dataset) -> Iterator[Served]:
    for index in spread(dataset, LOOKED, seed=0):
        try:
            yield from serve(inspection.classifier, dataset, [index])
        except UNREADABLE:
            continue


def mismatch(classifier: Classifier, numbers: Sequence[Array]) -> float | None:
    """How far the channels that reach the first batch norms are from their records; None without any.

    The mean over channels of the squared shift in recorded deviations, and the squared logarithm of the ratio of variances.
    """
    import torch

    from classlens.cam.classifier import layers_of, placement_of, preserved
    from classlens.cam.forward import hook_layers

    norms = [one for one in layers_of(classifier) if getattr(one.module, "running_mean", None) is not None]
    if not any(one.module.state_dict()["running_mean"].any() for one in norms[:LAYERS]):  # M007 looks at those
        return None
    sums: dict[str, list[Any]] = {}
    records: dict[str, tuple[Array, Array]] = {}

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        if entering is None or entering.ndim != 4:
            return
        if layer.name not in sums and len(sums) == LAYERS:
            raise Enough
        values = entering.double().transpose(0, 1).flatten(1)
        first, second = values.sum(dim=1).cpu().numpy(), (values**2).sum(dim=1).cpu().numpy()
        before = sums.get(layer.name, [0, 0.0, 0.0])
        sums[layer.name] = [before[0] + values.shape[1], before[1] + first, before[2] + second]
        state = layer.module.state_dict()
        records[layer.name] = (
            state["running_mean"].double().cpu().numpy(),
            state["running_var"].double().cpu().numpy(),
        )

    with hook_layers(norms, note), preserved(classifier.module), torch.no_grad():
        for start in range(0, len(numbers), BATCH):
            alike = [one for one in numbers[start : start + BATCH] if one.shape == numbers[0].shape]
            batch = torch.from_numpy(np.stack(alike or [numbers[0]]).astype(np.float32))
            with suppress(Enough):
                classifier.logits(batch.to(placement_of(classifier.module)[1]))
    gaps = []
    for name, (count, first, second) in sums.items():
        mean, recorded = first / count, records[name]
        floor = 1e-3 * float(np.median(recorded[1])) + 1e-12
        variance, known = np.maximum(second / count - mean**2, floor), np.maximum(recorded[1], floor)
        gaps.append(float(np.mean((mean - recorded[0]) ** 2 / known + np.log(variance / known) ** 2)))
    return float(np.mean(gaps)) if gaps else None


def unlike_splits(inspection: Inspection) -> Iterator[Finding]:
    """The pipelines of two splits leave the colours in another order, range, mean or deviation.

    Why it matters: the network is tested on other numbers than it is trained with, and validation is wrong all along.
    Example: `Normalize` that was changed in `train_transform` only; `ToTensor` in one pipeline, `PILToTensor` in the other.
    Cure: give both pipelines the same last steps: order of colours, scaling and normalisation.
    """
    encoded = {split: last_encoding(dataset) for split, dataset in inspection.splits.items()}
    known = {split: one for split, one in encoded.items() if one is not None}
    first = next(iter(known), "")
    for split, other in list(known.items())[1:]:
        parts = [
            f"{name} {getattr(known[first], key)} and {getattr(other, key)}"
            for key, name in {"order": "order", "white": "white", "mean": "mean", "std": "std"}.items()
            if not np.array_equal(getattr(known[first], key), getattr(other, key))
            and (
                key == "order" or not np.allclose(getattr(known[first], key), getattr(other, key), rtol=1e-3, atol=1e-4)
            )
        ]
        if parts:
            yield Finding(
                f"{first} and {split} end in other numbers: {'; '.join(parts)}",
                where=f"{inspection.source.origin}, {split}",
                evidence={one: repr(known[one]) for one in (first, split)},
            )


def last_encoding(dataset: Dataset) -> Encoding | None:
    """How the pictures are encoded at the end of a pipeline; None where nobody says, or where there is none."""
    for index in np.linspace(0, dataset.length - 1, min(3, dataset.length)).astype(int).tolist():
        stages = dataset.pipeline(index)
        try:
            with seeded_globals(index):
                state = dataset.load(index)
                for place, stage in enumerate(stages):
                    state = stage.apply(state, generator(0, index, place)).state
            if not stages or not isinstance(state, State) or state.views:
                return None
            is_whole = array_of(picture_in(state.value))[0].dtype.kind != "f"
        except UNREADABLE:
            continue
        white = 255.0 if is_whole else state.encoding.white
        return Encoding(state.encoding.order, "CHW", white, state.encoding.mean, state.encoding.std)
    return None


RULES = (
    Rule("F001", "better when fed otherwise", "error", ("dataset", "labels", "classifier"), fed_otherwise),
    Rule("F002", "batch norms that recorded another feed", "warning", ("dataset", "classifier"), unlike_statistics),
    Rule("F003", "splits that are encoded otherwise", "error", ("dataset",), unlike_splits),
)
