"""Annotation lists in JSON: OpenMMLab's, those of COCO and iNaturalist, and rows under any names."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from classlens.dataset.columns import Columns, Label, find_columns, read_cells
from classlens.dataset.conventions import is_picture_name
from classlens.errors import DataError

SAMPLED = 1000
"""So many rows show what is in them."""

JsonRow = Mapping[str, Any]


def json_rows(content: str, path: str) -> tuple[list[JsonRow], tuple[str, ...] | None]:
    """The samples of a list as dicts, and the names of its classes if it states them.

    Raises:
        DataError: it is not JSON, or no list of samples.
    """
    try:
        if path.lower().endswith(".jsonl"):
            data: Any = [json.loads(line) for line in content.splitlines() if line.strip()]
        else:
            data = json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg.lower()}") from error
    classes = stated_classes(data.get("metainfo") or data) if isinstance(data, Mapping) else None
    if isinstance(data, Mapping) and "data_list" not in data and isinstance(data.get("annotations"), list):
        data = {"data_list": join_by_id(data)}
    rows = data.get("data_list", data) if isinstance(data, Mapping) else data
    if isinstance(rows, Mapping) and any(map(is_picture_name, rows)):
        rows = [{"path": name, "label": label} for name, label in rows.items()]
    elif isinstance(rows, Mapping):
        lists = [value for value in rows.values() if isinstance(value, list) and value]
        tables = [value for value in lists if isinstance(value[0], Mapping)]
        rows = tables[0] if len(tables) == 1 else None
    if not isinstance(rows, list) or not rows:
        keys = f"; it has {', '.join(map(str, list(data)[:5]))}" if isinstance(data, Mapping) and data else ""
        raise DataError(
            f"{path}: no data_list with samples in it{keys}", hint="a list of dicts with path and label does"
        )
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):  # cells without names stand under the numbers of their columns
            rows[place] = {str(number): cell for number, cell in enumerate(row if isinstance(row, list) else [row])}
    return rows, classes


def stated_classes(metainfo: object) -> tuple[str, ...] | None:
    """The class names under `classes`, or under `categories` in the order of their ids, as OpenMMLab reads them."""
    if not isinstance(metainfo, Mapping):
        return None
    if isinstance(metainfo.get("classes"), list | tuple) and metainfo["classes"]:
        return tuple(map(str, metainfo["classes"]))
    ordered = sorted(with_ids(metainfo.get("categories")), key=lambda one: int(one["id"]))
    return tuple(str(one.get("category_name", one.get("name", one["id"]))) for one in ordered) or None


def with_ids(rows: object) -> list[JsonRow]:
    """The entries of a list that have a number under `id`."""
    listed = rows if isinstance(rows, list | tuple) else ()
    return [one for one in listed if isinstance(one, Mapping) and isinstance(one.get("id"), int)]


def join_by_id(data: Mapping[str, Any]) -> list[JsonRow]:
    """The form of COCO and iNaturalist: images, annotations and categories refer to each other by ids."""
    ids = sorted(int(one["id"]) for one in with_ids(data.get("categories")))
    places = {number: place for place, number in enumerate(ids)}
    labels: dict[int, list[int]] = {}
    for one in data["annotations"]:
        image, number = (one.get(key) if isinstance(one, Mapping) else None for key in ("image_id", "category_id"))
        if isinstance(image, int) and isinstance(number, int):
            known = labels.setdefault(image, [])
            known += [places.get(number, number)] if places.get(number, number) not in known else []
    images = with_ids(data.get("images"))
    return [{"path": one.get("file_name"), "label": labels.get(one["id"])} for one in images]


def json_columns(rows: Sequence[JsonRow], path: str) -> tuple[Columns, tuple[str, ...]]:
    """What stands under which key, and the keys; `img_path` and `gt_label` are OpenMMLab's.

    Raises:
        DataError: several keys may lead to the pictures or the labels.
    """
    keys = tuple(dict.fromkeys(key for row in rows[:SAMPLED] for key in row))
    if not keys:
        raise DataError(f"{path}: its samples are empty")
    if "img_path" in keys:
        label = keys.index("gt_label") if "gt_label" in keys else None
        if label is not None or not any(key in keys for key in ("label", "labels")):
            return Columns(keys.index("img_path"), label, heading=keys), keys
    table = [[as_text(row.get(key)) for key in keys] for row in rows[:SAMPLED]]
    if all(key.isdecimal() for key in keys):
        return find_columns(table, path), keys
    return find_columns([keys, *table], path), keys


def as_text(value: object) -> str:
    return "" if value is None else str(int(value) if isinstance(value, bool) else value)


def rows_of_json(rows: Sequence[JsonRow], keys: Sequence[str], columns: Columns) -> Iterator[tuple[str, str, Label]]:
    """Every sample with its place."""
    picture = keys[columns.path]
    label = None if columns.label is None else keys[columns.label]
    for number, row in enumerate(rows):
        place, name = f"data_list[{number}]", row.get(picture)
        if columns.hot:
            yield place, *read_cells(columns, [as_text(row.get(key)) for key in keys])
        else:
            yield place, name if isinstance(name, str) else "", as_label(row.get(label) if label else None)


def as_label(value: object) -> Label:
    """A label, or several, as written; none where there is nothing."""
    if value is None or isinstance(value, list):
        return tuple(map(as_text, value or ()))
    return as_text(value)
