"""0.x in the words of 1.x, row by row of the table in the documentation."""

import pytest

from classlens.adapters.openmm import mmcls_0x

ROWS = [
    (dict(type="Resize", size=(256, -1)), dict(type="ResizeEdge", scale=256, edge="short")),
    (dict(type="Resize", size=(64, -1), adaptive_side="long"), dict(type="ResizeEdge", scale=64, edge="long")),
    (dict(type="Resize", size=224, backend="pillow"), dict(type="Resize", scale=(224, 224), backend="pillow")),
    (dict(type="Resize", size=(200, 300)), dict(type="Resize", scale=(300, 200))),
    (
        dict(type="RandomResizedCrop", size=224, scale=(0.1, 1), ratio=(0.5, 2)),
        dict(type="RandomResizedCrop", scale=224, crop_ratio_range=(0.1, 1), aspect_ratio_range=(0.5, 2)),
    ),
    (
        dict(type="RandomResizedCrop", size=224, efficientnet_style=True, min_covered=0.2),
        dict(type="EfficientNetRandomCrop", scale=224, min_covered=0.2, interpolation="bilinear"),
    ),
    (
        dict(type="RandomResizedCrop", size=224, efficientnet_style=False, crop_padding=32),
        dict(type="RandomResizedCrop", scale=224),
    ),
    (
        dict(type="CenterCrop", crop_size=224, efficientnet_style=True, interpolation="bicubic"),
        dict(type="EfficientNetCenterCrop", crop_size=224, interpolation="bicubic"),
    ),
    (dict(type="CenterCrop", crop_size=(200, 300)), dict(type="CenterCrop", crop_size=(300, 200))),
    (dict(type="RandomCrop", size=32, padding=4), dict(type="RandomCrop", crop_size=32, padding=4)),
    (dict(type="RandomFlip", flip_prob=0.5), dict(type="RandomFlip", prob=0.5)),
    (
        dict(type="RandomGrayscale", gray_prob=0.2),
        dict(type="RandomGrayscale", prob=0.2, keep_channels=True, channel_weights=None),
    ),
    (dict(type="Lighting", eigval=[1.0]), dict(type="Lighting", eigval=[1.0], to_rgb=True, wrapped=False)),
    (dict(type="Collect", keys=["img"]), dict(type="PackInputs")),
    (dict(type="ImageToTensor", keys=["img"]), None),
    (dict(type="ToTensor", keys=["gt_label"]), None),
    (dict(type="Normalize", mean=[1], std=[2]), dict(type="Normalize", mean=[1], std=[2])),
    (dict(type="Pad", size=(200, 300), pad_val=5), dict(type="Pad", size=(300, 200), pad_val={"img": (5, 0, 0)})),
    (dict(type="Pad", pad_to_square=True), dict(type="Pad", pad_to_square=True, pad_val={"img": (0, 0, 0)})),
    (
        dict(type="RandAugment", policies=[dict(type="Rotate"), dict(type="Invert")], hparams=dict(pad_val=7)),
        dict(
            type="RandAugment",
            total_level=30,
            policies=[dict(type="Rotate", pad_val=(7, 7, 7)), dict(type="Invert")],
            hparams=dict(pad_val=7),
        ),
    ),
]


@pytest.mark.parametrize(("old", "new"), ROWS, ids=lambda row: row["type"] if row else "None")
def test_a_transform_is_called_what_1x_calls_it(old, new):
    assert mmcls_0x.translate_stage(old) == new


def test_wrapped_datasets_are_bridged_all_the_way_down():
    inner = dict(type="CIFAR10", data_prefix="data", test_mode=True, pipeline=[dict(type="RandomFlip", flip_prob=1)])
    wrapped = mmcls_0x.translate_dataset(
        dict(type="RepeatDataset", times=2, dataset=dict(type="Wrap", datasets=[inner]))
    )

    assert wrapped["dataset"]["datasets"] == [
        dict(type="CIFAR10", data_root="data", split="test", pipeline=[dict(type="RandomFlip", prob=1)])
    ]


def test_class_names_move_into_the_meta_information():
    assert mmcls_0x.translate_dataset(dict(type="CustomDataset", classes=["a", "b"])) == dict(
        type="CustomDataset", metainfo=dict(classes=["a", "b"])
    )


@pytest.mark.parametrize(
    ("wrapper", "tested", "of_fold", "of_inner"),
    [
        ({}, False, False, "train"),
        ({}, True, True, "train"),
        ({"test_mode": False}, True, False, "test"),
        ({"test_mode": True}, False, True, "train"),
    ],
    ids=str,
)
def test_the_test_mode_of_a_split_goes_to_the_fold_or_to_what_is_folded(wrapper, tested, of_fold, of_inner):
    """`build_dataset(cfg.data.val, dict(test_mode=True))` of 0.x pops it for a fold that has none of its own."""
    folds = {"type": "KFoldDataset", "dataset": {"type": "CIFAR10", "data_prefix": "data"}, **wrapper}

    new = mmcls_0x.translate_dataset(folds, tested=tested)

    assert new["test_mode"] is of_fold
    assert new["dataset"]["split"] == of_inner


INVERT = dict(type="Invert")


@pytest.mark.parametrize(
    ("old", "reason"),
    [
        (dict(type="Invert", magnitude=3), "there is no setting 'magnitude', only prob"),
        (dict(type="Invert", prob=None), "prob is None"),
        (dict(type="Pad"), "one of size and pad_to_square is given"),
        (dict(type="Pad", size=8, pad_to_square=True), "one of size and pad_to_square is given"),
        (dict(type="Lighting", eigval=(1.0,), eigvec=[[1.0]]), "eigval is a list, not (1.0,)"),
        (dict(type="Cutout", shape=9, pad_val=(1, 2, 3.5)), "pad_val is a whole number or three, not (1, 2, 3.5)"),
        (dict(type="Cutout", shape=9, pad_val=128), ""),
        (dict(type="AutoAugment", policies=[[INVERT]], hparams=[3]), "hparams is a dict, not [3]"),
        (dict(type="AutoAugment", policies=[INVERT]), "policies is a list that is not empty"),
        (dict(type="AutoAugment", policies=[[3]]), "a policy is a dict with a type"),
        (dict(type="AutoAugment", policies=[[dict(type="Invert", prob=None)]]), "Invert: prob is None"),
        (dict(type="AutoAugment", policies=[[INVERT]]), ""),
    ],
)
def test_what_only_0x_refuses_has_a_reason(old, reason):
    assert mmcls_0x.reason_to_refuse(old).startswith(reason)
    assert bool(mmcls_0x.reason_to_refuse(old)) is bool(reason)


def test_an_entry_that_is_no_transform_is_left_for_the_reader_of_stages():
    assert mmcls_0x.translate_pipeline(["Resize", INVERT]) == ["Resize", INVERT]
