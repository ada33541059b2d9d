"""Datasets of configs: wrapped, in parts, and with the recipe in force."""

import shutil

import numpy as np
import pytest

from classlens.adapters import Options, open_source
from classlens.dataset.trace import trace
from classlens.errors import ConfigError, NotOffered
from tests.dataset.listings import counted, listed, opened, write, write_cifar
from tests.dataset.listings import folder as folder
from tests.dataset.listings import picture as picture

LOAD, PACK = {"type": "LoadImageFromFile"}, {"type": "PackInputs"}


def resized(root, *scales, **settings):
    stages = [{"type": "Resize", "scale": scale} for scale in scales]
    return {"type": "CustomDataset", "data_root": str(root), "pipeline": [LOAD, *stages, PACK], **settings}


def test_wrappers_change_how_often_samples_come(folder):
    inner = {"type": "CustomDataset", "data_root": str(folder)}

    repeated = opened(type="RepeatDataset", dataset=inner, times=3)
    balanced = opened(type="ClassBalancedDataset", dataset=inner, oversample_thr=0.8)
    kept = opened(type="KFoldDataset", dataset=inner, fold=1, num_splits=5)
    tested = opened(type="KFoldDataset", dataset=inner, fold=1, num_splits=5, test_mode=True, seed=3)

    assert repeated.length == 15
    assert repeated.sample(7) == repeated.sample(2)
    assert [name for name, _ in listed(balanced)].count("z.bmp") == 2
    assert kept.length == 4
    assert tested.length == 1


def test_a_fold_that_does_not_exist_gets_a_word(folder):
    inner = {"type": "CustomDataset", "data_root": str(folder)}

    last = opened(type="KFoldDataset", dataset=inner, fold=4, num_splits=5)
    beyond = opened(type="KFoldDataset", dataset=inner, fold=5, num_splits=5)

    assert last.warnings == ()
    assert beyond.warnings == ("KFoldDataset has no fold 5 of 5: they count from 0",)
    with pytest.raises(ConfigError, match="num_splits is 1 or more, not 0"):
        opened(type="KFoldDataset", dataset=inner, num_splits=0)


def test_every_part_of_a_concatenated_dataset_goes_through_its_own_pipeline(folder):
    dataset = opened(type="ConcatDataset", datasets=[resized(folder, 20), resized(folder, 30, 40)])

    first, second = trace(dataset, 4), trace(dataset, 5)

    assert [one.stage for one in first.snapshots] == ["LoadImageFromFile", "Resize"]
    assert first.transformed.image.size == (20, 20)
    assert [one.stage for one in second.snapshots] == ["LoadImageFromFile", "Resize", "Resize"]
    assert second.transformed.image.size == (40, 40)
    assert trace(dataset, 5, keep="last").transformed.image.size == (40, 40)


def test_wrappers_in_wrappers_lead_to_the_pipeline_of_the_innermost(folder):
    small, large = resized(folder, 20), resized(folder, 40)
    repeated = {"type": "RepeatDataset", "times": 2, "dataset": {"type": "ConcatDataset", "datasets": [small, large]}}
    folds = {"type": "KFoldDataset", "fold": 0, "num_splits": 5, "test_mode": True, "dataset": large}
    balanced = {"type": "ClassBalancedDataset", "oversample_thr": 0.8, "dataset": folds}
    twice = {"type": "RepeatDataset", "times": 2, "dataset": balanced}

    dataset = opened(type="ConcatDataset", datasets=[repeated, twice])

    sizes = [trace(dataset, index).transformed.image.size[0] for index in range(dataset.length)]
    assert sizes == [*[20] * 5, *[40] * 5] * 2 + [40] * 2


def test_parts_in_memory_keep_their_own_encoding(folder, tmp_path):
    names = [str(number) for number in range(10)]
    write_cifar(tmp_path, red=255)
    files = resized(folder, metainfo={"classes": names})
    arrays = {"type": "CIFAR10", "data_root": str(tmp_path), "metainfo": {"classes": names}}

    dataset = opened(type="ConcatDataset", datasets=[files, arrays])

    np.testing.assert_array_equal(trace(dataset, 5).original.image.pixels[0, 0], (255, 0, 0))


def test_parts_with_other_classes_are_refused_as_training_does(folder, tmp_path):
    write(tmp_path / "other" / "ant" / "1.png")
    parts = [resized(folder), resized(tmp_path / "other")]

    with pytest.raises(ConfigError, match=r"dataset 2 of ConcatDataset has 1 class \(ant\), the first one 3 classes"):
        opened(type="ConcatDataset", datasets=parts)
    told = opened(type="ConcatDataset", datasets=parts, ignore_keys="classes").warnings
    assert any("names of the first are shown" in warning for warning in told)


def test_an_error_in_the_second_pipeline_says_where_it_is_written(folder, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(f"""
first = dict(type='CustomDataset', data_root={str(folder)!r}, pipeline=[dict(type='LoadImageFromFile')])
second = dict(type='CustomDataset', data_root={str(folder)!r}, pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='RandomFlap')])
train_dataloader = dict(batch_size=2, dataset=dict(type='ConcatDataset', datasets=[first, second]))
""")

    with pytest.raises(ConfigError, match=r"config\.py:5: train pipeline of datasets\.1: stage 2: no transform named"):
        open_source(str(config)).dataset("train")


OLD = """
first = dict(type='CustomDataset', data_prefix={root!r}, pipeline=[
    dict(type='LoadImageFromFile'), dict(type='Resize', size=(20, 30)), dict(type='Collect', keys=['img'])])
second = dict(type='CustomDataset', data_prefix={other!r}, pipeline=[
    dict(type='LoadImageFromFile'), dict(type='ToTensor', keys=['gt_label']), dict(type='{kind}', size=40)])
data = dict(samples_per_gpu=2, train=[first, dict(type='RepeatDataset', times=2, dataset=second)])
runner = dict(type='EpochBasedRunner', max_epochs=1)
"""


def test_a_list_of_datasets_of_the_older_generation_is_one_after_the_other(folder, tmp_path):
    write(tmp_path / "other" / "ant" / "1.png")
    config = tmp_path / "config.py"
    text = OLD.lstrip().format(root=str(folder), other=str(tmp_path / "other"), kind="Resize")
    config.write_text(text)

    dataset = open_source(str(config)).dataset("train")

    assert dataset.length == 7
    assert trace(dataset, 0).transformed.image.size == (20, 30)
    assert trace(dataset, 6).transformed.image.size == (40, 40)
    assert any("names of the first are shown" in warning for warning in dataset.warnings)
    config.write_text(text.replace("'Resize', size=40", "'Resise', size=40"))
    with pytest.raises(
        ConfigError, match=r"config\.py:4: train pipeline of datasets\.1\.dataset: stage 2: no transform"
    ):
        open_source(str(config)).dataset("train")


def test_wrapped_archives_are_read_from_their_own_place(folder, tmp_path):
    shutil.make_archive(str(tmp_path / "all"), "zip", folder)
    names = ["a", "b", "c"]
    inner = {"type": "CustomDataset", "data_root": str(folder), "metainfo": {"classes": names}}
    archived = {"type": "CustomDataset", "data_root": str(tmp_path / "all.zip"), "metainfo": {"classes": names}}

    joined = opened(type="ConcatDataset", datasets=[inner, {"type": "RepeatDataset", "dataset": archived, "times": 2}])

    assert joined.length == 15
    assert trace(joined, 14).original.image.size == (8, 10)


@pytest.mark.parametrize(("indices", "kept"), [(2, [0, 1]), (-2, [3, 4]), ([4, 0, -2], [4, 0, 3]), (0, [])])
def test_a_part_of_a_dataset_can_be_asked_for(indices, kept, folder):
    whole = listed(opened(type="CustomDataset", data_root=str(folder)))

    assert listed(opened(type="CustomDataset", data_root=str(folder), indices=indices)) == [whole[one] for one in kept]
    assert counted({"type": "CustomDataset", "data_root": str(folder), "indices": indices}) == len(kept)


def test_indices_that_do_not_exist_are_refused_and_unknown_settings_told(folder):
    for wrong in ([5], "all", [0.5]):
        with pytest.raises(ConfigError, match="indices is a number or a list of sample numbers below 5"):
            opened(type="CustomDataset", data_root=str(folder), indices=wrong)
    told = opened(type="CustomDataset", data_root=str(folder), with_lable=False).warnings
    assert told == ("CustomDataset has no setting 'with_lable'; did you mean with_label?",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "CustomDataset", "data_root": 5}, "data_root is a text, not 5"),
        ({"type": "CustomDataset", "metainfo": {"classes": 5}}, "classes is a list of names or the path of one, not 5"),
        ({"type": "RepeatDataset", "dataset": {}}, "RepeatDataset needs the setting 'times'"),
        ({"type": "ConcatDataset"}, "ConcatDataset needs the setting 'datasets'"),
        ({"type": "ConcatDataset", "datasets": []}, "ConcatDataset has no datasets"),
    ],
    ids=str,
)
def test_a_setting_that_is_none_of_a_dataset_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        opened(**settings)


def test_parts_without_class_names_are_not_like_parts_with_them(folder, tmp_path):
    (tmp_path / "list.txt").write_text("1.png 0\n")
    listed_only = resized(tmp_path, ann_file="list.txt")

    with pytest.raises(ConfigError, match=r"dataset 2 of ConcatDataset has no class names, the first one 3 classes"):
        opened(type="ConcatDataset", datasets=[resized(folder), listed_only])


def test_an_unknown_dataset_is_named_with_the_nearest(folder):
    with pytest.raises(ConfigError, match="no dataset named 'ImageNett'") as caught:
        opened(type="ImageNett", data_root=str(folder))

    assert "ImageNet" in caught.value.hint


CONFIG = """
train_dataloader = dict(batch_size=3, dataset=dict(type='CustomDataset', data_root={root!r}, pipeline=[
    dict(type='LoadImageFromFile'), dict(type='Resize', scale=8)]))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
model = dict(type='ImageClassifier', train_cfg=dict(augments=[dict(type='Mixup', alpha=0.2)]))
custom_hooks = [dict(type='SwitchRecipeHook', schedule=[
    dict(action_epoch=37, train_pipeline=[dict(type='LoadImageFromFile'), dict(type='RandomFlip', prob=0.5)]),
    dict(action_epoch=112, batch_augments=None),
])]
"""


@pytest.fixture
def dataset_in(tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    path = tmp_path / "config.py"
    path.write_text(CONFIG.format(root=str(tmp_path / "data")))

    def dataset(epoch):
        return open_source(str(path), options=Options(epoch=epoch)).dataset("train")

    return dataset


@pytest.mark.parametrize(
    ("epoch", "stages", "mixings"),
    [
        (None, ["Resize"], 1),
        (36, ["Resize"], 1),
        (37, ["RandomFlip"], 1),
        (111, ["RandomFlip"], 1),
        (200, ["RandomFlip"], 0),
    ],
)
def test_the_pipeline_and_the_mixing_are_those_in_force_in_the_epoch(epoch, stages, mixings, dataset_in):
    dataset = dataset_in(epoch)

    assert [stage.name for stage in dataset.stages] == stages
    assert len(dataset.batch.mixings) == mixings
    assert dataset.batch.size == 3


WRAPPED = CONFIG.replace("dataset=dict(type=", "dataset=dict(type='RepeatDataset', times=2, dataset=dict(type=", 1)
JOINED = CONFIG.replace("dataset=dict(type=", "dataset=dict(type='ConcatDataset', datasets=[dict(type=", 1)


@pytest.mark.parametrize(
    ("text", "length"),
    [(WRAPPED.replace("scale=8)]))", "scale=8)])))"), 2), (JOINED.replace("scale=8)]))", "scale=8)])]))"), 1)],
    ids=["repeated", "joined"],
)
def test_a_recipe_changes_the_pipeline_of_what_is_wrapped(text, length, tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    (tmp_path / "config.py").write_text(text.format(root=str(tmp_path / "data")))

    stages = {}
    for epoch in (36, 37):
        dataset = open_source(str(tmp_path / "config.py"), options=Options(epoch=epoch)).dataset("train")
        stages[epoch] = [one.stage for one in trace(dataset, 0).snapshots]

    assert dataset.length == length
    assert stages == {36: ["LoadImageFromFile", "Resize"], 37: ["LoadImageFromFile", "RandomFlip"]}


FOREIGN = "scale=8), dict(type='torchvision/CenterCrop', size=4)"


@pytest.mark.parametrize(
    "text",
    [CONFIG, WRAPPED.replace("scale=8)]))", "scale=8)])))"), JOINED.replace("scale=8)]))", "scale=8)])]))")],
    ids=["alone", "repeated", "joined"],
)
def test_as_loaded_a_dataset_has_no_stage_of_another_package(text, tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    text = text.format(root=str(tmp_path / "data")).replace("scale=8)", FOREIGN)
    (tmp_path / "config.py").write_text(text)

    dataset = open_source(str(tmp_path / "config.py"), options=Options(as_loaded=True)).dataset("train")

    assert [one.stage for one in trace(dataset, 0).snapshots] == ["LoadImageFromFile", "Resize"]


def test_a_recipe_needs_the_epoch_in_which_it_begins(tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    text = CONFIG.format(root=str(tmp_path / "data")).replace("dict(action_epoch=112, batch", "dict(batch")
    (tmp_path / "config.py").write_text(text)

    with pytest.raises(ConfigError, match="a recipe of SwitchRecipeHook has no action_epoch"):
        open_source(str(tmp_path / "config.py")).dataset("train")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch_size=3", "batch_size=3, num_workers='two'", "the training loader: a setting is not of the kind"),
        (
            "batch_size=3",
            "batch_size=3, worker_init_fn=dict(type='my.seeds')",
            "its worker_init_fn is a function of its own, which is not run",
        ),
    ],
)
def test_a_loader_that_cannot_be_made_as_training_does_is_an_error(old, new, message, tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    (tmp_path / "config.py").write_text(CONFIG.format(root=str(tmp_path / "data")).replace(old, new))

    with pytest.raises((ConfigError, NotOffered), match=message):
        open_source(str(tmp_path / "config.py")).open_loading()


def test_a_setting_of_another_kind_is_an_error_that_names_the_data(tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    text = WRAPPED.replace("scale=8)]))", "scale=8)])))").replace("times=2", "times='two'")
    (tmp_path / "config.py").write_text(text.format(root=str(tmp_path / "data")))
    path = str(tmp_path / "config.py")

    with pytest.raises(
        ConfigError, match="the train data: a setting is not of the kind that is needed: invalid literal"
    ):
        open_source(path).dataset("train")
    with pytest.raises(ValueError, match="invalid literal"):  # in a trusted config it may be the user's own code
        open_source(path, options=Options(trust_config=True)).dataset("train")


def test_an_unknown_mixing_is_told_and_samples_can_be_browsed_all_the_same(tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    text = CONFIG.format(root=str(tmp_path / "data")).replace("Mixup", "Mixxup")
    (tmp_path / "config.py").write_text(text)

    dataset = open_source(str(tmp_path / "config.py")).dataset("train")

    assert dataset.batch is None
    assert dataset.warnings == ("batches cannot be mixed: no batch augmentation named 'Mixxup'",)


def test_a_mixing_without_alpha_is_told(tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    text = CONFIG.format(root=str(tmp_path / "data")).replace("alpha=0.2", "alpha=0.0")
    (tmp_path / "config.py").write_text(text)

    dataset = open_source(str(tmp_path / "config.py")).dataset("train")

    assert dataset.warnings == ("batches cannot be mixed: Mixup needs an alpha above 0",)


def test_a_probability_too_few_is_told(tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    two = "augments=[dict(type='Mixup', alpha=0.2), dict(type='CutMix', alpha=1.0)], probs=[0.5]"
    text = CONFIG.format(root=str(tmp_path / "data")).replace("augments=[dict(type='Mixup', alpha=0.2)]", two)
    (tmp_path / "config.py").write_text(text)

    dataset = open_source(str(tmp_path / "config.py")).dataset("train")

    assert dataset.warnings == ("batches cannot be mixed: 1 probs for 2 batch augmentations",)
