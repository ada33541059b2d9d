"""Family F: pictures that reach the network otherwise than those that it was trained on.

Where labels fit the network, other feeds are tried on some hundred pictures; else the statistics of batch norms tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from classlens.check.class_rules import outputs_of
from classlens.check.feed_variants import OWN, Variant, variants_of
from classlens.check.finding import Exhibit, Finding
from classlens.check.inspection import BATCH, UNREADABLE, Array, Inspection, Served, layers_with, made_once, run, spaced
from classlens.check.rule import Need, Rule
from classlens.dataset.dataset import Dataset
from classlens.dataset.rng import generator, seeded_globals
from classlens.dataset.selection import spread
from classlens.dataset.state import State, array_of, picture_in
from classlens.errors import ClasslensError, DataError, join_first
from classlens.image import Encoding
from classlens.intervals import mcnemar, share_of

if TYPE_CHECKING:
    from torch import Tensor

    from classlens.cam.classifier import Classifier, Layer

MOST = 500  # labelled pictures that a feed is judged by
ROUNDS = (32, 64, 128, 256)  # so many pictures have been shown when the worse half of the variants is dropped
FEWEST = 24  # labelled pictures with which it is worth to begin
RARE = 0.01  # how likely chance alone may be to favour a feed, all that were tried taken together
CLEAR = 0.03  # and by how much of all pictures it must be better
ALIKE = 0.05  # a feed is told apart from the best if chance explains the difference less often
LOOKED, LAYERS = 48, 3  # pictures and batch norms whose channels are compared with what those recorded
KNOWING = 0.5  # who is right so often on pictures with labels is fed well enough, or F001 says otherwise
FAR, TIMES = 0.5, 4.0  # a mismatch of this size, and so many times that of the best feed, is worth a warning


@dataclass(frozen=True, eq=False)
class Trial:
    """One variant, and how the network did: a row for each picture, whether right, and the probability of the label."""

    variant: Variant
    rows: Array = field(default_factory=lambda: np.empty((0, 2)))

    def score(self, pictures: int = MOST) -> float:
        """The share of right answers to the first pictures; where it is equal, the probability of the label decides."""
        # Which alone would not do: numbers that are too large make a network surer, and no better.
        return float((self.rows[:pictures] * (1, 0.1)).sum(axis=1).mean())

    @property
    def right(self) -> Array:
        """Whether the answer is, picture by picture."""
        return np.asarray(self.rows[:, 0] > 0)

    def against(self, other: Trial) -> tuple[int, int, float]:
        """How many pictures only this one gets right, and only the other; and the chance, by McNemar's exact test."""
        better, worse = int((self.right & ~other.right).sum()), int((other.right & ~self.right).sum())
        return better, worse, mcnemar(better, worse)


@made_once
def try_feeds(inspection: Inspection) -> tuple[float, Sequence[Finding]]:
    """How often the network is right as fed; and what is found by showing more pictures to ever fewer variants."""
    outputs_of(inspection)  # raises where the classes are others
    predictions, classifier = inspection.predictions, inspection.classifier
    order = np.random.default_rng(0).permutation(len(predictions.labels))[:MOST]
    if len(order) < FEWEST:
        raise DataError(f"{len(order)} labelled pictures are too few to compare feeds by: {FEWEST} are needed")
    labels, indices = predictions.labels[order], predictions.indices[order].tolist()
    given = Trial(Variant("as the source says", lambda one: one.numbers), judge(predictions.logits[order], labels))
    share = float(given.right.mean())
    if 1 - share < CLEAR:  # nothing could be so much better
        return share, ()
    first = list(inspection.serve(indices[:FEWEST]))
    alive = [Trial(one) for one in variants_of(classifier.encoding, classifier.prepare, first)]
    tried = len(alive)
    for start, end in pairwise((0, *(number for number in ROUNDS if number < len(order)), len(order))):
        served = first[start:] + list(inspection.serve(indices[max(start, FEWEST) : end]))
        if start:  # only what is ahead of the feed so far goes on, and at most half of it
            bar = sorted((one.score() for one in alive), reverse=True)[: max(3, len(alive) // 2)][-1:]
            alive = [one for one in alive if one.score() > given.score(start) and one.score() >= bar[0]]
        alive = [shown for one in alive if (shown := show(one, classifier, served, labels[start:end]))]
    best = likeliest(classifier, alive, first) if alive else given
    better, worse, p = best.against(given)
    if better - worse < CLEAR * len(order) or tried * p > RARE:
        return share, ()
    alike = [one.variant.name for one in alive if one is not best and one.against(best)[2] > ALIKE]
    before, after = (share_of(int(one.right.sum()), len(order)) for one in (given, best))
    other, name, count = float(best.right.mean()), best.variant.name, len(order)
    message = f"{share:.0%} of {count} answers are right ({before.low:.0%} to {before.high:.0%}), and {after} if the "
    message += f"network is fed otherwise: {name}"
    message += f"; not to be told apart by these pictures: {join_first(alike, 2)}" if alike else ""
    numbers: dict[str, Any] = {"pictures": count, "right as fed": share, "fed so": name, "right so": other}
    numbers |= {"right only so": better, "right only as fed": worse, "feeds tried": tried, "p": min(1.0, tried * p)}
    exhibits, cure = tuple(show_feeds(inspection, best.variant)), line_to_change(inspection, best.variant)
    return share, [Finding(message, inspection.place(), numbers | {"as good": alike}, exhibits, cure)]


def likeliest(classifier: Classifier, trials: Sequence[Trial], served: Sequence[Served]) -> Trial:
    """The best feed; of several that the pictures do not tell apart, the one that batch norms recorded, or the usual one."""
    top = max(trials, key=Trial.score)
    alike = [one for one in trials if one.score() >= top.score() - CLEAR and one.against(top)[2] > ALIKE]
    if len(alike) == 1:
        return top
    gaps = [mismatch(classifier, [one.variant.numbers(picture) for picture in served]) for one in alike]
    return next(one for one, gap in zip(alike, gaps, strict=True) if gap <= 2 * min(gaps))


def show(trial: Trial, classifier: Classifier, served: Sequence[Served], labels: Array) -> Trial | None:
    """The trial with more pictures; None if the network refuses one."""
    try:
        logits = run(classifier, [trial.variant.numbers(one) for one in served])
    except (ClasslensError, RuntimeError, ValueError, AssertionError):
        return None
    return replace(trial, rows=np.concatenate([trial.rows, judge(logits, labels)]))


def judge(logits: Array, labels: Array) -> Array:
    """Whether each answer is right, and the probability of its label."""
    belief = np.exp(logits - logits.max(axis=1, keepdims=True))
    inside = (labels >= 0) & (labels < logits.shape[1])
    of_label = belief[np.arange(len(labels)), np.where(inside, labels, 0)] / belief.sum(axis=1)
    return np.stack([logits.argmax(axis=1) == labels, np.where(inside, of_label, 0)], axis=1)


def line_to_change(inspection: Inspection, variant: Variant) -> str:
    """What to write, in the words of the source."""
    is_config = inspection.source.origin.endswith(".py") and not inspection.source.origin.startswith("py:")
    return f"feed it as it was trained: {variant.config if is_config else variant.python}"


def show_feeds(inspection: Inspection, variant: Variant) -> Iterator[Exhibit]:
    """A picture as it is fed, and what a network that expects the variant takes these numbers for, or the variant."""
    (one,) = inspection.serve([int(inspection.predictions.indices[0])])
    yield Exhibit(one.prepared, f"#{one.index} as it is fed")
    if variant.encoding is None:
        other = inspection.classifier.encoding.decode(variant.numbers(one))
        yield Exhibit(other, f"#{one.index}: {variant.name}")
    else:
        yield Exhibit(
            variant.encoding.decode(one.numbers), f"#{one.index} as a network sees it that expects {variant.name}"
        )


def unlike_statistics(inspection: Inspection) -> Iterator[Finding]:
    """Asks batch norms which feed they know, where labels cannot say."""
    with suppress(ClasslensError):
        share, finding = try_feeds(inspection)
        if finding or share > KNOWING:
            return
    classifier = inspection.classifier
    served = list(inspection.serve(spread(inspection.held_out[1], LOOKED, seed=0)))
    given = mismatch(classifier, [one.numbers for one in served]) if len(served) >= FEWEST else inf
    if not FAR <= given < inf:
        return
    variants = variants_of(classifier.encoding, classifier.prepare, served)
    # What is fitted to the pictures comes near to any records, whatever the network was fed.
    variants = [one for one in variants if one.encoding and one.name != OWN]
    gaps = [mismatch(classifier, [one.numbers(picture) for picture in served]) for one in variants]
    least = min(gaps, default=inf)
    if given >= TIMES * least:
        best = variants[gaps.index(least)]
        message = f"what reaches the first batch norms is {given:.2g} from what they recorded in training, and "
        message += f"{least:.2g} if fed otherwise: {best.name} (without labels, so this is a hint)"
        evidence = {"pictures": len(served), "mismatch as fed": given, "mismatch so": least, "feeds tried": len(gaps)}
        yield Finding(message, inspection.place(), evidence, cure=line_to_change(inspection, best))


class Enough(Exception):
    """Ends a pass through the network behind the layers that are looked at."""


def mismatch(classifier: Classifier, numbers: Sequence[Array]) -> float:
    """How far the channels that reach the first batch norms are from their records; infinitely without any."""
    from classlens.cam.forward import hook_layers

    norms = layers_with(classifier, "running_mean")
    records = {one.name: one.module.state_dict() for one in norms}
    if not any(records[one.name]["running_mean"].any() for one in norms[:LAYERS]):  # M007 looks at those
        return inf
    sums: dict[str, Array] = {}

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        if entering is None or entering.ndim != 4:
            return
        if layer.name not in sums and len(sums) == LAYERS:
            raise Enough
        values = entering.double().transpose(0, 1).flatten(1).cpu().numpy()
        moments = np.stack([np.full(len(values), values.shape[1]), values.sum(axis=1), (values**2).sum(axis=1)])
        sums[layer.name] = sums.get(layer.name, 0) + moments

    alike = [one for one in numbers if one.shape == numbers[0].shape]
    with hook_layers(norms, note):
        for start in range(0, len(alike), BATCH):
            with suppress(Enough):
                run(classifier, alike[start : start + BATCH])
    gaps = []
    for name, (count, first, second) in sums.items():
        mean = first / count
        recorded, known = (records[name][f"running_{what}"].double().cpu().numpy() for what in ("mean", "var"))
        floor = 1e-3 * float(np.median(known)) + 1e-12
        variance, known = np.maximum(second / count - mean**2, floor), np.maximum(known, floor)
        # the squared shift, in recorded deviations, and the squared logarithm of the ratio of variances
        gaps.append(float(np.mean((mean - recorded) ** 2 / known + np.log(variance / known) ** 2)))
    return float(np.mean(gaps)) if gaps else inf


def unlike_splits(inspection: Inspection) -> Iterator[Finding]:
    known = {split: one for split, dataset in inspection.splits.items() if (one := last_encoding(dataset))}
    first = next(iter(known), "")
    for split in list(known)[1:]:
        names = ("order", "white", "mean", "std")
        parts = [(name, getattr(known[first], name), getattr(known[split], name)) for name in names]
        unlike = [(name, one, two) for name, one, two in parts if one != two]
        unlike = [row for row in unlike if row[0] == "order" or not np.allclose(row[1], row[2], rtol=1e-3, atol=1e-4)]
        if unlike:
            evidence = {one: repr(known[one]) for one in (first, split)}
            words = "; ".join(f"{name} {one} and {two}" for name, one, two in unlike)
            message = f"{first} and {split} end in other numbers: {words}"
            yield Finding(message, inspection.place(split), evidence)


def last_encoding(dataset: Dataset) -> Encoding | None:
    """How the pictures are encoded at the end of a pipeline; None where nobody says, or where there is none."""
    for index in spaced(dataset.length, 3):
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


FED: tuple[Need, ...] = ("dataset", "labels", "classifier")
RULES = (
    Rule("F001", "better when fed otherwise", "error", FED, lambda inspection: try_feeds(inspection)[1], """The network
        is right far more often. Tried are colours in the other order, other ranges, means and deviations, grey, height
        and width exchanged, EXIF, other crops, padding, interpolations and sizes, each alone, on up to 500 labelled
        pictures; the worse half is dropped after 32, 64, 128 and 256. It must be better by 3 points, and McNemar's
        exact test, times the number of feeds tried, leave less than 1 % to chance. Why it matters: nothing fails, and
        accuracy is 1 to 40 points lower. Example: trained on what OpenCV reads (BGR), tested on what Pillow reads
        (RGB). Cure: feed the network as it was trained: change the line that the finding names."""),
    Rule("F002", "batch norms that recorded another feed", "warning", (FED[0], FED[2]), unlike_statistics, """Mean and
        variance of every channel are far from `running_mean` and `running_var`, and close if fed otherwise. It needs no
        labels, and says less: so it looks only where none fit, or at most half of the answers, and F001 finds nothing.
        Why it matters: as F001; here nobody can count right answers. Example: `Normalize` left out of a script that
        sorts new pictures. Cure: feed the network as it was trained: change the line that the finding names."""),
    Rule("F003", "splits that are encoded otherwise", "error", ("dataset",), unlike_splits, """Their pipelines end in
        another order of colours, range, mean or deviation. Why it matters: the network is tested on other numbers than
        it is trained with. Example: `Normalize` changed in `train_transform` only; `ToTensor` in one, `PILToTensor` in
        the other. Cure: give both pipelines the same last steps: order of colours, scaling and normalisation."""),
)  # fmt: skip
