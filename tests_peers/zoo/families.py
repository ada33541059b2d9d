"""Every native family in at least two sizes: a name, what the config says, and a picture size that it takes."""

from typing import Any

CASES: dict[str, tuple[dict[str, Any], int]] = {}


def add(
    name: str, backbone: dict[str, Any], head: dict[str, Any] | int, *, size: int = 64, neck: object = True
) -> None:
    """`head` as a number is the width that a linear head takes."""
    if isinstance(head, int):
        head = {"type": "LinearClsHead", "num_classes": 10, "in_channels": head}
    if head["type"] not in ("ClsHead", "MultiLabelClsHead"):
        head = {"num_classes": 10, **head}
    model = {"type": "ImageClassifier", "backbone": backbone, "head": head}
    if neck is True:
        model["neck"] = {"type": "GlobalAveragePooling"}
    elif neck:
        model["neck"] = neck
    CASES[name] = (model, size)


for depth, width in ((18, 512), (34, 512), (50, 2048), (101, 2048)):
    add(f"ResNet-{depth}", {"type": "ResNet", "depth": depth}, width)
add("ResNet-50 caffe", {"type": "ResNet", "depth": 50, "style": "caffe"}, 2048)
add(
    "ResNet-18 of many labels", {"type": "ResNet", "depth": 18}, {"type": "MultiLabelLinearClsHead", "in_channels": 512}
)
add("ResNet-34 with a bare head", {"type": "ResNet", "depth": 34}, {"type": "MultiLabelClsHead"})
add("ResNet-50 to stage 2", {"type": "ResNet", "depth": 50, "out_indices": (2,)}, 1024)
add("ResNet-50 GeM", {"type": "ResNet", "depth": 50}, 2048, neck={"type": "GeneralizedMeanPooling"})
for depth, width in ((34, 512), (50, 2048)):
    add(f"ResNetV1c-{depth}", {"type": "ResNetV1c", "depth": depth}, width)
    add(f"ResNetV1d-{depth}", {"type": "ResNetV1d", "depth": depth}, width, size=72)
for depth in (50, 101):
    add(f"SEResNet-{depth}", {"type": "SEResNet", "depth": depth}, 2048)
    add(f"SEResNeXt-{depth}", {"type": "SEResNeXt", "depth": depth}, 2048)
grouped = {"type": "GN", "num_groups": 32}
add("ResNet-50 with group norms", {"type": "ResNet", "depth": 50, "norm_cfg": grouped}, 2048)
add("ResNetV1c-34 with group norms", {"type": "ResNetV1c", "depth": 34, "norm_cfg": grouped}, 512)
add("ResNet-CIFAR-18", {"type": "ResNet_CIFAR", "depth": 18}, 512, size=32)
add("ResNet-CIFAR-50", {"type": "ResNet_CIFAR", "depth": 50}, 2048, size=32)
add("ResNeXt-50 32x4d", {"type": "ResNeXt", "depth": 50, "groups": 32, "width_per_group": 4}, 2048)
add("ResNeXt-50 16x8d", {"type": "ResNeXt", "depth": 50, "groups": 16, "width_per_group": 8}, 2048)
for arch, width in {
    "b0": 1280,
    "b1": 1280,
    "b2": 1408,
    "b3": 1536,
    "b4": 1792,
    "es": 1280,
    "em": 1280,
    "el": 1536,
}.items():
    add(f"EfficientNet-{arch}", {"type": "EfficientNet", "arch": arch}, width, size=75)

for arch, width in {"small": 576, "small_075": 432, "small_050": 288, "large": 960}.items():
    stacked = {
        "type": "StackedLinearClsHead",
        "in_channels": width,
        "mid_channels": [128],
        "act_cfg": {"type": "HSwish"},
    }
    add(f"MobileNetV3-{arch}", {"type": "MobileNetV3", "arch": arch}, stacked)
for arch, width in {"A0": 1280, "A2": 1408, "B1g2": 2048, "B3g4": 2560}.items():
    for deploy in (False, True):
        form = "deploy" if deploy else "train"
        add(f"RepVGG-{arch} {form}", {"type": "RepVGG", "arch": arch, "deploy": deploy}, width)
add("RepVGG-D2se train", {"type": "RepVGG", "arch": "D2se"}, 2560)


def add_vit(name: str, width: int, head: str = "VisionTransformerClsHead", **backbone: Any) -> None:
    """Transformers at a small picture size; LinearClsHead where the backbone gives a pooled vector."""
    whole = {"type": "VisionTransformer", "img_size": 64, **backbone}
    add(name, whole, {"type": head, "in_channels": width}, neck=None)


add_vit("ViT-B/16", 768, arch="b")
add_vit("ViT-S/32", 768, arch="s", patch_size=32, drop_rate=0.1)
add_vit(
    "ViT of its own size", 96, arch={"embed_dims": 96, "num_layers": 2, "num_heads": 4, "feedforward_channels": 128}
)
add_vit("ViT averaged", 192, "LinearClsHead", arch="deit-tiny", out_type="avg_featmap")
add_vit(
    "ViT averaged without final norm", 192, "LinearClsHead", arch="deit-tiny", out_type="avg_featmap", final_norm=False
)
add_vit("ViT of CLIP", 192, arch="deit-tiny", pre_norm=True, layer_cfgs={"act_cfg": {"type": "mmpretrain.QuickGELU"}})
add_vit(
    "ViT scaled and gated", 192, arch="deit-tiny", layer_scale_init_value=0.1, layer_cfgs={"ffn_type": "swiglu_fused"}
)
add_vit("ViT without qkv bias", 192, arch="deit-tiny", qkv_bias=False, out_indices=(3, 7))
mapped = {
    "type": "VisionTransformer",
    "img_size": 64,
    "arch": "deit-tiny",
    "out_type": "featmap",
    "with_cls_token": False,
}
add("ViT as a map", mapped, 192)
add_vit("DeiT-T", 192, arch="deit-tiny")
for arch, width in {"tiny": 192, "small": 384}.items():
    add_vit(f"DeiT-{arch} distilled", width, "DeiTClsHead", type="DistilledVisionTransformer", arch=f"deit-{arch}")
for arch, width in {"s": 384, "m": 512}.items():
    add_vit(f"DeiT3-{arch}", width, type="DeiT3", arch=arch)
hidden = {"type": "VisionTransformerClsHead", "in_channels": 192, "hidden_dim": 64}
add("ViT with hidden layer", {"type": "VisionTransformer", "img_size": 64, "arch": "deit-tiny"}, hidden, neck=None)
add(
    "ViT at another size",
    {"type": "VisionTransformer", "img_size": 64, "arch": "deit-tiny"},
    hidden,
    neck=None,
    size=100,
)

for arch, width in {"tiny": 768, "small": 768, "base": 1024}.items():
    add(
        f"Swin-{arch}",
        {"type": "SwinTransformer", "arch": arch, "img_size": 224, "drop_path_rate": 0.2},
        width,
        size=224,
    )
windows = {"type": "SwinTransformer", "arch": "tiny", "stage_cfgs": {"block_cfgs": {"window_size": 4}}}
add("Swin-tiny with windows of 4", windows, 768, size=150)
add(
    "Swin-tiny to stage 2",
    {"type": "SwinTransformer", "arch": "tiny", "window_size": 4, "out_indices": (1, 2)},
    384,
    size=130,
)
for layers, width, heads in ((14, 384, 6), (19, 448, 7)):
    encoder = {"num_heads": heads, "feedforward_channels": 3 * width}
    maker = {"token_dims": 64, "use_performer": False}
    backbone = {
        "type": "T2T_ViT",
        "img_size": 64,
        "embed_dims": width,
        "num_layers": layers,
        "t2t_cfg": maker,
        "layer_cfgs": encoder,
    }
    head = {"type": "VisionTransformerClsHead", "in_channels": width}
    add(f"T2T-ViT-t-{layers}", backbone, head, neck=None, size=64 if layers == 14 else 90)

probed = {"type": "VisionTransformer", "arch": "deit-tiny", "img_size": 64}
head = {"type": "VisionTransformerClsHead", "in_channels": 192}
add("ViT with a batch norm behind", probed, head, neck={"type": "ClsBatchNormNeck", "input_features": 192})
bare = {"type": "ClsHead"}
add("VGG-11", {"type": "VGG", "depth": 11, "num_classes": 10}, bare, neck=None, size=224)
normed = {"type": "VGG", "depth": 13, "num_classes": 10, "norm_cfg": {"type": "BN"}}
add("VGG-13 with norms", normed, bare, neck=None, size=224)
add("LeNet5", {"type": "LeNet5", "num_classes": 10}, bare, neck=None, size=32)
for width in (1.0, 0.5, 1.4):
    last = int(1280 * max(1.0, width))
    add(f"MobileNetV2 x{width}", {"type": "MobileNetV2", "widen_factor": width}, last)
regnets = {"400mf": 384, "800mf": 672, "1.6gf": 912, "3.2gf": 1008, "12gf": 2240}
for arch, width in regnets.items():
    add(f"RegNetX-{arch}", {"type": "RegNet", "arch": f"regnetx_{arch}"}, width)
for arch, width in {"121": 1024, "161": 2208}.items():
    add(f"DenseNet-{arch}", {"type": "DenseNet", "arch": arch}, width)
for arch, width in {"atto": 320, "tiny": 768}.items():
    add(f"ConvNeXt-{arch}", {"type": "ConvNeXt", "arch": arch}, width, neck=None)
    second = {"type": "ConvNeXt", "arch": arch, "use_grn": True, "layer_scale_init_value": 0.0}
    add(f"ConvNeXtV2-{arch}", second, width, neck=None)
convs = {"type": "ConvNeXt", "arch": "atto", "linear_pw_conv": False, "use_grn": True, "gap_before_final_norm": False}
add("ConvNeXtV2 of convolutions", convs, 320)
for arch, width in {"b0": 1280, "b3": 1536, "s": 1280}.items():
    add(f"EfficientNetV2-{arch}", {"type": "EfficientNetV2", "arch": arch}, width, size=75)
for arch in ("tiny", "small"):
    add(f"SwinV2-{arch}", {"type": "SwinTransformerV2", "arch": arch, "img_size": 256}, 768, size=256)
measured = {
    "type": "SwinTransformerV2",
    "arch": "tiny",
    "window_size": [8, 8, 4, 4],
    "pretrained_window_sizes": [6, 6, 6, 3],
}
add("SwinV2 with windows of its own", measured, 768, size=150)
for arch, width in {"s12": 512, "m36": 768}.items():
    add(f"PoolFormer-{arch}", {"type": "PoolFormer", "arch": arch}, width)
    add(f"RIFormer-{arch} train", {"type": "RIFormer", "arch": arch}, width)
    add(f"RIFormer-{arch} deploy", {"type": "RIFormer", "arch": arch, "deploy": True}, width)
for patch, width, normed in ((16, 128, False), (8, 192, True)):
    crossed = {
        "type": "XCiT",
        "patch_size": patch,
        "embed_dims": width,
        "depth": 3,
        "num_heads": 4,
        "tokens_norm": normed,
    }
    add(f"XCiT p{patch}", crossed, width, neck=None, size=80)
for arch, width in {"s0": 1024, "s4": 2048}.items():
    add(f"MobileOne-{arch} train", {"type": "MobileOne", "arch": arch}, width)
    add(f"MobileOne-{arch} deploy", {"type": "MobileOne", "arch": arch, "deploy": True}, width)
for arch, width in {"tiny": 256, "small": 512}.items():
    add(f"VAN-{arch}", {"type": "VAN", "arch": arch}, width)
