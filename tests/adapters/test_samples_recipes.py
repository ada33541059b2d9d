import pytest

from classlens.adapters import Options, open_source
from tests.adapters.test_samples import write

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
def opened(tmp_path):
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
def test_the_pipeline_and_the_mixing_are_those_in_force_in_the_epoch(epoch, stages, mixings, opened):
    dataset = opened(epoch)

    assert [stage.name for stage in dataset.stages] == stages
    assert len(dataset.batch.mixings) == mixings
    assert dataset.batch.size == 3


def test_an_unknown_mixing_is_told_and_samples_can_be_browsed_all_the_same(tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    text = CONFIG.format(root=str(tmp_path / "data")).replace("Mixup", "Mixxup")
    (tmp_path / "config.py").write_text(text)

    dataset = open_source(str(tmp_path / "config.py")).dataset("train")

    assert dataset.batch is None
    assert dataset.warnings == ("batches cannot be mixed: no batch augmentation named 'Mixxup'",)
