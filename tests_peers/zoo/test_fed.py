"""The network is fed what upstream's would be fed: every test pipeline among upstream's configs, on three photos."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mmpretrain
import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS, TRANSFORMS

from classlens.adapters.openmm.classifiers import encoding_of
from classlens.adapters.openmm.setup import read_setup
from classlens.adapters.openmm.stages.build_stages import read_test_pipeline as pipeline_of
from classlens.config import Config, read_config
from classlens.dataset.decode import read_image
from classlens.errors import ClasslensError

CONFIGS = Path(mmpretrain.__file__).parent / ".mim" / "configs"
PHOTOS = Path(__file__).parents[2] / "demo" / "photos"


def classifying() -> Iterator[tuple[str, Config]]:
    """Upstream's configs of classifiers that are tested on pictures in files."""
    for path in sorted(CONFIGS.rglob("*.py")):
        if "_base_" in path.parts:
            continue
        try:
            config = read_config(path)
        except ClasslensError:
            continue
        stages = ((config.get("test_dataloader") or {}).get("dataset") or {}).get("pipeline") or ()
        classifies = config.get("model", {}).get("type") == "ImageClassifier"
        if classifies and stages and stages[0]["type"] == "LoadImageFromFile":
            yield path.stem, config


def distinct() -> Mapping[str, Config]:
    """One config for each way of feeding."""
    found: dict[str, tuple[str, Config]] = {}
    for name, config in classifying():
        fed = config["test_dataloader"]["dataset"]["pipeline"], config.get("data_preprocessor")
        found.setdefault(json.dumps(fed, sort_keys=True, default=str), (name, config))
    return dict(found.values())


WAYS = distinct()


def as_upstream(config: Config, photo: Path) -> np.ndarray:
    """What mmpretrain makes of a photo."""
    stages: list[dict[str, Any]] = config["test_dataloader"]["dataset"]["pipeline"]
    settings = {"type": "ClsDataPreprocessor", **(config.get("data_preprocessor") or {})}
    packed = Compose([TRANSFORMS.build(dict(stage)) for stage in stages])({"img_path": str(photo)})
    fed = MODELS.build(settings)({"inputs": packed["inputs"][None], "data_samples": None})
    return fed["inputs"][0].numpy()


@pytest.mark.parametrize("photo", ["chelsea.png", "rocket.jpg", "camera.png"])
@pytest.mark.parametrize("name", WAYS)
def test_the_network_is_fed_the_numbers_of_upstream(name, photo):
    init_default_scope("mmpretrain")
    setup = read_setup(WAYS[name], CONFIGS / f"{name}.py")
    stages = setup.splits["test"].pipeline

    picture = pipeline_of(stages, where=name)(read_image(PHOTOS / photo))
    seen = encoding_of(setup.preprocessing).encode(picture)

    exact = any(stage.get("backend") == "pillow" for stage in stages)
    expected = as_upstream(WAYS[name], PHOTOS / photo)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=0 if exact else 1e-6)
