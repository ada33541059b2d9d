"""Config files for tests, written from text and read back."""

from pathlib import Path

from classlens.config import Config, read_config


def write(folder: Path, **files: str) -> Path:
    """Write `name=text` as `name.py` each; the path of the last one."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder / f"{name}.py"


def read(folder: Path, **files: str) -> Config:
    """Write files as `write` does, and read the last one."""
    return read_config(write(folder, **files))
