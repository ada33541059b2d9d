"""Pipelines at which training stops: nothing is shown as if it had run."""

import numpy as np
import pytest

from classlens.adapters import open_source
from classlens.adapters.openmm.datasets import open_split
from classlens.adapters.openmm.setup import Split
from classlens.cli.main import main
from classlens.dataset.trace import trace
from classlens.errors import ConfigError, DataError
from tests.dataset.listings import folder as folder
from tests.dataset.listings import opened, write_cifar

LOAD, PACK = {"type": "LoadImageFromFile"}, {"type": "PackInputs"}
FLIP = {"type": "RandomFlip", "prob": 1.0}
MASK = {"type": "SimMIMMaskGenerator"}
PILLOW, ARRAY = [{"type": "NumpyToPIL", "to_rgb": True}], [{"type": "PILToNumpy", "to_bgr": True}]
CROP = {"type": "CenterCrop", "crop_size": 4}
CENTRE = {"type": "torchvision/CenterCrop", "size": 4}
CASES = {
    "no Pillow picture": ("files", [LOAD, {"type": "MAERandomResizedCrop", "size": 8}, PACK], "NumpyToPIL does not"),
    "no array": ("files", [LOAD, *PILLOW, CROP, PACK], "stage 3, CenterCrop, finds a Pillow picture and no array"),
    "no array to invert": ("files", [LOAD, *PILLOW, {"type": "Invert", "prob": 1.0}, PACK], "PILToNumpy does not"),
    "Pillow twice": ("files", [LOAD, *PILLOW, *PILLOW, PACK], "stage 3, NumpyToPIL, finds a Pillow picture"),
    "nothing loads": ("files", [FLIP, PACK], "stage 1, RandomFlip, finds no picture"),
    "only packed": ("files", [PACK], "stage 1, PackInputs, finds no picture"),
    "loaded too late": ("files", [FLIP, LOAD, PACK], "stage 1, RandomFlip, finds no picture"),
    "loaded from memory": ("memory", [LOAD, FLIP, PACK], "stage 1, LoadImageFromFile, looks for a file"),
    "packed too early": (
        "files",
        [LOAD, PACK, FLIP],
        "stage 3, RandomFlip, finds no picture: PackInputs has packed it",
    ),
    "packed twice": ("files", [LOAD, PACK, PACK], "stage 3, PackInputs, finds no picture"),
    "never packed": ("files", [LOAD, FLIP], "nothing packs the picture"),
    "never packed, in memory": ("memory", [FLIP], "nothing packs the picture"),
    "collected": ("files", [LOAD, {"type": "Collect", "keys": ["img"]}], "nothing packs the picture"),
    "something else packed": ("files", [LOAD, {**PACK, "input_key": "image"}], "PackInputs packs 'image'"),
}
RIGHT = {
    "as Pillow wants it": ("files", [LOAD, *PILLOW, {"type": "MAERandomResizedCrop", "size": 8}, *ARRAY, CROP, PACK]),
    "flipped while Pillow holds it": ("files", [LOAD, *PILLOW, FLIP, PACK]),
    "files": ("files", [LOAD, FLIP, PACK]),
    "memory": ("memory", [FLIP, PACK]),
    "given to torchvision": ("files", [LOAD, *PILLOW, CENTRE, {"type": "torchvision/ToTensor"}, PACK]),
    "masked before it is loaded": ("files", [MASK, LOAD, PACK]),
}


@pytest.fixture
def places(folder, tmp_path):
    write_cifar(tmp_path, red=255)
    return {
        "files": {"type": "CustomDataset", "data_root": str(folder)},
        "memory": {"type": "CIFAR10", "data_root": str(tmp_path)},
    }


@pytest.mark.parametrize("case", CASES)
def test_a_sample_is_bad_where_its_pipeline_stops_training(case, places):
    kind, pipeline, reason = CASES[case]
    dataset = opened(**places[kind], pipeline=pipeline)

    try:
        remarks = trace(dataset, 0).remarks
    except DataError as error:
        remarks = (str(error),)

    assert [one for one in remarks if one.startswith("training stops here: ") and reason in one]


@pytest.mark.parametrize("case", RIGHT)
def test_nothing_is_said_of_a_pipeline_that_loads_changes_and_packs(case, places):
    kind, pipeline = RIGHT[case]

    assert trace(opened(**places[kind], pipeline=pipeline), 0).remarks == ()


@pytest.mark.parametrize("mode", ["original", "transformed", "pipeline"])
@pytest.mark.parametrize("packed", [True, False])
def test_browse_counts_samples_that_never_reach_the_network(mode, packed, folder, tmp_path, capsys):
    config = tmp_path / "config.py"
    pipeline = [LOAD, FLIP, *([PACK] if packed else [])]
    dataset = {"type": "CustomDataset", "data_root": str(folder), "pipeline": pipeline}
    config.write_text(f"train_dataloader = dict(batch_size=2, dataset={dataset})")

    status = main(["browse", str(config), "--strict", "--mode", mode, "--output-dir", str(tmp_path / "out")])

    assert status == (0 if packed else 1)
    assert ("training stops here" in "".join(capsys.readouterr())) is not packed


def test_a_second_loader_undoes_what_came_before_it(folder):
    dataset = opened(type="CustomDataset", data_root=str(folder), pipeline=[LOAD, FLIP, LOAD, PACK])

    first, flipped, again = trace(dataset, 0).snapshots

    assert again.note == "loaded anew: what was done before is lost"
    np.testing.assert_array_equal(again.image.pixels, first.image.pixels)
    assert flipped.stage == "RandomFlip"


@pytest.mark.parametrize(
    ("outer", "inner", "method"),
    [
        ("KFoldDataset", "RepeatDataset", "get_subset"),
        ("KFoldDataset", "ConcatDataset", "get_subset"),
        ("KFoldDataset", "ClassBalancedDataset", "get_subset"),
        ("KFoldDataset", "mmpretrain.KFoldDataset", "get_subset"),
        ("ClassBalancedDataset", "RepeatDataset", "get_cat_ids"),
        ("ClassBalancedDataset", "ConcatDataset", "get_cat_ids"),
    ],
)
def test_wrappers_around_wrappers_that_stop_training_are_refused(outer, inner, method, folder):
    plain = {"type": "CustomDataset", "data_root": str(folder)}
    more = {"datasets": [plain, plain]} if inner == "ConcatDataset" else {"dataset": plain}
    inside = {"type": inner, "times": 2, "oversample_thr": 0.1, **more}

    with pytest.raises(ConfigError, match=f"training stops here: {outer} around .*no {method}"):
        open_split(Split({"type": outer, "oversample_thr": 0.1, "dataset": inside}), name="train", classes=None)


OLD = """
data = dict(samples_per_gpu=2, train=dict(type='CustomDataset', data_prefix={root!r}, pipeline=[
    dict(type='LoadImageFromFile'), dict(type='Resize', size=8), {stages}]))
runner = dict(type='EpochBasedRunner', max_epochs=1)
"""
TENSOR, COLLECT = "dict(type='ImageToTensor', keys=['img'])", "dict(type='Collect', keys=['img', 'gt_label'])"


@pytest.mark.parametrize(
    ("stages", "reason"),
    [
        (f"{TENSOR}, {COLLECT}", ""),
        (COLLECT, "channels last: ImageToTensor is missing"),
        (TENSOR, "nothing packs the picture"),
        (f"{TENSOR}, {COLLECT}, dict(type='RandomFlip')", "RandomFlip, finds no picture"),
    ],
)
def test_the_older_generation_collects_what_it_has_made_a_tensor(stages, reason, folder, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(OLD.format(root=str(folder), stages=stages))
    dataset = open_source(str(config)).dataset("train")

    try:
        remarks = trace(dataset, 0).remarks
    except DataError as error:
        remarks = (str(error),)

    assert any(reason in one for one in remarks) if reason else remarks == ()


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("dict(type='Rotate', angle=30)", "stage 3: Rotate: angle is a float, not 30"),
        ("dict(type='RandomFlip', direction='diagonal')", "stage 3: RandomFlip: direction is horizontal or vertical"),
        ("dict(type='ColorJitter', brightness=0.4)", "stage 3: ColorJitter: the setting 'contrast' is needed"),
    ],
)
def test_settings_that_only_the_older_generation_refuses_are_refused_by_line(stage, reason, folder, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(OLD.format(root=str(folder), stages=f"{stage}, {TENSOR}, {COLLECT}"))

    with pytest.raises(ConfigError, match=reason) as caught:
        open_source(str(config)).dataset("train")

    assert "config.py:3" in str(caught.value)
