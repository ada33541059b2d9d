"""`paramwise_cfg`: which parameters start with which values."""

import pytest

from classlens.adapters.openmm.parameter_groups import Parameter, groups_of, has_layers, initial_values, layers_of
from classlens.adapters.openmm.setup import Optimization
from classlens.errors import ConfigError

PARAMETERS = (
    Parameter("backbone.cls_token", (1, 1, 4)),
    Parameter("backbone.patch_embed.projection.weight", (4, 3, 2, 2)),
    Parameter("backbone.patch_embed.projection.bias", (4,)),
    Parameter("backbone.layers.0.ln1.weight", (4,), "norm"),
    Parameter("backbone.layers.0.ln1.bias", (4,), "norm"),
    Parameter("backbone.layers.0.dw.weight", (4, 1, 3, 3), "depthwise"),
    Parameter("backbone.layers.1.ffn.weight", (4, 4)),
    Parameter("backbone.layers.1.gamma", (4,)),
    Parameter("head.fc.weight", (10, 4)),
    Parameter("head.fc.bias", (10,)),
)
ADAMW = {"type": "AdamW", "lr": 0.1, "weight_decay": 0.5}


VIT = {"type": "VisionTransformer"}


def groups(parameters=PARAMETERS, *, optimizer=ADAMW, layers=None, **paramwise):
    found = groups_of(Optimization(optimizer, paramwise), parameters, layers)
    return {group.name: (group.initial["lr"], group.initial["weight_decay"], group.tensors) for group in found}


def test_without_rules_all_parameters_are_one_group():
    (group,) = groups_of(Optimization(ADAMW), PARAMETERS)

    assert (group.name, group.tensors, group.parameters) == ("all parameters", 10, 170)


def test_norm_bias_depthwise_and_one_dimensional_parameters_have_rules_of_their_own():
    found = groups(norm_decay_mult=0.0, bias_decay_mult=0.2, dwconv_decay_mult=0.4, flat_decay_mult=0.6)

    assert found == {
        "all other parameters": (0.1, 0.5, 4),
        "biases": (0.1, 0.1, 2),
        "norm layers": (0.1, 0.0, 2),
        "depthwise convolutions": (0.1, 0.2, 1),
        "one-dimensional": (0.1, 0.3, 1),
    }


def test_the_rate_of_biases_spares_those_of_norm_layers():
    assert groups(bias_lr_mult=2.0) == {"all other parameters": (0.1, 0.5, 8), "biases": (0.2, 0.5, 2)}


def test_the_longest_custom_key_wins_and_beats_all_other_rules():
    found = groups(
        norm_decay_mult=0.0, custom_keys={"backbone": {"lr_mult": 0.1}, "backbone.layers.0": {"lr_mult": 0.5}}
    )

    assert found == {
        "backbone": (pytest.approx(0.01), 0.5, 5),
        "backbone.layers.0": (0.05, 0.5, 3),
        "all other parameters": (0.1, 0.5, 2),
    }


def test_rules_that_start_alike_are_one_group_named_after_both():
    found = groups(norm_decay_mult=0.0, custom_keys={".cls_token": {"decay_mult": 0.0}})

    assert found["norm layers, .cls_token"] == (0.1, 0.0, 3)


def test_without_a_model_the_rules_are_groups_of_unknown_size():
    found = groups(None, norm_decay_mult=0.0, custom_keys={"head": {"lr_mult": 10}})

    assert found == {
        "all other parameters": (0.1, 0.5, None),
        "norm layers": (0.1, 0.0, None),
        "head": (1.0, 0.5, None),
    }


def test_a_decay_that_the_optimizer_does_not_have_is_not_scaled():
    found = groups(optimizer={"type": "SGD", "lr": 0.1}, norm_decay_mult=0.0)

    assert set(found.values()) == {(0.1, 0.0, 10)}


def test_rates_decay_layer_by_layer():
    layers = layers_of(VIT, [parameter.name for parameter in PARAMETERS])
    found = groups(layers=layers, layer_decay_rate=0.5, norm_decay_mult=0.0, bias_lr_mult=2.0, dwconv_decay_mult=0.1)

    assert found == {
        "layer 0 (x0.125)": (0.0125, 0.5, 3),
        "layer 1 (x0.25), no decay": (0.025, 0.0, 2),
        "layer 1 (x0.25)": (0.025, 0.5, 1),
        "layer 2 (x0.5)": (0.05, 0.5, 2),
        "layer 3 (x1)": (0.1, 0.5, 2),
    }


def test_layers_of_a_network_that_is_not_built_here_are_told_from_its_architecture():
    layers = layers_of({"type": "mmpretrain.BEiTViT", "arch": {"num_layers": 2}}, None)
    found = groups(None, layers=layers, layer_decay_rate=0.5, norm_decay_mult=0.0)

    assert found == {
        "layer 3 (x1)": (0.1, 0.5, None),
        "layer 3 (x1), no decay": (0.1, 0.0, None),
        "layer 2 (x0.5)": (0.05, 0.5, None),
        "layer 2 (x0.5), no decay": (0.05, 0.0, None),
        "layer 1 (x0.25)": (0.025, 0.5, None),
        "layer 1 (x0.25), no decay": (0.025, 0.0, None),
        "layer 0 (x0.125)": (0.0125, 0.5, None),
        "layer 0 (x0.125), no decay": (0.0125, 0.0, None),
    }


@pytest.mark.parametrize(
    ("backbone", "count"),
    [
        ({"type": "BEiTViT"}, 14),
        ({"type": "BEiTViT", "arch": "l"}, 26),
        ({"type": "BEiTViT", "arch": "eva-g"}, 42),
        ({"type": "ViTSAM", "arch": "huge"}, 34),
        ({"type": "MixMIMTransformer", "arch": "b"}, 26),
        ({"type": "HiViT", "arch": "base"}, 36),
        ({"type": "ConvNeXt", "arch": "tiny"}, 8),
        ({"type": "ConvNeXt", "arch": "small"}, 14),
        ({"type": "ResNet", "depth": 50}, 8),
        ({"type": "ResNet", "depth": 101}, 14),
    ],
)
def test_every_architecture_has_as_many_layers_as_upstream_gives_it(backbone, count):
    assert layers_of(backbone, None).count == count


def test_the_blocks_of_swin_are_counted_through_its_stages():
    names = [
        f"backbone.stages.{stage}.blocks.{block}.w" for stage, count in enumerate((2, 3)) for block in range(count)
    ]
    layers = layers_of({"type": "SwinTransformer"}, names)

    depths = [layers.depth(name) for name in [*names, "backbone.stages.0.downsample.norm.weight", "head.w"]]

    assert depths == [1, 2, 3, 4, 5, 2, 6]
    assert layers.count == 7


@pytest.mark.parametrize("kind", ["MobileNetV2", "SwinTransformerV2", "T2T_ViT"])
def test_a_backbone_without_layers_upstream_has_none_here(kind):
    assert not has_layers({"type": kind})
    with pytest.raises(ConfigError, match=f"upstream has no layers .get_layer_depth. for {kind}"):
        layers_of({"type": kind}, ["backbone.stages.0.blocks.0.w"])


@pytest.mark.parametrize(
    ("backbone", "names", "message"),
    [
        ({"type": "VisionTransformer"}, ["backbone.conv.weight"], "cannot be read from its parameters' names"),
        ({"type": "BEiTViT", "arch": "tiniest"}, None, "the layers of BEiTViT 'tiniest' are not known"),
    ],
)
def test_layers_that_cannot_be_told_apart_are_told(backbone, names, message):
    with pytest.raises(ConfigError, match=message):
        layers_of(backbone, names)


@pytest.mark.parametrize(
    ("optimizer", "values"),
    [
        ({"type": "SGD", "lr": 0.1}, {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}),
        ({"type": "AdamW"}, {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.01}),
        ({"type": "torch.optim.Adam", "lr": 1, "betas": (0.5, 0.9)}, {"lr": 1, "momentum": 0.5, "weight_decay": 0}),
        ({"type": "LARS", "lr": 2.0, "weight_decay": 1e-6}, {"lr": 2.0, "weight_decay": 1e-6}),
    ],
)
def test_an_optimizer_starts_with_what_it_says_and_with_torchs_defaults(optimizer, values):
    assert initial_values(Optimization(optimizer)) == values


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (None, "the config has no optimizer"),
        ({"type": "LARS"}, "optimizer: lr is a number, not None"),
    ],
)
def test_an_optimizer_without_a_rate_is_told(optimizer, message):
    with pytest.raises(ConfigError, match=message):
        initial_values(Optimization(optimizer))


DEPTHS = {
    "ConvNeXt": (
        {"arch": "tiny"},
        {
            "downsample_layers.0.0.weight": 0, "stages.0.2.gamma": 1, "downsample_layers.1.0.weight": 2, "stages.1.0.gamma": 2,
            "downsample_layers.2.0.weight": 3, "stages.2.2.gamma": 3, "stages.2.3.gamma": 4, "stages.2.8.gamma": 5,
            "downsample_layers.3.0.weight": 6, "stages.3.2.gamma": 6, "norm3.weight": 7,
        },
    ),
    "ResNet": (
        {"depth": 50},
        {
            "conv1.weight": 0, "bn1.weight": 0, "layer1.2.conv1.weight": 1, "layer2.1.bn1.weight": 2, "layer2.3.bn1.weight": 3,
            "layer3.2.bn1.weight": 4, "layer3.5.bn1.weight": 5, "layer4.2.conv3.weight": 6,
        },
    ),
    "HiViT": (
        {"arch": "tiny"},
        {"pos_embed": 0, "patch_embed.proj.weight": 0, "blocks.0.norm2.weight": 17, "fc_norm.weight": 17},
    ),
    "MixMIMTransformer": (
        {"arch": "base"},
        {
            "patch_embed.norm.weight": 0, "absolute_pos_embed": 0, "layers.0.blocks.1.norm1.weight": 2,
            "layers.1.blocks.0.norm1.weight": 3, "layers.0.downsample.norm.weight": 2, "norm.weight": 24,
        },
    ),
}  # fmt: skip
"""What `get_layer_depth` of mmpretrain 1.2.0 says of parameters of its own networks."""


@pytest.mark.parametrize("kind", DEPTHS)
def test_a_parameter_sits_as_deep_as_upstream_says(kind):
    settings, depths = DEPTHS[kind]
    layers = layers_of({"type": kind, **settings}, None)

    assert {name: layers.depth(f"backbone.{name}") for name in depths} == depths
