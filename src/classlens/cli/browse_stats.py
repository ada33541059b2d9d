"""`--stats`: the numbers of a survey as text, or as JSON."""

import json
from collections.abc import Sequence
from statistics import median
from typing import Any, TextIO

from classlens.dataset.dataset import Dataset
from classlens.dataset.statistics import Survey, survey

BAR = 40
SHOWN = 30


def print_stats(dataset: Dataset, indices: Sequence[int], out: TextIO, *, as_json: bool) -> int:
    """Survey the samples and print what was found; returns how many were bad."""
    found = survey(dataset, indices)
    if as_json:
        json.dump(as_data(dataset, found), out, indent=1)
        out.write("\n")
    else:
        out.writelines(f"{line}\n" for line in lines_of(dataset, found))
    return len(found.bad)


def as_data(dataset: Dataset, found: Survey) -> dict[str, Any]:
    """The survey for JSON."""
    return {
        "dataset": dataset.name,
        "length": dataset.length,
        "samples": found.samples,
        "classes": dict(found.per_class),
        "width": spread(found.widths),
        "height": spread(found.heights),
        "aspect": spread(found.aspects),
        "mean": found.mean,
        "std": found.std,
        "duplicates": [list(group) for group in found.duplicates],
        "bad": [{"index": index, "error": reason} for index, reason in found.bad],
        "remarks": dict(found.remarks),
        "warnings": list(dataset.warnings),
    }


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Smallest, middle and largest."""
    return {"min": min(values), "median": median(values), "max": max(values)} if values else None


def lines_of(dataset: Dataset, found: Survey) -> list[str]:
    """The survey for people."""
    lines = [f"{found.samples} of the {dataset.length} samples of {dataset.name}"]
    largest = max(found.per_class.values(), default=1)
    for name, count in list(found.per_class.items())[:SHOWN]:
        lines.append(f"  {name[:24]:<24} {count:>8}  {'#' * max(1, round(BAR * count / largest))}")
    if len(found.per_class) > SHOWN:
        lines.append(f"  and {len(found.per_class) - SHOWN} more classes, the smallest {min(found.per_class.values())}")
    for name, values in (("width", found.widths), ("height", found.heights), ("aspect", found.aspects)):
        if values:
            lines.append(f"{name:<8} {min(values):.4g} to {max(values):.4g}, median {median(values):.4g}")
    if found.mean and found.std:
        lines.append("mean     " + ", ".join(f"{value:.2f}" for value in found.mean) + "  (red, green, blue)")
        lines.append("std      " + ", ".join(f"{value:.2f}" for value in found.std))
    lines += [f"the same pixels: {', '.join(f'#{index}' for index in group)}" for group in found.duplicates[:SHOWN]]
    lines += [f"{times} x {remark}" for remark, times in found.remarks.items()]
    lines += [f"note: {warning}" for warning in dataset.warnings]
    lines += [f"bad: #{index} {reason}" for index, reason in found.bad]
    return lines
