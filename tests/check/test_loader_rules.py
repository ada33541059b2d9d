"""Faults planted in loaders that really run, with their workers, and healthy loaders, in which nothing may be found."""

import json
import random
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset, Subset, get_worker_info
from torchvision.transforms import v2

import classlens
from classlens.adapters import Options
from classlens.adapters.python import source_of
from classlens.check.examine import examine
from classlens.check.inspection import Inspection
from classlens.check.loader_rules import strips_vary
from classlens.check.loader_run import leaves_of, seed_equally
from classlens.check.rule import choose_rules
from classlens.cli.main import main
from classlens.errors import DataError, NotOffered
from classlens.source import Source

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
SIZE = 18
CONFIGS = Path(__file__).parents[2] / "configs" / "resnet"
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)


class Pictures(Dataset):
    """As many pictures as one wants, each cropped by whatever is planted."""

    def __init__(self, change, transform=None, **attributes):
        self.change = change
        if transform is not None:
            self.transform = transform
        vars(self).update(attributes)

    def __len__(self):
        return SIZE

    def __getitem__(self, index):
        return self.change(self, np.roll(PICTURE, index, axis=0)), index % 3


def crop(picture, place):
    return np.ascontiguousarray(picture[place : place + 32, place : place + 32])


def by_composition(dataset, picture):
    return dataset.transform(image=picture)["image"]


def by_torchvision(dataset, picture):
    return dataset.transform(Image.fromarray(picture))


def by_own_numpy(dataset, picture):
    return crop(picture, int(dataset.rng.integers(16)))


def by_own_python(dataset, picture):
    return crop(picture, dataset.rng.randrange(16))


def by_global_numpy(dataset, picture):
    return crop(picture, np.random.randint(16))


def by_new_generator(dataset, picture):
    return crop(picture, int(np.random.default_rng(7).integers(16)))


def by_seeding(dataset, picture):
    random.seed(0)
    return crop(picture, random.randrange(16))


def hidden_generator():
    generator = np.random.default_rng()
    return lambda dataset, picture: crop(picture, int(generator.integers(16)))


def hidden_coin():
    generator = np.random.default_rng()
    return lambda dataset, picture: crop(picture, int(generator.integers(2)))


def by_unused_numpy(dataset, picture):
    dataset.rng.integers(16)
    return crop(picture, 3)


def collate_with_noise(items):
    return [(picture + np.random.randint(5), label) for picture, label in items]


def albumented():
    return Pictures(by_composition, A.Compose([A.RandomResizedCrop((24, 24)), A.HorizontalFlip(p=0.5)]))


def tensors():
    return Pictures(by_torchvision, v2.Compose([v2.RandomResizedCrop(24), v2.RandomHorizontalFlip(), v2.ToImage()]))


class Cached(Pictures):
    """Keeps every picture as it was first drawn."""

    def __getitem__(self, index):
        kept = vars(self).setdefault("kept", {})
        if index not in kept:
            kept[index] = super().__getitem__(index)
        return kept[index]


MODULE = np.random.default_rng(5)


def by_module(dataset, picture):
    return crop(picture, int(MODULE.integers(16)))


def by_own_torch(dataset, picture):
    return crop(picture, int(torch.randint(16, (1,), generator=dataset.rng)))


class Stream(IterableDataset):
    def __init__(self, *, is_shared):
        self.is_shared = is_shared

    def __iter__(self):
        info = get_worker_info()
        start, step = (info.id, info.num_workers) if self.is_shared and info else (0, 1)
        for index in islice(range(60), start, None, step):
            place = random.randrange(16)
            yield crop(np.roll(PICTURE, index, axis=0), place), index


class Reseeded(DataLoader):
    """Makes its generator anew in every epoch."""

    def __iter__(self):
        self.generator = torch.Generator().manual_seed(0)
        return super().__iter__()


def loader_of(dataset, kind=DataLoader, **settings):
    usual = {"batch_size": 4, "num_workers": 2}
    usual |= {} if "sampler" in settings or isinstance(dataset, IterableDataset) else {"shuffle": True}
    return kind(dataset, **usual | settings)


def seed_the_same(worker):
    np.random.seed(0)


def seed_by_number(worker):
    np.random.seed(worker)


def reseed_the_composition(worker):
    get_worker_info().dataset.transform.set_random_seed(torch.initial_seed())


def reseed_the_generator(worker):
    get_worker_info().dataset.rng = np.random.default_rng(torch.initial_seed())


def check(loader, gpus=1):
    source = source_of(loader, "train", Options())
    return examine(Inspection(source, gpus=gpus), choose_rules(["L"]))


FAULTS = {
    "a composition of Albumentations": (
        lambda: loader_of(albumented(), num_workers=3),
        "L004",
        "every worker and in every epoch: 1 distinct sequence for 6 (epoch, worker) pairs",
    ),
    "a composition in lasting workers": (
        lambda: loader_of(albumented(), persistent_workers=True),
        "L004",
        "Albumentations 2.0.8: the draws are the same in every worker: 2 distinct sequences for 4",
    ),
    "a numpy generator made in __init__": (
        lambda: loader_of(Pictures(by_own_numpy, rng=np.random.default_rng())),
        "L004",
        "dataset.rng: the draws are the same in every worker and in every epoch",
    ),
    "random.Random(0) kept in the dataset": (
        lambda: loader_of(Pictures(by_own_python, rng=random.Random(0))),
        "L004",
        "dataset.rng: the draws",
    ),
    "a generator of torch kept in the dataset": (
        lambda: loader_of(Pictures(by_own_torch, rng=torch.Generator())),
        "L004",
        "dataset.rng: the draws",
    ),
    "a generator of the module, in a subset": (
        lambda: loader_of(Subset(Pictures(by_module), range(3, 17))),
        "L004",
        "MODULE: the draws are the same in every worker and in every epoch",
    ),
    "a cache of augmented pictures": (
        lambda: loader_of(Cached(by_torchvision, v2.RandomCrop(24))),
        "L008",
        "what its transforms draw first is kept",
    ),
    "a generator in a closure": (
        lambda: loader_of(Pictures(hidden_generator())),
        "L001",
        "a generator that cannot be seen from outside are the same in every worker and in every epoch",
    ),
    "a coin in a closure": (
        lambda: loader_of(Pictures(hidden_coin())),
        "L001",
        "a generator that cannot be seen from outside are the same in every worker and in every epoch",
    ),
    "a fixed seed in worker_init_fn": (
        lambda: loader_of(Pictures(by_global_numpy), worker_init_fn=seed_the_same),
        "L001",
        "numpy.random are the same in every worker and in every epoch: worker_init_fn seeds",
    ),
    "workers seeded by their number": (
        lambda: loader_of(Pictures(by_global_numpy), worker_init_fn=seed_by_number),
        "L002",
        "numpy.random are the same in every epoch: worker_init_fn",
    ),
    "a generator that is made anew": (
        lambda: loader_of(tensors(), Reseeded),
        "L002",
        "the DataLoader's generator starts at the same state",
    ),
    "a generator for all ranks": (
        lambda: loader_of(tensors(), generator=torch.Generator().manual_seed(0), sampler=shared(tensors())),
        "L003",
        "the same on every rank: the DataLoader's generator",
    ),
    "no shuffling": (lambda: loader_of(tensors(), shuffle=False), "L006", "0, 1, 2, 3, ..."),
    "a generator made for every sample": (
        lambda: loader_of(Pictures(by_new_generator)),
        "L008",
        "default_rng is called for every sample",
    ),
    "a seed in every sample": (lambda: loader_of(Pictures(by_seeding)), "L008", "the dataset seeds random"),
    "a stream that is not shared": (
        lambda: loader_of(Stream(is_shared=False)),
        "L009",
        "every sample of the stream comes 2 times",
    ),
    "a batch that is larger than the data": (
        lambda: loader_of(tensors(), batch_size=32, drop_last=True),
        "L007",
        "drop_last drops the only batch: 18 samples on 1 GPU, batches of 32",
    ),
}


def shared(dataset):
    return DistributedSampler(dataset, num_replicas=2, rank=0)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_its_cause_named(name):
    plant, codes, words = FAULTS[name]

    findings = check(plant()).findings

    assert [one.code for one in findings] == codes.split()
    assert words in findings[0].message


HEALTHY = {
    "draws that change nothing, and noise in the batch": lambda: loader_of(
        Pictures(by_unused_numpy, rng=np.random.default_rng()), collate_fn=collate_with_noise
    ),
    "torchvision": lambda: loader_of(tensors()),
    "no workers": lambda: loader_of(albumented(), num_workers=0),
    "a composition seeded in every worker": lambda: loader_of(albumented(), worker_init_fn=reseed_the_composition),
    "a generator seeded in every worker": lambda: loader_of(
        Pictures(by_own_numpy, rng=np.random.default_rng()), worker_init_fn=reseed_the_generator
    ),
    "a generator that is made once": lambda: loader_of(tensors(), generator=torch.Generator().manual_seed(0)),
    "numpy, which torch seeds": lambda: loader_of(Pictures(by_global_numpy), persistent_workers=True),
    "a composition without chance": lambda: loader_of(Pictures(by_composition, A.Compose([A.Resize(24, 24)]))),
    "a rare flip": lambda: loader_of(Pictures(by_torchvision, v2.RandomHorizontalFlip(p=0.1))),
    "a stream that is shared": lambda: loader_of(Stream(is_shared=True)),
    "samples shared out among ranks": lambda: loader_of(tensors(), sampler=shared(tensors())),
    "a lambda": lambda: loader_of(Pictures(lambda dataset, picture: crop(picture, random.randrange(16)))),
    "a dataset alone": tensors,
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_loader_has_no_finding(name):
    findings = check(HEALTHY[name]())

    assert [(one.code, one.message) for one in findings.findings] == []
    assert findings.skipped == ()


SCRIPT = """
import random
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)

class Pictures(Dataset):
    def __len__(self):
        return 24
    def __getitem__(self, index):
        left = random.randrange(16)
        return np.ascontiguousarray(PICTURE[left:left + 32]), index

def make_loader():
    return DataLoader(Pictures(), 4, shuffle=True, num_workers=2, generator=torch.Generator().manual_seed(0))

def setup():
    loader = DataLoader(Pictures(), 5, shuffle=True, num_workers=2)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    return {"train": loader, "optimizer": optimizer, "scheduler": scheduler, "interval": "step", "epochs": 10}

distributed = DataLoader(
    Pictures(), 4, sampler=DistributedSampler(Pictures(), num_replicas=2, rank=0), num_workers=2
)
lambdas = DataLoader(type("Local", (Pictures,), {"key": lambda self: 0})(), 4, shuffle=True, num_workers=2)

if __name__ == "__main__":
"""
ONCE = """
    loader = make_loader()
    for epoch in range(3):
        distributed.sampler.set_epoch(epoch)
        for batch in loader:
            pass
"""
ANEW = """
    for epoch in range(3):
        for batch in make_loader():
            pass
"""


@pytest.mark.parametrize(
    ("name", "loop", "codes"),
    [
        ("make_loader", ONCE, []),
        ("make_loader", ANEW, ["L002", "L005"]),
        ("distributed", ONCE, []),
        ("distributed", ANEW, ["L005"]),
        ("lambdas", ONCE, []),
        ("setup", ONCE, ["L007"]),
    ],
)
def test_what_the_training_loop_does_is_read_off_the_file(tmp_path, capsys, name, loop, codes):
    file = tmp_path / "train.py"
    file.write_text(SCRIPT + loop)

    status = main(["check", f"py:{file}:{name}", "--select", "L"])

    text = capsys.readouterr().out
    assert status == bool(codes)
    assert [code for code in (f"L{number:03}" for number in range(1, 10)) if f"{code}: " in text] == codes


CONFIG = """
train_pipeline = [dict(type='LoadImageFromFile'), {stages}, dict(type='PackInputs')]
train_dataloader = dict(
    batch_size=4, num_workers={workers}, {settings}
    sampler=dict(type='DefaultSampler', shuffle={shuffle}),
    dataset=dict(type='CustomDataset', data_root='{root}', pipeline=train_pipeline))
train_cfg = dict(by_epoch=True, max_epochs=10)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
"""
NATIVE = "dict(type='RandomResizedCrop', scale=24), dict(type='RandomFlip', prob=0.5)"
ALBU = "dict(type='Albu', transforms=[dict(type='RandomCrop', height=24, width=24)])"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eight pictures of two classes."""
    root = tmp_path_factory.mktemp("photos")
    for index in range(8):
        (root / "ab"[index % 2]).mkdir(exist_ok=True)
        Image.fromarray(np.roll(PICTURE, index, axis=0)).save(root / "ab"[index % 2] / f"{index}.png")
    return root


@pytest.mark.parametrize(
    ("changes", "options", "codes"),
    [
        ({}, [], []),
        ({"workers": 0}, [], []),
        ({"settings": "persistent_workers=False,"}, [], ["L002"]),
        ({"stages": ALBU}, [], ["L004"]),
        ({"shuffle": False}, [], ["L006"]),
        ({"end": "default_hooks = dict(sampler_seed=None)"}, [], ["L005"]),
        ({"workers": 0}, ["--ngpus", "2"], ["L003"]),
        ({"workers": 0, "end": "randomness = dict(diff_rank_seed=True)"}, ["--ngpus", "2"], []),
        ({}, ["--ngpus", "2"], []),
    ],
)
def test_the_loader_of_a_config_is_run_as_openmmlab_builds_it(photos, tmp_path, capsys, changes, options, codes):
    usual = {"stages": NATIVE, "workers": 2, "settings": "", "shuffle": True, "root": photos, "end": ""}
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(**usual | changes) + (usual | changes)["end"])

    main(["check", str(config), "--select", "L", *options])

    text = capsys.readouterr().out
    assert [code for code in (f"L{number:03}" for number in range(1, 10)) if f"{code}: " in text] == codes


def test_browse_says_what_a_config_repeats_in_training(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "0.png")
    usual = {"workers": 2, "settings": "persistent_workers=False,", "shuffle": True, "root": tmp_path}
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(stages=ALBU, **usual).replace("CustomDataset'", "CustomDataset', with_label=False"))

    remarks = classlens.trace(classlens.open_source(str(config)).dataset("train"), 0).remarks

    assert [remark.partition(",")[0] for remark in remarks] == [
        "Albumentations draws the same in every worker of training",
        "every epoch of training draws the same",
    ]


@pytest.mark.parametrize(("settings", "codes"), [("", []), (".persistent_workers=False", ["L002"])])
def test_a_real_config_is_run_over_pictures_on_disk(photos, capsys, settings, codes):
    changes = [f"train_dataloader.dataset.data_root={photos}", "train_dataloader.dataset.type=CustomDataset"]
    changes += ["train_dataloader.dataset.split=", "train_dataloader.batch_size=4"]
    changes += [f"train_dataloader{settings}"] if settings else []

    main(
        [
            "check",
            str(CONFIGS / "resnet50_8xb32_in1k.py"),
            "--select",
            "L",
            "--cfg-options",
            *changes,
            "--output-format",
            "json",
        ]
    )

    data = json.loads(capsys.readouterr().out)
    assert [one["code"] for one in data["findings"]] == codes
    assert data["skipped"] == []


@pytest.mark.parametrize(("transform", "codes"), [(v2.RandomCrop(24), []), (A.RandomCrop(24, 24), ["L004"])])
def test_a_transform_beside_pictures_is_run_in_torchs_usual_loader(photos, transform, codes):
    findings = check((f"folder:{photos}", transform)).findings

    assert [one.code for one in findings] == codes
    assert all("dataset.transform" in one.message for one in findings)


def test_a_data_module_of_lightning_is_run_with_the_loader_that_it_makes():
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningDataModule):
        def train_dataloader(self):
            return loader_of(albumented())

    class Network(lightning.LightningModule):
        def train_dataloader(self):
            return loader_of(tensors(), shuffle=False)

    assert [one.code for one in check(Module()).findings] == ["L004"]
    assert [one.code for one in check(Network()).findings] == ["L006"]


class Silent(DataLoader):
    """Gives what no worker has made."""

    def __iter__(self):
        yield from ["a batch"] * 3


def test_a_loader_that_leaves_its_collate_function_out_is_named():
    with pytest.raises(NotOffered, match="Silent does not call its collate function in its workers"):
        check(loader_of(tensors(), Silent))


def test_records_count_by_what_they_hold_and_other_things_by_their_type():
    record = SimpleNamespace(label=3, boxes=np.arange(4))

    assert list(leaves_of(record)) == list(leaves_of({"label": 3, "boxes": np.arange(4)}))
    assert list(leaves_of(object())) == [b"object"]


def test_workers_are_seeded_equally_after_the_users_own_function():
    called = []

    seed_equally(called.append, 3)

    assert called == [3]
    assert random.random() == random.Random(0).random()


def test_a_pipeline_that_cannot_be_opened_varies_nothing():
    def fail(split):
        raise DataError("gone")

    assert not strips_vary(Inspection(Source("made", open_dataset=fail)))
