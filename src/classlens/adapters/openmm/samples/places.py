"""Where a config's data lies: data_root, data_prefix and ann_file joined as training joins them."""

import os
from collections.abc import Mapping
from pathlib import Path

from classlens.adapters.openmm.samples.listing import text
from classlens.adapters.openmm.setup import Settings


def joined(root: str, part: str) -> str:
    """`part` below `root`, unless it stands alone (an absolute path or an address)."""
    part = os.path.expanduser(part)  # noqa: PTH111 - addresses such as s3://bucket must stay as they are
    if not root or Path(part).is_absolute() or "://" in part:
        return part
    return os.path.join(os.path.expanduser(root), part) if part else os.path.expanduser(root)  # noqa: PTH111, PTH118


def image_folder(settings: Settings, where: str, default: str = "") -> str:
    """The folder of the pictures: `data_prefix` may be a text or a dict with `img_path`."""
    prefix = settings.get("data_prefix") or default
    if isinstance(prefix, Mapping):
        prefix = prefix.get("img_path", prefix.get("root", "")) or default
    return joined(text(settings, "data_root", where), str(prefix))


def data_root(settings: Settings, where: str) -> str:
    """The folder of a dataset that knows its own layout."""
    prefix = settings.get("data_prefix") or ""
    if isinstance(prefix, Mapping):
        prefix = prefix.get("root", "")
    return joined(text(settings, "data_root", where), str(prefix))
