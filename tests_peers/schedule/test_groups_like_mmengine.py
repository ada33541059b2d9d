"""Our parameter groups against those that mmengine's constructor makes, tensor by tensor, on our own networks."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor

from classlens.adapters.openmm.classifier import build_module
from classlens.adapters.openmm.read_setup import read_setup
from classlens.adapters.openmm.schedules.depths import depth_of
from classlens.adapters.openmm.schedules.groups import initial_values, rule_for
from classlens.adapters.openmm.schedules.parameters import listed
from classlens.adapters.openmm.setup import Optimization
from classlens.adapters.openmm.zoo.build import build_part
from classlens.config import read_config

CONFIGS = Path(__file__).parents[2] / "configs"
NETWORKS = {
    "resnet": "resnet/resnet18_8xb16_cifar10.py",
    "mobilenet": "mobilenet_v3/mobilenet-v3-large_8xb128_in1k.py",
    "vit": "vision_transformer/vit-base-p16_64xb64_in1k-384px.py",
    "swin": "swin_transformer/swin-tiny_16xb64_in1k.py",
}
RULES = {
    "norm and bias": {"norm_decay_mult": 0.0, "bias_decay_mult": 0.1, "bias_lr_mult": 2.0},
    "flat and depthwise": {"flat_decay_mult": 0.0, "dwconv_decay_mult": 0.3},
    "custom": {
        "norm_decay_mult": 0.5,
        "custom_keys": {
            ".cls_token": {"decay_mult": 0.0},
            "backbone": {"lr_mult": 0.1},
            "backbone.layer4": {"lr_mult": 0.5, "decay_mult": 2.0},
            "head": {"lr_mult": 10.0},
        },
    },
}
OPTIMIZER = {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.05}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    path = CONFIGS / NETWORKS[request.param]
    return build_module(read_setup(read_config(path), path), device="meta")


@pytest.mark.parametrize("rules", RULES)
def test_every_tensor_starts_with_the_values_of_its_training(network, rules):
    constructor = DefaultOptimWrapperConstructor({"optimizer": dict(OPTIMIZER)}, RULES[rules])
    wrapper = constructor(network)
    names = {id(tensor): name for name, tensor in network.named_parameters()}
    theirs = {
        names[id(group["params"][0])]: (group["lr"], group["weight_decay"]) for group in wrapper.optimizer.param_groups
    }

    optimization = Optimization(OPTIMIZER, RULES[rules])
    initial, parameters = initial_values(optimization), listed(network)
    ours = {}
    for parameter in parameters:
        values = rule_for(parameter, optimization, parameters).applied(initial, decays=True)
        ours[parameter.name] = (values["lr"], values["weight_decay"])

    assert ours == {name: pytest.approx(values) for name, values in theirs.items()}


BACKBONES = {
    "VisionTransformer": ({"arch": "base", "img_size": 224, "patch_size": 16}, {"num_layers": 12}),
    "SwinTransformer": ({"arch": "tiny", "img_size": 224}, {"depths": [2, 2, 6, 2]}),
    "ConvNeXt": ({"arch": "small"}, {"depths": [3, 3, 27, 3]}),
    "ConvNeXt tiny": ({"arch": "tiny"}, {"depths": [3, 3, 9, 3]}),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_the_depths_of_layers_are_those_of_mmpretrain(name):
    from mmpretrain.models import backbones

    settings, known = BACKBONES[name]
    kind = name.split()[0]
    with torch.device("meta"):
        network = build_part("backbone", {"type": kind, **settings})
    names = [f"backbone.{key}" for key, _ in network.named_parameters()] + ["head.fc.weight"]
    theirs = getattr(backbones, kind).get_layer_depth

    assert {key: depth_of(key, names) for key in names} == {
        key: theirs(SimpleNamespace(**known), key, "backbone.") for key in names
    }


def test_meta_tensors_cost_no_memory(network):
    assert {tensor.device for tensor in network.parameters()} == {torch.device("meta")}
