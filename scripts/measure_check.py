"""Measure the rules of `classlens check` on planted faults and healthy twins, and write the table in `docs/check.md`.

`python scripts/measure_check.py` prints it, `--write` puts it into the page. The faults are those of `tests/check/`. Run by
the Python of `.venv-peers` it also measures imagededup and cleanvision on the same pairs of pictures.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, process_time

import numpy as np

import classlens

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
PAGE = ROOT / "docs" / "check.md"
BEGIN, END = "<!-- measured: scripts/measure_check.py -->", "<!-- end -->"

Row = tuple[str, ...]


def main() -> int:
    """Measure, then print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/check.md")
    parser.add_argument("--many", type=int, metavar="N", default=0, help="also time N pictures (20,000 take minutes)")
    options = parser.parse_args()
    rows = [row for measure in FAMILIES for row in measure()]
    text = table(("family", "planted faults found", "alarms on healthy twins", "time"), rows)
    text += "\n\n" + table(("duplicates: recall / precision", *PEERS), list(measure_duplicates()))
    if options.many:
        text += f"\n\n{time_many(options.many)}"
    if not options.write:
        print(text)
        return 0
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    return 0


def table(head: Sequence[str], rows: Sequence[Row]) -> str:
    """Rows as Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [tuple(head), ("---",) * len(head), *rows])


def codes(setup: object, select: str) -> set[str]:
    """The codes of what is found in a planted setup."""
    from classlens.check.examine import examine
    from classlens.check.inspection import Inspection
    from classlens.check.rule import choose_rules

    result = examine(Inspection(setup.source(), samples=300), choose_rules([select]))  # type: ignore[attr-defined]
    return {finding.code for finding in result.findings}


def measure_classes() -> Iterator[Row]:
    """Twelve orders of classes, and networks of any skill that know the order."""
    from tests.check.planted import DIGITS, Setup, trained_network
    from tests.check.test_class_rules import FAULTS

    from classlens.check.examine import examine
    from classlens.check.inspection import Inspection
    from classlens.check.rule import choose_rules

    began, named = monotonic(), 0
    for setup, cause in FAULTS.values():
        found = examine(Inspection(setup.source()), choose_rules(["C003"])).findings
        named += len(found) == 1 and cause in found[0].message
    spent = (monotonic() - began) / len(FAULTS)
    twins = [
        Setup(names=DIGITS, network=trained_network(seed, steps)) for seed in range(10) for steps in (0, 3, 10, 30, 120)
    ]
    alarms = sum(bool(codes(twin, "C")) for twin in twins)
    yield "C classes, cause named", f"{named} of {len(FAULTS)}", f"{alarms} of {len(twins)}", f"{spent:.2f} s a setup"


def measure_loaders() -> Iterator[Row]:
    """Loaders that run with their workers: faults of every rule, and healthy ones, eight times each."""
    from tests.check.test_loader_rules import FAULTS, HEALTHY, check

    began, found = monotonic(), 0
    for plant, wanted, words in FAULTS.values():
        findings = check(plant()).findings
        found += [one.code for one in findings] == wanted.split() and words in findings[0].message
    spent, twins = (monotonic() - began) / len(FAULTS), [make for make in HEALTHY.values() for _ in range(8)]
    alarms = sum(bool(check(make()).findings) for make in twins)
    yield "L loader, cause named", f"{found} of {len(FAULTS)}", f"{alarms} of {len(twins)}", f"{spent:.2f} s a loader"


def measure_models() -> Iterator[Row]:
    """Six faults in the weights of a network, and networks from twelve seeds."""
    from copy import deepcopy

    from tests.check.planted import DIGITS, Setup, trained_network
    from tests.check.test_model_rules import FAULTS

    found, began = 0, monotonic()
    for plant, (code, _) in FAULTS.items():
        network = deepcopy(trained_network())
        plant(network)
        found += code in codes(Setup(names=DIGITS, network=network), "M")
    spent = (monotonic() - began) / len(FAULTS)
    twins = [Setup(names=DIGITS, network=trained_network(seed, steps)) for seed in range(12) for steps in (30, 120)]
    alarms = sum(bool(codes(twin, "M")) for twin in twins)
    yield "M model", f"{found} of {len(FAULTS)}", f"{alarms} of {len(twins)}", f"{spent:.2f} s a setup"


def measure_data() -> Iterator[Row]:
    """Faults among thirty pictures, and thirty others without."""
    from tests.check.pictures import tiles
    from tests.check.test_data_rules import FAULTS, found

    pieces, count, began = tiles(), 0, monotonic()
    for plant, (code, _) in FAULTS.items():
        with tempfile.TemporaryDirectory() as folder:
            save(pieces[:30], Path(folder))
            plant(Path(folder))
            count += code in found(Path(folder))
    spent, alarms, twins = (monotonic() - began) / len(FAULTS), 0, 30
    for seed in range(twins):
        random = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory() as folder:
            save([pieces[place] for place in random.permutation(len(pieces))[:30]], Path(folder))
            alarms += bool(found(Path(folder)))
    yield "D data", f"{count} of {len(FAULTS)}", f"{alarms} of {twins}", f"{spent:.2f} s a folder"


def save(pieces: Sequence[object], folder: Path) -> None:
    """Two splits and two classes, as in the tests."""
    for number, piece in enumerate(pieces):
        place = folder / ("val" if number % 3 == 0 else "train") / "ab"[number % 2] / f"{number:02}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        piece.save(place, quality=90)  # type: ignore[attr-defined]


def measure_feeds() -> Iterator[Row]:
    """Twelve ways of feeding three networks otherwise than in training, and twenty fed as they were."""
    from tests.check.test_feed_rules import FAULTS, HEALTHY, NETWORKS, check_feed, is_ranked_first

    for trained in HEALTHY:
        trained.network()
    began = monotonic()
    first = sum(is_ranked_first(network, fault) for network in NETWORKS for fault in FAULTS)
    alarms = sum(bool(check_feed(one.source(one.feed))) for one in HEALTHY)
    count = len(FAULTS) * len(NETWORKS)
    spent = (monotonic() - began) / (count + len(HEALTHY))
    yield (
        "F feed, the cure ranked first",
        f"{first} of {count}",
        f"{alarms} of {len(HEALTHY)}",
        f"{spent:.1f} s a setup",
    )


def measure_runs() -> Iterator[Row]:
    """Faults planted in training scripts of five frameworks, which really train, and healthy scripts."""
    from tests.check.test_run_rules import FAULTS, HEALTHY, LOGS, MMENGINE, findings_of

    named = alarms = 0
    spent = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number, (address, run, settings, *cause) in enumerate([*FAULTS.values(), *HEALTHY.values()]):
            place = Path(folder) / str(number)
            run(place, **settings)
            began = monotonic()
            found = findings_of(address, place)
            spent += monotonic() - began
            named += len(found) == 1 and bool(cause) and found[0].code == cause[0] and cause[1] in found[0].message
            alarms += not cause and bool(found)
    for name, expected in MMENGINE.items():
        config = LOGS / f"{'steps' if name in ('healthy_steps', 'epochs_as_steps') else 'cosine'}.py"
        found = findings_of(str(config), LOGS / f"mmengine_{name}.json", dataset_size=80)
        named += expected is not None and [one.code for one in found] == [expected[0]]
        alarms += expected is None and bool(found)
    healthy = len(HEALTHY) + sum(expected is None for expected in MMENGINE.values())
    faults = len(FAULTS) + len(MMENGINE) + len(HEALTHY) - healthy
    yield (
        "R run, cause named",
        f"{named} of {faults}",
        f"{alarms} of {healthy}",
        f"{spent / len(FAULTS | HEALTHY):.2f} s a log",
    )


FAMILIES: tuple[Callable[[], Iterator[Row]], ...] = (
    measure_loaders,
    measure_feeds,
    measure_classes,
    measure_models,
    measure_data,
    measure_runs,
)
"""One function for each family, which gives its rows of the table."""

Pairs = set[tuple[int, int]]


def pairs_here(folder: Path, count: int) -> Pairs:
    """What Classlens finds."""
    from classlens.dataset.decode import read_image
    from classlens.dataset.near_duplicates import find_pairs, small_copy

    copies = [small_copy(read_image(folder / f"{number:03}.png").pixels) for number in range(count)]
    return {(pair.one, pair.other) for pair in find_pairs(copies)}


def pairs_of_imagededup(folder: Path, count: int) -> Pairs:
    """What its perceptual hash finds with its own threshold."""
    from imagededup.methods import PHash

    found = PHash(verbose=False).find_duplicates(image_dir=str(folder), num_enc_workers=0, num_dist_workers=0)
    return {
        (int(one[:3]), int(other[:3]))
        for one, others in found.items()
        for other in others
        if int(one[:3]) < int(other[:3])
    }


def pairs_of_cleanvision(folder: Path, count: int) -> Pairs:
    """Every two of its sets of exact and near duplicates."""
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(folder))
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=1)
    sets = [one for kind in ("exact_duplicates", "near_duplicates") for one in lab.info[kind]["sets"]]
    numbers = [sorted(int(Path(name).name[:3]) for name in one) for one in sets]
    return {(one, other) for row in numbers for one in row for other in row if one < other}


PEERS: dict[str, Callable[[Path, int], Pairs]] = {
    "classlens": pairs_here,
    "imagededup 0.3.3": pairs_of_imagededup,
    "cleanvision 0.3.7": pairs_of_cleanvision,
}


def measure_duplicates() -> Iterator[Row]:
    """Eight kinds of near duplicates of pictures that have nothing in common."""
    from tests.check.pictures import KINDS, tiles

    pieces = tiles()
    for kind, change in KINDS.items():
        cells = []
        with tempfile.TemporaryDirectory() as name:
            for number, piece in enumerate([*pieces, *map(change, pieces)]):
                piece.save(Path(name) / f"{number:03}.png")
            for package, find in PEERS.items():
                if package != "classlens" and find_spec(package.split()[0]) is None:
                    cells.append("not installed")
                    continue
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    found = find(Path(name), 2 * len(pieces))
                right = {pair for pair in found if pair[1] == pair[0] + len(pieces)}
                precision = f"{len(right) / len(found):.0%}" if found else "-"
                cells.append(f"{len(right) / len(pieces):.0%} / {precision}")
        yield kind, *cells


def time_many(count: int) -> str:
    """How long the data rules take over many pictures of 320 x 240, each mixed of pieces of two photos; 1 % are copies."""
    from PIL import Image as Pillow
    from tests.check.pictures import KINDS, tiles

    from classlens.check.data_rules import twins
    from classlens.check.examine import examine
    from classlens.check.inspection import Inspection
    from classlens.check.rule import choose_rules

    pieces, random = [np.asarray(tile.resize((320, 240))) for tile in tiles(96)], np.random.default_rng(0)
    planted: set[frozenset[str]] = set()
    with tempfile.TemporaryDirectory() as folder:
        picture = Pillow.new("RGB", (320, 240))
        for number in range(count):
            place = Path(folder) / f"class{number % 10}" / f"{number:06}.jpg"
            place.parent.mkdir(exist_ok=True)
            if number % 100 == 99:
                copy = list(KINDS.values())[len(planted) % len(KINDS)](picture)
                copy.save(place, quality=85)
                planted.add(frozenset((place.name, f"{number - 1:06}.jpg")))
                continue
            one, other = (pieces[place] for place in random.integers(0, len(pieces), 2))
            share, (down, right) = random.uniform(0.3, 0.7), random.integers(0, (240, 320))
            mixed = share * np.roll(one, down, 0) + (1 - share) * np.roll(other[:, ::-1], right, 1)
            picture = Pillow.fromarray(mixed.astype(np.uint8))
            picture.save(place, quality=85)
        began, used = monotonic(), process_time()
        inspection = Inspection(classlens.open_source(f"folder:{folder}"))
        examine(inspection, choose_rules(["D"]))
        spent, used = monotonic() - began, process_time() - used
        pairs = {frozenset((Path(str(one)).name, Path(str(other)).name)) for one, other, _ in twins(inspection)}
    found = f"{len(planted & pairs)} of {len(planted)} planted copies found"
    cores = f"{spent:.0f} s on {os.cpu_count()} cores, {used:.0f} s of work"
    return f"All data rules over {count:,} JPEG files of 320 x 240: {cores}; {found}."


if __name__ == "__main__":
    sys.exit(main())
