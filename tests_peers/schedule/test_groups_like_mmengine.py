"""Our parameter groups against those that mmengine's constructor makes, tensor by tensor, on our own networks."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor

from classlens.adapters.openmm.classifiers import build_module, parameters_of
from classlens.adapters.openmm.parameter_groups import FAMILIES, groups_of, layers_of
from classlens.adapters.openmm.setup import Optimization, read_setup
from classlens.config import read_config
from classlens.errors import ConfigError

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
    ours = {}
    for parameter in parameters_of(network):
        (group,) = groups_of(optimization, [parameter])
        ours[parameter.name] = (group.initial["lr"], group.initial["weight_decay"])

    assert ours == {name: pytest.approx(values) for name, values in theirs.items()}


BACKBONES = {
    "BEiTViT": {"arch": {"embed_dims": 12, "num_layers": 3, "num_heads": 2, "feedforward_channels": 24}},
    "ConvNeXt": {"arch": "tiny"},
    "ConvNeXt small": {"arch": "small"},
    "DeiT3": {"arch": "small"},
    "DistilledVisionTransformer": {"arch": "deit-tiny"},
    "HiViT": {"arch": {"embed_dims": 32, "depths": [1, 2, 3], "num_heads": 2}},
    "MixMIMTransformer": {"arch": {"embed_dims": 8, "depths": [1, 2, 3, 1], "num_heads": [1, 1, 2, 2]}},
    "RegNet": {"arch": "regnetx_400mf"},
    "ResNeXt": {"depth": 50},
    "ResNet": {"depth": 50},
    "ResNet 101": {"depth": 101},
    "ResNet 152": {"depth": 152},
    "ResNet 18": {"depth": 18},
    "ResNetV1d": {"depth": 50},
    "SEResNet": {"depth": 50},
    "SwinTransformer": {"arch": "tiny"},
    "ViTEVA02": {"arch": "tiny"},
    "ViTSAM": {
        "arch": {
            "embed_dims": 12,
            "num_layers": 3,
            "num_heads": 2,
            "feedforward_channels": 24,
            "global_attn_indexes": [2],
        }
    },
    "VisionTransformer": {"arch": "deit-tiny"},
}


@pytest.mark.parametrize("name", BACKBONES)
def test_every_layer_is_as_deep_as_upstream_says(name):
    from mmpretrain.models import backbones

    kind, settings = name.split()[0], BACKBONES[name]
    backbone = getattr(backbones, kind)(**settings)
    names = [f"backbone.{key}" for key, _ in backbone.named_parameters()] + ["neck.conv.weight", "head.fc.weight"]
    try:
        theirs = {key: backbone.get_layer_depth(key, "backbone.") for key in names}
    except (NotImplementedError, AttributeError):
        with pytest.raises(ConfigError):
            layers_of({"type": kind, **settings}, names)
        return

    ours = layers_of({"type": kind, **settings}, names)

    assert {key: (ours.depth(key), ours.count) for key in names} == theirs
    assert {depth for depth, _ in theirs.values()} == set(ours.used)
    if isinstance(settings.get("arch"), dict):
        assert layers_of({"type": kind, **settings}, None).count == ours.count


@pytest.mark.parametrize("kind", ["BEiTViT", "HiViT", "MixMIMTransformer", "ViTSAM"])
def test_architectures_that_are_not_built_here_have_upstreams_layers(kind):
    from mmpretrain.models import backbones

    for arch, settings in getattr(backbones, kind).arch_zoo.items():
        # HiViT counts twice the blocks of its first stages, and what merges patches after each: see the test above.
        stages = settings.get("depths", [])
        blocks = 2 * sum(stages[:2]) + 2 + stages[2] if kind == "HiViT" else settings.get("num_layers", sum(stages))

        assert layers_of({"type": kind, "arch": arch}, None).count == blocks + 2, arch


def test_all_of_upstreams_backbones_with_layers_are_known():
    from mmpretrain.models import backbones

    theirs = {name for name in dir(backbones) if hasattr(getattr(backbones, name), "get_layer_depth")}

    assert theirs == set(FAMILIES)


def test_meta_tensors_cost_no_memory(network):
    assert {tensor.device for tensor in network.parameters()} == {torch.device("meta")}
