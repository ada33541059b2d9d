"""Family R: the learning rate that a run has logged against the intended one, and a resume before it happens.

A log is compared once; `run_causes` says which of the causes, each with its code and page here, explains the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import isfinite

from classlens.check.finding import Finding, Severity
from classlens.check.inspection import Inspection
from classlens.check.rule import Rule
from classlens.check.run_causes import Comparison, compare_rates
from classlens.logs.resume_state import jump_of, read_resume_state
from classlens.logs.training_logs import TrainingLog, read_training_log
from classlens.schedule.replay import Curves, replay
from classlens.schedule.schedule import Clock


def find_cause(code: str, inspection: Inspection) -> Iterator[Finding]:
    """What the log shows, if this is its cause."""
    fit = inspection.once("run", lambda: compare_log(inspection))
    if fit is None or fit.cause.code != code:
        return
    suspect, left = fit.suspect, fit.residual
    (steps, logged), (before, first) = suspect.logged, suspect.difference
    intended = float(suspect.intended[first])
    numbers = {
        "logged_values": len(suspect.rates.values),
        "first_step_that_differs": int(steps[first]),
        "logged_there": float(logged[first]),
        "intended_there": intended if isfinite(intended) else None,
        "largest_difference": round(before, 6),
        "left_unexplained": round(left, 6),
    }
    about = f" ({'they differ by up to' if left == before else 'but for'} {left:.2g} of the peak)" if left else ""
    where, command = (
        f"{inspection.log}, {suspect.rates.name}",
        inspection.command("lr", "--logged", str(inspection.log)),
    )
    yield Finding(fit.cause.words + about, where, numbers | fit.cause.numbers, command=command)


def compare_log(inspection: Inspection) -> Comparison | None:
    """The log beside the curves of the source; the log says how long the run is if the source does not."""
    assert inspection.log is not None  # the rules need it
    log = read_training_log(inspection.log)
    curves = inspection.curves if inspection.source.plan is not None else logged_length(inspection, log)
    return compare_rates(log, curves, inspection.source.schedule(), inspection.gpus)


def logged_length(inspection: Inspection, log: TrainingLog) -> Curves:
    """The schedule over the length of the log."""
    last, bounds = 1 + max(int(rates.places.max()) for rates in log.rates), log.rates[0].epoch_bounds
    schedule = inspection.source.schedule()
    if schedule.length is not None:
        clock = schedule.length.clock(None, bounds[1] or bounds[0] if bounds else None)
    elif bounds:
        clock = Clock(-(-last // bounds[0]), bounds[0])
    else:
        clock = Clock.of_steps(last) if log.rates[0].unit == "step" else Clock(last, 1)
    return replay(schedule, clock)


def find_jump(inspection: Inspection) -> Iterator[Finding]:
    state = read_resume_state(str(inspection.checkpoint))
    if jump := jump_of(state, inspection.curves):
        command = inspection.command("lr", "--resume", str(inspection.checkpoint))
        yield Finding(jump[0], state.path.name, jump[1], command=command)


CAUSES: tuple[tuple[str, str, Severity, str], ...] = (
    ("R001", "never stepped", "error", """The logged learning rate never moves, and the schedule does. Why it matters:
        the whole run trains at one rate, that of a warm-up's first step at worst. Example: `scheduler.step()` is
        missing in the loop, or acts on another optimizer than the one that trains. Cure: step the scheduler of the
        optimizer that trains."""),
    ("R002", "order of parameter groups", "error", """A parameter group has the rates that another one was meant to
        have. Why it matters: the head trains at the rate of the backbone, and the backbone at that of the head.
        Example: `SGD([{"params": head}, {"params": backbone, "lr": 0.01}])` with the names exchanged. Cure: give each
        group its own rate by name."""),
    ("R003", "base rate", "warning", """All logged rates are a constant times the intended ones. Why it matters: the
        batch size and the rate no longer fit each other. Example: the linear scaling rule, applied by a launcher or by
        `--auto-scale-lr`. Cure: write the rate that is meant into the config, or let `classlens lr --auto-scale-lr`
        show the scaled one."""),
    ("R004", "stepped by every process", "error", """The schedule moves several times in one step. Why it matters: the
        rate is at its end after a fraction of the run, and the rest trains nothing. Example: accelerate's
        `prepare(scheduler)` on 4 GPUs, where its length counts the steps of one process. Cure: multiply the lengths by
        the number of processes, leave the scheduler out of `prepare`, or step it once."""),
    ("R005", "accumulated gradients", "error", """The schedule moves once in several steps. Why it matters: warm-up
        takes most of the run, and the rate never falls. Example: 4 accumulated batches, and
        `num_training_steps=len(loader) * epochs`. Cure: count updates: divide the lengths by the number of accumulated
        batches."""),
    ("R006", "stepped in another unit", "error", """The schedule counts epochs and is stepped after every batch, or
        counts steps and is stepped after every epoch. Why it matters: the rate vanishes in the first epochs, or never
        leaves the warm-up. Example: `StepLR(step_size=30)` in the inner loop; Lightning's default `interval="epoch"`
        for OneCycleLR. Cure: step it where its unit ends; in Lightning `{"scheduler": ..., "interval": "step"}`."""),
    ("R007", "off by one", "warning", """The whole schedule is one step or one epoch early or late. Why it matters: the
        first epoch is trained twice at its rate, or the last one not at all. Example: `scheduler.step(epoch)` at the
        end of an epoch, where timm expects `epoch + 1`. Cure: step the scheduler once, after the optimizer."""),
    ("R008", "restarted schedule", "error", """From some step on the schedule begins anew, or goes on from another place
        than the run. Why it matters: a warm-up in the middle of training, and a rate that has not fallen at its end.
        Example: a run is resumed without the state of the scheduler. Cure: save and load `scheduler.state_dict()`, too;
        `classlens lr --resume CHECKPOINT` shows what will happen."""),
    ("R009", "length of the run", "warning", """The schedule that ran is made for a run of another length.
        Why it matters: the rate is at its end too early, or has not come down when training stops. Example: more epochs
        on the command line, and the length of the schedule as it was; other data or GPUs. Cure: let one number say
        both. If the log is right, say so: `--ngpus`, `--dataset-size`."""),
    ("R010", "other warm-up", "warning", """The run began without the warm-up of the schedule, or with one of another
        length. Why it matters: large rates on random weights make training diverge, of transformers above all. Example:
        the wrapped scheduler is stepped, and the warm-up around it is not. Cure: step the outer scheduler."""),
    ("R011", "another schedule", "warning", """The logged rate is not the intended one, and no known cause explains it.
        Why it matters: what was tuned is not what was trained. Example: the log of another run, a config that was
        edited since, a rate set by hand. Cure: look at both in one plot, and at the config that the run itself has
        saved."""),
)  # fmt: skip
"""Code of the cause, its name, its severity, its page."""

RULES = (
    *(Rule(code, name, severity, ("schedule", "log"), partial(find_cause, code), text)
      for code, name, severity, text in CAUSES),
    Rule("R012", "jump at a resume", "warning", ("schedule", "checkpoint"), find_jump, """A run that is resumed from the
        checkpoint trains on at another rate than the schedule has there. Why it matters: the rate jumps in the middle
        of training, and with it the loss. Example: a schedule that was edited since the checkpoint was written. Cure:
        resume with the schedule that the checkpoint was trained with, or start anew from its weights alone."""),
)  # fmt: skip
