"""Measure the answers of `classlens audit` on planted faults and clean data, and write the tables in `docs/audit-answers.md`.

`python scripts/measure_audit.py` prints them, `--write` puts them into the page, `--only labels` measures one part. The
faults are those of `tests/audit/planted.py`, in 5,000 digits of MNIST. Cleanlab is measured where it is installed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from time import process_time

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
PAGE = ROOT / "docs" / "audit-answers.md"

Row = tuple[str, ...]


def main() -> int:
    """Measure, then print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/audit-answers.md")
    parser.add_argument("--only", choices=tuple(PARTS), help="measure one part")
    parser.add_argument("--networks", type=int, default=12, metavar="N", help="clean networks of each kind")
    options = parser.parse_args()
    for part in [options.only] if options.only else PARTS:
        heading, measure = PARTS[part]
        rows = [heading, ("---",) * len(heading)]
        for row in measure(options.networks):
            rows.append(row)
            print(part, *row, sep=" | ", file=sys.stderr, flush=True)
        text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        if not options.write:
            print(f"{text}\n")
            continue
        begin, end = f"<!-- measured: {part} -->", "<!-- end -->"
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
        PAGE.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
    return 0


def answer(source: object, name: str, *, others: object = None) -> object:
    """The answer to one question about the `val` split of a source; `others` is the audit of `train` for leaks."""
    from classlens.audit import audit
    from classlens.audit.answers import Inquiry, answers
    from classlens.audit.subject import open_subject
    from classlens.audit.wishes import AuditOptions

    with tempfile.TemporaryDirectory() as folder:
        audit(source, f"{folder}/val")  # type: ignore[arg-type]
        if others:
            audit(source, f"{folder}/train", options=AuditOptions(phase="train", methods=[]))  # type: ignore[arg-type]
        subject = open_subject(source.dataset("val"), source.classifier())  # type: ignore[attr-defined]
        other = f"{folder}/train" if others else None
        return answers(Inquiry(f"{folder}/val", subject, source.dataset("train"), other), [name]).given[0]  # type: ignore[attr-defined]


def measure_labels(networks: int) -> Iterator[Row]:
    """Three kinds of noise; networks that have learnt it by heart, and some stopped before that."""
    from sklearn.metrics import average_precision_score
    from tests.audit.planted import digits, probabilities, train, wrong_labels

    pictures, labels = digits()
    halves = [train(pictures[at::2], labels[at::2], 6, "deep", seed=90 + at) for at in (0, 1)]
    doubts = np.empty((len(labels), 10))
    for at in (0, 1):
        doubts[1 - at :: 2] = probabilities(halves[at], pictures[1 - at :: 2])
    for kind, epochs in (
        ("uniform", 20),
        ("pairs", 20),
        ("confusable", 20),
        ("uniform", 4),
        ("pairs", 4),
        ("none", 20),
    ):
        given = labels if kind == "none" else wrong_labels(labels, kind, doubts=doubts)
        wrong, began = given != labels, process_time()
        network = train(pictures, given, epochs, "deep")
        trained, began = process_time() - began, process_time()
        margin, doubtful = judge_labels(network, pictures, given)
        spent = process_time() - began
        cells = [f"{kind}, {epochs} epochs"]
        if kind == "none":
            yield (
                *cells,
                "",
                "",
                "",
                "",
                f"{trained:.0f} s + {spent:.0f} s",
                f"{len(doubtful)} of {len(labels)} named",
            )
            continue
        in_sample = probabilities(network, pictures)
        began, held_out = process_time(), np.empty_like(in_sample)
        folds = np.arange(len(labels)) % 5
        for fold in range(5):
            model = train(pictures[folds != fold], given[folds != fold], epochs, "deep", seed=fold)
            held_out[folds == fold] = probabilities(model, pictures[folds == fold])
        folded = process_time() - began
        scores = [cleanlab_scores(given, one) for one in (in_sample, held_out)]
        found = [f"{average_precision_score(wrong, -one):.3f}" for one in (margin, *scores)]
        hits = wrong[doubtful].sum()
        named = f"{len(doubtful)} named, {hits / max(len(doubtful), 1):.0%} of them wrong, {hits / wrong.sum():.0%} of the wrong ones"
        right = f"{(in_sample.argmax(1) == given).mean():.1%}"
        yield (*cells, right, *found, f"{spent:.0f} s, 5-fold {folded:.0f} s", named)


def judge_labels(network: object, pictures: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """How far every label is ahead, and those named."""
    from tests.audit.planted import source_of

    from classlens.audit import audit
    from classlens.audit.answers import Inquiry
    from classlens.audit.label_errors import believe, find_doubtful, look, margins
    from classlens.audit.subject import open_subject
    from classlens.audit.wishes import AuditOptions

    source = source_of(network, pictures, labels)
    with tempfile.TemporaryDirectory() as folder:
        audit(source, folder, options=AuditOptions(number=64))  # names the layer of maps; the rest is asked again
        inquiry = Inquiry(folder, open_subject(source.dataset("val"), source.classifier()))
        _, features, shares = look(inquiry, list(range(len(labels))))
    belief = believe(features, shares, labels)
    return margins(belief, labels), find_doubtful(belief, labels)


def cleanlab_scores(labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Cleanlab's quality of labels, self confidence by default; that itself where it is not installed."""
    if find_spec("cleanlab"):
        from cleanlab.rank import get_label_quality_scores

        return np.asarray(get_label_quality_scores(labels, shares))
    return shares[np.arange(len(labels)), labels]


def measure_shortcuts(networks: int) -> Iterator[Row]:
    """Planted shortcuts in networks with two kinds of heads, and clean networks."""
    from tests.audit.planted import digits, source_of, train, with_shortcut

    pictures, labels = digits()
    for head, epochs in (("flat", 4), ("pooled", 6)):
        for kind in ("stamp", "border", "tint", "clean"):
            seeds = range(networks if kind == "clean" else max(1, networks // 4))
            named, wrong, said = 0, 0, []
            for seed in seeds:
                label = (3 + 2 * seed) % 10
                shown = with_shortcut(pictures, labels, kind, label=label, seed=seed)
                network = train(shown[:3000], labels[:3000], epochs, head, seed=seed)
                found = answer(source_of(network, shown[3000:], labels[3000:]), "shortcuts")
                causes = [row for row in found.table if row["verdict"] == "shortcut"]  # type: ignore[attr-defined]
                from tests.audit.planted import NAMES

                own = [row for row in causes if kind != "clean" and row["class"] == NAMES[label]]
                named, wrong = named + bool(own), wrong + len(causes) - len(own)
                said += [f"{row['place']} {row['turned']:.0%} against {row['random']:.0%}" for row in own]
            yes = "" if kind == "clean" else f"{named} of {len(seeds)}"
            yield (
                f"{kind}, {head} head",
                yes,
                f"{wrong} of {10 * len(seeds) - (kind != 'clean') * len(seeds)}",
                "; ".join(said),
            )


def measure_leaks(networks: int) -> Iterator[Row]:
    """Copies of training pictures among those of validation, and none."""
    from tests.audit.planted import copies_of, digits, train

    pictures, labels = digits()
    network = train(pictures[:3000], labels[:3000], 4)
    for kind in ("exact", "brighter", "recompressed", "noisy"):
        hits = leaks(network, pictures, labels, copies_of(pictures[:40], kind))
        yield f"40 copies, {kind}", f"{len(hits & set(range(40)))} of 40", f"{len(hits - set(range(40)))} of 1960"
    wrong = sum(map(bool, leaks_of_divisions(network, pictures, labels, networks)))
    yield f"none, {networks} other divisions", "", f"{wrong} of {networks} verdicts"


def leaks(network: object, pictures: np.ndarray, labels: np.ndarray, copies: np.ndarray) -> set[int]:
    """Which of the last 2,000 pictures are said to be among the first 3,000, with copies of these in front of them."""
    from tests.audit.planted import source_of

    number = len(copies)
    shown = np.concatenate([copies, pictures[3000 + number :]])
    given = np.concatenate([labels[:number], labels[3000 + number :]])
    source = source_of(network, shown, given, (pictures[:3000], labels[:3000]))
    return {row["index"] for row in answer(source, "leaks", others=True).table}  # type: ignore[attr-defined]


def leaks_of_divisions(network: object, pictures: np.ndarray, labels: np.ndarray, number: int) -> list[set[int]]:
    """The same of the pictures in other orders, without copies."""
    orders = [np.random.default_rng(seed).permutation(5000) for seed in range(number)]
    return [leaks(network, pictures[order], labels[order], pictures[:0]) for order in orders]


def measure_copies(networks: int) -> Iterator[Row]:
    """A thousand copies of several kinds, in digits on two grounds, as several networks see them."""
    from tests.audit.planted import copies_of, digits, train

    kinds = [("recompressed", 80), ("recompressed", 50), ("recompressed", 30), ("noisy", 0), ("resized", 0)]
    for ground, head, epochs in (
        ("black", "flat", 4),
        ("black", "pooled", 6),
        ("black", "deep", 20),
        ("noisy grey", "flat", 4),
    ):
        pictures, labels = digits(ground=ground != "black")
        network = train(pictures[:3000], labels[:3000], epochs, head)
        copies = [copies_of(pictures[:1000], *kind) for kind in kinds]
        found = [len(leaks(network, pictures, labels, one) & set(range(1000))) for one in copies]
        named = leaks_of_divisions(network, pictures, labels, networks)
        clean = f"{sum(map(len, named))} of {2000 * networks:,}", f"{sum(map(bool, named))} of {networks}"
        yield f"on {ground}, {head} head", *(f"{one / 1000:.1%}" for one in found), *clean


def measure_cuts(networks: int) -> Iterator[Row]:
    """Crops of several sizes, and what changes colours only."""
    from tests.audit.planted import crop_stage, digits, source_of, train

    pictures, labels = digits()
    network = train(pictures[:3000], labels[:3000], 4)
    for low, high in ((0.02, 0.06), (0.05, 0.15), (0.08, 1.0), (0.35, 1.0), (0.5, 1.0)):
        source = source_of(network, pictures[3000:4000], labels[3000:4000], stages=[crop_stage(low, high)])
        found = answer(source, "cuts")
        yield f"crops of {low:.0%} to {high:.0%} of the area", "yes" if found.is_trouble else "no", found.verdict  # type: ignore[attr-defined]


PARTS: dict[str, tuple[Row, Callable[[int], Iterator[Row]]]] = {
    "labels": (
        ("noise, 10 %", "labels learnt", "AUPRC: classlens", "cleanlab in-sample", "cleanlab 5-fold", "CPU time", "named"),
        measure_labels,
    ),
    "shortcuts": (("planted", "class named", "other classes named", "place, pictures turned against random"), measure_shortcuts),
    "leaks": (("planted", "found", "false"), measure_leaks),
    "copies": (
        ("digits, network", "JPEG 80", "JPEG 50", "JPEG 30", "noise of 4 levels", "resized to 32 and back", "clean: pictures named", "clean: divisions with one"),
        measure_copies,
    ),
    "cuts": (("pipeline", "trouble", "verdict"), measure_cuts),
}  # fmt: skip

if __name__ == "__main__":
    raise SystemExit(main())
