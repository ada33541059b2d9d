"""Why a logged learning rate is not the intended one: named causes, each predicted exactly, the first that fits all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from classlens.check.run_courses import MOST_PLACES, Array, Course, Predict, Suspect
from classlens.logs.training_logs import LoggedRates, TrainingLog
from classlens.schedule.replay import Curves
from classlens.schedule.schedule import Clock, Schedule

MOST_FACTOR = 64  # processes, or accumulated batches
MOST_STARTS = 4096  # steps at which a restart is looked for
CLOSE = 0.02  # share of the peak that a cause may leave and still be named, if that is much less than without it


@dataclass(frozen=True, eq=False)
class Cause:
    """One explanation: the code of its rule, what happened in words, the values that it predicts, and numbers of it."""

    code: str
    words: str
    predict: Predict
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A cause, and what it leaves unexplained of the difference, as a share of the peak."""

    suspect: Suspect
    cause: Cause
    residual: float


def compare_rates(log: TrainingLog, curves: Curves, schedule: Schedule, gpus: int = 1) -> Comparison | None:
    """The first logged rate that is not the intended one, and why; None if all are as intended."""
    lines, worst = curves.named("lr"), None
    by_group = len(log.rates) == len(lines) and all(rates.group is not None for rates in log.rates)
    distinct = list({(id(one.trajectory), one.group.initial["lr"]): one for one in lines}.values())[:8]
    for rates in log.rates:
        own = lines[rates.group] if by_group and rates.group is not None else None
        courses = [Course((one,)) for one in ([own] if own else distinct)]
        courses = [Course(tuple(lines)), *courses] if rates.is_mean and not own else courses
        others = [Course((line,)) for line in lines if own and line is not own]
        fits = [compare(Suspect(curves, schedule, gpus, rates, course)) for course in courses]
        wrong = [fit for fit in fits if fit is not None]
        if len(wrong) < len(fits):
            continue
        best = min(wrong, key=lambda fit: fit.residual)
        if any(compare(replace(best.suspect, course=course)) is None for course in others):
            words = f"{rates.name} has the values of another parameter group: the groups are in another order"
            return Comparison(best.suspect, Cause("R002", words, best.cause.predict), 0.0)
        worst = worst or best
    return worst


def compare(suspect: Suspect) -> Comparison | None:
    """The cause that best explains one logged rate as one course; None if it is as intended."""
    rates, course, clock = suspect.rates, suspect.course, suspect.clock
    fits, width = list[Comparison](), clock.steps_per_epoch or 1
    loose = len(rates.shifts) == 3 and rates.unit == "step"
    few = clock.epochs is not None and width > 1 and rates.places.max() <= clock.epochs
    for unit in ("epoch", "step") if loose and few else (rates.unit,):  # what only a script knows
        plain = replace(suspect, rates=replace(rates, unit=unit), shift=0)
        shifts = shifts_of(plain.rates, course, clock)
        moved = [replace(plain, shift=shift) for shift in shifts]
        last = int(plain.rates.steps(clock).max())
        beyond = last - clock.steps + 1 > max(1, width * (unit == "epoch"))
        if not beyond and any(one.difference[0] == 0 for one in moved):
            return None
        nearest = min(moved, key=lambda one: (one.difference[1] == 0, one.difference[0], abs(one.shift)))
        went_on = f"the run went on to step {last:,}, the schedule is made for {clock.steps:,} steps"
        if beyond and nearest.difference[0] == 0:
            return Comparison(nearest, Cause("R009", went_on, course.at), 0.0)
        fits += (Comparison(plain, *one) for one in explanations(nearest, shifts))
    best = next((fit for fit in fits if fit.residual == 0), None) or min(fits, key=lambda fit: fit.residual)
    before, _ = best.suspect.difference
    if best.residual > CLOSE or best.residual > before / 5:
        unknown = Cause("R011", "no known mistake explains the difference: another schedule was run", course.at)
        unknown = Cause("R009", f"{went_on}, and has other values", course.at) if beyond else unknown
        return Comparison(best.suspect, unknown, before)
    return best


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


def explanations(suspect: Suspect, shifts: Sequence[int]) -> list[tuple[Cause, float]]:
    """What each cause would leave unexplained, up to the first that leaves nothing."""
    fits = list[tuple[Cause, float]]()
    bounds, width = suspect.rates.epoch_bounds, suspect.clock.steps_per_epoch
    other_width = bounds and width and not bounds[0] <= width <= (bounds[1] or width)
    for make in (other_length, *CAUSES) if other_width else CAUSES:
        if make is other_length and min((left for _, left in fits), default=1) < min(CLOSE, suspect.difference[0] / 20):
            break  # it tries hundreds of lengths, one of which is near to anything
        for cause in make(suspect):
            for shift in shifts:
                fits.append((cause, suspect.unexplained(cause.predict, shift)))
                if fits[-1][1] == 0:
                    return fits
    return fits


def stuck(suspect: Suspect) -> Iterator[Cause]:
    """One value throughout, where the schedule moves."""
    (_, logged), ends = suspect.logged, suspect.course.at(np.array([0, suspect.course.end - 1]))
    value = logged[0]
    is_over = abs(value - ends[1]) < 1e-6 * suspect.course.peak[1] and ends[0] != ends[1]  # it ran through too fast
    is_still = len(logged) >= 3 and np.ptp(logged) <= 1e-9 * abs(value)
    if is_still and not is_over and np.nanstd(suspect.intended) > 0:
        words = f"the rate stays at {value:.6g}: the scheduler is never stepped"
        yield Cause("R001", words, lambda at: np.full_like(at, value), {"rate": float(value)})


def scaled(suspect: Suspect) -> Iterator[Cause]:
    """The same course from another base rate; minima stay what they are."""
    course, gpus, batches = suspect.course, suspect.gpus, suspect.schedule.batches
    intended = np.nan_to_num(suspect.intended)
    place = int(np.argmax(intended))
    factor = float(suspect.logged[1][place] / intended[place]) if intended[place] > 0 else 1.0
    if factor <= 0 or abs(factor - 1) < 1e-3:
        return
    base = course.curves[0].group.initial["lr"]
    linear: dict[float, str] = {gpus: f"{gpus} processes"} if gpus > 1 else {}
    if batches is not None:
        total = batches.per_gpu * gpus
        linear[total / batches.chosen_for] = f"batches of {total} in place of {batches.chosen_for}"
    rules = (f"the linear scaling rule, for {text}" for rule, text in linear.items() if abs(factor / rule - 1) < 1e-3)
    reason = next(rules, f"a base rate of {base * factor:.6g}, not {base:.6g}")
    groups = (replace(one.group, initial={"lr": one.group.initial["lr"] * factor}) for one in course.curves)
    lines = (replace(one, group=group) for one, group in zip(course.curves, groups, strict=True))
    for predict in (Course(tuple(lines)).at, lambda at: course.at(at) * factor):
        yield Cause("R003", f"every rate is {factor:.6g} times the intended one: {reason}", predict, {"factor": factor})


def stretched(suspect: Suspect) -> Iterator[Cause]:
    """The schedule moves several times in a step, or once in several; as often as an epoch has steps is its own case."""
    course, gpus, width, (steps, logged) = suspect.course, suspect.gpus, suspect.clock.steps_per_epoch, suspect.logged
    spacing, done = max(1, int(np.median(np.diff(steps, prepend=-1)))), int(steps.max()) + 1
    for factor in dict.fromkeys([width or 0, gpus, *range(2, MOST_FACTOR + 1)]):
        if factor < 2:
            continue
        if factor == width:
            codes = ("R006", "R006")
            fast = f"it is stepped after every step, and counts epochs of {width} steps: {width} times too fast"
            slow = f"it is stepped after every epoch, and counts steps: {width} times too slow"
        else:
            codes, often = ("R004", "R005"), f"{factor} accumulated batches"
            fast = (
                f"the schedule moves {factor} times in every step: {factor} processes each step it, as with accelerate"
            )
            fast += "" if factor == gpus else f", or it is stepped after each of {often}"
            slow = f"the schedule moves once in {factor} steps: it is stepped after {often}, but counts each"
            slow += "" if width else f" (or after each epoch, if that has {factor} steps)"
        # A log that ends with the schedule is that of a shorter run.
        if abs(done * factor - suspect.clock.steps) > factor * spacing or factor == gpus:
            far = np.nanmax(np.abs(course.at(steps * factor) - logged), initial=0.0) > 0.3 * course.peak[1]
            # Behind its end a schedule goes on, or keeps its last value.
            further = course if far else suspect.extend(factor)
            yield Cause(codes[0], fast, further.warped(np.multiply, factor), {"factor": factor})
            held = course.warped(lambda at, times: np.minimum(at * times, course.end - 1), factor)
            yield Cause(codes[0], fast, held, {"factor": factor})
        for divide in (np.floor_divide, np.divide):  # in stairs, or evenly
            yield Cause(codes[1], slow, course.warped(divide, factor), {"factor": 1 / factor})


def shifted(suspect: Suspect) -> Iterator[Cause]:
    """One step, or one epoch, early or late throughout; before the schedule begins, its first value is in force."""
    for unit, by in {"step": 1, "epoch": suspect.clock.steps_per_epoch or 1}.items():
        for sign, word in ((by, "early"), (-by, "late")) if unit == "epoch" or suspect.rates.unit == "step" else ():
            predict = suspect.course.warped(lambda at, ahead: np.maximum(at + ahead, 0), sign)
            yield Cause("R007", f"the schedule is one {unit} {word} throughout", predict, {"steps": sign})


def restarted(suspect: Suspect) -> Iterator[Cause]:
    """From some step on the schedule starts from its beginning, or is set back; it may do so several times."""
    (steps, logged), course = suspect.logged, suspect.course
    starts: list[tuple[float, float]] = []  # from which step on, and how far back
    tolerance = suspect.tolerance(logged)

    def after(at: Array) -> Array:
        back = np.zeros(at.shape)
        for start, by in starts:
            back[at >= start] = by
        return course.at(at - back)

    for _ in range(8):
        wrong = ~(np.abs(after(steps) - logged) <= tolerance)
        first = int(np.argmax(wrong))
        if not wrong[first] or (starts and steps[first] <= starts[-1][0]):
            break
        backs = possible_backs(steps, first, suspect.clock.steps_per_epoch or 1)
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
        yield Cause("R008", f"the schedule {words}{more}{end}", after, {"step": int(at), "set_back": int(back)})
        return
    for back in possible_backs(steps, first, 0):
        again = course.at(steps[first:] - back)
        with np.errstate(divide="ignore", invalid="ignore"):
            factors = logged[first:] / again
        if len(np.unique(again)) > 3 and np.isfinite(factors).all() and np.ptp(factors) <= 1e-3 * abs(factors[0]):
            at, times = steps[first], float(factors[0])
            words = (
                f"starts again at step {back:,.0f}, on top of the rate that was restored: {times:.4g} times too high"
            )
            twice = compounded(course, at, back, times)
            yield Cause("R008", f"the schedule {words}{end}", twice, {"step": int(at), "factor": times})


def compounded(course: Course, start: float, back: float, factor: float) -> Predict:
    return lambda at: np.where(at < start, course.at(at), course.at(at - back) * factor)


def possible_backs(steps: Array, first: int, width: int) -> Array:
    """How far a schedule may be set back at a logged place: to its beginning first, then, if `width`, to anywhere."""
    at = steps[first]
    low = steps[first - 1] if first else max(0.0, at - MOST_STARTS)
    window = np.arange(at, low - 1, -1)[:MOST_STARTS]
    further = np.arange(1, min(at, MOST_STARTS) + 1) * (1 if at <= MOST_STARTS else width) if width else window[:0]
    backs = np.concatenate([window, further, -further])
    return np.asarray(backs[backs != 0])


def other_length(suspect: Suspect) -> Iterator[Cause]:
    """The schedule was made for a run of another length: more or fewer epochs, steps in an epoch, or steps."""
    clock, course, last = suspect.clock, suspect.course, int(suspect.logged[0].max()) + 1
    sizes = dict.fromkeys(number for factor in range(2, MOST_FACTOR + 1) for number in (factor, 1 / factor))
    if clock.epochs is not None and clock.steps_per_epoch is not None:
        low, high = suspect.rates.epoch_bounds or (0, -1)
        near = sorted({max(1, round(clock.steps_per_epoch * size)) for size in sizes})
        widths = range(max(1, low), min(high or low, low + 256) + 1)
        clocks = [replace(clock, steps_per_epoch=width) for width in widths]
        clocks += [replace(clock, epochs=number) for number in range(1, min(4 * clock.epochs, 400))]
        clocks += [replace(clock, steps_per_epoch=width) for width in near]
    else:
        totals = [last, last - 1, last + 1, *(round(clock.steps * size) for size in sizes)]
        totals += np.unique(np.geomspace(max(2, clock.steps / 8), clock.steps * 8, 160).round().astype(int)).tolist()
        clocks = [Clock.of_steps(total, clock.steps_per_epoch) for total in dict.fromkeys(totals) if total > 1]
    for other in clocks if suspect.depends_on_length else ():
        if other != clock and other.steps >= last - 1 and (remade := suspect.remake(other)):
            words = f"the schedule that ran is made for {other}, not {clock}"
            yield length_cause(words, remade.at, other.steps, clock.steps, last)
    total = clock.steps
    rounded = [-(-last // unit) * unit for unit in (5, 10, 50, 100, 500, 1000, clock.steps_per_epoch or 1)]
    for peak in dict.fromkeys((course.peak[0], course.last_at_peak)):
        for length in dict.fromkeys([last, *rounded, *(round(total * size) for size in sizes)]):
            if length > max(peak + 1, last - 2) and length != total:
                words = f"the schedule that ran is made for {length:,} steps, not {total:,}"
                predict = course.warped(lengthen, peak, (total - peak) / (length - peak))
                yield length_cause(words, predict, length, total, last)


def lengthen(at: Array, peak: float, share: float) -> Array:
    """What follows the peak is passed through at a share of the speed."""
    return np.where(at < peak, at, peak + (at - peak) * share)


def length_cause(words: str, predict: Predict, steps: int, intended: int, last: int) -> Cause:
    """A schedule of another length; one that is several times as long as the run counts what is less than a step."""
    factor, rest = divmod(steps, intended)
    numbers = {"steps": steps, "intended_steps": intended}
    if rest or factor < 2 or last < 0.5 * intended or last > 1.1 * intended:
        return Cause("R009", words, predict, numbers)
    why = f"it counts each of {factor} accumulated batches, or the steps of {factor} processes"
    words = f"the schedule is {factor} times as long as the run, {steps:,} steps for {intended:,}: {why}"
    return Cause("R005", words, predict, numbers | {"factor": factor})


def other_warmup(suspect: Suspect) -> Iterator[Cause]:
    """The warm-up is missing, or has another length; what follows begins where it did, at once, or is stretched."""
    course, total, (peak, highest) = suspect.course, suspect.clock.steps, suspect.course.peak
    if peak == 0 or course.at(np.zeros(1))[0] >= highest:
        return
    for warp in (np.maximum, np.add, lambda at, peak: peak + at * ((total - peak) / total)):
        words = f"the warm-up of {peak:,} steps is missing"
        yield Cause("R010", words, course.warped(warp, peak), {"warm_up_steps": peak})
    steps, top = suspect.logged[0], int(np.argmax(suspect.logged[1]))
    low, middle, high = steps[np.clip([top - 1, top, top + 1], 0, len(steps) - 1)].astype(int).tolist()
    for other in sorted(range(max(1, low), high + 1), key=lambda length: abs(length - middle))[:MOST_FACTOR]:
        if other != peak and other < total:
            words = f"the warm-up takes {other:,} steps, not {peak:,}"
            numbers = {"warm_up_steps": peak, "logged_warm_up": other}
            yield Cause("R010", words, course.warped(rewarm, peak, other, total), numbers)


def rewarm(at: Array, peak: int, other: int, total: int) -> Array:
    """A warm-up of another length, and the rest of the run for the rest of the schedule."""
    return np.where(at < other, at * peak / other, peak + (at - other) * (total - peak) / (total - other))


CAUSES = (stuck, scaled, stretched, shifted, restarted, other_warmup, other_length)  # in the order of trial
