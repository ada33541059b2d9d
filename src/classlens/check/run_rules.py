"""Family R: the learning rate that a run has logged against the intended one, and a resume before it happens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import isfinite

from classlens.check.finding import Finding, Severity
from classlens.check.inspection import Inspection, made_once
from classlens.check.rule import Rule
from classlens.check.run_causes import Comparison, compare_rates
from classlens.logs.resume_state import jump_of, read_resume_state
from classlens.logs.training_logs import read_training_log
from classlens.schedule.replay import replay
from classlens.schedule.schedule import Clock


def find_cause(code: str, inspection: Inspection) -> Iterator[Finding]:
    """What the log shows, if this is its cause."""
    fit = compare_log(inspection)
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


@made_once
def compare_log(inspection: Inspection) -> Comparison | None:
    """The log beside the curves of the source; the log says how long the run is if the source does not."""
    assert inspection.log is not None  # the rules need it
    log, schedule = read_training_log(inspection.log), inspection.source.schedule()
    if inspection.source.plan is not None:
        return compare_rates(log, inspection.curves, schedule, inspection.gpus)
    last, bounds = 1 + max(int(rates.places.max()) for rates in log.rates), log.rates[0].epoch_bounds
    if schedule.length is not None:
        clock = schedule.length.clock(None, bounds[1] or bounds[0] if bounds else None)
    elif bounds:
        clock = Clock(-(-last // bounds[0]), bounds[0])
    else:
        clock = Clock.of_steps(last) if log.rates[0].unit == "step" else Clock(last, 1)
    return compare_rates(log, replay(schedule, clock), schedule, inspection.gpus)


def find_jump(inspection: Inspection) -> Iterator[Finding]:
    state = read_resume_state(str(inspection.checkpoint))
    if jump := jump_of(state, inspection.curves):
        command = inspection.command("lr", "--resume", str(inspection.checkpoint))
        yield Finding(jump[0], state.path.name, jump[1], command=command)


CAUSES: tuple[tuple[str, str, Severity, str], ...] = (  # code, name, severity, page
    ("R001", "never stepped", "error", """The logged rate never moves, and the schedule does. Why it matters: the whole
        run trains at one rate, at worst that of a warm-up's first step. Example: `scheduler.step()` is missing, or acts
        on another optimizer than the one that trains. Cure: step the scheduler of the optimizer that trains."""),
    ("R002", "order of parameter groups", "error", """A parameter group has the rates of another one. Why it matters:
        the head trains at the rate of the backbone, and the other way round. Example: `SGD([{"params": head},
        {"params": backbone, "lr": 0.01}])` with the names exchanged. Cure: give each group its own rate by name."""),
    ("R003", "base rate", "warning", """All logged rates are a constant times the intended ones. Why it matters: batch
        size and rate no longer fit each other. Example: linear scaling by a launcher or `--auto-scale-lr`. Cure: write
        the rate that is meant into the config, or let `classlens lr --auto-scale-lr` show the scaled one."""),
    ("R004", "stepped by every process", "error", """The schedule moves several times in one step. Why it matters: it is
        at its end early, and the rest trains nothing. Example: accelerate's `prepare(scheduler)` on 4 GPUs. Cure:
        multiply the lengths by the number of processes, leave the scheduler out of `prepare`, or step it once."""),
    ("R005", "accumulated gradients", "error", """The schedule moves once in several steps. Why it matters: warm-up
        takes most of the run. Example: 4 accumulated batches, and `num_training_steps=len(loader) * epochs`. Cure:
        count updates: divide the lengths by the number of accumulated batches."""),
    ("R006", "stepped in another unit", "error", """Epochs are counted and batches step, or the reverse. Why it matters:
        the rate vanishes early, or never leaves the warm-up. Example: Lightning's default `interval="epoch"` for
        OneCycleLR. Cure: step it where its unit ends; in Lightning `{"scheduler": ..., "interval": "step"}`."""),
    ("R007", "off by one", "warning", """The whole schedule is one step or one epoch early or late. Why it matters: the
        first epoch is trained twice at its rate, or the last one not at all. Example: `scheduler.step(epoch)` at the
        end of an epoch, where timm expects `epoch + 1`. Cure: step the scheduler once, after the optimizer."""),
    ("R008", "restarted schedule", "error", """The schedule begins anew, or goes on from another place. Why it matters:
        a warm-up in the middle; a rate still high at the end. Example: a resume without its state. Cure: save and load
        `scheduler.state_dict()`, too; `classlens lr --resume CHECKPOINT` shows what will happen."""),
    ("R009", "length of the run", "warning", """The schedule is made for a run of another length. Why it matters: the
        rate is at its end too early, or still high when training stops. Example: more epochs; other data or GPUs. Cure:
        let one number say both. If the log is right, say so: `--ngpus`, `--dataset-size`."""),
    ("R010", "other warm-up", "warning", """The run began without the warm-up, or with one of another length.
        Why it matters: large rates on random weights make training diverge, of transformers above all. Example: the
        wrapped scheduler is stepped, the warm-up around it is not. Cure: step the outer scheduler."""),
    ("R011", "another schedule", "warning", """The logged rate is not the intended one, and no known cause says why.
        Why it matters: what was tuned is not what was trained. Example: the log of another run, a config edited since,
        a rate set by hand. Cure: look at both in one plot, and at the config that the run itself has saved."""),
)  # fmt: skip

RULES = (
    *(Rule(code, name, severity, ("schedule", "log"), partial(find_cause, code), text)
      for code, name, severity, text in CAUSES),
    Rule("R012", "jump at a resume", "warning", ("schedule", "checkpoint"), find_jump, """The run would go on at another
        rate. Why it matters: the loss jumps with it. Example: a schedule that was edited since. Cure: resume with the
        schedule that the checkpoint was trained with, or start anew from its weights alone."""),
)  # fmt: skip
