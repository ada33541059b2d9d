"""Logits become probabilities as mmpretrain's own heads make them, for every head and loss among upstream's configs."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import mmpretrain
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.models.heads import ClsHead, MultiLabelClsHead
from mmpretrain.registry import MODELS

from classlens.adapters.openmm.classifiers import output_kind
from classlens.adapters.openmm.setup import read_setup
from classlens.cam.forward import probabilities
from classlens.config import read_config
from classlens.errors import ClasslensError

CONFIGS = Path(mmpretrain.__file__).parent / ".mim" / "configs"


def heads() -> Iterator[tuple[str, Path]]:
    for path in sorted(CONFIGS.rglob("*.py")):
        if "_base_" in path.parts:
            continue
        try:
            model = read_setup(read_config(path), path).model or {}
        except ClasslensError:
            continue
        head = model.get("head") or {}
        if model.get("type") == "ImageClassifier" and "type" in head:
            yield json.dumps([head["type"], head.get("loss"), head.get("num_classes")], default=str), path


ONE_FOR_EACH: Mapping[str, Path] = dict(reversed(list(heads())))


@pytest.mark.parametrize("path", ONE_FOR_EACH.values(), ids=lambda path: path.stem)
def test_a_config_gives_the_probabilities_of_upstream(path):
    init_default_scope("mmpretrain")
    setup = read_setup(read_config(path), path)
    kind = MODELS.get(setup.model["head"]["type"])
    if not issubclass(kind, (ClsHead, MultiLabelClsHead)):
        pytest.skip(f"{kind.__name__} is no head that classifies")
    logits = torch.randn(1, 10, generator=torch.Generator().manual_seed(0)) * 3

    (expected,) = kind._get_predictions(MultiLabelClsHead(), logits, None)  # the method asks nothing of the settings

    torch.testing.assert_close(probabilities(logits, output_kind(setup))[0], expected.pred_score)
