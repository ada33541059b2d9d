"""Every `vis_cam` command of the documentation runs as written, on the pictures that are shipped under the documented names.

The checkpoints bear the documented names and hold seeded random weights: the maps mean nothing, the way to them does.
"""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from classlens.adapters.openmm.classifiers import build_module
from classlens.adapters.openmm.setup import read_setup
from classlens.cli.main import run_command
from classlens.config import read_config
from classlens.config.overrides import parse_overrides
from classlens.files import CONFIGS

DEMO = Path(__file__).parents[2] / "demo"

RESNET = "configs/resnet/resnet50_8xb32_in1k.py resnet50_batch256_imagenet_20200708-cfb998bf.pth"
MOBILENET = "configs/mobilenet_v3/mobilenet-v3-large_8xb32_in1k.py mobilenet_v3_large-3ea3c186.pth"
SWIN = (
    "configs/swin_transformer/swin-tiny_16xb64_in1k.py "
    "swin_tiny_224_b16x64_300e_imagenet_20210616_090925-66df6be6.pth --vit-like"
)
VIT = (
    "configs/vision_transformer/vit-base-p16_ft-64xb64_in1k-384.py "
    "vit-base-p16_in21k-pre-3rdparty_ft-64xb64_in1k-384_20210928-98e8652b.pth --vit-like"
)
T2T = "configs/t2t_vit/t2t-vit-t-14_8xb64_in1k.py t2t-vit-t-14_3rdparty_8xb64_in1k_20210928-b7c09b62.pth --vit-like"
REPVGG = "configs/repvgg/repvgg-B3g4_4xb64-autoaug-lbs-mixup-coslr-200e_in1k.py repvgg.pth"
A0 = "model.backbone.arch=A0 model.head.in_channels=1280"
METHODS = ("GradCAM", "GradCAM++", "XGradCAM", "EigenCAM", "EigenGradCAM", "LayerCAM")
CROP = "--cfg-options 'test_dataloader.dataset.pipeline.2.crop_size=(256,224)'"

DOCUMENTED = [
    *(f"demo/bird.JPEG {RESNET} --method {method}" for method in METHODS),
    *(
        f"demo/cat-dog.png {RESNET} --target-layers 'backbone.layer4.2' --method GradCAM --target-category {number}"
        for number in (238, 281)
    ),
    f"demo/dog.jpg {MOBILENET} --target-layers 'backbone.layer16' --method LayerCAM --eigen-smooth --aug-smooth",
    f"demo/bird.JPEG {SWIN}",
    f"demo/bird.JPEG {VIT} --target-layers 'backbone.layers[-1].ln1'",
    f"demo/bird.JPEG {T2T} --target-layers 'backbone.encoder[-1].ln1'",
]
BROKEN_UPSTREAM = [
    f"demo/bird.JPEG {RESNET} --target-layers 'backbone.layer4[-1]'",
    f"demo/bird.JPEG {SWIN} --target-layers 'backbone.norm3'",
    f"demo/bird.JPEG {SWIN} --num-extra-tokens 0",
    f"demo/bird.JPEG {SWIN} {CROP}",
    f"demo/bird.JPEG {RESNET} {CROP}",
    f"demo/bird.JPEG {REPVGG} --cfg-options {A0}",
    f"demo/bird.JPEG {REPVGG} --cfg-options {A0} model.backbone.deploy=True",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the commands run: `demo/` and nothing else; configs are found among the shipped ones."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "demo").mkdir()
    for name in ("bird.JPEG", "cat-dog.png", "dog.jpg"):
        shutil.copyfile(DEMO / name, folder / "demo" / name)
    return folder


@pytest.fixture
def command(request, folder, monkeypatch) -> Iterator[list[str]]:
    """The words of one command, in the folder, with the checkpoint that it names."""
    monkeypatch.chdir(folder)
    words = shlex.split(request.param)
    save_weights(words)
    yield words
    Path(words[2]).unlink()


def save_weights(words: list[str]) -> None:
    """Half-precision random weights, in the format of a training run, for the config as the command changes it."""
    config, overrides = CONFIGS / words[1].removeprefix("configs/"), {}
    if "--cfg-options" in words:
        overrides = parse_overrides(words[words.index("--cfg-options") + 1 :])
    setup = read_setup(read_config(config, overrides=overrides), config)
    torch.manual_seed(0)
    state = build_module(setup).state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.ndim < 2 and not name.endswith("running_var"):
            tensor.add_(0.1 * torch.randn(tensor.shape))
    meta = {"epoch": 1, "CLASSES": [f"class {number}" for number in range(1000)]}
    torch.save({"meta": meta, "state_dict": {name: tensor.half() for name, tensor in state.items()}}, words[2])


def named(command: str) -> str:
    """A short name: the network and what comes behind its checkpoint."""
    picture, config, _, *options = shlex.split(command)
    return " ".join((Path(picture).stem, config.split("/")[1], *options))


@pytest.mark.parametrize("command", [*DOCUMENTED, *BROKEN_UPSTREAM], ids=named, indirect=True)
def test_a_documented_command_draws_a_map(command, tmp_path, capsys):
    target = tmp_path / "cam.png"

    status = run_command("cam", [*command, "--save-path", str(target)], prog="vis_cam.py")

    told = capsys.readouterr()
    assert status == 0, told.err
    with Image.open(target) as picture:
        size = 384 if "384" in command[1] else 224
        assert picture.size == (256 if any("crop_size" in word for word in command) else size, size)
        assert np.asarray(picture).std() > 0
