"""What the browser's benchmark is run on: pictures of ImageNet's size and weight, and two pipelines of upstream."""

from pathlib import Path

import cv2
import numpy as np

PHOTOS = Path(__file__).parents[1] / "demo" / "photos"
LOAD, PACK = {"type": "LoadImageFromFile"}, {"type": "PackInputs"}
FLIP = {"type": "RandomFlip", "prob": 0.5, "direction": "horizontal"}
PIPELINES = {
    "resnet50": [LOAD, {"type": "RandomResizedCrop", "scale": 224}, FLIP, PACK],
    "swin": [
        LOAD,
        {"type": "RandomResizedCrop", "scale": 224, "backend": "pillow", "interpolation": "bicubic"},
        FLIP,
        {
            "type": "RandAugment",
            "policies": "timm_increasing",
            "num_policies": 2,
            "total_level": 10,
            "magnitude_level": 9,
            "magnitude_std": 0.5,
            "hparams": {"pad_val": [104, 116, 124], "interpolation": "bicubic"},
        },
        {
            "type": "RandomErasing",
            "erase_prob": 0.25,
            "mode": "rand",
            "min_area_ratio": 0.02,
            "max_area_ratio": 1 / 3,
            "fill_color": [103.53, 116.28, 123.675],
            "fill_std": [57.375, 57.12, 58.395],
        },
        PACK,
    ],
}


def photos_of(root, number):
    """Noisy 500 x 375 crops of the photos: the size and weight of ImageNet's files."""
    sources = [cv2.imread(str(path)) for path in sorted(PHOTOS.glob("*.*g"))]
    random = np.random.default_rng(0)
    for index in range(number):
        picture = sources[index % len(sources)]
        height, width = (int(side * random.uniform(0.6, 0.95)) for side in picture.shape[:2])
        y, x = (
            int(random.integers(0, side - cut + 1))
            for side, cut in zip(picture.shape[:2], (height, width), strict=True)
        )
        picture = cv2.resize(picture[y : y + height, x : x + width], (500, 375), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
        folder = root / f"class{index % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index:04d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])


def write_config(root):
    """A config of the ResNet-50 pipeline for the pictures in `root`/data."""
    config = root / "config.py"
    config.write_text(
        f"pipeline = {PIPELINES['resnet50']!r}\n"
        f"train_dataloader = dict(batch_size=1, dataset=dict(type='CustomDataset', data_root={str(root / 'data')!r}, "
        "pipeline=pipeline))\nvisualizer = dict(type='UniversalVisualizer', vis_backends=None)\n"
    )
    return config
