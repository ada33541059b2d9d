"""Logs of strangers: what is broken in them is one error, and none takes more than it may."""

import json
import os
import struct

import pytest

from classlens.errors import DataError
from classlens.logs.training_logs import read_training_log

GOOD = json.dumps({"lr": 0.1, "step": 1, "epoch": 1})
HISTORY = '{"log_history": [{"learning_rate": 0.1, "step": 1}]}'

BROKEN = {
    "no JSON": ("scalars.json", f"{GOOD}\n{{]\n{GOOD}\n", "line 2 is no JSON"),
    "nothing in it": ("scalars.json", "", "no learning rate is logged in it"),
    "no rate": ("scalars.json", '{"loss": 1, "step": 1}\n', "no learning rate"),
    "deep": ("scalars.json", "[" * 200_000 + f"\n{GOOD}\n", "line 1 is no JSON|no learning rate"),
    "a list": ("trainer_state.json", "[1, 2]", "a damaged log"),
    "a list as history": ("trainer_state.json", '{"log_history": [[1]]}', "a damaged log"),
    "a step in words": ("trainer_state.json", HISTORY.replace('"step": 1', '"step": "one"'), "a damaged log"),
    "a step that is no number": ("trainer_state.json", HISTORY.replace("1}", "NaN}"), "has no numbers|damaged"),
    "a deep history": ("trainer_state.json", "[" * 200_000, "a damaged log"),
    "a huge number": ("scalars.json", GOOD.replace("0.1", "1" * 400), "damaged|no learning rate|no numbers"),
    "a step beyond all": ("scalars.json", GOOD.replace('"step": 1', '"step": 1e300'), "no numbers|damaged"),
    "words in a table": ("metrics.csv", "epoch,lr-SGD,step\n0,high,0\n", "a damaged log"),
    "a table without steps": ("metrics.csv", "lr\n0.1\n", "no learning rate"),
    "a long cell": ("metrics.csv", 'epoch,lr-SGD,step\n0,"' + "1" * 200_000, "a damaged log"),
    "a short row": ("summary.csv", "epoch,train_loss,lr\n0,1\n", "damaged|no learning rate"),
    "no events": ("events.out.tfevents.1.x", b"\0" * 100, "no learning rate"),
    "a record that is none": ("events.out.tfevents.1.x", struct.pack("<QI", 4, 0) + b"\xff" * 8, "a damaged log"),
    "a record without end": ("events.out.tfevents.1.x", b"\xff" * 64, "no learning rate"),
    "another kind": ("notes.txt", "lr 0.1", "not a known kind of log"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_log_is_one_error(name, tmp_path):
    file, content, reason = BROKEN[name]
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(DataError, match=reason):
        read_training_log(tmp_path / file)


def test_a_log_that_is_cut_off_is_read_up_to_there(tmp_path):
    (tmp_path / "scalars.json").write_text(f"{GOOD}\n{GOOD[:10]}")

    assert read_training_log(tmp_path).rates[0].values.tolist() == [0.1]


def test_a_log_of_mmcv_counts_its_steps_in_every_epoch(tmp_path):
    lines = [
        {"env_info": "..."},
        {"mode": "train", "epoch": 2, "iter": 1, "lr": 0.05},
        {"mode": "val", "epoch": 2, "lr": 1},
    ]
    lines.insert(1, {"mode": "train", "epoch": 1, "iter": 5, "lr": 0.1})
    (tmp_path / "20210101_000000.log.json").write_text("\n".join(map(json.dumps, lines)))

    (rates,) = read_training_log(tmp_path).rates

    assert (rates.places.tolist(), rates.epochs.tolist(), rates.inner) == ([4, 0], [0, 1], True)


def test_a_log_that_is_no_file_or_too_large_is_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "scalars.json")
    (tmp_path / "metrics.csv").write_text("epoch,lr,step\n" * 1000)
    monkeypatch.setenv("CLASSLENS_LIMITS", "list=1e3")

    with pytest.raises(DataError, match="not a regular file"):
        read_training_log(tmp_path / "scalars.json")
    with pytest.raises(DataError, match="the limit is"):
        read_training_log(tmp_path / "metrics.csv")


def test_a_folder_without_a_log_says_what_would_be_one(tmp_path):
    with pytest.raises(DataError, match="no log of a training run") as error:
        read_training_log(tmp_path)

    assert "trainer_state.json" in error.value.hint
