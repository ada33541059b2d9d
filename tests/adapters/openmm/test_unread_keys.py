import pytest

from classlens.adapters.openmm.setup import unread_keys
from classlens.config import load_config
from classlens.files import CONFIGS

BASE = """
train_pipeline = [dict(type='LoadImageFromFile')]
train_dataloader = dict(batch_size=8, dataset=dict(type='RepeatDataset', times=2, dataset=dict(pipeline=train_pipeline)))
train_cfg = dict(by_epoch=True, max_epochs=5)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
"""


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """The notes on a config that inherits from the base, and says so much more."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.py").write_text(BASE)

    def read(text):
        (tmp_path / "mine.py").write_text(f"_base_ = 'base.py'\n{text}\n")
        return list(unread_keys(load_config(tmp_path / "mine.py", {}, trust=False)))

    return read


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("optim_wraper = dict(optimizer=dict(lr=0.2))", "optim_wraper", "optim_wrapper"),
        ("train_cfg = dict(max_epoch=9)", "train_cfg.max_epoch", "max_epochs"),
        ("train_dataloader = dict(batch_szie=9)", "train_dataloader.batch_szie", "batch_size"),
        ("auto_scale_lr = dict(enabled=True)", "auto_scale_lr.enabled", "enable"),
    ],
)
def test_a_misspelt_key_is_named_with_its_line_and_the_right_one(notes, text, key, near):
    assert notes(text) == [f"mine.py:2: training knows no `{key}`; did you mean {near}?"]


@pytest.mark.parametrize("text", ["optimizer = dict(type='SGD')", "lr = 0.1", "train_cfg = dict(my_own=3)"])
def test_variables_and_settings_of_own_loops_are_not_told(notes, text):
    assert notes(text) == []


def test_a_pipeline_that_its_base_does_not_look_for_again_is_told(notes):
    anew = "train_pipeline = [dict(type='LoadImageFromFile'), dict(type='RandomFlip')]"

    (note,) = notes(anew)
    assert note.startswith(
        "mine.py:2: `train_pipeline` is not what train_dataloader.dataset uses, which has that of a base"
    )
    assert notes(f"{anew}\ntrain_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))") == []


def test_nothing_is_told_of_the_shipped_configs():
    configs = sorted(path for path in CONFIGS.rglob("*.py") if "_base_" not in path.parts)

    assert len(configs) > 10
    assert [note for path in configs for note in unread_keys(load_config(path, {}, trust=False))] == []
