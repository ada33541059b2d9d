"""Training checkpoints folded for a deployed network are the tensors that mmpretrain's own switch makes."""

import pytest
import torch
from mmpretrain.models import build_classifier

from classlens.adapters.openmm.classifiers import load_weights
from classlens.zoo.build import build_network
from tests_peers.zoo.families import CASES
from tests_peers.zoo.networks import randomised


@pytest.mark.parametrize("name", ["RepVGG-A0", "RepVGG-B1g2", "MobileOne-s0", "MobileOne-s4"])
def test_the_deploy_form_is_that_of_mmpretrain(name):
    network = randomised(build_classifier(CASES[f"{name} train"][0])).eval()
    training = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with torch.device("meta"):
        ours = build_network(CASES[f"{name} deploy"][0])

    load_weights(ours, training, where="train.pth")

    network.backbone.switch_to_deploy()
    expected = network.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    for key, tensor in ours.state_dict().items():
        torch.testing.assert_close(tensor, expected[key], rtol=1e-4, atol=1e-5)
