"""Hundreds of bad targets, files and places through every command: status 2, one message, and nothing half-written."""

import json
import os
import pickle
import stat
from itertools import product

import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.cli.main import COMMANDS, main
from classlens.files import CONFIGS, PHOTOS

CAT = str(PHOTOS / "chelsea.png")
RESNET = str(CONFIGS / "resnet" / "resnet50_8xb32_in1k.py")


class Spy:
    """Leaves a file where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("pickled",)


def write_inputs(folder):
    """Bad files of every kind, by their names."""
    texts = {
        "empty.py": "",
        "slip.py": "model = dict(\n",
        "loop.py": "_base_ = ['loop.py']\n",
        "lost.py": "_base_ = ['nowhere.py']\n",
        "runs.py": "import os\nos.mkdir('config')\nmodel = dict(type=os.getcwd())\n",
        "list.json": "[1, 2]",
        "cut.json": '{"model": ',
        "tabs.yaml": "model:\n\t- 1\n",
        "alien.py": "model = dict(type='ImageClassifier', backbone=dict(type='Teleporter'))\noptimizer = 7\ndata = 'x'\n",
        "table.csv": "not,a,list\n",
        "data.parquet": "PAR1 no rows PAR1",
        "page.html": "<html>no report</html>",
        "empty.png": "",
        "text.jpg": "no picture",
        "empty.pth": "",
        "text.pth": "weights",
        "cut.safetensors": "\xff" * 40,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="latin-1")
    (folder / "bytes.py").write_bytes(b"\xff\xfe\x00model = 1\x00")
    (folder / "spy.pth").write_bytes(pickle.dumps({"state_dict": Spy()}))
    np.savez(folder / "arrays.npz", a=np.zeros(3))
    (folder / "nothing").mkdir()
    (folder / "broken" / "a").mkdir(parents=True)
    (folder / "broken" / "a" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "gone.py").symlink_to(folder / "nowhere")
    (folder / "round.py").symlink_to(folder / "round.py")
    (folder / "audit").mkdir()
    (folder / "audit" / "manifest.json").write_text(json.dumps({"layout": 99}))
    (folder / "halved").mkdir()
    (folder / "halved" / "manifest.json").write_text('{"layout": 1, "so')
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / "manifest.json")
    (folder / "pictures" / "a").mkdir(parents=True)
    Pillow.new("RGB", (9, 9)).save(folder / "pictures" / "a" / "1.png")


TARGETS = (
    "empty.py", "slip.py", "loop.py", "lost.py", "list.json", "cut.json", "tabs.yaml", "bytes.py", "gone.py", "round.py",
    "nowhere.py", "nothing", "empty.pth", "folder:nothing", "folder:nowhere", "csv:empty.png", "timm:nosuchnet", "tmm:resnet18",
    "py:slip.py:model", "py:nowhere.py:x", "schedule:torch.Nope(lr=1)", "wds:nowhere.tar", "a\x00b", "\ud800.py", "x" * 5000, "",
)  # fmt: skip
OPENING = {
    "browse": ["browse", "TARGET", "-o", "out"],
    "lr": ["lr", "TARGET", "-s", "out/lr.png"],
    "cam": ["cam", CAT, "TARGET", "-s", "out/cam.png"],
    "check": ["check", "TARGET", "--html", "out/check.html"],
    "audit": ["audit", "TARGET", "-o", "out"],
    "report": ["report", "TARGET", "-o", "out/report.html"],
    "config": ["config", "TARGET"],
    "verify": ["verify", "TARGET"],
    "compare": ["compare", "TARGET", "TARGET", "--html", "out/a.html"],
    "studio": ["studio", "TARGET", "--no-browser", "--host", "0.0.0.0"],
}
OTHERS = [
    "cam empty.png demo -s out/a.png", "cam text.jpg demo -s out/a.png", "cam nothing demo -s out/a.png", "cam *.gif demo",
    f"cam {CAT} RESNET empty.pth -s out/a.png", f"cam {CAT} RESNET text.pth -s out/a.png", f"cam {CAT} RESNET spy.pth -s out/a.png",
    f"cam {CAT} RESNET cut.safetensors -s out/a.png", f"cam {CAT} RESNET arrays.npz", f"cam {CAT} demo --target-layers nowhere",
    f"cam {CAT} demo --target-layers x[", f"cam {CAT} demo --target-category -7 -s out/a.png", f"cam {CAT} demo --opacity 7",
    f"cam {CAT} demo --colormap mauve", f"cam {CAT} demo --device warp9", f"cam {CAT} demo --classes nowhere.txt", f"cam {CAT} demo -s out/a.xyz",
    f"cam {CAT} demo --npz empty.png/a.npz", f"cam {CAT}", "cam", "lr alien.py -s out/a.png", "lr demo -s out/a.xyz", "lr demo --csv empty.png/a.csv",
    "lr RESNET -d 0", "lr RESNET -d -5", "lr RESNET -d 9 -n 0", "lr RESNET -d 9 -p nosuch", "lr demo --logged nowhere -s out/a.png",
    "lr demo --logged text.jpg -s out/a.png", "lr demo --resume text.pth -s out/a.png", "lr demo --resume spy.pth", "lr demo --style mauve -s out/a.png",
    "lr demo --cfg-options =", "lr RESNET -d 9 --cfg-options model", "lr", "lr runs.py -s out/a.png",
    "browse demo --index 99999 -o out", "browse demo --class nobody -o out", "browse demo --grid 0x0 -o out", "browse demo --mode x",
    "browse demo -r nan", "browse demo --phase x", "browse demo -o empty.png", "browse demo -o empty.png/x", "browse alien.py -o out",
    "browse demo --classes nothing", "browse demo --repeat 0", "browse demo --epoch 0", "browse demo --limit pixels=x",
    "browse demo --limit nosuch=1", "browse", "check demo --select Z999", "check demo --ignore nosuch --html out/a.html",
    "check demo --explain Q1", "check demo --html out/a.png", "check demo --html empty.png/a.html", "check demo --log nowhere", "check demo --samples 0",
    "check demo --output-format xml", "check RESNET spy.pth --select M", "check RESNET nowhere.pth --select M", "audit demo --methods Nope -o out",
    "audit demo --layers nowhere -o out", "audit demo --data folder:nowhere -o out", "audit demo -n 0", "audit demo --batch-size 0",
    "audit demo --device warp9 -o out", "audit demo -o empty.png", "audit demo --workers -1", "audit RESNET spy.pth -o out", "audit alien.py -o out",
    "verify nothing", "verify audit", "verify halved", "verify page.html", "verify empty.png", "verify audit --share 7", "verify audit --share 0",
    "verify", "report demo -o out/a.png", "report demo -o empty.png/a.html", "report demo --method Nope -o out/a.html", "report demo --maps -1",
    "report RESNET nowhere.pth -o out/a.html", "compare audit halved", "compare nothing nothing", "compare audit", "compare audit nowhere --html out/a.png",
    "studio", "studio demo --port 99999999", "studio demo --port x", "studio demo --host nowhere.invalid --no-browser", "config RESNET --diff nowhere.py",
    "config RESNET --diff cut.json", "config spy.pth", "config runs.py", "completion klingon", "completion",
    "sources extra", "demo --output-dir empty.png", "demo --output-dir empty.png/x", "nosuch demo", "--nosuch",
]  # fmt: skip


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(folder):
    return {
        path
        for path in folder.rglob("*")
        if not stat.S_ISDIR(path.lstat().st_mode) or path.name in ("pickled", "config")
    }


def assert_one_refusal(words, folder, capsys):
    before = tree(folder)

    try:
        status = main(words)
    except SystemExit as stop:
        status = stop.code

    out, err = capsys.readouterr()
    assert status == 2, err
    assert err.count("error: ") == 1, err
    assert "Traceback" not in err + out
    assert "which is a mistake in it" not in err
    assert out == ""
    assert len(err) < 3000 + sum(map(len, words))
    assert tree(folder) == before


def test_every_command_is_tried():
    assert {line.split(" ")[0] for line in OTHERS} | OPENING.keys() >= COMMANDS.keys()
    assert len(OTHERS) >= 100


OPENED = {("config", "empty.py"), ("report", "empty.py"), ("report", "folder:nothing"), ("report", "csv:empty.png")}
"""A config may say nothing, and a report says of every part that it cannot show why."""


@pytest.mark.parametrize(
    ("command", "target"),
    [pair for pair in product(OPENING, TARGETS) if pair not in OPENED],
    ids=lambda word: ascii(word[:20]),
)
def test_a_bad_target_is_one_message_and_nothing_written(command, target, inputs, capsys):
    words = [target if word == "TARGET" else word for word in OPENING[command]]
    assert_one_refusal(words, inputs, capsys)


@pytest.mark.parametrize("line", OTHERS, ids=lambda line: line.replace(CAT, "cat.png"))
def test_a_bad_input_is_one_message_and_nothing_written(line, inputs, capsys):
    assert_one_refusal(line.replace("RESNET", RESNET).split(" "), inputs, capsys)
