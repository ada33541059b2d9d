"""Slips of the first hour, as they were typed: each is one error that says what was meant, and costs no torch."""

import json
import shutil
import subprocess
import sys
from itertools import permutations

import pytest

from classlens.cli.main import main
from classlens.files import CONFIGS, PHOTOS

CAT = str(PHOTOS / "chelsea.png")
RESNET = str(CONFIGS / "resnet" / "resnet50_8xb32_in1k.py")
BEFORE_TORCH = """
import json, sys
from classlens.cli.main import main
for words in json.load(sys.stdin):
    try:
        main(words)
    except SystemExit:
        pass
    if "torch" in sys.modules:
        sys.exit(f"torch was imported for {words}")
"""


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "resnet50.pth"
    path.write_bytes(b"")
    return str(path)


def told(words, capsys):
    """Error and hint of a command."""
    try:
        status = main(words)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    error, _, hint = capsys.readouterr().err.removesuffix("\n").partition("\nhint:  ")
    return error.removeprefix("error: "), hint


@pytest.mark.parametrize("places", list(permutations(range(3)))[1:], ids=str)
def test_words_in_another_order_are_put_in_the_right_one(places, weights, capsys):
    right = [CAT, RESNET, weights]
    words = [right[place] for place in places]
    kinds = " ".join(["IMG", "CONFIG", "CHECKPOINT"][place] for place in places)

    error, hint = told(["cam", *words], capsys)

    assert error == f"the words are in the order {kinds}: {' '.join(words)}"
    assert hint == f"the order is IMG CONFIG CHECKPOINT: classlens cam {' '.join(right)}"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["cam", RESNET, CAT], "the words are in the order CONFIG IMG", f"classlens cam {CAT} {RESNET}"),
        (["cam", "demo", CAT], "the words are in the order CONFIG IMG", f"classlens cam {CAT} demo"),
        (["cam", "timm:resnet50", CAT], "in the order CONFIG IMG", f"classlens cam {CAT} timm:resnet50"),
        (["cam", "demo", "nothere.png"], "in the order CONFIG IMG", "classlens cam nothere.png demo"),
        (["cam", "demo", str(PHOTOS)], "in the order CONFIG IMG", f"classlens cam {PHOTOS} demo"),
        (["cam", "demo", "*.png"], "in the order CONFIG IMG", "classlens cam '*.png' demo"),
        (["cam", "demo", CAT, CAT, "a.pth"], "the order CONFIG IMG CHECKPOINT", f"cam {CAT} {CAT} demo a.pth"),
        (["cam", "https://a.b/c.pth", "demo", CAT], "order CHECKPOINT CONFIG IMG", f"cam {CAT} demo https://a.b/c.pth"),
        (["cam", CAT, "demo", RESNET], f"2 configs: demo {RESNET}", "a run takes one"),
        (["cam", CAT, "resnet50.pth"], "no config among", "a checkpoint goes with the config"),
        (["browse", "WEIGHTS"], "resnet50.pth is no config", "it seems to be a checkpoint"),
        (["lr", "WEIGHTS"], "resnet50.pth is no config", "it seems to be a checkpoint"),
        (["lr", RESNET, "WEIGHTS", "-d", "9"], "resnet50.pth is no config", "it seems to be a checkpoint"),
        (["lr", CAT], "chelsea.png is no config", "it is a picture: classlens cam IMG CONFIG"),
        (["browse", CAT], "chelsea.png is no config", f"or classlens browse folder:{PHOTOS}"),
        (["brwse", "demo"], "no command named 'brwse'", "did you mean browse?"),
        (["vis_cam", CAT, "demo"], "no command named 'vis_cam'", "did you mean cam?"),
        (["cam", CAT, "demo", "--target-layer", "x"], "--target-layer x", "did you mean --target-layers"),
        (["cam", CAT, "demo", "--target_layer=x"], "--target-layer=x", "did you mean --target-layers"),
        (["lr", "demo", "--paramter", "lr"], "--paramter", "did you mean --parameter?"),
        (["browse", "demo", "--outptu-dir", "x"], "--outptu-dir x", "did you mean --output-dir?"),
        (["browse", "demo", "--mode", "orignal"], "invalid choice: 'orignal'", "did you mean original?"),
        (["browse", "demo", "--phase", "tran"], "invalid choice: 'tran'", "did you mean train?"),
        (["cam", CAT, "timn:resnet50"], "no kind of source named 'timn'", "did you mean timm?"),
        (["cam", CAT, "demo", "--method", "GradCAN"], "no method named 'GradCAN'", "did you mean GradCAM"),
        (["cam", CAT, "demo", "--target-category", "tabbi"], "no class named 'tabbi'", "did you mean tabby"),
        (["cam", CAT, "demo", "--target-category", "tabby - taxo"], "no class named 'taxo'", "did you mean taxi"),
        (["cam", CAT, "demo", "--target-category", "5000"], "no class named '5000'", "there is: 0 to 999"),
        (["cam", CAT, RESNET, "--classes", "cat,dog", "--target-category", "dgo"], "named 'dgo'", "did you mean dog?"),
        (["cam", CAT.replace("chel", "shel"), "demo"], "no such picture", "did you mean chelsea.png"),
        (["cam", CAT, RESNET.replace("resnet/", "resnt/")], "no such config", "did you mean resnet?"),
        (["browse", f"folder:{PHOTOS}s"], "no such folder, list or archive", "did you mean photos?"),
        (["cam", CAT, RESNET, "WEIGHTs"], "no such checkpoint", "did you mean resnet50.pth?"),
        (["lr", "demo", "--style", "whitgrid"], "no plot style named 'whitgrid'", "did you mean whitegrid"),
        (["cam", CAT, "demo", "--save-path", "a.pgn"], "the ending '.pgn'", ".png"),
        (["cam", CAT, "demo", "--npz", "WEIGHTS/a.npz"], "resnet50.pth is no folder", "choose another place"),
        (["browse", "demo", "--html", "WEIGHTS/a.html"], "resnet50.pth is no folder", "choose another place"),
    ],
)
def test_a_slip_is_answered_by_what_was_meant(words, error, hint, weights, capsys):
    words = [word.replace("WEIGHTs", weights[:-1]).replace("WEIGHTS", weights) for word in words]

    was_told, was_helped = told(words, capsys)

    assert error in was_told
    assert hint in was_helped


TRAINING = "import torch, timm\nfrom torch import nn\n\ndef main():\n    pass\n\nfolder = nn.Linear(2, 3)\n"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (
            ["browse", "train.py"],
            "train.py:1: several modules in one import",
            "your own Python, write py:train.py:NAME",
        ),
        (["check", "demoo"], "no such config: demoo", "did you mean demo"),
        (
            ["browse", "configs/demo/efficientnet-lite0_photos.py", "--output-dir", "out"],
            "no such folder: out/demo/photos/train",
            "`make demo` lays these pictures out",
        ),
        (["lr", "train.py:folder"], "no such config: train.py:folder", "write py:train.py:folder"),
        (["browse", "py:train.py"], "names no object", "write py:train.py:NAME; there is: folder, main"),
        (["browse", "py:trian.py:folder"], "no such file: trian.py", "did you mean train.py?"),
        (["browse", "py:trian.py"], "no such file: trian.py", "did you mean train.py?"),
    ],
)
def test_a_training_script_is_opened_with_py(words, error, hint, tmp_path, monkeypatch, capsys):
    (tmp_path / "train.py").write_text(TRAINING)
    monkeypatch.chdir(tmp_path)

    was_told, was_helped = told(words, capsys)

    assert error in was_told
    assert hint in was_helped


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["cam", CAT, "hf:hfvitt"], "no such folder: hfvitt", "did you mean hf:hfvit?"),
        (["cam", CAT, "hf:./hfvitt"], "no such folder: ./hfvitt", "did you mean hf:./hfvit?"),
        (["cam", CAT, "hf:out/hfvitt"], "no such folder: out/hfvitt", "did you mean hf:out/hfvit?"),
        (["cam", CAT, "hfvit"], "no config among", "write hf:hfvit"),
        (["browse", "hfvit"], "hfvit is a folder of Hugging Face, not a config", "write hf:hfvit"),
        (["browse", "rows"], "rows is a folder of Hugging Face, not a config", "write hfds:rows"),
    ],
)
def test_a_saved_model_is_opened_with_hf(words, error, hint, tmp_path, monkeypatch, capsys):
    for folder in ("hfvit", "out/hfvit"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "dataset_info.json").write_text("{}")
    monkeypatch.chdir(tmp_path)

    was_told, was_helped = told(words, capsys)

    assert error in was_told
    assert hint in was_helped


@pytest.mark.parametrize("phase", ["train", "val"])
def test_a_folder_without_splits_is_compared_with_none(phase, tmp_path, capsys):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        shutil.copy(CAT, tmp_path / name)

    main(["browse", f"folder:{tmp_path}", "--stats", "--phase", phase])
    printed = "".join(capsys.readouterr())

    assert "not compared" not in printed
    assert ("has no splits: all of it is shown as val" in printed) == (phase == "val")


def test_no_slip_costs_torch(weights):
    slips = [
        *(["cam", *words] for words in list(permutations([CAT, RESNET, weights]))[1:]),
        ["cam", CAT, "demo", "--target-category", "tabbi"],
        ["cam", CAT, "demo", "--target-category", "1000"],
        ["cam", CAT, RESNET, weights, "--classes", "cat,dog", "--target-category", "dgo"],
        ["cam", CAT, "demo", "--method", "GradCAM", "LayerCAN"],
        ["cam", CAT, "demo", "--save-path", "a.pgn"],
        ["cam", CAT, "demo", "--save-path", f"{weights}/a.png"],
        ["cam", CAT, "demo", "--npz", f"{weights}/a.npz"],
        ["cam", CAT, "demo", "--cfg-options", "modle.head.num_classes"],
        ["cam", CAT, RESNET, "nothere.pth"],
        ["cam", "nothere.png", RESNET],
        ["cam", CAT, "hf:./nothere"],
    ]
    done = subprocess.run([sys.executable, "-c", BEFORE_TORCH], input=json.dumps(slips), capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: ") == len(slips)


AUGMENTED = """
pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="torchvision/RandomResizedCrop", size=100),
    dict(type="RandomApply", transforms=[dict(type="Albumentations", transforms=[dict(type="Blur", p=1.0)])]),
    dict(type="PackInputs"),
]
train_dataloader = dict(batch_size=4, dataset=dict(type="CustomDataset", data_root="DATA", pipeline=pipeline))
"""
AUGMENTING = """
import sys
from classlens.cli.main import main
main(sys.argv[1:])
print(*sorted({"torch", "torchvision", "albumentations", "kornia", "timm"} & sys.modules.keys()))
"""


def test_originals_need_no_augmentation_library(tmp_path):
    (tmp_path / "config.py").write_text(AUGMENTED.replace("DATA", str(PHOTOS.parent)))
    words = ["browse", str(tmp_path / "config.py"), "--mode", "original", "-n", "2", "-o", str(tmp_path / "out")]

    done = subprocess.run([sys.executable, "-c", AUGMENTING, *words], capture_output=True, text=True)

    assert done.stdout == f"wrote 2 pictures of train to {tmp_path / 'out'}\n\n"


def test_names_of_methods_may_be_separated_by_commas_and_spaces(capsys):
    assert main(["cam", CAT, "demo", "--method", "GradCAM,", "LayerCAM,", "EigenCAM", "--json"]) == 0

    assert len(json.loads(capsys.readouterr().out)["maps"]) == 3
