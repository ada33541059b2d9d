"""What `check` says of a config's loader, against the DataLoader that mmengine's own Runner makes of it."""

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler  # noqa: F401 - registered by its import
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from PIL import Image

import classlens
from classlens.adapters.openmm.loading import SEED
from classlens.check.inspection import Inspection
from classlens.check.loader_rules import repeats_of, run_of

CONFIG = """
train_dataloader = dict(
    batch_size=4, num_workers=2, persistent_workers={persistent}, sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='CustomDataset', data_root='{root}', pipeline=[
        dict(type='LoadImageFromFile'), dict(type='RandomCrop', crop_size=24), dict(type='PackInputs')]))
train_cfg = dict(by_epoch=True, max_epochs=10)
"""
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)


@DATASETS.register_module(force=True)
class Draws(torch.utils.data.Dataset):
    """A sample is what numpy's global generator gives next."""

    def __len__(self):
        return 24

    def __getitem__(self, index):
        return int(np.random.randint(2**31)), index


def run_mmengine(**settings):
    """The draws of every (epoch, worker), and the order of every epoch."""
    sampler = {"type": "DefaultSampler", "shuffle": settings.pop("shuffle", True), "seed": SEED}
    collate = {"type": "default_collate"}
    config = {"dataset": {"type": "Draws"}, "sampler": sampler, "batch_size": 4, "collate_fn": collate, **settings}
    loader = Runner.build_dataloader(config, seed=SEED)
    torch.manual_seed(SEED)
    draws, orders = {}, []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        orders.append([])
        for number, (values, indices) in enumerate(loader):
            draws.setdefault((epoch, number % 2), []).extend(values.tolist())
            orders[-1] += indices.tolist()
    return draws, orders


@pytest.mark.parametrize("persistent", [False, True])
def test_epochs_repeat_as_they_do_in_mmengine(tmp_path, persistent):
    for index in range(24):
        folder = tmp_path / "photos" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PICTURE).save(folder / f"{index:02}.png")
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(persistent=persistent, root=tmp_path / "photos"))

    draws, orders = run_mmengine(num_workers=2, persistent_workers=persistent)
    inspection = Inspection(classlens.open_source(str(config)))

    assert (draws[0, 0] == draws[1, 0]) is not persistent
    assert draws[0, 0] != draws[0, 1]
    assert [(repeat.kind, repeat.places) for repeat in repeats_of(inspection)] == (
        [] if persistent else [("epochs", "in every epoch")]
    )
    assert [[int(one) for one in order] for order in run_of(inspection).orders] == orders
