"""Audit a dataset by its address: what `classlens audit` does, from Python.

    run = classlens.run_audit(classlens.AuditRequest("demo", "out/audit"))
    print(classlens.draw(run))

Shards of rows are handed out by number: to this process, to processes of this machine, or to those of a Ray cluster. On
a CPU each of them decodes and computes, on one thread; on a GPU the network has a process of its own, and others decode
for it. Whoever is killed leaves shards that are missing, and no others; the same command makes those.
"""

from __future__ import annotations

import pickle
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

from classlens.adapters import Options, open_source
from classlens.audit.carry_out import ANSWERS, REPORT, Audit, conclude, make_here
from classlens.audit.fed import Fed, Prepare, Read, as_it_is, feed, prepare_here
from classlens.audit.place import Place
from classlens.audit.wishes import AuditOptions, Recipe
from classlens.dataset.dataset import Dataset
from classlens.errors import ClasslensError, DataError, NotOffered, count_of
from classlens.files import limit
from classlens.runs.browse_samples import SampleResult
from classlens.runs.own_process import (
    Notify,
    Progress,
    allow_seconds,
    collecting_later,
    describe_duration,
    holding,
    silent,
    until_stopped,
)
from classlens.runs.processes import (
    MOST_WORKERS,
    PACKED,
    DatasetSpec,
    count_cores,
    new_pool,
    open_remembered,
    run_job,
)

if TYPE_CHECKING:
    from classlens.audit.answers import Answers
    from classlens.audit.manifest import Manifest
    from classlens.audit.measure import Questions

WORTHWHILE = 256  # pictures from which on processes are started for them
TRIES = 5  # how often a process may die over the same shard


@dataclass(frozen=True)
class AuditRequest:
    """What is audited, and by whom.

    `target` is an address, `output` a folder or an address of one, `data` an address whose pictures are taken instead of
    the target's. `workers` are processes; 0 works in this one, None takes what the machine has if there is much to do.
    `ray` is the address of a Ray cluster, or "auto", which starts one on this machine unless RAY_ADDRESS names one. With
    `retry_failed` rows with an error are made again.
    """

    target: str
    output: str
    checkpoint: str | None = None
    data: str | None = None
    options: Options = field(default_factory=Options)
    wishes: AuditOptions = field(default_factory=AuditOptions)
    workers: int | None = None
    ray: str | None = None
    retry_failed: bool = False


@dataclass(frozen=True)
class AuditSpec:
    """How another process opens the audit that `manifest` is about, with the `pictures` as they were found."""

    request: AuditRequest
    manifest: Manifest
    pictures: DatasetSpec

    def open(self) -> OpenAudit:
        """The same audit, here.

        Raises:
            DataError: what is opened here is something else; says what differs.
        """
        opened = open_audit(self.request, pictures=self.pictures)
        if lines := self.manifest.differences(opened.spec.manifest):
            raise DataError(f"this process finds another setup than the one that started it: {'; '.join(lines[:3])}")
        return opened


@dataclass(frozen=True)
class OpenAudit:
    """An audit ready to go on: what is asked, the folder of its rows, and what another process needs to open it."""

    questions: Questions
    place: Place
    spec: AuditSpec

    def with_read(self, read: Read) -> OpenAudit:
        return replace(self, questions=replace(self.questions, subject=replace(self.questions.subject, read=read)))

    def with_decoders(self, decoders: int) -> OpenAudit:
        """The same, with pictures decoded in so many other processes: one that crashes costs one picture."""
        subject, spec = self.questions.subject, self.spec.pictures
        prepare = subject.classifier.prepare
        return self.with_read(partial(read_apart, subject.dataset, spec, prepare, subject.seed, decoders))

    def make(self, shards: Iterable[int]) -> Iterator[int]:
        """Make shards here; gives how many rows were made after each."""
        from classlens.audit.shards import portion_of

        portions = (portion_of(self.place, self.spec.manifest, one) for one in shards)
        several = [one for one in portions if one.asked != frozenset()]
        yield from make_here(self.questions, self.spec.manifest, self.place, several)


def open_audit(request: AuditRequest, *, pictures: DatasetSpec | None = None, on_note: Notify = silent) -> OpenAudit:
    """Open the network and the pictures of a request; `pictures` are those that another process found."""
    with collecting_later("torch"):
        from classlens.audit.preparation import prepare_audit

    source = open_source(request.target, options=request.options)
    other = open_source(request.data, options=request.options) if request.data else source
    for note in dict.fromkeys((*source.notes, *other.notes)):
        on_note("note", note)
    if other.open_dataset is None:
        raise NotOffered(f"{other.origin} has no pictures", hint="--data ADDRESS names some, e.g. folder:photos")
    if pictures is None:
        dataset, pictures = open_remembered(
            request.data or request.target, other, request.wishes.phase, request.options
        )
    else:
        dataset = pictures.open()
    recipe = Recipe(request.target, request.data, request.checkpoint, dict(request.options.overrides))
    questions, manifest = prepare_audit(recipe, dataset, source.classifier(request.checkpoint), request.wishes)
    for note in questions.subject.notes:
        on_note("note", note)
    return OpenAudit(questions, Place(request.output), AuditSpec(request, manifest, pictures))


def feed_sample(
    dataset: Dataset, index: int, seed: int, killed: SampleResult | None, *, prepare: Prepare = as_it_is
) -> Callable[[], Fed]:
    """A job of `run_job`: one picture as the network is fed it, or as it was read; or why there is none."""
    fed = Fed(index, None, killed.path, error=killed.error) if killed else feed(dataset, prepare, seed, index)
    return lambda: fed


def read_apart(
    dataset: Dataset, spec: DatasetSpec, prepare: Prepare, seed: int, decoders: int, indices: Iterable[int]
) -> Iterator[Fed]:
    """Pictures decoded in other processes; prepared there, too, if `prepare` can be sent."""
    job = partial(feed_sample, prepare=prepare)
    here: Prepare = as_it_is
    try:
        pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError):  # a function that is made inside another one
        job, here = partial(feed_sample), prepare
    samples = ((index, seed) for index in indices)
    for fed in run_job(job, dataset, spec, samples, total=0, workers=decoders):
        yield prepare_here(fed, here)


def run_audit(request: AuditRequest, *, on_note: Notify = silent, progress: Progress = silent) -> Audit:
    """Make the rows that are missing, and sum up all.

    `on_note` is called with "note" and what the user should know, `progress` with "pictures", how many are done of those
    that were missing, and how many were. A run that is stopped keeps the shards that are whole.

    Raises:
        DataError: the folder holds an audit of another setup, or cannot be written.
        ClasslensError: something cannot be opened.
    """
    opened = open_audit(request, on_note=on_note)
    from classlens.audit.shards import begin, find_failed, find_missing

    place, manifest = opened.place, opened.spec.manifest
    begin(place, manifest)
    shards = find_missing(place, manifest)
    if request.retry_failed:
        shards = sorted({*shards, *find_failed(place, manifest)})
    made, total = 0, sum(len(manifest.rows_of(one)) for one in shards)
    try:
        for rows in hand_out(opened, shards):
            made += rows
            progress("pictures", made, total)
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"stopped, {made:,} of {count_of(total, 'picture')} done; the same command goes on")
        raise
    progress("pictures", total, total)
    return conclude(opened.questions, manifest, place, made)


@dataclass(frozen=True)
class Estimate:
    """What an audit will take, from a few of its batches: seconds to open it, seconds a picture in one process, and bytes."""

    pictures: int
    workers: int
    seconds_to_open: float
    seconds_each: float
    bytes_each: float

    def __str__(self) -> str:
        """One line."""
        seconds = self.seconds_to_open + self.pictures * self.seconds_each / max(1, self.workers)
        each = f"{1000 * self.seconds_each:.0f} ms each in one process"
        start = f"{describe_duration(self.seconds_to_open)} to start"
        by = f"with {count_of(self.workers, 'process')}" if self.workers else "in this process"
        size = f"{self.pictures * self.bytes_each / 1e6:,.1f} MB of rows"
        pictures = count_of(self.pictures, "picture")
        return f"{start}, {pictures}, {each}: about {describe_duration(seconds)} {by}, {size}"


def estimate_audit(request: AuditRequest, *, on_note: Notify = silent) -> Estimate:
    """Ask about a few batches, and write nothing."""
    begun = monotonic()
    opened = open_audit(request, on_note=on_note)
    from classlens.audit.shards import make_sample

    ready, manifest = monotonic(), opened.spec.manifest
    pictures, size = make_sample(opened.questions, manifest)
    each = (monotonic() - ready) / pictures
    workers = count_workers(request, manifest)
    return Estimate(manifest.pictures, workers, ready - begun, each, size / pictures)


def count_workers(request: AuditRequest, manifest: Manifest) -> int:
    """How many processes work on an audit; 0 for this one alone, or on a GPU those that decode."""
    if request.workers is not None:
        return request.workers
    is_small = manifest.pictures < WORTHWHILE and manifest.device.startswith("cpu") and request.ray is None
    return 0 if is_small else min(count_cores(), MOST_WORKERS)


def hand_out(opened: OpenAudit, shards: Sequence[int]) -> Iterator[int]:
    """Have shards made by whoever the request says; gives how many rows were made after each."""
    request = opened.spec.request
    if not shards:
        return
    if request.ray is not None:
        from classlens.runs.audit_cluster import make_in_cluster

        yield from make_in_cluster(opened.spec, shards)
        return
    workers = count_workers(request, opened.spec.manifest)
    if workers and opened.spec.manifest.device.startswith("cpu"):
        yield from make_in_processes(opened.spec, shards, workers)
    else:
        yield from (opened.with_decoders(workers) if workers else opened).make(shards)


def make_in_processes(spec: AuditSpec, shards: Sequence[int], workers: int) -> Iterator[int]:
    """Shards from a pool of processes, which is made anew when one of them is killed.

    What was in flight then is made again with pictures decoded apart: it may have been a decoder that crashed.
    """
    from concurrent.futures import FIRST_COMPLETED, wait

    packed, left, deaths = pickle.dumps(spec), dict.fromkeys(shards), Counter[int]()
    while left:
        waiting, flying = iter(tuple(left)), dict[Any, int]()
        with new_pool(packed, workers) as pool, suppress(BrokenExecutor):
            while left:
                for shard in islice(waiting, workers + 1 - len(flying)):
                    with holding((signal.SIGINT,)):  # a process that is started here never gets it
                        flying[pool.submit(make_in_worker, shard, deaths[shard] > 0)] = shard
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    answer = future.result()
                    del left[flying.pop(future)]
                    if isinstance(answer, DataError):
                        raise answer
                    yield answer
        deaths.update(flying.values())
        if deaths and max(deaths.values()) >= TRIES:
            rows = spec.manifest.rows_of(deaths.most_common(1)[0][0])
            hint = "a kernel that runs out of memory kills: fewer --workers, or a smaller --batch-size"
            raise DataError(f"the process that made rows {rows[0]} to {rows[-1]} died {TRIES} times", hint=hint)


def make_in_worker(shard: int, is_careful: bool) -> int | DataError:  # noqa: FBT001 - sent by place
    """One shard in a process of a pool; how many rows were made, or why not, as an error that can be sent."""
    with until_stopped():
        try:
            opened = worker_audit()
            return sum((opened.with_decoders(1) if is_careful else opened).make([shard]))
        except ClasslensError as error:
            return DataError(str(error), hint=error.hint)


@cache
def worker_audit() -> OpenAudit:
    """In a worker: the audit, with as much time for a picture as is allowed."""
    opened: OpenAudit = pickle.loads(PACKED[0]).open()
    return opened.with_read(partial(read_in_time, opened.questions.subject.read))


def read_in_time(read: Read, indices: Iterable[int]) -> Iterator[Fed]:
    """Pictures one by one; this process is killed over one that takes too long."""
    for index in indices:
        allow_seconds(limit("seconds"))
        several = list(read([index]))
        allow_seconds(0)
        yield from several


def answer_questions(
    request: AuditRequest,
    names: Sequence[str] = (),
    *,
    against: str | None = None,
    audit: Audit | None = None,
    on_note: Notify = silent,
    progress: Progress = silent,
) -> Answers:
    """Answer questions from the rows of an audit that is whole, and write `answers.json` and `answers.html` beside them.

    `against` is the folder of an audit of another split by the same network, for leaks. The report of `audit` is written
    again, with a link to the answers. Without `names`, all questions are answered for which there is everything.

    Raises:
        NotFound: there is no such question.
        NotOffered: a question that was named lacks what it needs.
    """
    from classlens.audit.answers import Inquiry, answers
    from classlens.figures import draw

    opened = open_audit(request, on_note=on_note)
    source = open_source(request.data or request.target, options=request.options)
    training: Dataset | None = None
    if source.open_dataset is not None:
        try:
            training = source.dataset("train")
        except ClasslensError as error:
            on_note("note", f"no training split: {error}")
    inquiry = Inquiry(request.output, opened.questions.subject, training, against, progress)
    result = answers(inquiry, names)
    place = Place(request.output)
    place.write(ANSWERS, draw(result).encode(".html"))
    if audit and not audit.has_answers:
        place.write(REPORT, draw(replace(audit, has_answers=True)).encode(".html"))
    return result
