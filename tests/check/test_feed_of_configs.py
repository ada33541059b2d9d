"""A config of OpenMMLab, its checkpoint and its labelled pictures, fed otherwise than in training."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import classlens
from classlens.adapters import Options
from classlens.cli.main import main
from classlens.image import Image
from tests.check.planted_feeds import digits

FED = "mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True"
CONFIG = """
model = dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=20, in_channels=64))
data_preprocessor = dict({fed})
pipeline = [dict(type='LoadImageFromFile'), dict(type='ResizeEdge', scale=32, edge='short', interpolation='bicubic',
    backend='pillow'), dict(type='CenterCrop', crop_size=32), dict(type='PackInputs')]
val_dataloader = dict(batch_size=32, dataset=dict(type='CustomDataset', data_root=r'{folder}', pipeline=pipeline))
"""


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """Two hundred labelled pictures, and the checkpoint of a ResNet that learnt the others as the config says."""
    folder = tmp_path_factory.mktemp("setup")
    pictures, labels = digits()
    for place in range(1200, 1400):
        (folder / "val" / f"{labels[place]:02}").mkdir(parents=True, exist_ok=True)
        Image(pictures[place]).save(folder / "val" / f"{labels[place]:02}" / f"{place}.png")
    options = Options(untrained=True)
    classifier = classlens.open_source(write(folder, FED), options=options).classifier()
    fed = np.stack([classifier.encoding.encode(classifier.prepare(Image(one))) for one in pictures[:1200]])
    batch, targets = torch.from_numpy(fed), torch.from_numpy(labels[:1200])
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(classifier.module.parameters(), 3e-3)
    classifier.module.requires_grad_().train()
    for _ in range(100):
        chosen = torch.randint(0, len(batch), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(classifier.logits(batch[chosen]), targets[chosen]).backward()
        optimizer.step()
    torch.save({"state_dict": classifier.module.state_dict()}, folder / "net.pth")
    return folder


def write(folder, fed):
    (folder / "config.py").write_text(CONFIG.format(fed=fed, folder=folder / "val"))
    return str(folder / "config.py")


def check(folder, fed, capsys):
    command = ["check", write(folder, fed), str(folder / "net.pth"), "--select", "F", "--output-format", "json"]
    status = main(command)
    return status, json.loads(capsys.readouterr().out)["findings"]


def test_a_config_that_feeds_as_in_training_is_healthy(setup, capsys):
    assert check(setup, FED, capsys) == (0, [])


@pytest.mark.parametrize(
    ("fed", "cause"),
    [
        (FED.replace("True", "False"), "RGB instead of BGR"),
        ("mean=[0, 0, 0], std=[255, 255, 255], to_rgb=True", "mean and std of ImageNet"),
        (
            "mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], to_rgb=True",
            "numbers from 0 to 1, then the same mean",
        ),
    ],
)
def test_a_planted_preprocessor_is_found_with_the_line_that_cures_it(setup, capsys, fed, cause):
    status, (finding,) = check(setup, fed, capsys)

    assert (status, finding["code"]) == (1, "F001")
    assert cause in finding["message"]
    assert finding["evidence"]["right as fed"] < 0.5 < 0.8 < finding["evidence"]["right so"]
    assert finding["cure"].endswith(f"data_preprocessor = dict({FED})")
