"""Where training stops: mmpretrain's own datasets and data preprocessor stop at the same pipelines and wrappers."""

import cv2
import pytest
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from mmpretrain.datasets import CIFAR10
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.registry import DATASETS
from tests.adapters.openmm.test_flow import CASES, RIGHT
from tests.adapters.openmm.test_flow import places as places
from tests.dataset.listings import folder as folder
from tests.dataset.listings import opened

from classlens.adapters.openmm.datasets import open_split
from classlens.adapters.openmm.setup import Split
from classlens.dataset.trace import trace
from classlens.errors import ConfigError


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    """The batches of CIFAR are made up here: they have not the checksums of the published ones."""
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda self, root: None, raising=False)


def fed(settings):
    """The first sample as the network would get it."""
    init_default_scope("mmpretrain")
    sample = DATASETS.build(settings)[0]
    return ClsDataPreprocessor()(default_collate([sample]), training=True)


@pytest.mark.parametrize("case", CASES)
def test_the_peer_stops_where_we_say_so(case, places):
    kind, pipeline, _ = CASES[case]

    with pytest.raises((KeyError, AttributeError, TypeError, ValueError, cv2.error)):
        fed({**places[kind], "pipeline": pipeline})


@pytest.mark.parametrize("case", RIGHT)
def test_the_peer_goes_on_where_we_say_nothing(case, places):
    kind, pipeline = RIGHT[case]

    assert "inputs" in fed({**places[kind], "pipeline": pipeline})
    assert trace(opened(**places[kind], pipeline=pipeline), 0).remarks == ()


WRAPPERS = {
    "ConcatDataset": lambda inner: {"datasets": [inner, inner]},
    "RepeatDataset": lambda inner: {"dataset": inner, "times": 2},
    "ClassBalancedDataset": lambda inner: {"dataset": inner, "oversample_thr": 0.1},
    "KFoldDataset": lambda inner: {"dataset": inner, "num_splits": 2},
}


@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize("inner", WRAPPERS)
def test_every_pair_of_wrappers_is_taken_or_refused_as_by_the_peer(outer, inner, folder):
    within = {"type": inner, **WRAPPERS[inner]({"type": "CustomDataset", "data_root": str(folder)})}
    settings = {"type": outer, **WRAPPERS[outer](within)}
    init_default_scope("mmpretrain")
    try:
        expected = len(DATASETS.build(settings))
    except (AttributeError, NotImplementedError) as error:
        expected = str(error)

    if isinstance(expected, int):
        assert open_split(Split(settings), name="train", classes=None).length == expected
    else:
        with pytest.raises(ConfigError, match="training stops here"):
            open_split(Split(settings), name="train", classes=None)
