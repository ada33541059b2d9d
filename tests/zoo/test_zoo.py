"""The zoo by itself: sizes known from papers and upstream's lists, layer names, and what timm computes.

The comparison with mmpretrain, family by family, is in tests_peers/zoo.
"""

import re

import pytest
import torch

from classlens.adapters.openmm.classifiers import build_upstream
from classlens.errors import ConfigError, NotOffered
from classlens.zoo.build import PARTS, build_network
from classlens.zoo.metaformer import VAN, PoolFormer, PoolFormerOptions, VANOptions
from classlens.zoo.units import BatchNormNeck, GeneralizedMeanPooling, StackedHead, ViTHead

POOL = {"type": "GlobalAveragePooling"}


def classifier(
    backbone: dict[str, object], width: int, head: str = "LinearClsHead", **rest: object
) -> dict[str, object]:
    settings = {"type": head, "num_classes": 1000, "in_channels": width}
    neck = {} if head != "LinearClsHead" else {"neck": POOL}
    return {"type": "ImageClassifier", "backbone": backbone, "head": {**settings, **rest}, **neck}


def pooled_itself(backbone: dict[str, object], width: int) -> dict[str, object]:
    return {key: value for key, value in classifier(backbone, width).items() if key != "neck"}


VIT = "VisionTransformerClsHead"
T2T = {"type": "T2T_ViT", "layer_cfgs": {"num_heads": 6, "feedforward_channels": 1152}}
STACKED = {"mid_channels": [1280], "act_cfg": {"type": "HSwish"}}
DOCUMENTED = {
    "resnet50": (classifier({"type": "ResNet", "depth": 50}, 2048), 25_557_032, 320, "backbone.layer4.2.bn3"),
    "mobilenet-v3-large": (
        {**classifier({"type": "MobileNetV3", "arch": "large"}, 960, "StackedLinearClsHead", **STACKED), "neck": POOL},
        5_483_032,
        312,
        "backbone.layer16.bn",
    ),
    "repvgg-B3g4": (classifier({"type": "RepVGG", "arch": "B3g4"}, 2560), 83_825_128, 453, "backbone.stage_4.0"),
    "repvgg-B3g4 deploy": (
        classifier({"type": "RepVGG", "arch": "B3g4", "deploy": True}, 2560),
        75_626_728,
        58,
        "backbone.stage_4.0",
    ),
    "swin-tiny": (classifier({"type": "SwinTransformer", "arch": "tiny"}, 768), 28_288_354, 185, "backbone.norm3"),
    "swin-small": (classifier({"type": "SwinTransformer", "arch": "small"}, 768), 49_606_258, 353, "backbone.norm3"),
    "vit-base-p16-384": (
        classifier({"type": "VisionTransformer", "arch": "b", "img_size": 384}, 768, VIT),
        86_859_496,
        152,
        "backbone.layers.11.ln1",
    ),
    "t2t-vit-t-14": (classifier(T2T, 384, VIT), 21_465_422, 184, "backbone.encoder.13.ln1"),
    "riformer-s12": (classifier({"type": "RIFormer"}, 512), 11_921_832, 156, "backbone.norm6"),
    "riformer-s12 deploy": (classifier({"type": "RIFormer", "deploy": True}, 512), 11_915_176, 132, "backbone.norm6"),
    "swin-v2-tiny": (classifier({"type": "SwinTransformerV2"}, 768), 28_347_154, 245, "backbone.norm3"),
    "van-tiny": (classifier({"type": "VAN"}, 256), 4_105_800, 402, "backbone.norm4"),
}
"""Parameters, keys and the layer to look at, as upstream's own networks have them."""


def on_meta(model: dict[str, object]) -> torch.nn.Module:
    with torch.device("meta"):
        return build_network(model, fallback=build_upstream)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_networks_have_their_known_size_and_layers(name):
    model, parameters, keys, layer = DOCUMENTED[name]

    network = on_meta(model)

    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert len(network.state_dict()) == keys
    assert layer in dict(network.named_modules())


def renamed(names: dict[str, torch.Tensor], rules: dict[str, str]) -> dict[str, torch.Tensor]:
    found = {}
    for name, tensor in names.items():
        for pattern, replacement in rules.items():
            name = re.sub(pattern, replacement, name)
        found[name] = tensor
    return found


RESNET_NAMES = {r"^backbone\.|^head\.": ""}
VIT_NAMES = {
    r"^head\.layers\.head": "head",
    r"^backbone\.ln1": "norm",
    r"^backbone\.": "",
    r"^layers\.": "blocks.",
    r"projection": "proj",
    r"\.ln(\d)": r".norm\1",
    r"ffn\.layers\.0\.0": "mlp.fc1",
    r"ffn\.layers\.1": "mlp.fc2",
    r"attn\.gamma1\.weight": "ls1.gamma",
    r"ffn\.gamma2\.weight": "ls2.gamma",
}
CONVNEXT_NAMES = {
    r"^head\.fc": "head.fc",
    r"^backbone\.norm3": "head.norm",
    r"^backbone\.downsample_layers\.0": "stem",
    r"^backbone\.downsample_layers\.(\d)": r"stages.\1.downsample",
    r"^backbone\.stages\.(\d)\.(\d+)": r"stages.\1.blocks.\2",
    r"depthwise_conv": "conv_dw",
    r"pointwise_conv(\d)": r"mlp.fc\1",
}
SWIN_NAMES = {
    r"^head\.fc": "head.fc",
    r"^backbone\.norm0": "norm",
    r"^backbone\.patch_embed\.projection": "patch_embed.proj",
    r"^backbone\.": "",
    r"^stages\.": "layers.",
    r"w_msa\.": "",
    r"ffn\.layers\.0\.0": "mlp.fc1",
    r"ffn\.layers\.1": "mlp.fc2",
}
XCIT_NAMES = {
    r"^head\.fc": "head",
    r"^backbone\.": "",
    r"^ca_layers": "cls_attn_blocks",
    r"^xca_layers": "blocks",
    r"ffn\.layers\.0\.0": "mlp.fc1",
    r"ffn\.layers\.1": "mlp.fc2",
    r"conv1\.bn": "bn",
    r"(conv1|conv2|token_projection)\.conv": r"\1",
    r"embed\.proj\.2": "embed.proj.4",
    r"embed\.proj\.1": "embed.proj.2",
    r"(embed\.proj\.\d)\.conv": r"\1.0",
    r"(embed\.proj\.\d)\.bn": r"\1.1",
}
SMALL = {"embed_dims": 96, "num_layers": 2, "num_heads": 4}
SMALL_TIMM = {"img_size": 64, "patch_size": 16, "embed_dim": 96, "depth": 2, "num_heads": 4}
CLIP = {"pre_norm": True, "norm_cfg": {"type": "LN", "eps": 1e-5}, "layer_cfgs": {"act_cfg": {"type": "QuickGELU"}}}
GATED = {"layer_scale_init_value": 0.1, "layer_cfgs": {"ffn_type": "swiglu_fused"}}
CONVOLVED = {"linear_pw_conv": False, "use_grn": True, "layer_scale_init_value": 0.0}
NORMED_TOKENS = {"tokens_norm": True, "norm_cfg": {"type": "LN", "eps": 1e-6}}
STAGE = {"embed_dims": 32, "depths": [2], "num_heads": [2]}
TIMM = {
    "resnet18": (classifier({"type": "ResNet", "depth": 18}, 512), RESNET_NAMES, {}),
    "resnet50": (classifier({"type": "ResNet", "depth": 50}, 2048), RESNET_NAMES, {}),
    "resnext50_32x4d": (classifier({"type": "ResNeXt", "depth": 50}, 2048), RESNET_NAMES, {}),
    "deit_tiny_patch16_224": (
        classifier({"type": "VisionTransformer", "arch": "deit-tiny", "img_size": 64}, 192, VIT),
        VIT_NAMES,
        {"img_size": 64},
    ),
    "deit3_small_patch16_224": (
        classifier({"type": "DeiT3", "arch": "s", "img_size": 64}, 384, VIT),
        VIT_NAMES,
        {"img_size": 64},
    ),
    "convnext_tiny": (
        pooled_itself({"type": "ConvNeXt"}, 768),
        CONVNEXT_NAMES,
        {},
    ),
    "convnextv2_atto": (
        pooled_itself({"type": "ConvNeXt", "arch": {"depths": [1] * 4, "channels": [8, 16, 24, 32]}, **CONVOLVED}, 32),
        {**CONVNEXT_NAMES, r"grn\.gamma": "mlp.grn.weight", r"grn\.beta": "mlp.grn.bias"},
        {"conv_mlp": True, "depths": (1,) * 4, "dims": (8, 16, 24, 32)},
    ),
    "swinv2_tiny_window8_256": (
        classifier({"type": "SwinTransformerV2", "arch": STAGE, "out_indices": [0]}, 32),
        SWIN_NAMES,
        {"img_size": 64, "embed_dim": 32, "depths": (2,), "num_heads": (2,)},
    ),
    "vit_base_patch16_clip_quickgelu_224": (
        classifier(
            {"type": "VisionTransformer", "arch": {**SMALL, "feedforward_channels": 384}, "img_size": 64, **CLIP},
            96,
            VIT,
        ),
        {**VIT_NAMES, "pre_norm": "norm_pre"},
        {**SMALL_TIMM, "num_classes": 1000},
    ),
    "vit_giant_patch14_dinov2": (
        classifier(
            {"type": "VisionTransformer", "arch": {**SMALL, "feedforward_channels": 192}, "img_size": 64, **GATED},
            96,
            VIT,
        ),
        {**VIT_NAMES, r"ffn\.w12": "mlp.fc1", r"ffn\.w3": "mlp.fc2"},
        {**SMALL_TIMM, "num_classes": 1000, "mlp_ratio": 256 / 96},
    ),
    "xcit_tiny_12_p16_224": (
        pooled_itself(
            {"type": "XCiT", "patch_size": 8, "depth": 1, "embed_dims": 16, "num_heads": 2, **NORMED_TOKENS}, 16
        ),
        XCIT_NAMES,
        {"patch_size": 8, "depth": 1, "embed_dim": 16, "num_heads": 2},
    ),
}


@pytest.mark.parametrize("name", TIMM)
def test_with_the_same_numbers_the_logits_are_those_of_timm(name):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model, rules, settings = TIMM[name]
    ours, peer = build_network(model).eval(), timm.create_model(name, **settings).eval()
    learned = {
        name: tensor for name, tensor in ours.state_dict().items() if "relative_" not in name
    }  # tables of offsets
    for tensor in learned.values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if tensor.ndim < 2 else torch.randn_like(tensor) * 0.02)
    peer.load_state_dict(renamed(learned, rules))
    images = torch.randn(1, 3, 64, 64)

    with torch.no_grad():
        seen, expected = ours(images), peer(images)

    torch.testing.assert_close(seen, expected, rtol=1e-3, atol=1e-4)


def bare(backbone: dict[str, object]) -> dict[str, object]:
    return {"type": "ImageClassifier", "backbone": backbone, "head": {"type": "ClsHead"}}


SECOND = {"type": "ConvNeXt", "arch": "atto", "use_grn": True, "layer_scale_init_value": 0.0}
CROSSED = {"type": "XCiT", "patch_size": 16, "embed_dims": 128, "depth": 12, "num_heads": 4, "tokens_norm": False}
DISTILLED = {"type": "DistilledVisionTransformer", "arch": "deit-tiny"}
NORMED = {"type": "VGG", "depth": 13, "num_classes": 1000, "norm_cfg": {"type": "BN"}}
SAME_SIZE = {
    "convnextv2_atto": pooled_itself(SECOND, 320),
    "deit_tiny_distilled_patch16_224": classifier(DISTILLED, 192, "DeiTClsHead"),
    "densenet121": classifier({"type": "DenseNet", "arch": "121"}, 1024),
    "efficientnet_b0": classifier({"type": "EfficientNet", "arch": "b0"}, 1280),
    "efficientnet_es": classifier({"type": "EfficientNet", "arch": "es"}, 1280),
    "mobilenetv2_100": classifier({"type": "MobileNetV2"}, 1280),
    "mobileone_s0": classifier({"type": "MobileOne", "arch": "s0"}, 1024),
    "poolformer_s12": classifier({"type": "PoolFormer", "arch": "s12"}, 512),
    "regnetx_004": classifier({"type": "RegNet", "arch": "regnetx_400mf"}, 384),
    "resnet50d": classifier({"type": "ResNetV1d", "depth": 50}, 2048),
    "seresnet50": classifier({"type": "SEResNet", "depth": 50}, 2048),
    "tf_efficientnetv2_b0": classifier({"type": "EfficientNetV2", "arch": "b0"}, 1280),
    "vgg13_bn": bare(NORMED),
    "xcit_nano_12_p16_224": pooled_itself(CROSSED, 128),
}


@pytest.mark.parametrize("name", SAME_SIZE)
def test_other_families_are_as_large_as_timm_s_and_give_a_score_per_class(name):
    timm = pytest.importorskip("timm")
    if name == "regnetx_004" and torch.__version__.startswith("2.6."):
        pytest.skip("timm counts stages by torch.unique, which torch 2.6 lacks on meta")
    with torch.device("meta"):
        peer = timm.create_model(name)
        ours, pictures = build_network(SAME_SIZE[name]).eval(), torch.empty(2, 3, 224, 224)

    assert sum(each.numel() for each in ours.parameters()) == sum(each.numel() for each in peer.parameters())
    assert ours(pictures).shape == (2, 1000)


@pytest.mark.parametrize("name", ["swin-tiny", "vit-base-p16-384", "t2t-vit-t-14"])
def test_transformers_take_pictures_that_are_not_square(name):
    model = {**DOCUMENTED[name][0]}
    if name == "vit-base-p16-384":
        model["backbone"] = {"type": "VisionTransformer", "arch": "b", "img_size": 64}

    with torch.no_grad():
        assert build_network(model).eval()(torch.zeros(1, 3, 224, 256)).shape == (1, 1000)


def test_types_may_carry_the_name_of_their_library():
    model = classifier({"type": "mmcls.ResNet", "depth": 18}, 512)

    assert "backbone.layer4" in dict(on_meta({**model, "type": "mmpretrain.ImageClassifier"}).named_modules())


def test_settings_that_act_in_training_only_are_passed_over():
    backbone = {
        "type": "ResNet",
        "depth": 18,
        "frozen_stages": 2,
        "norm_eval": True,
        "init_cfg": {"type": "Pretrained"},
    }

    assert on_meta(classifier(backbone, 512))


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ({"type": "ResNet", "depth": 50, "dept": 18}, "ResNet has no setting 'dept'"),
        ({"type": "ResNet"}, "ResNet needs the setting 'depth'"),
        ({"type": "ResNet", "depth": 49}, "ResNet has no depth 49"),
        ({"type": "ResNet", "depth": 50, "norm_cfg": {"type": "IN"}}, "norm 'IN' is not built natively"),
        ({"type": "ResNet", "depth": 50, "norm_cfg": {"type": "GN"}}, "backbone ResNet cannot be built: 'num_groups'"),
        ({"type": "SwinTransformer", "arch": "tinny"}, "SwinTransformer has no arch 'tinny'"),
        ({"type": "SwinTransformer", "use_abs_pos_embed": True}, "use_abs_pos_embed=True is not built natively"),
        ({"type": "SwinTransformer", "arch": {"embed_dims": 96}}, "arch lacks 'depths'"),
        ({"type": "VisionTransformer", "arch": {"embed_dims": 96}}, "arch lacks 'num_layers'"),
        ({"type": "VisionTransformer", "out_type": "tokens"}, "no out_type 'tokens'"),
        ({"type": "VisionTransformer", "layer_cfgs": {"ffn_type": "moe"}}, "no feed-forward of type 'moe'"),
        ({"type": "RepVGG", "arch": "A0", "act_cfg": {"type": "Relu"}}, "no activation named 'Relu'"),
        ({"type": "RegNet", "arch": {"w0": 24}}, "RegNet arch lacks 'wa'"),
        ({"type": "ConvNeXt", "arch": {"depths": (1,)}}, "ConvNeXt arch lacks 'channels'"),
        ({"type": "VGG", "depth": 12}, "VGG has no depth 12"),
        ({"depth": 50}, "part of the model has no type"),
        ({"type": "ResNet", "depth": 50, "norm_cfg": None}, "backbone ResNet cannot be built"),
        ({"type": "ResNet", "depth": 50, "in_channels": "three"}, "backbone ResNet cannot be built"),
        ({"type": "ResNet", "depth": 50, "strides": [1, 2]}, "backbone ResNet cannot be built"),
        ({"type": "VisionTransformer", "patch_size": 0}, "backbone VisionTransformer cannot be built"),
    ],
)
def test_what_a_family_cannot_follow_is_an_error(backbone, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        on_meta(classifier(backbone, 10))


def test_a_foreign_type_names_the_extra_that_builds_it():
    with pytest.raises(ConfigError, match="no native backbone named 'LeViT'") as caught:
        on_meta(classifier({"type": "LeViT"}, 128))

    assert "[mmpretrain]" in caught.value.hint
    assert "native are ConvNeXt, DeiT3," in caught.value.hint


def test_a_misspelt_type_is_suggested():
    with pytest.raises(ConfigError, match="no native backbone named 'Resnet'") as caught:
        on_meta(classifier({"type": "Resnet", "depth": 50}, 2048))

    assert caught.value.hint.startswith("did you mean ResNet")


def test_a_model_without_a_head_gives_no_class_scores():
    with pytest.raises(NotOffered, match="no head"):
        on_meta({"type": "ImageClassifier", "backbone": {"type": "ResNet", "depth": 18}, "head": None})


@pytest.mark.parametrize("part", PARTS)
def test_every_type_of_the_tables_has_a_builder(part):
    from importlib import import_module

    for address in PARTS[part].values():
        module, _, function = address.partition(":")
        assert callable(getattr(import_module(f"classlens.zoo.{module}"), function))


def test_lenet_is_as_large_as_counted_by_hand_and_looks_at_the_mean_of_the_channels():
    """LeCun et al. 1998, figure 2: 6 and 16 and 120 filters of 5 x 5, then 84 and 10; here every filter sees all maps."""
    network = build_network(bare({"type": "LeNet5", "num_classes": 10})).eval()
    pictures = torch.rand(2, 3, 32, 32)

    assert [sum(each.numel() for each in part.parameters()) for part in network.backbone.children()] == [
        156 + 2_416 + 48_120,
        10_164 + 850,
    ]
    torch.testing.assert_close(network(pictures), network(pictures.flip(1)))
    assert network(pictures).shape == (2, 10)


def test_a_van_block_scaled_to_nothing_leaves_its_input_alone():
    block = VAN(VANOptions()).blocks1[0].eval()
    block.layer_scale_1.data.zero_()
    block.layer_scale_2.data.zero_()
    features = torch.randn(1, 32, 6, 6)

    torch.testing.assert_close(block(features), features)
    assert on_meta(classifier({"type": "VAN"}, 256)).eval()(torch.empty(2, 3, 64, 96, device="meta")).shape == (2, 1000)


def test_the_norm_of_a_deployed_riformer_does_the_work_of_norm_and_affine():
    """Wang et al., RIFormer, CVPR 2023, section 3.2: scale (affine - 1) into the norm."""
    trained, deployed = (
        PoolFormer(PoolFormerOptions("RIFormer", deploy=deploy)).network[0][0].double().eval()
        for deploy in (False, True)
    )
    for parameter in trained.parameters():
        torch.nn.init.normal_(parameter)
    scale, shift = trained.token_mixer.affine.weight.flatten(), trained.token_mixer.affine.bias
    merged = {"weight": trained.norm1.weight * (scale - 1), "bias": trained.norm1.bias * (scale - 1) + shift}
    shared = {
        name: value for name, value in trained.state_dict().items() if not name.startswith(("norm1", "token_mixer"))
    }
    deployed.load_state_dict(shared | {f"norm_reparam.{name}": value for name, value in merged.items()})
    features = torch.randn(2, 64, 5, 5, dtype=torch.float64)

    torch.testing.assert_close(deployed(features), trained(features))


@pytest.mark.parametrize(
    ("out_type", "shape"),
    [("cls_token", (2, 96)), ("raw", (2, 13, 96)), ("featmap", (2, 96, 3, 4)), ("avg_featmap", (2, 96))],
)
def test_a_transformer_gives_what_out_type_names(out_type, shape):
    backbone = {"type": "VisionTransformer", "arch": {**SMALL, "feedforward_channels": 96}, "out_type": out_type}

    features = on_meta(bare(backbone)).eval()(torch.empty(2, 3, 48, 64, device="meta"))

    assert features.shape == shape


def test_a_picture_with_fewer_tokens_than_a_window_is_refused():
    network = on_meta(classifier({"type": "SwinTransformer"}, 768)).eval()

    with pytest.raises(ValueError, match="a map of 4 x 4 tokens is smaller than a window of 7 x 7"):
        network(torch.empty(1, 3, 64, 64, device="meta"))


def test_generalized_mean_pooling_is_the_root_of_the_mean_of_powers():
    pooling = GeneralizedMeanPooling(p=2.0)

    with torch.no_grad():
        assert pooling(torch.tensor([[[[1.0, 7.0]]], [[[-9.0, 2.0]]]])).flatten().tolist() == pytest.approx(
            [5.0, 2**0.5]
        )


def test_heads_and_necks_have_the_layers_that_their_settings_ask_for():
    stacked = StackedHead(10, 8, (6, 4), norm_cfg={"type": "BN1d", "eps": 0.5}, act_cfg={"type": "HSwish"})
    hidden, neck = ViTHead(10, 8, hidden_dim=4), BatchNormNeck(8)

    kinds = [[type(layer).__name__ for layer in unit] for unit in stacked.layers]
    assert kinds == [["Linear", "BatchNorm1d", "Hardswish"]] * 2 + [["Linear"]]
    assert stacked.layers[0].norm.eps == 0.5
    assert [type(layer).__name__ for layer in hidden.layers] == ["Linear", "Tanh", "Linear"]
    assert list(neck.state_dict()) == ["bn.running_mean", "bn.running_var", "bn.num_batches_tracked"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"type": "ImageClasifier"}, "no native classifier named 'ImageClasifier'"),
        (bare({"type": "ResNest", "depth": 50}), "no native backbone named 'ResNest'"),
    ],
)
def test_without_a_fallback_only_native_types_are_built(model, message):
    with pytest.raises(ConfigError, match=message):
        build_network(model)
