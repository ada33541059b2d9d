"""Faults planted in the weights of really trained networks, and healthy networks, in which nothing may be found."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

import classlens
from classlens.check.examine import examine
from classlens.check.inspection import Inspection
from classlens.check.model_rules import is_initial
from classlens.check.rule import choose_rules
from classlens.cli.main import main
from tests.check.planted import DIGITS, Setup, build_network, trained_network


def codes_of(network, select="M"):
    setup = Setup(names=DIGITS, network=network)
    return {one.code: one for one in examine(Inspection(setup.source(), samples=100), choose_rules([select])).findings}


def nan_in_one_weight(network):
    network[4].weight.data[3, 2, 1, 1] = float("nan")


def infinite_statistics(network):
    network[5].running_var[2] = float("inf")


def head_at_the_start(network):
    network[9].reset_parameters()


def norms_without_batches(network):
    for part in (network[1], network[5]):
        part.reset_running_stats()


def half_of_the_channels_are_dead(network):
    network[5].weight.data[:13] = 0
    network[5].bias.data[:13] = -1


def biased_to_one_class(network):
    network[9].bias.data[4] = 1e4


FAULTS = {
    nan_in_one_weight: ("M005", "1 weights in 1 of"),
    infinite_statistics: ("M005", "5.running_var"),
    head_at_the_start: ("M006", "the last layer has weights as at the start of training: 9"),
    norms_without_batches: ("M007", "2 of 2 batch norms never saw a batch"),
    half_of_the_channels_are_dead: ("M008", "54% of the channels of 5 give the same number"),
    biased_to_one_class: ("M009", "100% of 100 pictures get the answer 4"),
}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant):
    code, words = FAULTS[plant]
    network = deepcopy(trained_network())
    plant(network)

    findings = codes_of(network)

    assert code in findings
    assert words in findings[code].message


def test_a_network_that_was_never_trained_has_random_weights_and_idle_norms():
    torch.manual_seed(0)

    assert {"M006", "M007"} <= codes_of(build_network().eval()).keys()


@pytest.mark.parametrize("steps", [30, 120])
@pytest.mark.parametrize("seed", range(6))
def test_a_trained_network_is_healthy(seed, steps):
    assert codes_of(trained_network(seed, steps)) == {}


INITIAL = {
    "torch's own": lambda layer: layer.reset_parameters(),
    "ViT": lambda layer: nn.init.trunc_normal_(layer.weight, std=0.02),
    "OpenMMLab's head": lambda layer: nn.init.normal_(layer.weight, std=0.01),
    "ResNet": lambda layer: nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu"),
    "Xavier, uniform": lambda layer: nn.init.xavier_uniform_(layer.weight),
    "Xavier, normal": lambda layer: nn.init.xavier_normal_(layer.weight),
}


@pytest.mark.parametrize("name", INITIAL)
@pytest.mark.parametrize("layer", [nn.Linear(384, 1000), nn.Conv2d(64, 128, 3), nn.Linear(100, 20)], ids=str)
def test_weights_of_every_usual_start_are_known(layer, name):
    torch.manual_seed(1)
    nn.init.zeros_(layer.bias)

    INITIAL[name](layer)

    assert is_initial(layer)


def test_trained_weights_of_a_published_network_are_not_taken_for_random_ones():
    classifier = classlens.open_source("demo").classifier()

    verdicts = [is_initial(part) for part in classifier.module.modules() if isinstance(part, (nn.Conv2d, nn.Linear))]

    assert verdicts.count(True) <= 1
    assert verdicts.count(False) > 40


@pytest.mark.parametrize(
    "name", ["resnet18", "vit_tiny_patch16_224", "efficientnet_b0", "mobilenetv3_small_100", "convnext_atto"]
)
def test_untrained_networks_of_timm_are_found(name, capsys):
    assert main(["check", f"timm:{name}?pretrained=false", "--select", "M006"]) == 1

    assert "weights as at the start of training" in capsys.readouterr().out


CONFIG = """
model = dict(type='ImageClassifier', backbone=dict(type='RepVGG', arch='A0', out_indices=(3,), deploy={deploy}),
    neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes={classes}, in_channels=1280))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The training form of RepVGG-A0 for 5 classes."""
    folder = tmp_path_factory.mktemp("repvgg")
    config = folder / "train.py"
    config.write_text(CONFIG.format(deploy=False, classes=5))
    source = classlens.open_source(config, options=classlens.adapters.Options(untrained=True))
    torch.save(source.classifier().module.state_dict(), folder / "net.pth")
    return folder / "net.pth"


def without_head(weights):
    return {name: one for name, one in weights.items() if not name.startswith("head.")}


def with_another_part(weights):
    return weights | {"neck.extra.weight": torch.zeros(3)}


@pytest.mark.parametrize(
    ("change", "deploy", "classes", "code", "words"),
    [
        (without_head, False, 5, "M001", "the checkpoint lacks 2 tensors of the network: head.fc.weight, head.fc.bias"),
        (with_another_part, False, 5, "M002", "the network lacks 1 tensor of the checkpoint: neck.extra.weight"),
        (dict, False, 7, "M003", "the head has another number of classes (2 tensors): head.fc.weight (5, 1280) instead"),
        (dict, True, 5, "M004", "the checkpoint is in the training form, the network in its deploy form"),
    ],
)  # fmt: skip
def test_a_checkpoint_that_does_not_fit_is_a_finding_with_its_cause(
    change, deploy, classes, code, words, checkpoint, tmp_path, capsys
):
    config, weights = tmp_path / "other.py", tmp_path / "other.pth"
    config.write_text(CONFIG.format(deploy=deploy, classes=classes))
    torch.save(change(torch.load(checkpoint)), weights)

    assert main(["check", str(config), str(weights), "--select", "M"]) == 1

    out = " ".join(capsys.readouterr().out.split())
    assert f"error {code}: {words}" in out
    assert np.array_equal([other in out for other in ("M001:", "M002:", "M003:", "M004:")].count(True), 1)
