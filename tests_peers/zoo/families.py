"""Every native family in at least two sizes: a name, what the config says, and a picture size that it takes."""

from typing import Any

CASES: dict[str, tuple[dict[str, Any], int]] = {}


def add(name: str, backbone: dict[str, Any], head: dict[str, Any] | int, *, size: int = 64, neck: object = True) -> None:
    """`head` as a number is the width that a linear head takes."""
    if isinstance(head, int):
        head = {"type": "LinearClsHead", "num_classes": 10, "in_channels": head}
    model = {"type": "ImageClassifier", "backbone": backbone, "head": {"num_classes": 10, **head}}
    if neck is True:
        model["neck"] = {"type": "GlobalAveragePooling"}
    elif neck:
        model["neck"] = neck
    CASES[name] = (model, size)


for depth, width in ((18, 512), (34, 512), (50, 2048), (101, 2048), (152, 2048)):
    add(f"ResNet-{depth}", {"type": "ResNet", "depth": depth}, width)
add("ResNet-50 caffe", {"type": "ResNet", "depth": 50, "style": "caffe"}, 2048)
add("ResNet-50 to stage 2", {"type": "ResNet", "depth": 50, "out_indices": (2,)}, 1024)
add("ResNet-50 GeM", {"type": "ResNet", "depth": 50}, 2048, neck={"type": "GeneralizedMeanPooling"})
for depth in (50, 101):
    add(f"ResNetV1c-{depth}", {"type": "ResNetV1c", "depth": depth}, 2048)
    add(f"ResNetV1d-{depth}", {"type": "ResNetV1d", "depth": depth}, 2048, size=72)
    add(f"SEResNet-{depth}", {"type": "SEResNet", "depth": depth}, 2048)
    add(f"SEResNeXt-{depth}", {"type": "SEResNeXt", "depth": depth}, 2048)
add("ResNet-CIFAR-18", {"type": "ResNet_CIFAR", "depth": 18}, 512, size=32)
add("ResNet-CIFAR-50", {"type": "ResNet_CIFAR", "depth": 50}, 2048, size=32)
add("ResNeXt-50 32x4d", {"type": "ResNeXt", "depth": 50, "groups": 32, "width_per_group": 4}, 2048)
add("ResNeXt-101 32x8d", {"type": "ResNeXt", "depth": 101, "groups": 32, "width_per_group": 8}, 2048)
for arch, width in {"b0": 1280, "b1": 1280, "b2": 1408, "b3": 1536, "b4": 1792, "es": 1280, "em": 1280, "el": 1536}.items():
    add(f"EfficientNet-{arch}", {"type": "EfficientNet", "arch": arch}, width, size=75)
add("EfficientNet-b8", {"type": "EfficientNet", "arch": "b8"}, 2816, size=75)
