"""Family C: classes that the data, their splits, and the network do not number alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from classlens.check.class_order import NOBODY, SORTINGS, Verdict, judge_order
from classlens.check.finding import Exhibit, Finding
from classlens.check.inspection import Inspection, Predictions, made_once, run
from classlens.check.rule import Need, Rule
from classlens.dataset.conventions import letters_of
from classlens.errors import NotOffered, join_first

SHOWN = 6  # pictures beside a finding, and names in a line
COUNTED = 50_000  # so many labels are looked at in each split
FEW = 5  # pictures that are too few to learn a class from
SHARE = 10  # a tiny class is this many times smaller than the middle one


@made_once
def outputs_of(inspection: Inspection) -> int:
    """How many classes the network tells apart; NotOffered if weights that training starts from know those of other data."""
    from classlens.cam.forward import noise

    names, ours = inspection.classifier.classes, inspection.held_out[1].classes
    if inspection.checkpoint is None and names and ours and 2 * shared_names(ours, names) < len(ours):
        what = f"the network's own weights are for {len(names)} other classes ({join_first(names, 2)})"
        raise NotOffered(f"{what} than the data's: give the trained checkpoint")
    return len(run(inspection.classifier, list(noise(inspection.classifier).cpu().numpy()))[0])


def other_number(inspection: Inspection) -> Iterator[Finding]:
    ours, outputs = inspection.held_out[1].classes, inspection.source.outputs
    if outputs is None or inspection.checkpoint:
        outputs = outputs_of(inspection)
    if ours and outputs != len(ours):
        words = f"the network tells {outputs} classes apart, the data have {len(ours)}"
        yield Finding(words, inspection.place(), {"outputs": outputs, "classes": len(ours)})


def other_names(inspection: Inspection) -> Iterator[Finding]:
    """The names on both sides, one by one; if they are the same in another order, how theirs are sorted."""
    outputs_of(inspection)
    theirs, ours = inspection.classifier.classes or (), inspection.held_out[1].classes or ()
    alike = [bool(aliases(own) & aliases(name)) for own, name in zip(ours, theirs, strict=False)]
    if all(alike) or len(ours) != len(theirs):
        return
    if 2 * shared_names(ours, theirs) < len(alike):
        raise NotOffered(f"the network names its classes by other words ({join_first(theirs, 2)})")
    first, differ = alike.index(False), alike.count(False)
    message = f"{differ} of {len(alike)} classes are called otherwise by the network: class {first} is "
    message += f"{theirs[first]!r} there, and {ours[first]!r} in the data"
    if sorted(map(letters_of, theirs)) == sorted(map(letters_of, ours)):
        sorted_by = [how for how, key in SORTINGS.items() if list(theirs) == sorted(theirs, key=key)]
        message += ": it has them in another order" + (f", sorted {sorted_by[0]}" if sorted_by else "")
    yield Finding(message, inspection.place(), {"classes": len(alike), "differ": differ})


def aliases(name: str) -> set[str]:
    """A name as others may write it, and each of several, as in `tench, Tinca tinca`."""
    return {letters_of(part) or part for part in (name, *name.split(","))}


def shared_names(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """How many names on our side are somewhere on theirs."""
    known = set[str]().union(*map(aliases, theirs))
    return sum((letters_of(name) or name) in known for name in ours)


def other_order(inspection: Inspection) -> Iterator[Finding]:
    outputs_of(inspection)
    predictions = inspection.predictions
    if predictions.labels.min() < 0:
        raise NotOffered("labels below 0 are no classes")
    names, outputs = inspection.held_out[1].classes, predictions.logits.shape[1]
    if verdict := judge_order(predictions.labels, predictions.answers, outputs, names):
        message = (
            f"{verdict.numbers['right as labelled']:.0%} of the answers are right as labelled, {verdict.share:.0%} "
        )
        message += f"in another order: {verdict.order.cause}"
        shown = tuple(show_answers(inspection, predictions, verdict))
        yield Finding(message, inspection.place(), verdict.numbers, shown)


def show_answers(inspection: Inspection, predictions: Predictions, verdict: Verdict) -> Iterator[Exhibit]:
    """Pictures that are answered as the order says, and not as they are labelled, each of another class."""
    split, dataset = inspection.held_out
    wanted = verdict.order.answers[predictions.labels]
    telling = (predictions.answers == wanted) & (wanted != predictions.labels) & (wanted != NOBODY)
    _, first = np.unique(predictions.labels[telling], return_index=True)
    for place in np.flatnonzero(telling)[first][:SHOWN].tolist():
        index, label, answer = (int(of[place]) for of in (predictions.indices, predictions.labels, predictions.answers))
        caption = f"{split} #{index}: labelled {label} ({dataset.class_name(label)}), answer {answer}"
        yield Exhibit(dataset.to_image(dataset.load(index)), caption)


def counted(inspection: Inspection, split: str) -> Counter[int]:
    """How many pictures of a split have each label."""
    dataset = inspection.splits[split]
    labels = (dataset.label(index) for index in range(min(dataset.length, COUNTED)))
    return inspection.once(f"labels of {split}", lambda: Counter(label for label in labels if label is not None))


def outside(inspection: Inspection) -> Iterator[Finding]:
    for split, dataset in inspection.splits.items():
        labels, classes = counted(inspection, split), len(dataset.classes) if dataset.classes else None
        wrong = sorted(label for label in labels if label < 0 or (classes is not None and label >= classes))
        if wrong:
            pictures, last = sum(labels[one] for one in wrong), "any number" if classes is None else classes - 1
            spelled = join_first(list(map(str, wrong)), SHOWN)
            message = f"{pictures} pictures of {split} are labelled {spelled}, and classes go from 0 to {last}"
            evidence = {"pictures": pictures, "labels": wrong[:SHOWN], "classes": classes}
            yield Finding(message, inspection.place(split), evidence)


def unlike_splits(inspection: Inspection) -> Iterator[Finding]:
    """What each split lacks of the first one's classes, and the first of its; and how many have other numbers."""
    named = {split: dataset.classes for split, dataset in inspection.splits.items() if dataset.classes}
    first, ours = next(iter(named.items()), ("", ()))
    for split, theirs in named.items():
        if theirs == ours:
            continue
        moved = sum(name in ours and theirs.index(name) != ours.index(name) for name in theirs)
        pairs = ((split, ours, set(theirs)), (first, theirs, set(ours)))
        lacks = {one: [name for name in names if name not in known] for one, names, known in pairs}
        parts = [f"{one} lacks {in_quotes(missing)}" for one, missing in lacks.items() if missing]
        parts += [f"{moved} classes have other numbers" if moved else "the others have the same numbers"]
        numbers = {f"classes of {first}": len(ours), f"classes of {split}": len(theirs), "moved": moved}
        yield Finding(f"{first} and {split} list other classes: {'; '.join(parts)}", inspection.place(split), numbers)


def in_quotes(names: Sequence[str]) -> str:
    return join_first(list(map(repr, names)), 3)


def labels_of_training(inspection: Inspection) -> Counter[int]:
    """How many pictures of train have each label; nothing if there are too many to look at."""
    train = inspection.splits.get("train")
    return counted(inspection, "train") if train and train.length <= COUNTED else Counter()


def empty_classes(inspection: Inspection) -> Iterator[Finding]:
    labels = labels_of_training(inspection)
    classes = (inspection.splits["train"].classes or ()) if labels else ()
    if absent := [name for number, name in enumerate(classes) if not labels[number]]:
        message = f"{len(absent)} of {len(classes)} classes have no picture in train: {in_quotes(absent)}"
        yield Finding(message, inspection.place("train"), {"empty": len(absent), "classes": len(classes)})


def tiny_classes(inspection: Inspection) -> Iterator[Finding]:
    labels = labels_of_training(inspection)
    middle = float(np.median(list(labels.values()) or [0]))
    few = [(label, count) for label, count in labels.items() if count < FEW and count * SHARE <= middle]
    if counts := {inspection.splits["train"].class_name(label): count for label, count in few}:
        message = f"{len(counts)} classes have fewer than {FEW} pictures in train, "
        message += f"half of the others at least {middle:.0f}: {in_quotes(list(counts))}"
        yield Finding(message, inspection.place("train"), dict(list(counts.items())[:SHOWN]) | {"median": middle})


BOTH: tuple[Need, ...] = ("dataset", "classifier")
ALL: tuple[Need, ...] = ("dataset", "labels", "classifier")
DATA: tuple[Need, ...] = ("dataset", "labels")
RULES = (
    Rule("C001", "head of another size", "error", BOTH, other_number, """More or fewer outputs than classes in the data.
        Why it matters: too few stop training; answers from too many are wrong. Example: `num_classes=1000` and data of
        7 classes. Cure: set the number of classes of the head (`model.head.num_classes`) to that of the data."""),
    Rule("C002", "classes called otherwise", "error", BOTH, other_names, """The network names other classes than the
        data, or in another order; case, spaces and accents do not count. Why it matters: answers are looked up in the
        wrong list. Example: torchvision's list (class10 before class2), and timm's (class2 first). Cure: give both
        sides the same list of classes, in the same order: the one that the network was trained with."""),
    Rule("C003", "classes in another order", "error", ALL, other_order, """The answers fit another order far better.
        Tried are ways of sorting the names (naturally, letter by letter, by case, by Unicode's forms), labels shifted
        by one (from the first class on, or a missing one), two classes exchanged, the opposite order, and the likeliest
        assignment, fitted to one half of the pictures. McNemar's exact test, corrected for all that were tried, must
        leave less than one in a thousand to chance. Why it matters: the network is right and scores as if it knew
        nothing. Example: 1,001 classes with a background in front; a folder that is missing in val. Cure: give both
        sides the same list of classes, in the same order: the one that the network was trained with."""),
    Rule("C004", "label outside the classes", "error", DATA, outside, """Below 0, or not below the number of classes.
        Why it matters: the loss stops with an index error, on a GPU with an assert elsewhere. Example: a list that
        counts from 1; a void class 255. Cure: count classes from 0, and name as many as there are."""),
    Rule("C005", "splits with other classes", "error", ("dataset",), unlike_splits, """Splits that number classes
        otherwise. Why it matters: behind a missing folder all classes move up, and the network is tested against wrong
        labels. Example: 99 folders in `val/`. Cure: give all splits one list of classes, or make the missing folder."""),
    Rule("C006", "class without pictures", "warning", DATA, empty_classes, """Nothing to learn it from. Why it matters:
        the mean accuracy over classes is that of one class fewer. Example: pictures whose ending is not known (.heic);
        a folder left empty by a failed copy. Cure: add pictures, or take the class out of the list."""),
    Rule("C007", "class with hardly any pictures", "warning", DATA, tiny_classes, """Fewer than 5, a tenth of the
        others. Why it matters: it is never answered. Example: `dgo/` beside `dog/`. Cure: look at the folder: a slip of
        the pen makes a class of its own. Else add pictures, or leave the class out."""),
)  # fmt: skip
