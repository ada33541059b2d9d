"""Augmentations that cut away what a class is known by: how often, in which stage, for which class.

One map for each picture says where its evidence lies. Where the pipeline of training puts that, it says itself: each stage
is run once more with what it drew, on pictures that spell where a pixel comes from. A stage that leaves blocks of noise
where they are moves nothing, whatever it does to their colours; but blocks that come out otherwise than the others of
their grey are gone. A stage that moves them is sent two ramps, along and down, with black and white beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from classlens.audit.answers import EXAMPLES, Answer, Inquiry
from classlens.audit.rows import Array, read_whole, shares_of
from classlens.audit.subject import Subject
from classlens.dataset.dataset import Stage
from classlens.dataset.decode import BAD_SAMPLE
from classlens.dataset.rng import generator, seed_of, seeded_globals
from classlens.dataset.state import State, arrays_of, picture_like, with_picture
from classlens.image import Image
from classlens.intervals import share_of

PICTURES, DRAWS = 200, 4  # pictures that are right, evenly spread, and how often each goes through the pipeline
LOST = 0.8  # of the evidence: a draw that loses more shows the network another picture
LIMIT = 0.2  # of all draws, or of those of a class, may do so
GRID = 14  # bins of each side in which evidence is counted
BLOCKS, LEVELS = 16, 5  # of noise along each side at most, and its greys
BELONGS = 0.15  # of the range of greys by which a block may differ from the others of its grey
IN_PLACE = 0.6  # of the blocks must be where they were for a stage that moves nothing
FEW = 20  # draws of a class below which nothing is said of it

Run = Callable[[Array], Array]  # a picture, height x width x 3 bytes, to a number for each pixel that comes out


@dataclass(frozen=True)
class PipelineDraw:
    """One picture once through the pipeline: the share of its evidence that is left after every stage."""

    index: int
    label: int
    kept: tuple[float, ...]

    @property
    def cut_by(self) -> int | None:
        """The stage after which too little is left; None if none."""
        return next((at for at, share in enumerate(self.kept) if share < 1 - LOST), None)


def answer_cuts(inquiry: Inquiry) -> Answer:
    """Send pictures that the network has right through the pipeline of training, and count what becomes of their evidence."""
    subject, manifest, training = inquiry.asked, inquiry.manifest, inquiry.training
    if not manifest.maps or training is None:
        return Answer("cuts", "nothing to say without maps", is_trouble=False)
    index, label, correct, maps = read_whole(inquiry.folder, ["label", "correct", "map_0"]).values()
    right = np.flatnonzero(correct)
    chosen = np.unique(right[np.linspace(0, len(right) - 1, PICTURES).round().astype(int)]) if len(right) else right
    stages, draws = training.pipeline(0), list[PipelineDraw]()
    for done, at in enumerate(chosen.tolist(), start=1):
        try:
            state = subject.dataset.load(int(index[at]))
            evidence = evidence_as_read(maps[at], state, subject)
        except BAD_SAMPLE:
            continue
        for seed in range(DRAWS) if evidence.any() else ():
            kept = tuple(follow(stages, state, evidence, int(index[at]), seed))
            draws.append(PipelineDraw(int(index[at]), int(label[at]), kept))
        inquiry.progress("pictures through the pipeline", done, len(chosen))
    return judge(draws, [one.name for one in stages], manifest.class_name)


def judge(draws: Sequence[PipelineDraw], stages: Sequence[str], class_name: Callable[[int], str]) -> Answer:
    """The shares of draws that cut the evidence away, by stage and by class."""
    table = [("all", "any", share_of(sum(one.cut_by is not None for one in draws), len(draws)))]
    groups = {"all": draws}
    for label in sorted({one.label for one in draws}):  # two classes may have one name
        groups[class_name(label)] = [one for one in draws if class_name(one.label) == class_name(label)]
    for name, members in groups.items():
        for at, stage in enumerate(stages):
            share = share_of(sum(one.cut_by == at for one in members), len(members))
            table += [(name, stage, share)] if share.hits or name == "all" else []
    table.sort(key=lambda row: (row[0] != "all", -row[2].value))
    worst = [row for row in table if row[2].low > LIMIT and row[2].trials >= FEW and row[1] != "any"]
    total = table[0][2]
    verdict = f"{total} of draws lose more than {LOST:.0%} of the evidence"
    if worst:
        verdict += f": {worst[0][1]} cuts it away" + (f" of class {worst[0][0]}" if worst[0][0] != "all" else "")
    hurt = sorted({one.index for one in draws if one.cut_by is not None})
    return Answer(
        "cuts",
        verdict if draws else "no picture is right and has a map",
        bool(worst),
        tuple(
            {"class": name, "stage": stage, "draws": share.trials, "cut": share.hits, "share": round(share.value, 4),
             "low": round(share.low, 4), "high": round(share.high, 4)}
            for name, stage, share in table
        ),
        tuple(hurt[:EXAMPLES]),
        ("what a batch mixes (Mixup, CutMix) is not looked at",),
    )  # fmt: skip


def evidence_as_read(values: Array, state: State, subject: Subject) -> Array:
    """A map of the picture as fed, as shares in the bins of the picture as read."""
    shares = shares_of(np.nan_to_num(values)[None])[0]

    def run(pixels: Array) -> Array:
        fed = subject.classifier.prepare(Image(pixels))
        return np.asarray(fed.pixels.mean(axis=2) if fed.encoded is None else fed.encoded.mean(axis=0))

    places = places_of(run, subject.dataset.to_image(state).size)
    height, width = places.shape[:2]
    dense = cv2.resize(shares.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    bins = bins_of(places)
    there = bins >= 0
    total = np.bincount(bins[there], dense[there], GRID * GRID)
    return np.asarray(total / total.sum() if total.sum() > 0 else total)


def follow(stages: Sequence[Stage], state: State, evidence: Array, index: int, seed: int) -> Iterator[float]:
    """The share of the evidence that is left after every stage, for what the stages draw with this seed."""
    places = place_grid(*numbers_in(state).shape)
    for position, stage in enumerate(stages):
        draw = partial(apply_stage, stage, (seed, index, position))
        places = look_up(places, places_of(partial(run_stage, draw, state), places.shape[:2]))
        state = draw(state)
        bins = bins_of(places)
        hits = np.bincount(bins[bins >= 0], minlength=GRID * GRID)
        enough = 0.3 * np.median(hits[hits > 0]) if hits.any() else 1
        yield float(evidence[hits >= max(enough, 1)].sum())


def apply_stage(stage: Stage, chance: tuple[int, int, int], state: State) -> State:
    """A stage with its chance fixed, however often it runs: by seed, index and position."""
    seed, index, position = chance
    with seeded_globals(seed_of(seed * 1000 + position, index)):
        after: State = stage.apply(state, generator(seed, index, position)).state
    return after


def run_stage(draw: Callable[[State], State], state: State, pixels: Array) -> Array:
    alike = partial(picture_like, pixels=pixels, encoding=state.encoding)
    return numbers_in(draw(replace(state, value=with_picture(state.value, alike))))


def places_of(run: Run, size: tuple[int, int]) -> Array:
    """Where each pixel that comes out was: rows x columns x (down, along) in 0..1, NaN where nothing of the picture is."""
    height, width = size
    blocks, levels = noise_blocks(height, width)
    out = run(blocks)
    if out.shape == size:
        gone = changed_blocks(out, levels)
        if gone.mean() <= 1 - IN_PLACE:
            places = place_grid(height, width)
            places[cv2.resize(gone.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0] = np.nan
            return places
    ramps = place_grid(height, width)
    black, white, down, along = (
        run(np.repeat(np.round(255 * one)[:, :, None], 3, axis=2).astype(np.uint8))
        for one in (np.zeros(size), np.ones(size), ramps[..., 0], ramps[..., 1])
    )
    span = white - black
    there = np.abs(span) > 0.5 * max(float(np.abs(span).max()), 1e-6)
    places = np.stack([down - black, along - black], axis=-1) / np.where(there, span, np.nan)[..., None]
    return np.asarray(places.clip(0, 1), np.float32)


def noise_blocks(height: int, width: int) -> tuple[Array, Array]:
    """A picture of grey blocks, always the same, and the level of each."""
    rows, columns = (max(2, min(BLOCKS, side // 4)) for side in (height, width))
    levels = np.random.default_rng(0).integers(0, LEVELS, (rows, columns))
    greys = np.linspace(48, 208, LEVELS).round().astype(np.uint8)[levels]
    return np.repeat(cv2.resize(greys, (width, height), interpolation=cv2.INTER_NEAREST)[:, :, None], 3, axis=2), levels


def changed_blocks(out: Array, levels: Array) -> Array:
    """Which blocks do not come out as the others of their level do; none where everything comes out alike."""
    rows, columns = levels.shape
    means = cv2.resize(out.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    usual = np.zeros_like(means)
    for level in np.unique(levels):
        usual[levels == level] = np.median(means[levels == level])
    return np.asarray((np.abs(means - usual) > BELONGS * np.ptp(usual)) & (np.ptp(usual) > 0))


def place_grid(height: int, width: int) -> Array:
    """The place of every pixel's middle."""
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).astype(np.float32)


def look_up(places: Array, here: Array) -> Array:
    """The places of pixels in the first picture, from those in the one before and where that one's pixels were."""
    there = np.asarray(np.isfinite(here).all(axis=-1))
    last = np.array(places.shape[:2]) - 1
    at = np.minimum((np.where(there[..., None], here, 0) * places.shape[:2]).astype(int), last)
    return np.where(there[..., None], places[at[..., 0], at[..., 1]], np.nan)


def bins_of(places: Array) -> Array:
    """The bin of every place, -1 for what is no place."""
    there = np.asarray(np.isfinite(places).all(axis=-1))
    bins = np.minimum((np.where(there[..., None], places, 0) * GRID).astype(int), GRID - 1)
    return np.asarray(np.where(there, bins[..., 0] * GRID + bins[..., 1], -1))


def numbers_in(state: State) -> Array:
    """The first picture of a state, the mean of its channels as they are."""
    first = state.views[0] if state.views else state
    array, layout = next(arrays_of(first.value, first.encoding.layout))
    return np.asarray(array.astype(np.float32).mean(axis=2 if layout == "HWC" else 0))
