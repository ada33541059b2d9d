import sys
from importlib import invalidate_caches
from pathlib import Path

import numpy as np
import pytest

from classlens.adapters import Options, open_source
from classlens.dataset.trace import trace
from classlens.errors import ConfigError, DataError
from tests.dataset.listings import write

CONFIG = """
custom_imports = dict(imports={imports!r}, allow_failed_imports=False)
train_dataloader = dict(batch_size=2, dataset=dict({dataset}, pipeline=[
    {loader}dict(type={kind!r}, strength=0.5),
    dict(type='Resize', scale=4),
]))
"""
MODULE = """
import numpy as np

class Darker:
    def __init__(self, strength):
        if strength > 1:
            raise ValueError('too strong')
        self.strength = strength

    def __call__(self, results):
        return {**results, 'img': (results['img'] * self.strength).astype(np.uint8)}

class Pictures:
    metainfo = {'classes': ('dark', 'bright')}

    def __init__(self, size, pipeline):
        self.size = size

    def __len__(self):
        return 2

    def get_data_info(self, index):
        return {'img': np.full((self.size, self.size, 3), 200 * index, np.uint8), 'gt_label': index}

class Nothing:
    def __init__(self, strength):
        pass

    def __call__(self, results):
        return None

class NoDataset:
    def __init__(self, pipeline):
        pass
"""


@pytest.fixture
def opened(tmp_path, monkeypatch):
    write(tmp_path / "data" / "a" / "1.png", shade=100)
    for name, content in (("plain_types", MODULE), ("needy_types", "import mmpretrain_of_tomorrow\n")):
        (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.chdir(tmp_path)
    folder = f"type='CustomDataset', data_root={str(tmp_path / 'data')!r}"

    def dataset(kind="Darker", imports=("plain_types",), data=folder, trust=True):
        loader = "dict(type='LoadImageFromFile'), " if data == folder else ""
        text = CONFIG.format(imports=list(imports), dataset=data, kind=kind, loader=loader)
        (tmp_path / "config.py").write_text(text)
        return open_source("config.py", options=Options(trust_config=trust)).dataset("train")

    yield dataset
    for name in ("plain_types", "needy_types"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("kind", ["Darker", "plain_types.Darker"])
def test_a_transform_of_ones_own_needs_no_openmmlab(kind, opened):
    result = trace(opened(kind, imports=["plain_types"] if kind == "Darker" else []), 0)

    assert [one.stage for one in result.snapshots] == ["LoadImageFromFile", kind, "Resize"]
    assert result.transformed.image.pixels[0, 0].tolist() == [50, 50, 50]


def test_a_dataset_of_ones_own_is_asked_for_its_samples(opened):
    dataset = opened(data="type='Pictures', size=6")

    assert dataset.classes == ("dark", "bright")
    assert dataset.class_names(1) == ("bright",)
    assert trace(dataset, 1).original.image.size == (6, 6)
    assert np.unique(trace(dataset, 1).transformed.image.pixels).tolist() == [100]


def test_a_transform_that_gives_nothing_leaves_a_bad_sample(opened):
    with pytest.raises(DataError, match="Nothing gives no sample: training takes another one instead"):
        trace(opened("Nothing"), 0)


TRAINING = """
custom_imports = dict(imports=[{module!r}], allow_failed_imports={lenient})
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1), paramwise_cfg=dict(norm_decay_mult=0.0))
train_cfg = dict(max_epochs=2)
train_dataloader = dict(batch_size=2, dataset=dict(type='CustomDataset'))
{more}
"""


def schedule_of(folder, module, *, lenient=False, more=""):
    invalidate_caches()  # "." has been another folder before
    (folder / "training.py").write_text(TRAINING.format(module=module, lenient=lenient, more=more))
    options = Options(trust_config=True, count_groups=True)
    return open_source(str(folder / "training.py"), options=options).schedule()


def test_modules_of_a_trusted_config_are_imported_before_its_network_is_built(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seen_types.py").write_text("SEEN = True\n")
    more = (
        "model = dict(type='ImageClassifier', backbone=dict(type='LeNet5', num_classes=10), head=dict(type='ClsHead'))"
    )

    groups = schedule_of(tmp_path, "seen_types", more=more).groups

    assert sys.modules.pop("seen_types").SEEN
    assert {group.name: group.tensors for group in groups} == {"all other parameters": 10}


def test_modules_may_be_missing_where_the_config_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = (
        "model = dict(type='ImageClassifier', backbone=dict(type='LeNet5', num_classes=10), head=dict(type='ClsHead'))"
    )

    assert schedule_of(tmp_path, "no_types", lenient=True, more=more).groups
    with pytest.raises(ConfigError, match="no module named 'no_types'"):
        schedule_of(tmp_path, "no_types", more=more)
    with pytest.raises(AttributeError):  # it may be the user's own code that complains
        schedule_of(tmp_path, "no_types", lenient=True, more=more + "\noptim_wrapper['paramwise_cfg'] = ['head']")


LABELS = {
    "a number": ("index", [(0,), (1,)], ""),
    "a number of numpy": ("np.int64(index)", [(0,), (1,)], ""),
    "several": ("[0, index]", [(0, 0), (0, 1)], ""),
    "zeros and ones, as in 0.x": ("np.array([1, index, 0], np.int8)", [(0,), (0, 1)], ""),
    "several tasks": ("{'colour': 1, 'size': index}", [(), ()], "no label: gt_label is {'colour': 1, 'size': 1}"),
    "a name": ("'cat'", [(), ()], "no label: gt_label is 'cat'"),
}


@pytest.mark.parametrize(("label", "expected", "remark"), LABELS.values(), ids=LABELS.keys())
def test_labels_of_a_dataset_of_ones_own_may_have_several_forms(label, expected, remark, opened):
    invalidate_caches()  # "." has been another folder before
    module = f"types_{list(LABELS.values()).index((label, expected, remark))}"
    Path(f"{module}.py").write_text(MODULE.replace("'gt_label': index", f"'gt_label': {label}"))

    dataset = opened(imports=[module], data="type='Pictures', size=6")

    assert [dataset.sample(index).labels for index in range(2)] == expected
    assert dataset.remarks(dataset.load(1)) == ((remark,) if remark else ())


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ({"trust": False}, "stage 2: no transform named 'Darker'", "--trust-config"),
        ({"data": "type='Pictures', size=6", "trust": False}, "no dataset named 'Pictures'", "--trust-config"),
        ({"kind": "Lighter"}, "stage 2: nothing named 'Lighter' in plain_types", ""),
        ({"imports": ["no_types"]}, "no module named 'no_types'", "PYTHONPATH"),
        ({"imports": ["needy_types"]}, "needy_types needs mmpretrain_of_tomorrow", "[mmpretrain]"),
        ({"data": "type='NoDataset'"}, r"NoDataset has no get_data_info\(index\)", ""),
        ({"data": "type='Pictures'"}, "Pictures: .*missing 1 required positional argument: 'size'", ""),
    ],
    ids=str,
)
def test_what_is_missing_is_said_before_any_picture_is_read(asked, message, hint, opened):
    with pytest.raises(ConfigError, match=message) as caught:
        opened(**asked)

    assert hint in caught.value.hint
