"""Family C: classes that the data, their splits, and the network do not number alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classlens.check.class_order import NOBODY, SORTINGS, Verdict, judge_order
from classlens.check.finding import Exhibit, Finding
from classlens.check.inspection import Inspection, Predictions
from classlens.check.rule import Rule
from classlens.dataset.conventions import join_first, letters_of
from classlens.dataset.dataset import Dataset
from classlens.errors import NotOffered

SHOWN = 6  # pictures beside a finding, and names in a line
COUNTED = 50_000  # so many labels are looked at in each split
FEW = 5  # pictures that are too few to learn a class from
SHARE = 10  # a tiny class is this many times smaller than the middle one


@dataclass(frozen=True, eq=False)
class Head:
    """How many classes the network tells apart, and their names if anybody says; those of the data beside them."""

    count: int
    names: tuple[str, ...] | None
    of_data: tuple[str, ...] | None
    split: str


def head_of(inspection: Inspection) -> Head:
    """The classes on both sides; NotOffered where weights that training starts from know classes of other data."""

    def look() -> Head:
        import torch

        from classlens.cam.classifier import preserved
        from classlens.cam.forward import logits_of, noise

        classifier, (split, dataset) = inspection.classifier, inspection.held_out
        with preserved(classifier.module), torch.no_grad():
            count = logits_of(classifier, noise(classifier)).shape[1]
        names = classifier.classes
        ours = dataset.classes
        if inspection.checkpoint is None and names and ours and 2 * shared_names(ours, names) < len(ours):
            what = f"the network's own weights are for {len(names)} other classes ({join_first(names, 2)})"
            raise NotOffered(f"{what} than the data's: give the trained checkpoint")
        return Head(count, names, dataset.classes, split)

    return inspection.once("head", look)


def compared(inspection: Inspection) -> Predictions:
    """Predictions for the data's own classes."""
    head_of(inspection)
    return inspection.predictions


def other_number(inspection: Inspection) -> Iterator[Finding]:
    """The head has more or fewer outputs than the data have classes.

    Why it matters: with too few, training stops at the first label outside, or on a GPU at some later line; with too
    many, the rest is never learnt, and answers from there are always wrong.
    Example: `num_classes=1000`, left as it was in the config that one started from, on data of 7 classes.
    Cure: set the number of classes of the head (`model.head.num_classes`) to that of the data.
    """
    head = head_of(inspection)
    if head.of_data and head.count != len(head.of_data):
        yield Finding(
            f"the network tells {head.count} classes apart, the data have {len(head.of_data)}",
            where=f"{inspection.source.origin}, {head.split}",
            evidence={"outputs": head.count, "classes": len(head.of_data)},
        )


def other_names(inspection: Inspection) -> Iterator[Finding]:
    """The checkpoint or the network names the classes in another order than the data, or names others.

    Names that differ only in case, spaces or accents count as the same.

    Why it matters: the number of an answer is looked up in the wrong list; every score and every name is wrong.
    Example: a checkpoint trained from folders sorted by torchvision (class10 before class2), tested on a list that timm
    made (class2 before class10).
    Cure: give both sides the same list of classes, in the same order: the one that the network was trained with.
    """
    head = head_of(inspection)
    if not head.names or not head.of_data or len(head.names) != len(head.of_data):
        return
    alike = [(letters_of(own) or own) in aliases(name) for own, name in zip(head.of_data, head.names, strict=True)]
    if all(alike):
        return
    if 2 * shared_names(head.of_data, head.names) < len(alike):
        raise NotOffered(f"the network names its classes by other words ({join_first(head.names, 2)})")
    first = alike.index(False)
    message = f"{alike.count(False)} of {len(alike)} classes are called otherwise by the network: class {first} is "
    message += f"{head.names[first]!r} there, and {head.of_data[first]!r} in the data"
    if sorted(map(letters_of, head.names)) == sorted(map(letters_of, head.of_data)):
        sorted_by = [how for how, key in SORTINGS.items() if list(head.names) == sorted(head.names, key=key)]
        message += ": it has them in another order" + (f", sorted {sorted_by[0]}" if sorted_by else "")
    evidence = {"classes": len(alike), "differ": alike.count(False)}
    yield Finding(message, where=f"{inspection.source.origin}, {head.split}", evidence=evidence)


def aliases(name: str) -> set[str]:
    """A name as others may write it, and each of several, as in `tench, Tinca tinca`."""
    return {letters_of(part) or part for part in (name, *name.split(","))}


def shared_names(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """How many names on our side are somewhere on theirs."""
    known = set[str]().union(*map(aliases, theirs))
    return sum((letters_of(name) or name) in known for name in ours)


def other_order(inspection: Inspection) -> Iterator[Finding]:
    """The network's answers fit the labels far better if its classes are in another order than the data's.

    Tried are ways of sorting the names (naturally, letter by letter, by case, by Unicode's forms), labels that are
    shifted by one (from the first class on, or from a missing one on), two classes exchanged, the opposite order, and the
    likeliest assignment, fitted to one half of the pictures and judged by the other. An order counts if an exact McNemar
    test, corrected for all that were tried, leaves less than one in a thousand to chance.

    Why it matters: the network is right and scores as if it knew nothing. In training it costs a whole run.
    Example: 1,001 classes with a background in front; a folder that is missing in val, so that all behind it move up.
    Cure: give both sides the same list of classes, in the same order: the one that the network was trained with.
    """
    predictions = compared(inspection)
    _, dataset = inspection.held_out
    heads = predictions.logits.shape[1]
    if predictions.labels.min() < 0:
        raise NotOffered("labels below 0 are no classes")
    verdict = judge_order(predictions.labels, predictions.answers, heads, dataset.classes)
    if verdict is None:
        return
    yield Finding(
        f"{verdict.as_labelled:.0%} of the answers are right as labelled, {verdict.as_ordered:.0%} in another order: "
        f"{verdict.order.cause}",
        where=f"{inspection.source.origin}, {predictions.split}",
        evidence={
            "pictures": verdict.pictures,
            "right as labelled": verdict.as_labelled,
            "right in that order": verdict.as_ordered,
            "right only in that order": verdict.better,
            "right only as labelled": verdict.worse,
            "p": verdict.chance,
        },
        pictures=tuple(show_answers(inspection, predictions, verdict)),
    )


def show_answers(inspection: Inspection, predictions: Predictions, verdict: Verdict) -> Iterator[Exhibit]:
    """Pictures that are answered as the order says, and not as they are labelled, each of another class."""
    _, dataset = inspection.held_out
    wanted = verdict.order.answers[predictions.labels]
    telling = (predictions.answers == wanted) & (wanted != predictions.labels) & (wanted != NOBODY)
    _, first = np.unique(predictions.labels[telling], return_index=True)
    for place in np.flatnonzero(telling)[first][:SHOWN].tolist():
        index, label = int(predictions.indices[place]), int(predictions.labels[place])
        caption = f"{predictions.split} #{index}: labelled {label} ({dataset.class_name(label)}), answer {predictions.answers[place]}"
        yield Exhibit(dataset.to_image(dataset.load(index)), caption)


def counted(inspection: Inspection, split: str, dataset: Dataset) -> Counter[int]:
    """How many pictures of a split have each label."""

    def count() -> Counter[int]:
        labels = (dataset.label(index) for index in range(min(dataset.length, COUNTED)))
        return Counter(label for label in labels if label is not None)

    return inspection.once(f"labels of {split}", count)


def outside(inspection: Inspection) -> Iterator[Finding]:
    """A label that is no class: below 0, or as large as the number of classes, or larger.

    Why it matters: the loss stops with an index error, on a GPU with a device-side assert that names another line.
    Example: labels that count from 1 in an annotation list; a void class numbered 255.
    Cure: count classes from 0, and name as many as there are.
    """
    for split, dataset in inspection.splits.items():
        classes = len(dataset.classes) if dataset.classes else None
        labels = counted(inspection, split, dataset)
        wrong = {
            label: count for label, count in labels.items() if label < 0 or (classes is not None and label >= classes)
        }
        if wrong:
            names = join_first([str(label) for label in sorted(wrong)], SHOWN)
            yield Finding(
                f"{sum(wrong.values())} pictures of {split} are labelled {names}, and classes go from 0 to "
                f"{'any number' if classes is None else classes - 1}",
                where=f"{inspection.source.origin}, {split}",
                evidence={"pictures": sum(wrong.values()), "labels": sorted(wrong)[:SHOWN], "classes": classes},
            )


def unlike_splits(inspection: Inspection) -> Iterator[Finding]:
    """Two splits do not number the same classes alike.

    Why it matters: where a split lacks a folder, all classes behind it move up by one, and the network is tested
    against the wrong labels.
    Example: `train/` has 100 folders and `val/` 99, because no picture of one class was held out.
    Cure: give all splits one list of classes, or make the missing folder, empty.
    """
    named = {split: dataset.classes for split, dataset in inspection.splits.items() if dataset.classes}
    first = next(iter(named), "")
    for split, classes in list(named.items())[1:]:
        if classes == named[first]:
            continue
        missing, other = (
            [name for name in one if name not in set(two)]
            for one, two in ((named[first], classes), (classes, named[first]))
        )
        moved = sum(name in named[first] and classes.index(name) != named[first].index(name) for name in classes)
        parts = [f"{split} lacks {spelled(missing)}"] * bool(missing) + [f"{first} lacks {spelled(other)}"] * bool(
            other
        )
        parts += [f"{moved} classes have other numbers" if moved else "the others have the same numbers"]
        yield Finding(
            f"{first} and {split} list other classes: {'; '.join(parts)}",
            where=f"{inspection.source.origin}, {split}",
            evidence={f"classes of {first}": len(named[first]), f"classes of {split}": len(classes), "moved": moved},
        )


def spelled(names: Sequence[str]) -> str:
    return join_first([repr(name) for name in names], 3)


def empty_classes(inspection: Inspection) -> Iterator[Finding]:
    """A class without a single picture to learn from.

    Why it matters: the network cannot learn it, and its mean accuracy over classes is that of one class fewer.
    Example: a folder of pictures whose ending is not known (.heic), or that was left empty by a failed copy.
    Cure: add pictures, or take the class out of the list.
    """
    train = inspection.splits.get("train")
    if train is None or not train.classes or train.length > COUNTED:
        return
    labels = counted(inspection, "train", train)
    absent = [name for number, name in enumerate(train.classes) if not labels[number]]
    if labels and absent:
        yield Finding(
            f"{len(absent)} of {len(train.classes)} classes have no picture in train: {spelled(absent)}",
            where=f"{inspection.source.origin}, train",
            evidence={"empty": len(absent), "classes": len(train.classes)},
        )


def tiny_classes(inspection: Inspection) -> Iterator[Finding]:
    """A class with fewer than 5 pictures to learn from, where the others have ten times as many.

    Why it matters: the network learns to never answer it, and the overall accuracy does not show that.
    Example: 2 pictures that were sorted into `dgo/` beside 400 in `dog/`.
    Cure: look at the folder: a slip of the pen makes a class of its own. Else add pictures, or leave the class out.
    """
    train = inspection.splits.get("train")
    if train is None or train.length > COUNTED:
        return
    labels = counted(inspection, "train", train)
    middle = float(np.median(list(labels.values()) or [0]))
    tiny: dict[str, Any] = {
        train.class_name(label): count for label, count in labels.items() if count < FEW and count * SHARE <= middle
    }
    if tiny:
        yield Finding(
            f"{len(tiny)} classes have fewer than {FEW} pictures in train, half of the others at least {middle:.0f}: {spelled(list(tiny))}",
            where=f"{inspection.source.origin}, train",
            evidence=dict(list(tiny.items())[:SHOWN]) | {"median": middle},
        )


RULES = (
    Rule("C001", "head of another size", "error", ("dataset", "classifier"), other_number),
    Rule("C002", "classes called otherwise", "error", ("dataset", "classifier"), other_names),
    Rule("C003", "classes in another order", "error", ("dataset", "labels", "classifier"), other_order),
    Rule("C004", "label outside the classes", "error", ("dataset", "labels"), outside),
    Rule("C005", "splits with other classes", "error", ("dataset",), unlike_splits),
    Rule("C006", "class without pictures", "warning", ("dataset", "labels"), empty_classes),
    Rule("C007", "class with hardly any pictures", "warning", ("dataset", "labels"), tiny_classes),
)
