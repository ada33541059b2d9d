"""Files that come with Classlens: the documented configs and the demo photos.

A clone has them at its top; an installed package carries copies inside itself.
"""

from pathlib import Path

PACKAGE = Path(__file__).parent / "shipped"
CLONE = Path(__file__).parents[2]


def shipped_config(name: str) -> Path:
    return shipped("configs") / name


def shipped_photos() -> Path:
    return shipped("demo") / "photos"


def shipped(folder: str) -> Path:
    """One of the shipped folders: inside the installed package, else beside the sources of a clone."""
    installed = PACKAGE / folder
    return installed if installed.is_dir() else CLONE / folder
