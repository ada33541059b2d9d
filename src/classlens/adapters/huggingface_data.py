"""Datasets of Hugging Face: `hfds:FOLDER` as `save_to_disk` wrote it, or `hfds:USER/DATA` from the cache or the Hub.

Samples are shown as they are stored; `?image=` and `?label=` name the columns where they have unusual names, and
`?config=` one of several configurations.
"""

from functools import partial
from pathlib import Path

import datasets
from datasets.naming import camelcase_to_snakecase
from huggingface_hub import constants

from classlens.adapters import Options
from classlens.adapters.hub import Setting, hub_answers, out_of_reach, split_settings
from classlens.adapters.python.python_data import open_data
from classlens.dataset.conventions import SPLITS
from classlens.dataset.dataset import Dataset
from classlens.dataset.state import Foreign
from classlens.errors import DataError, NotFound, first_line
from classlens.pipelines.listen import attribute
from classlens.sharing import ALONE
from classlens.source import Source

HINT = "give a folder that save_to_disk wrote: hfds:FOLDER"


def open_dataset(rest: str, options: Options) -> Source:
    name, settings = split_settings(rest, ("image", "label", "config"))
    return Source(f"hfds:{rest}", open_dataset=partial(open_split, name, settings))


def open_split(name: str, settings: dict[str, Setting], split: str) -> Dataset:
    """One split, with picture and label under the names that the rest of classlens looks for."""
    data = load(name, settings.get("config"))
    if not isinstance(data, dict):  # data without splits is one for training
        data = {str(data.split or "train"): data}
    present = next((word for word in SPLITS.get(split, (split,)) if word in data), None)
    if present is None:
        raise NotFound("split", split, data, where=f"hfds:{name}")
    table = data[present]
    for key in ("image", "label"):
        column = settings.get(key, key)
        if key in settings and column not in table.column_names:
            raise NotFound("column", column, table.column_names, where=f"hfds:{name}")
        if column != key:
            others = [name for name in table.column_names if name != key]  # one of that name is not what is meant
            table = table.select_columns(others).rename_column(column, key)
    return open_data(table, split)


def load(name: str, config: str | None) -> Foreign:
    """Everything under the name: a dataset, or several by split."""
    folder = Path(name).expanduser()
    try:
        if folder.is_dir():
            return datasets.load_from_disk(str(folder))
        if name.count("/") > 1 or name.startswith((".", "~", "/")):
            raise DataError(f"no such folder: {name}", hint=HINT)
        *user, own = name.split("/")
        cache = Path(datasets.config.HF_DATASETS_CACHE, "___".join([*user, camelcase_to_snakecase(own)]))
        if hub_answers():
            return datasets.load_dataset(name, config)
        if not cache.is_dir():
            raise out_of_reach(f"the samples of hfds:{name}", HINT)
        # What the variable HF_HUB_OFFLINE does: the cache is used, and no request is tried.
        with ALONE, attribute(datasets.config, "HF_HUB_OFFLINE", True), attribute(constants, "HF_HUB_OFFLINE", True):
            return datasets.load_dataset(name, config)
    except (OSError, ValueError) as error:
        raise DataError(f"hfds:{name} cannot be opened: {first_line(error)}") from error
