"""Family S: a schedule that does something else than was probably meant; `schedule.replay` finds the mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from classlens.check.finding import Finding, Severity
from classlens.check.inspection import Inspection
from classlens.check.rule import Rule


def find_mistakes(kind: str, inspection: Inspection) -> Iterator[Finding]:
    for one in inspection.curves.findings:
        if one.kind == kind:
            numbers = {"steps of the run": inspection.curves.clock.steps}
            numbers |= {"at step": one.step} if one.step is not None else {}
            command = inspection.command("lr", *(("--parameter", one.name) if one.name != "lr" else ()))
            place = f"{inspection.source.origin}, {one.name}"
            yield Finding(one.what, place, numbers, cure=one.hint, command=command)


KINDS: tuple[tuple[str, str, Severity, str], ...] = (  # code, kind of mistake, severity, page
    ("S001", "wrong unit", "warning", """Milestones or a period like epochs, where steps are counted. Why it matters:
        the rate falls within minutes of a run that takes days. Example: `by_epoch=False, milestones=[30, 60, 90]`.
        Cure: count steps, or set `by_epoch=True`; mmengine's `convert_to_iter_based=True` turns epochs into steps."""),
    ("S002", "dead milestone", "warning", """A milestone that never fires: at or behind the end of the run, or no whole
        number of its unit. Why it matters: the rate is never lowered there. Example: milestones at 30, 60 and 100 of a
        run whose last epoch is number 99. Cure: put the milestone before the end of the run, or leave it out."""),
    ("S003", "stuck warm-up", "warning", """A warm-up over a single unit: the rate never gets back to its full value.
        Why it matters: the whole run trains at a fraction of the rate. Example: `LinearLR` with `start_factor=0.001,
        by_epoch=True, end=1`. Cure: let it act in steps: `convert_to_iter_based=True`, or give it more steps."""),
    ("S004", "zero start", "error", """A linear or constant factor that starts at 0. Why it matters: the next step
        divides by the factor before it, and training stops with an error. Example: `dict(type='LinearLR',
        start_factor=0, end=5)`. Cure: start at a small number, such as 1e-6."""),
    ("S005", "restored", "warning", """A constant factor that is given back one unit before the end of the run.
        Why it matters: the last epoch trains at a far higher rate, and undoes that work. Example: `ConstantLR` with
        `begin=90, end=100` in a run of 100 epochs. Cure: let the factor end one unit behind the run."""),
    ("S006", "converted gamma", "warning", """An exponential decay that was converted to steps, and keeps its gamma.
        Why it matters: what was meant for an epoch happens at every step, and rates vanish. Example: `gamma=0.95,
        by_epoch=True, convert_to_iter_based=True`. Cure: take the root of gamma: `gamma ** (1 / steps_per_epoch)`."""),
    ("S007", "short cosine", "warning", """A cosine that is over before it stops acting. Why it matters: the rate rises
        at the end of training, where it should be lowest. Example: `T_max=90` in a run of 100 epochs. Cure: let `T_max`
        be the length over which the rule acts: the run without its warm-up."""),
    ("S008", "long cosine", "warning", """A cosine that is cut off before its minimum. Why it matters: training ends at
        a high rate, some tenths of a percent worse than it could. Example: `T_max=300`, copied from a longer run. Cure:
        let `T_max` be the length over which the rule acts: the run without its warm-up."""),
    ("S009", "short cycle", "error", """A one-cycle policy with fewer steps than the run. Why it matters: torch raises
        an error at the step after its last, maybe after days. Example: `total_steps` computed before the number of
        epochs was raised. Cure: let `total_steps` be the number of steps in the run."""),
    ("S010", "long warm-up", "warning", """A warm-up, or a linear decay, that is longer than the run. Why it matters:
        the full rate, or the low end, is never reached. Example: `dict(type='LinearLR', by_epoch=True, end=500)` in a
        run of 40 epochs: 500 steps were meant. Cure: shorten the warm-up to a few percent of the run."""),
    ("S011", "frozen", "warning", """A rule that counts epochs in a run that counts steps: none ever ends. Why it matters:
        the value stays where it starts. Example: `by_epoch=True` under `IterBasedTrainLoop`. Cure: count steps."""),
    ("S012", "not a number", "error", """A value that is NaN or infinite. Why it matters: the first update with it makes
        every weight NaN. Example: a power of a negative number in a polynomial decay behind its end. Cure: end it earlier."""),
    ("S013", "negative", "error", """A value below 0. Why it matters: a negative rate climbs the loss. Example: a linear
        decay that ends early, without a floor. Cure: let the rule end where the run does, or at a minimum of 0."""),
    ("S014", "vanished", "warning", """A rate below a billionth of its peak for the last tenth of the run, or longer.
        Why it matters: training goes on for hours and changes nothing. Example: `StepLR(step_size=30)` stepped after
        every batch instead of every epoch. Cure: count in the unit that was meant."""),
    ("S015", "minimum above start", "warning", """An absolute minimum above the start of a group of parameters.
        Why it matters: its rate rises where it should fall; with layer-wise decay, most do. Example: `eta_min=1e-5`
        where the lowest layers start at 1e-7. Cure: use a minimum relative to each group: `eta_min_ratio`."""),
    ("S016", "idle plateau", "warning", """A plateau rule whose patience outlasts the run. Why it matters: it can never
        act; the rate stays. Example: `patience=10`, validated five times. Cure: lower it, or validate more often."""),
)  # fmt: skip

RULES = (
    *(Rule(code, kind, severity, ("schedule",), partial(find_mistakes, kind), text) for code, kind, severity, text in KINDS),
    Rule("S017", "cannot be built", "error", ("schedule",), lambda one: one.faults(lambda: one.curves), """A line of the
        config from which none can be made. Why it matters: training stops there. Example: `type='CosineAnealingLR'`.
        Cure: correct the line that is named."""),
)  # fmt: skip
