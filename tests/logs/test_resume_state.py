"""What checkpoints of scripts and trainers say of the run that they end, and the jump of the rate before it happens."""

import zipfile
from dataclasses import replace

import pytest
import torch
from torch.optim import lr_scheduler as torch_schedules

import classlens
from classlens.check.examine import examine
from classlens.check.inspection import Inspection
from classlens.check.rule import choose_rules
from classlens.errors import DataError, NotOffered
from classlens.logs.resume_state import read_resume_state, resume_step
from tests.check.test_run_rules import FALLING, LINEAR, WARM, falling
from tests.check.training_runs import with_lightning, with_transformers


def checkpoint(path, steps, keep):
    """What a script saves after some steps of a cosine over 100."""
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), 0.1)
    scheduler = torch_schedules.CosineAnnealingLR(optimizer, 100)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    state = {"scheduler": scheduler.state_dict(), "optimizer": optimizer.state_dict(), "step": steps, "model": {}}
    torch.save({name: state[name] for name in keep}, path)
    return str(path)


@pytest.mark.parametrize("keep", [("optimizer", "step"), ("scheduler",), ("model", "optimizer", "scheduler", "step")])
def test_a_resume_that_will_jump_is_seen_before_it_happens(keep, tmp_path):
    place = checkpoint(tmp_path / "last.pth", 40, keep)
    cosine = "schedule:torch.CosineAnnealingLR(T_max=100, lr=0.1, steps=100)"

    plots = [classlens.plot_schedules(classlens.LrRequest((one,), resume=place)) for one in (cosine, WARM)]

    assert plots[0].findings == ()
    (jump,) = plots[1].findings
    assert (jump.kind, jump.step) == ("jump at resume", 40)
    assert "0.0654508 in the checkpoint and 0.0853553 in the schedule" in jump.what
    assert [mark.step for mark in plots[0].runs[0][0].trajectory.marks] == [40]


def with_network(address):
    """A schedule beside a network that nobody looks at: a checkpoint is one of a network."""
    return replace(classlens.open_source(address), open_classifier=lambda checkpoint: None)


def test_check_finds_the_jump_too(tmp_path):
    place = checkpoint(tmp_path / "last.pth", 40, ("scheduler",))
    cosine = "schedule:torch.CosineAnnealingLR(T_max=100, lr=0.1, steps=100)"

    healthy, jump = (
        examine(Inspection(with_network(one), place), choose_rules(["R012"])).findings for one in (cosine, WARM)
    )

    assert healthy == ()
    assert "0.0654508 in the checkpoint and 0.0853553 in the schedule" in jump[0].message
    assert f"--resume {place}" in jump[0].command


def test_a_run_that_is_over_cannot_be_resumed(tmp_path):
    place = checkpoint(tmp_path / "last.pth", 100, ("optimizer", "step"))
    cosine = "schedule:torch.CosineAnnealingLR(T_max=100, lr=0.1, steps=100)"

    with pytest.raises(DataError, match=r"last\.pth is from step 100, the run ends at 100"):
        classlens.plot_schedules(classlens.LrRequest((cosine,), resume=place))


def test_a_record_that_is_too_short_is_refused_before_torch_reads_it(tmp_path):
    torch.save({"epoch": 3, "state_dict": {"w": torch.zeros(64)}}, tmp_path / "whole.pth")
    with zipfile.ZipFile(tmp_path / "whole.pth") as whole, zipfile.ZipFile(tmp_path / "short.pth", "w") as short:
        for name in whole.namelist():
            short.writestr(name, whole.read(name)[: 8 if name.endswith("data/0") else None])

    with pytest.raises(DataError, match=r"short\.pth was refused: record '0' holds 8 bytes, 256 are asked of it"):
        read_resume_state(str(tmp_path / "short.pth"))


def test_weights_alone_cannot_be_resumed(tmp_path):
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, tmp_path / "weights.pth")

    with pytest.raises(NotOffered, match=r"weights.pth holds no state of an optimizer"):
        classlens.plot_schedules(classlens.LrRequest((WARM,), resume=str(tmp_path / "weights.pth")))


def test_a_run_may_say_after_which_epoch_it_stands(tmp_path):
    """Epochs count from 0, as timm and most scripts have it: the third of three has ended."""
    torch.save({"epoch": 2, "optimizer": {"param_groups": [{"lr": 0.1}]}}, tmp_path / "last.pth")
    curves = classlens.replay(
        classlens.open_source("schedule:torch.StepLR(step_size=3, lr=0.1, steps=35)").schedule(), classlens.Clock(5, 7)
    )

    assert resume_step(read_resume_state(str(tmp_path / "last.pth")), curves) == 21


def test_a_damaged_state_of_a_trainer_is_named(tmp_path):
    (tmp_path / "trainer_state.json").write_text("{")

    with pytest.raises(DataError, match=r"trainer_state\.json cannot be read: Expecting property name"):
        read_resume_state(str(tmp_path))


def test_checkpoints_of_trainers_say_where_they_are(tmp_path):
    with_lightning(tmp_path / "run", falling, epochs=2, checkpoint=tmp_path / "last.ckpt")
    with_transformers(tmp_path / "hf", warmup_steps=10, steps=20)

    lightning = classlens.LrRequest((FALLING,), resume=str(tmp_path / "last.ckpt"))
    transformers = classlens.LrRequest((LINEAR,), resume=str(tmp_path / "hf" / "checkpoint-20"))

    assert classlens.plot_schedules(lightning).findings == ()
    assert "resumed at step 20" in classlens.plot_schedules(transformers).findings[0].what  # made for 20 steps, not 40
