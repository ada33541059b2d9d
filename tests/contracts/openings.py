"""One source for every adapter, small enough for a test: what it opens, and which parts it promises."""

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from classlens.adapters import open_source
from classlens.source import Source

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Opening:
    """How a source is made in an empty folder, the parts that it must offer, and the package without which it is skipped."""

    build: Callable[[Path], object]
    parts: tuple[str, ...]
    needs: str = "torch"

    def open(self, folder: Path) -> Source:
        pytest.importorskip(self.needs)
        return open_source(self.build(folder))


def photos(folder: Path) -> Path:
    """Two classes with two pictures each."""
    for place, name in enumerate(("cat", "dog")):
        (folder / name).mkdir()
        for number in range(2):
            noise = np.random.default_rng(2 * place + number).integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Pillow.fromarray(noise).save(folder / name / f"{number}.png")
    return folder


def hugging_face(folder: Path) -> str:
    import transformers

    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=64, num_labels=3
    )
    torch.manual_seed(0)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return f"hf:{folder}"


def image_folder(folder: Path) -> object:
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    pipeline = transforms.Compose(
        [transforms.RandomResizedCrop(32), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    )
    return ImageFolder(str(photos(folder)), transform=pipeline)


def listed(folder: Path) -> str:
    """An annotation list beside its pictures."""
    files = sorted(photos(folder).rglob("*.png"))
    lines = [f"{path.relative_to(folder)},{int(path.parent.name == 'dog')}" for path in files]
    (folder / "list.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return f"csv:{folder / 'list.csv'}"


def shard(folder: Path) -> str:
    """One WebDataset shard: a picture and its class under one name."""
    with tarfile.open(folder / "shard-0.tar", "w") as archive:
        for place, path in enumerate(sorted(photos(folder).rglob("*.png"))):
            label = folder / "label.cls"
            label.write_text(str(place // 2))
            archive.add(path, f"{place:04}.png")
            archive.add(label, f"{place:04}.cls")
    return f"wds:{folder / 'shard-0.tar'}"


def saved_rows(folder: Path) -> str:
    """A dataset of Hugging Face on disk."""
    import datasets

    files = [str(path) for path in sorted(photos(folder).rglob("*.png"))]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    datasets.Dataset.from_dict({"image": files, "label": [0, 0, 1, 1]}, features=features).save_to_disk(
        str(folder / "rows")
    )
    return f"hfds:{folder / 'rows'}"


class Albumented:
    """A dataset as people write them with Albumentations."""

    def __init__(self, root: Path) -> None:
        import albumentations

        self.files = sorted(photos(root).rglob("*.png"))
        self.transform = albumentations.Compose(
            [albumentations.RandomCrop(32, 32), albumentations.HorizontalFlip(), albumentations.Normalize()]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[object, int]:
        with Pillow.open(self.files[index]) as opened:
            return self.transform(image=np.array(opened))["image"], index % 2


def kornia_folder(folder: Path) -> object:
    """Pictures without a pipeline, and kornia's augmentations beside them."""
    import kornia.augmentation as augmentation

    augment = augmentation.AugmentationSequential(
        augmentation.RandomResizedCrop((32, 32)), augmentation.RandomHorizontalFlip(), data_keys=["input"]
    )
    return f"folder:{photos(folder)}", augment


def functions_in_a_row(folder: Path) -> object:
    """Pictures without a pipeline, and plain functions beside them."""
    from PIL import ImageOps

    def noisy(picture: Pillow.Image) -> np.ndarray:
        return np.clip(np.asarray(picture) + np.random.normal(0, 20, (40, 48, 3)), 0, 255).astype(np.uint8)

    return f"folder:{photos(folder)}", [ImageOps.mirror, noisy]


def lightning_module(folder: Path) -> object:
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = Training()

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return self.network(batch)

        def configure_optimizers(self) -> object:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            scheduler = {"scheduler": torch.optim.lr_scheduler.LinearLR(optimizer), "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": scheduler}

    return Module()


def lightning_data(folder: Path) -> object:
    import lightning

    pictures: Any = image_folder(folder)

    class Data(lightning.LightningDataModule):
        def train_dataloader(self) -> object:
            return torch.utils.data.DataLoader(pictures, batch_size=2)

    return Data()


class Training(torch.nn.Sequential):
    """A Lightning module in all that matters here: a network that brings its optimizer and scheduler."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(
            torch.nn.Conv2d(3, 4, 3, stride=8), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 3),
        )  # fmt: skip

    def configure_optimizers(self) -> object:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)}


def written(folder: Path) -> str:
    """A user's file."""
    text = (
        "import torch\ndef model():\n    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), "
    )
    text += "torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 3))\n"
    (folder / "train.py").write_text(text)
    return f"py:{folder / 'train.py'}:model"


OPENINGS = {
    "config 1.x": Opening(lambda folder: str(ROOT / "configs/resnet/resnet18_8xb16_cifar10.py"), ("schedule",)),
    "config 0.x": Opening(lambda folder: str(ROOT / "configs/resnet/resnet50_b16x8_cifar100.py"), ("schedule",)),
    "demo": Opening(lambda folder: "demo", ("dataset", "schedule", "classifier")),
    "folder": Opening(lambda folder: f"folder:{photos(folder)}", ("dataset",)),
    "csv": Opening(listed, ("dataset",)),
    "wds": Opening(shard, ("dataset",)),
    "hfds": Opening(saved_rows, ("dataset",)),
    "schedule": Opening(
        lambda folder: "schedule:torch.StepLR(lr=0.1, epochs=4, steps_per_epoch=25, step_size=2)", ("schedule",)
    ),
    "timm": Opening(lambda folder: "timm:test_resnet?pretrained=false", ("classifier",)),
    "timm tokens": Opening(lambda folder: "timm:test_vit?pretrained=false", ("classifier",)),
    "torchvision": Opening(lambda folder: "torchvision:squeezenet1_1:none", ("classifier",)),
    "hf": Opening(hugging_face, ("classifier",)),
    "py file": Opening(written, ("classifier",)),
    "image folder": Opening(image_folder, ("dataset",)),
    "albumentations": Opening(Albumented, ("dataset",)),
    "kornia": Opening(kornia_folder, ("dataset",), "kornia"),
    "functions in a row": Opening(functions_in_a_row, ("dataset",)),
    "module with optimizers": Opening(lambda folder: Training(), ("schedule", "classifier")),
    "lightning module": Opening(lightning_module, ("schedule", "classifier"), "lightning"),
    "lightning data": Opening(lightning_data, ("dataset",), "lightning"),
    "function of the position": Opening(lambda folder: {"lr": lambda position: 0.1 * (1 - position)}, ("schedule",)),
}
"""A config of the documented list has data and a network as well; its data is not on this machine."""


def offering(part: str) -> list[str]:
    """The names of the openings that promise a part."""
    return [name for name, opening in OPENINGS.items() if part in opening.parts]
