"""Why a logged learning rate is not the intended one: named causes, each predicted exactly and tried in a fixed order.

A cause predicts the value of every logged step from the intended curve. The first one that predicts all of them to within
what the log can hold is named; if none does, the one that leaves least, if that is next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from classlens.check.run_courses import (
    Course,
    Predict,
    after_restarts,
    begun,
    compounded,
    held,
    lengthened,
    moved,
    multiplied,
    rewarmed,
    slowed,
    sped,
)
from classlens.errors import ClasslensError
from classlens.logs.training_logs import LoggedRates, TrainingLog
from classlens.schedule.replay import Curve, Curves, replay
from classlens.schedule.schedule import Clock, Schedule

Array = np.ndarray[Any, np.dtype[Any]]

MOST_PLACES = 400  # logged places that causes are tried on, evenly chosen
MOST_FACTOR = 64  # processes, or accumulated batches
MOST_STARTS = 4096  # steps at which a restart is looked for
CLOSE = 0.02  # share of the peak that a cause may leave and still be named, if that is much less than without it
MOST_MOVES = 10**6  # how often a schedule may move that is followed behind its end


@dataclass(frozen=True, eq=False)
class Cause:
    """One explanation: its key, what happened in words, numbers of it, and the values that it predicts."""

    key: str
    words: str
    predict: Predict
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A logged rate beside the intended curve of its group, and the cause of their difference.

    `before` and `residual` are the largest differences, as shares of the peak, without and with the cause.
    """

    rates: LoggedRates
    cause: Cause
    steps: Array
    intended: Array
    logged: Array
    before: float
    residual: float
    first: int


@dataclass(frozen=True, eq=False)
class Case:
    """What causes are made from: the intended run, the log, and how many processes the user said there are."""

    log: TrainingLog
    curves: Curves
    schedule: Schedule
    gpus: int


def compare_rates(case: Case) -> Comparison | None:
    """The first logged rate that is not the intended one, and why; None if all are as intended."""
    lines = case.curves.named("lr")
    by_group = len(case.log.rates) == len(lines) and all(rates.group is not None for rates in case.log.rates)
    worst: Comparison | None = None
    for rates in case.log.rates:
        own = [Course((lines[rates.group],))] if by_group and rates.group is not None else courses_of(rates, lines)
        fits = [compare(case, rates, course) for course in own]
        if any(fit is None for fit in fits):
            continue
        others = [Course((line,)) for number, line in enumerate(lines) if by_group and number != rates.group]
        if any(compare(case, rates, course) is None for course in others):
            words = f"{rates.name} has the values of another parameter group: the groups are in another order"
            unlike = min((fit for fit in fits if fit), key=lambda fit: fit.residual)
            return replace(unlike, cause=Cause("group order", words, unlike.cause.predict), residual=0.0)
        best = min((fit for fit in fits if fit), key=lambda fit: fit.residual)
        worst = worst or best
    return worst


def courses_of(rates: LoggedRates, lines: Sequence[Curve]) -> list[Course]:
    """The curves that a logged rate may follow if nothing says which: those of the groups, and their mean."""
    distinct = list({(id(one.trajectory), one.group.initial["lr"]): one for one in lines}.values())[:8]
    return [*([Course(tuple(lines))] if rates.is_mean else []), *(Course((one,)) for one in distinct)]


def compare(case: Case, rates: LoggedRates, course: Course) -> Comparison | None:
    """The cause that best explains one logged rate as one course; None if it is as intended."""
    clock, fits = case.curves.clock, list[Comparison]()
    for unit in units_of(rates, clock):
        read = replace(rates, unit=unit)
        steps, logged = thin(read.steps(clock), rates.values)
        judge = partial(weigh, read, steps, logged, course)
        shifts = shifts_of(read, course, clock)
        plain = [judge(Cause("", "", partial(moved, course.at, shift), {"shift": shift})) for shift in shifts]
        beyond = int(steps.max()) - clock.steps + 1 > max(1, (clock.steps_per_epoch or 1) * (unit == "epoch"))
        if not beyond and any(fit.before == 0 for fit in plain):
            return None
        nearest = min(plain, key=lambda fit: (fit.first == 0, fit.before, abs(fit.cause.numbers["shift"])))
        went_on = f"the run went on to step {int(steps.max()):,}, the schedule is made for {clock.steps:,} steps"
        if beyond and nearest.before == 0:
            nearest = replace(nearest, cause=Cause("length", went_on, nearest.cause.predict))
            return replace(nearest, first=int(np.argmax(steps >= clock.steps)))
        fits += explanations(case, nearest, judge, shifts, course)
    exact = next((fit for fit in fits if fit.residual == 0), None)
    best = exact or min(fits, key=lambda fit: fit.residual)
    if best.residual > CLOSE or best.residual > best.before / 5:
        unknown = Cause("other", "no known mistake explains the difference: another schedule was run", course.at)
        if beyond:
            unknown = Cause("length", f"{went_on}, and has other values", course.at)
        best = replace(best, cause=unknown, residual=best.before)
    return best


def explanations(
    case: Case, plain: Comparison, judge: Callable[[Cause], Comparison], shifts: Sequence[int], course: Course
) -> list[Comparison]:
    """What each cause would leave unexplained, up to the first that leaves nothing."""
    fits = list[Comparison]()
    bounds, width = plain.rates.epoch_bounds, case.curves.clock.steps_per_epoch
    other_width = bounds and width and not bounds[0] <= width <= (bounds[1] or width)
    for make in (other_length, *CAUSES) if other_width else CAUSES:
        if make is other_length and fits and min(fit.residual for fit in fits) < min(CLOSE, plain.before / 20):
            break  # it tries hundreds of lengths, one of which is near to anything
        for cause in make(case, plain, course):
            for shift in shifts:
                fits.append(judge(replace(cause, predict=partial(moved, cause.predict, shift))))
                if fits[-1].residual == 0:
                    return fits
    return fits


def weigh(rates: LoggedRates, steps: Array, logged: Array, course: Course, cause: Cause) -> Comparison:
    """How far a cause leaves the logged values unexplained; 0 if not beyond what the log can hold."""
    values = cause.predict(steps)
    plain = course.at(steps + cause.numbers.get("shift", 0))
    scale = course.peak[1] or 1.0
    allowed = 1e-4 * np.abs(values) + 1e-6 * scale + rates.rounding
    known = np.isfinite(values)
    away, compared = np.abs(logged - values), np.abs(logged - plain)
    several = len(np.unique(values[known])) > 2 or np.ptp(logged) == 0
    enough = known.sum() >= (max(min(3, len(steps)), 0.05 * len(steps)) if several else 0.5 * len(steps))
    is_exact = enough and bool((away[known] <= allowed[known]).all())
    residual = 0.0 if is_exact else float(away[known].max() / scale) if enough else 1e9
    wrong = compared > 1e-4 * np.abs(plain) + 1e-6 * scale + rates.rounding  # where nothing is intended nothing is
    before = float(compared[wrong].max() / scale) if wrong.any() else 0.0
    return Comparison(rates, cause, steps, plain, logged, before, residual, int(np.argmax(wrong)))


def thin(steps: Array, values: Array) -> tuple[Array, Array]:
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_PLACES)).round().astype(int))
    return steps[chosen].astype(np.float64), values[chosen]


def units_of(rates: LoggedRates, clock: Clock) -> tuple[Any, ...]:
    """What the places of a log may count: if only a script knows, epochs as well where no more were logged than there are."""
    loose = len(rates.shifts) == 3 and rates.unit == "step"
    few = clock.epochs is not None and (clock.steps_per_epoch or 1) > 1 and rates.places.max() <= clock.epochs
    return ("epoch", "step") if loose and few else (rates.unit,)


def shifts_of(rates: LoggedRates, course: Course, clock: Clock) -> tuple[int, ...]:
    """How many steps apart the logged place and the step may be that it means."""
    width = clock.steps_per_epoch or 1
    if rates.unit == "step":
        return rates.shifts
    if len(rates.shifts) == 3:
        return tuple(dict.fromkeys((0, -width, width, width - 1, -1)))
    starts = np.arange(min(clock.epochs or 1, MOST_PLACES)) * float(width)
    still = np.allclose(course.at(starts), course.at(starts + width - 1), rtol=1e-6, equal_nan=True)
    return (0,) if still else (0, width - 1, width)  # one that moves after steps is logged at the end of an epoch


def stuck(case: Case, plain: Comparison, course: Course) -> Iterator[Cause]:
    """One value throughout, where the schedule moves."""
    value, ends = plain.logged[0], course.at(np.array([0.0, course.end - 1]))
    is_over = (
        abs(value - ends[1]) < 1e-6 * course.peak[1] and ends[0] != ends[1]
    )  # a schedule that ran through too fast
    if (
        len(plain.logged) >= 3
        and np.ptp(plain.logged) <= 1e-9 * abs(value)
        and np.nanstd(plain.intended) > 0
        and not is_over
    ):
        words = f"the rate stays at {value:.6g}: the scheduler is never stepped"
        yield Cause("stuck", words, partial(np.full_like, fill_value=value), {"rate": float(value)})


def scaled(case: Case, plain: Comparison, course: Course) -> Iterator[Cause]:
    """The same course from another base rate; minima stay what they are."""
    known = np.isfinite(plain.intended) & (plain.intended > 0)
    if not known.any():
        return
    place = int(np.argmax(np.where(known, plain.intended, 0)))
    factor = float(plain.logged[place] / plain.intended[place])
    if factor <= 0 or abs(factor - 1) < 1e-3:
        return
    words = f"every rate is {factor:.6g} times the intended one"
    base, batches = course.curves[0].group.initial["lr"], case.schedule.batches
    linear: dict[float, str] = {case.gpus: f"{case.gpus} processes"} if case.gpus > 1 else {}
    if batches is not None:
        total = batches.per_gpu * case.gpus
        linear[total / batches.chosen_for] = f"batches of {total} in place of {batches.chosen_for}"
    reason = next((text for rule, text in linear.items() if abs(factor / rule - 1) < 1e-3), "")
    reason = (
        f"the linear scaling rule, for {reason}" if reason else f"a base rate of {base * factor:.6g}, not {base:.6g}"
    )
    lines = [
        replace(one, group=replace(one.group, initial=scale_rate(one.group.initial, factor))) for one in course.curves
    ]
    for predict in (Course(tuple(lines)).at, partial(multiplied, course, factor)):
        yield Cause("scaled", f"{words}: {reason}", predict, {"factor": factor})


def scale_rate(initial: Any, factor: float) -> dict[str, float]:  # noqa: ANN401 - a mapping of numbers
    return {**initial, "lr": initial["lr"] * factor}


def stretched(case: Case, plain: Comparison, course: Course) -> Iterator[Cause]:
    """The schedule moves several times in a step, or once in several; as often as an epoch has steps is its own case."""
    clock, last = case.curves.clock, int(plain.steps.max())
    width = clock.steps_per_epoch or 0
    for factor in dict.fromkeys([width, case.gpus, *range(2, MOST_FACTOR + 1)]):
        if factor < 2:
            continue
        whole = abs((last + 1) * factor - clock.steps) <= factor * max(
            1, int(np.median(np.diff(plain.steps, prepend=-1)))
        )
        if factor == width and width > 1:
            fast = f"it is stepped after every step, and counts epochs of {width} steps: {width} times too fast"
            slow = f"it is stepped after every epoch, and counts steps: {width} times too slow"
            keys = ("unit", "unit")
        else:
            fast = (
                f"the schedule moves {factor} times in every step: {factor} processes each step it, as with accelerate"
            )
            fast += "" if factor == case.gpus else f", or it is stepped after each of {factor} accumulated batches"
            slow = f"the schedule moves once in {factor} steps: it is stepped after {factor} accumulated batches, but counts each"
            slow += "" if width else f" (or after each epoch, if that has {factor} steps)"
            keys = ("processes", "accumulation")
        if not whole or factor == case.gpus:  # a log that ends with the schedule is that of a shorter run
            away = np.abs(course.at(plain.steps * factor) - plain.logged)
            further = course if np.nanmax(away, initial=0.0) > 0.3 * course.peak[1] else extended(case, course, factor)
            # Behind its end a schedule goes on, or keeps its last value.
            for predict in (partial(sped, further, factor), partial(sped, course, factor, hold=True)):
                yield Cause(keys[0], fast, predict, {"factor": factor})
        for in_stairs in (True, False):
            yield Cause(keys[1], slow, partial(slowed, course, factor, in_stairs), {"factor": 1 / factor})


def extended(case: Case, course: Course, factor: int) -> Course:
    """The same curves over a run that is longer by a factor, if they go on behind the end as they are before it."""
    clock = case.curves.clock
    if (clock.epochs or clock.steps) * factor > MOST_MOVES or factor < 2:
        return course
    longer = Clock.of_steps(clock.steps * factor, clock.steps_per_epoch)
    longer = longer if clock.epochs is None else replace(clock, epochs=clock.epochs * factor)
    further = remake(case, course, longer)
    return further if further and alike(further, course) else course


def remake(case: Case, course: Course, clock: Clock) -> Course | None:
    """The course in a run of another length; None if the schedule does not fit it."""
    with suppress(ClasslensError, ArithmeticError, ValueError):
        curves = replay(case.schedule, clock, names=["lr"])
        lines = case.curves.named("lr")
        return Course(tuple(curves[lines.index(one)] for one in course.curves))
    return None


def alike(one: Course, other: Course) -> bool:
    """Whether two courses are the same as far as the shorter of them goes."""
    probes = np.linspace(0, min(one.end, other.end) - 1, 64).round()
    return bool(np.allclose(one.at(probes), other.at(probes), rtol=1e-6, atol=0, equal_nan=True))


def follows(case: Case, course: Course) -> bool:
    """Whether the schedule depends on the length of the run; that of a script is made for one length."""
    clock = case.curves.clock
    by_epoch = clock.epochs is not None and clock.steps_per_epoch is not None
    others = (
        [
            replace(clock, epochs=2 * (clock.epochs or 1)),
            replace(clock, steps_per_epoch=2 * (clock.steps_per_epoch or 1)),
        ]
        if by_epoch
        else [Clock.of_steps(2 * clock.steps, clock.steps_per_epoch)]
    )
    return not all((remade := remake(case, course, other)) and alike(remade, course) for other in others)


def shifted(case: Case, plain: Comparison, course: Course) -> Iterator[Cause]:
    """One step, or one epoch, early or late throughout."""
    width = case.curves.clock.steps_per_epoch or 1
    units = ((1, "step"), (width, "epoch")) if plain.rates.unit == "step" else ((width, "epoch"),)
    for by, unit in units:
        for sign, word in ((1, "early"), (-1, "late")):
            words = f"the schedule is one {unit} {word} throughout"
            yield Cause("shift", words, partial(held, course, sign * by), {"steps": sign * by})


def restarted(case: Case, plain: Comparison, course: Course) -> Iterator[Cause]:
    """From some step on the schedule starts from its beginning, or is set back; it may do so several times."""
    steps, logged = plain.steps, plain.logged
    starts: list[tuple[float, float]] = []  # from which step on, and how far back
    tolerance = 1e-4 * np.abs(logged) + 1e-6 * course.peak[1] + plain.rates.rounding
    for _ in range(8):
        values = after_restarts(starts, course, steps)
        wrong = ~(np.abs(values - logged) <= tolerance)
        first = int(np.argmax(wrong))
        if not wrong[first] or (starts and steps[first] <= starts[-1][0]):
            break
        backs = possible_backs(steps, first, case.curves.clock.steps_per_epoch or 1)
        probes = np.arange(first, len(steps))[:6]
        ahead = np.abs(course.at(steps[probes][:, None] - backs[None]) - logged[probes][:, None])
        lengths = np.logical_and.accumulate(ahead <= tolerance[probes][:, None], axis=0).sum(axis=0)
        if lengths.max(initial=0) < min(3, len(probes)):
            break
        starts.append((steps[first], float(backs[np.argmax(lengths)])))
    end = ", as by a resume without its state"
    if starts:
        (at, back), more = starts[0], f", and {len(starts) - 1} times more" if len(starts) > 1 else ""
        is_start = 0 <= at - back <= max(1, at - max(steps[steps < at], default=at - MOST_STARTS))
        words = f"{'is set back' if back > 0 else 'skips ahead'} by {abs(back):,.0f} steps from step {at:,.0f} on"
        words = f"starts again from its beginning at step {back:,.0f}" if is_start else words
        numbers = {"step": int(at), "set_back": int(back)}
        yield Cause("restart", f"the schedule {words}{more}{end}", partial(after_restarts, starts, course), numbers)
        return
    for back in possible_backs(steps, first, 0):
        with np.errstate(divide="ignore", invalid="ignore"):
            again = course.at(steps[first:] - back)
            factors = logged[first:] / again
        if len(np.unique(again)) > 3 and np.isfinite(factors).all() and np.ptp(factors) <= 1e-3 * abs(factors[0]):
            words = f"the schedule starts again at step {back:,.0f}, on top of the rate that was restored: {factors[0]:.4g} times too high"
            predict = partial(compounded, course, steps[first], back, float(factors[0]))
            yield Cause("restart", words + end, predict, {"step": int(steps[first]), "factor": float(factors[0])})


def possible_backs(steps: Array, first: int, width: int) -> Array:
    """How far a schedule may be set back at a logged place: to its beginning first, then, if `width`, to anywhere."""
    at = steps[first]
    low = steps[first - 1] if first else max(0.0, at - MOST_STARTS)
    window = np.arange(at, low - 1, -1)[:MOST_STARTS]
    further = np.arange(1, min(at, MOST_STARTS) + 1) * (1 if at <= MOST_STARTS else width) if width else window[:0]
    backs = np.concatenate([window, further, -further])
    return np.asarray(backs[backs != 0])


def other_length(case: Case, plain: Comparison, course: Course) -> Iterator[Cause]:
    """The schedule was made for a run of another length: more or fewer epochs, steps in an epoch, or steps."""
    clock = case.curves.clock
    last = int(plain.steps.max()) + 1
    sizes = dict.fromkeys(number for factor in range(2, MOST_FACTOR + 1) for number in (factor, 1 / factor))
    clocks: list[Clock] = []
    bounds = plain.rates.epoch_bounds
    if clock.epochs is not None and clock.steps_per_epoch is not None:
        widths = range(max(1, bounds[0]), min(bounds[1] or bounds[0], bounds[0] + 256) + 1) if bounds else ()
        clocks += [replace(clock, steps_per_epoch=width) for width in widths]
        clocks += [replace(clock, epochs=number) for number in range(1, min(4 * clock.epochs, 400))]
        near = {max(1, round(clock.steps_per_epoch * size)) for size in sizes}
        clocks += [replace(clock, steps_per_epoch=width) for width in sorted(near)]
    else:
        totals = [last, last - 1, last + 1, *(round(clock.steps * size) for size in sizes)]
        totals += np.unique(np.geomspace(max(2, clock.steps / 8), clock.steps * 8, 160).round().astype(int)).tolist()
        clocks += [Clock.of_steps(total, clock.steps_per_epoch) for total in dict.fromkeys(totals) if total > 1]
    for other in clocks if follows(case, course) else ():
        if other != clock and other.steps >= last - 1 and (remade := remake(case, course, other)):
            words = f"the schedule that ran is made for {other}, not {clock}"
            yield length_cause(words, remade.at, other.steps, clock.steps, last)
    total = clock.steps
    rounded = [-(-last // unit) * unit for unit in (5, 10, 50, 100, 500, 1000, clock.steps_per_epoch or 1)]
    for peak in dict.fromkeys((course.peak[0], course.last_at_peak)):
        for other_total in dict.fromkeys([last, *rounded, *(round(total * size) for size in sizes)]):
            if other_total > max(peak + 1, last - 2) and other_total != total:
                share = (total - peak) / (other_total - peak)
                words = f"the schedule that ran is made for {other_total:,} steps, not {total:,}"
                yield length_cause(words, partial(lengthened, course, peak, share), other_total, total, last)


def length_cause(words: str, predict: Predict, steps: int, intended: int, last: int) -> Cause:
    """A schedule of another length; one that is several times as long as the run counts what is less than a step."""
    factor, rest = divmod(steps, intended)
    numbers = {"steps": steps, "intended_steps": intended}
    if rest or factor < 2 or last < 0.5 * intended or last > 1.1 * intended:
        return Cause("length", words, predict, numbers)
    why = f"it counts each of {factor} accumulated batches, or the steps of {factor} processes"
    words = f"the schedule is {factor} times as long as the run, {steps:,} steps for {intended:,}: {why}"
    return Cause("accumulation", words, predict, numbers | {"factor": factor})


def other_warmup(case: Case, plain: Comparison, course: Course) -> Iterator[Cause]:
    """The warm-up is missing, or has another length; what follows begins where it did, at once, or is stretched."""
    (peak, _), total = course.peak, case.curves.clock.steps
    if peak == 0 or course.at(np.zeros(1))[0] >= course.peak[1]:
        return
    words, numbers = f"the warm-up of {peak:,} steps is missing", {"warm_up_steps": peak}
    share = (total - peak) / total
    ways = (
        partial(lengthened, course, peak, 1.0, hold=True),
        partial(moved, course.at, peak),
        partial(begun, course, peak, share),
    )
    for predict in ways:
        yield Cause("warm-up", words, predict, numbers)
    top = int(np.argmax(plain.logged))
    near = (int(plain.steps[place]) for place in (max(top - 1, 0), top, min(top + 1, len(plain.steps) - 1)))
    low, middle, high = near
    for other in sorted(range(max(1, low), high + 1), key=lambda length: abs(length - middle))[:MOST_FACTOR]:
        if other != peak and other < total:
            words = f"the warm-up takes {other:,} steps, not {peak:,}"
            yield Cause("warm-up", words, partial(rewarmed, course, peak, other), numbers | {"logged_warm_up": other})


CAUSES: tuple[Callable[[Case, Comparison, Course], Iterator[Cause]], ...] = (
    stuck,
    scaled,
    stretched,
    shifted,
    restarted,
    other_warmup,
    other_length,
)
"""In the order in which they are tried."""
