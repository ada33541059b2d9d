"""Family L: a loader that draws less than it seems to, or shows the samples in another way than was meant.

The user's own loader is run with its workers (`loader_run`): what it draws is compared by rank, epoch and worker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING, Any

from classlens.check.finding import Finding
from classlens.check.inspection import UNREADABLE, Inspection, made_once
from classlens.check.rule import Need, Rule
from classlens.dataset.trace import trace
from classlens.errors import count_of, join_first
from classlens.pipelines.copied_generators import copied_generators, find_names, line_that_renews, name_of_generator
from classlens.source import Loading

if TYPE_CHECKING:
    from classlens.check.loader_run import Run

CHANCE = 1e-6  # how likely two sequences of samples may be alike by chance, if that is all there is
FEWEST = 6  # samples in an epoch, below which two shuffled orders may be alike by chance
STRIPS = 8  # traces that show whether a pipeline draws
STILL = 36  # samples that show whether they vary while the global generators stand still
MAKERS = {"default_rng", "RandomState", "Random", "Generator", "manual_seed", "seed"}  # of generators, in a dataset
SEEDS: Mapping[str, str] = {  # how a worker seeds a global generator as torch does
    "random": "random.seed(torch.initial_seed())",
    "numpy.random": "numpy.random.seed(torch.initial_seed() % 2**32)",
    "torch": "torch.manual_seed(torch.initial_seed())",
}
WHERE = {"workers": "in every worker", "epochs": "in every epoch", "ranks": "on every rank"}


@dataclass(frozen=True)
class Repeat:
    """A generator whose draws are alike in all workers, in all epochs, or on all ranks, `kind` first."""

    name: str
    kind: str
    places: str
    evidence: Mapping[str, int]


@made_once
def loading_of(inspection: Inspection) -> Loading:
    return inspection.source.loading()


def run_of(inspection: Inspection, *, is_long: bool = False) -> Run:
    """The run of the loader that all rules look at; a long one where two short ones may be alike by chance."""
    from classlens.check.loader_run import DRAWS, MANY_DRAWS, run_loader

    loading = loading_of(inspection)
    ranks, draws = min(2, max(inspection.gpus, loading.ranks)), MANY_DRAWS if is_long else DRAWS
    return inspection.once(f"loader run of {draws}", lambda: run_loader(loading, ranks=ranks, draws=draws))


def repeat_of(run: Run, name: str = "sample") -> Repeat | None:
    """Where the draws of one generator come again; None where they do not, or where it draws nothing."""
    sequences = run.sequences(name)
    if run.is_stream or not sequences or any(len(set(one)) < 2 for one in sequences.values()):
        return None
    others = {"workers": (0, 0, 1), "epochs": (0, 1, 0), "ranks": (1, 0, 0)}
    alike = tuple(kind for kind, place in others.items() if sequences.get(place) == sequences[0, 0, 0])
    own = [one for (rank, _, _), one in sequences.items() if rank == 0]
    places = " and ".join(WHERE[kind] for kind in alike)
    evidence = {"distinct sequences": len(set(own)), "(epoch, worker) pairs": len(own)}
    return Repeat(name, alike[0], places, evidence) if alike else None


@made_once
def repeats_of(inspection: Inspection) -> Sequence[Repeat]:
    """All generators whose draws come again, and matter to the samples; else the samples, if no generator is known."""
    run = run_of(inspection)
    if len({sample for one in run.sequences().values() for sample in one}) < 2:
        return []
    repeats = [one for one in map(partial(repeat_of, run), run.names) if one]
    if {one.name for one in repeats} - SEEDS.keys() and is_same(run.read_first([0] * STILL)):
        repeats = [one for one in repeats if one.name in SEEDS]  # what varies is not the dataset's own
    of_samples = repeat_of(run)
    if not repeats and of_samples and is_chance(run):
        run = run_of(inspection, is_long=True)
        of_samples = None if is_chance(run) else repeat_of(run)
    return repeats or [one for one in [of_samples] if one]


def is_same(draws: Sequence[Mapping[str, str]]) -> bool:
    return len({one["sample"] for one in draws}) == 1


def is_chance(run: Run) -> bool:
    """Whether two sequences of independent samples could well be alike: they are as likely as their samples are frequent."""
    sequences = run.sequences().values()
    counts = Counter(sample for one in sequences for sample in one)
    alike = sum((count / counts.total()) ** 2 for count in counts.values())
    return len(next(iter(sequences))) * log(alike) > log(CHANCE)


def same_draws(kind: str, inspection: Inspection) -> Iterator[Finding]:
    """Repeated draws of generators that are seeded in every worker: one finding for all of them."""
    of_kind = [one for one in repeats_of(inspection) if one.name in {*SEEDS, "sample"} and one.kind == kind]
    if not of_kind:
        return
    loading, run = loading_of(inspection), run_of(inspection)
    known, because, cure = [one.name for one in of_kind if one.name in SEEDS], "", ""
    names = join_first(known, len(SEEDS)) if known else "a generator that cannot be seen from outside"
    if "seeded" in loading.cures:
        because = ": workers are seeded by their number and rank, whatever the epoch" if kind == "epochs" else ""
        cure = loading.cures["seeded"]
    elif not known:
        cure = "keep the generator where worker_init_fn reaches it, and seed it there with torch.initial_seed()"
    elif getattr(run.loader, "worker_init_fn", None) is not None:
        because = ": worker_init_fn seeds them with the same numbers"
        renewed = "; ".join(SEEDS[name] for name in known)
        cure = f"leave out worker_init_fn, or seed in it from what torch gives the worker: {renewed}"
    elif run.generator is not None:
        because = ": the DataLoader's generator starts at the same state"
        cure = "make the generator once, before the loop over epochs"
        cure = "seed the generator with a number that has the rank in it" if kind == "ranks" else cure
    because += f" ({loading.remade})" if loading.remade else ""
    message = f"the draws of {names} are the same {of_kind[0].places}{because}"
    yield Finding(message, inspection.source.origin, of_kind[0].evidence, cure=cure)


def frozen_generator(inspection: Inspection) -> Iterator[Finding]:
    """Repeated draws of generators that the dataset, or what it holds, has of its own."""
    cures = loading_of(inspection).cures
    holders = {path: holder for holder, path in copied_generators(run_of(inspection).loader.dataset)}
    for repeat in repeats_of(inspection):
        if (path := repeat.name) in SEEDS or path not in holders:
            continue
        who, cure = name_of_generator(holders[path], path), line_that_renews(holders[path], path)
        who = who if who == path else f"{path}, {who}"
        if "copied" in cures:
            who, cure = "Albumentations, which has a generator of its own", cures["copied"]
        distinct, pairs = repeat.evidence.values()
        left = f"{count_of(distinct, 'distinct sequence')} for {pairs} (epoch, worker) pairs"
        message = f"{who}: the draws are the same {repeat.places}: {left}"
        yield Finding(message, inspection.source.origin, repeat.evidence, cure=cure)


def same_order(inspection: Inspection, *, is_sorted: bool = False) -> Iterator[Finding]:
    """One order in all epochs: that of the dataset, or another."""
    run, loading = run_of(inspection), loading_of(inspection)
    order = run.orders[0] if run.orders else ()
    numbers = [int(one) if one.isdecimal() else -1 for one in order]
    is_alike = len(run.orders) > 1 and all(one == order for one in run.orders) and len(order) >= FEWEST
    if loading.assumed or not is_alike or is_sorted != all(one < other for one, other in pairwise(numbers)):
        return
    if is_sorted:
        message = f"training is not shuffled: the samples come as {', '.join(order[:4])}, ... in every epoch"
        cure = loading.cures.get("shuffle", "")
    else:
        sampler = getattr(run.loader.batch_sampler, "sampler", run.loader.sampler)
        because = f" ({loading.remade})" if loading.remade else ""
        message = f"{type(sampler).__name__} gives the samples in the same order in every epoch{because}"
        cure = "let the sampler draw anew: without a seed of its own, or with one that has the epoch in it"
        cure = "call loader.sampler.set_epoch(epoch) before every epoch" if hasattr(sampler, "set_epoch") else cure
        cure = loading.cures.get("order", cure)
    yield Finding(message, inspection.source.origin, {"samples compared": len(order)}, cure=cure)


def last_batch(inspection: Inspection) -> Iterator[Finding]:
    """Batches in an epoch of the loader, against those that the run and its schedule count."""
    run, loading, origin = run_of(inspection), loading_of(inspection), inspection.source.origin
    loader, batch = run.loader, getattr(run.loader, "batch_size", None)
    if run.is_stream or loading.assumed or not batch:
        return
    ranks, steps, samples = max(inspection.gpus, loading.ranks), len(loader), len(loader.dataset)
    if steps == 0:
        message = f"drop_last drops the only batch: {samples} samples on {count_of(ranks, 'GPU')}, batches of {batch}"
        yield Finding(message, origin, {"samples": samples}, cure="set drop_last=False")
    if steps == 0 or "schedule" not in inspection.source.parts:
        return
    clock, length = inspection.curves.clock, inspection.curves.length
    counts = {clock.steps_per_epoch: "the run"}
    if length is not None and length.unit == "step" and clock.epochs and length.count % clock.epochs == 0:
        counts[length.count // clock.epochs] = length.source
    whole, words = samples // (ranks * batch), "dropped" if loader.drop_last else "kept, with fewer samples or padded"
    for counted, who in counts.items():
        if counted is not None and counted != steps and {counted, steps} <= {whole, whole + 1}:
            message = f"the loader gives {steps} batches in an epoch (the last is {words}), and {who} counts {counted}"
            evidence = {"batches of the loader": steps, "batches counted": counted, "samples": samples}
            yield Finding(message, origin, evidence)


def never_varies(inspection: Inspection) -> Iterator[Finding]:
    """One sample at every draw, where something says that its pipeline draws."""
    run = run_of(inspection)
    sequences, because = run.sequences(), ""
    if run.is_stream or any(len(set(one)) > 1 for one in sequences.values()):
        return
    first, second = run.read_first((1, 2))
    seeded = [name for name in SEEDS if first[name] == second[name]]
    makers = sorted(calls_of(run.loader.dataset) & MAKERS)
    is_kept = "what its transforms draw first is kept"
    if len(set(sequences.values())) > 1:  # each worker has its own, and one that is started anew another: chance
        because = is_kept if sequences.get((0, 0, 0)) != sequences.get((0, 1, 0)) else ""
    elif seeded:
        because = f"the dataset seeds {join_first(seeded, 3)} with the same number for every sample"
    elif strips_vary(inspection):
        because = is_kept
    elif makers:
        because = f"{makers[0]} is called for every sample, with the same number"
    draws = sum(map(len, run.draws.values()))
    if because and is_same(run.read_first(range(draws))):
        message = f"a sample is the same at all of {draws} draws: {because}"
        yield Finding(message, inspection.source.origin, {"draws": draws, "different samples": 1})


def calls_of(dataset: Any) -> set[str]:  # noqa: ANN401 - the user's object
    """The names that reading a sample uses: in the dataset's class, and in the functions and objects that it holds."""
    inside = [getattr(type(dataset), "__getitem__", None)]
    for part in getattr(dataset, "__dict__", {}).values():
        inside += [part, *(vars(type(part)).get(name) for name in ("__call__", "forward"))]
    return {name for function in inside for name in find_names(function)}


def strips_vary(inspection: Inspection) -> bool:
    """Whether the pipeline, laid open, gives different pictures at different seeds."""
    try:
        dataset = inspection.source.dataset("train")
        strips = [trace(dataset, 0, seed, keep="last") for seed in range(STRIPS if dataset.stages else 0)]
    except UNREADABLE:
        return False
    return len({one.transformed.image.pixels.tobytes() for one in strips}) > 1


def stream_not_shared(inspection: Inspection) -> Iterator[Finding]:
    run = run_of(inspection)
    sequences = list(run.sequences().values())
    if run.is_stream and len(sequences) > 1 and len(set(sequences)) == 1 and len(set(sequences[0])) > 1:
        workers = run.loader.num_workers
        message = f"every sample of the stream comes {workers} times: each of {workers} workers reads all of it"
        evidence = {"workers": workers, "samples compared": len(sequences[0])}
        yield Finding(message, inspection.source.origin, evidence)


NEED: tuple[Need, ...] = ("loader",)
WORKERS, EPOCHS, RANKS = (partial(same_draws, kind) for kind in WHERE)
SORTED = partial(same_order, is_sorted=True)
RULES = (
    Rule("L001", "same draws in several workers", "error", NEED, WORKERS, """Workers draw alike. Why it matters: their
        pictures are cropped and flipped alike. Example: `worker_init_fn=lambda worker: numpy.random.seed(0)`. Cure:
        leave out what seeds the workers; or seed from `torch.initial_seed()`, which differs by worker and epoch."""),
    Rule("L002", "same draws in several epochs", "error", NEED, EPOCHS, """All epochs draw alike. Why it matters: 300
        epochs see the augmentations of one. Example: `numpy.random.seed(worker)` in `worker_init_fn`; a loader made
        anew with the same seed; `persistent_workers=False` with mmengine, which seeds all epochs alike. Cure: seed
        workers from `torch.initial_seed()`; make the loader once; with mmengine set `persistent_workers=True`."""),
    Rule("L003", "same draws on several ranks", "warning", NEED, RANKS, """Only where there are several, by `--ngpus` or
        a sampler that shares the samples out. Why it matters: the pictures of a batch are augmented alike on all GPUs.
        Example: `generator=torch.Generator().manual_seed(0)` on every rank. Cure: add the rank to the seed."""),
    Rule("L004", "generator frozen at construction", "error", NEED, frozen_generator, """One of the dataset, which torch
        does not seed. Why it matters: all workers draw the same, often in every epoch. Example: `self.rng =
        numpy.random.default_rng()` in `__init__`; a composition of Albumentations 2. Cure: seed it anew in every
        worker, by `worker_init_fn`, from `torch.initial_seed()`."""),
    Rule("L005", "same order in every epoch", "warning", NEED, same_order, """The samples are shuffled once.
        Why it matters: batches are the same for the whole training. Example: a `DistributedSampler` whose `set_epoch`
        nobody calls; a generator seeded alike. Cure: call `loader.sampler.set_epoch(epoch)` before every epoch."""),
    Rule("L006", "training is not shuffled", "warning", NEED, SORTED, """The samples come in the order of the dataset.
        Why it matters: folders are sorted by class, so that a batch has one class: batch norm and gradient follow it.
        Example: `DataLoader(dataset, batch_size=32)`. Cure: `shuffle=True`."""),
    Rule("L007", "last batch counted differently", "warning", NEED, last_batch, """The loader drops or keeps it, and the
        schedule counts otherwise. Why it matters: a schedule of total_steps ends before the run, or long after;
        OneCycleLR stops training. Example: `total_steps=epochs * (len(dataset) // batch_size)` with `drop_last=False`.
        Cure: count with `len(loader)`, which knows of `drop_last` and of the samples that a sampler pads."""),
    Rule("L008", "draws that never vary", "error", NEED, never_varies, """A pipeline that comes to the same random
        parameters for a sample at every draw. Why it matters: augmentation that looks right on one picture adds nothing
        over the epochs. Example: `random.seed(0)` or `default_rng(index)` in `__getitem__`; a cache of augmented
        pictures. Cure: draw from a generator that lives longer than a sample, and seed it once for each worker."""),
    Rule("L009", "stream not shared between workers", "error", NEED, stream_not_shared, """Each reads all.
        Why it matters: epochs are N times as long. Example: no `get_worker_info()`. Cure: in `__iter__`, `info =
        torch.utils.data.get_worker_info()` and `itertools.islice(samples, info.id, None, info.num_workers)`."""),
)  # fmt: skip
