"""Reading `.safetensors`: a JSON header that says where each tensor lies, then nothing but numbers.

Format: <https://github.com/huggingface/safetensors#format>. Every claim of the
header is checked against the file's size before memory is touched.
"""

import json
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from classlens.errors import DataError

KINDS: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
LENGTH = 8
"""Bytes that hold the header's length, little end first."""

LONGEST_HEADER = 100_000_000


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Every tensor by name.

    Raises:
        DataError: the header is damaged or promises what the file does not hold.
    """
    try:
        with path.open("rb") as file:
            header_length = int.from_bytes(file.read(LENGTH), "little")
            header = json.loads(file.read(min(header_length, LONGEST_HEADER)))
            file.seek(0)
            content = bytearray(file.read())
        rows = {
            name: placed(row, len(content) - LENGTH - header_length) for name, row in header.items() if name[:2] != "__"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no readable safetensors file: {error}") from error
    ordered = sorted(span for _, _, span in rows.values())
    if any(before[1] > after[0] for before, after in pairwise(ordered)):
        raise DataError(f"{path} is no readable safetensors file: its tensors overlap")
    return {
        name: sliced(content, kind, shape, LENGTH + header_length + span[0])
        for name, (kind, shape, span) in rows.items()
    }


def placed(row: Mapping[str, object], available: int) -> tuple[torch.dtype, tuple[int, ...], tuple[int, int]]:
    """The type, shape and byte range of one tensor.

    Raises:
        ValueError: the range does not fit the file or the shape.
    """
    kind, shape = KINDS[str(row["dtype"])], tuple(int(side) for side in row["shape"])  # type: ignore[attr-defined]
    first, last = (int(byte) for byte in row["data_offsets"])  # type: ignore[attr-defined]
    if not 0 <= first <= last <= available or last - first != prod(shape) * kind.itemsize:
        raise ValueError(f"a tensor of shape {shape} cannot lie in bytes {first} to {last} of {available}")
    return kind, shape, (first, last)


def sliced(content: bytearray, kind: torch.dtype, shape: tuple[int, ...], start: int) -> Tensor:
    """One tensor, sharing the memory of the file."""
    if not prod(shape):
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(content, dtype=kind, count=prod(shape), offset=start).reshape(shape)
