"""Pictures on a terminal: two pixels per character, in 24-bit colour."""

from typing import Any

import cv2
import numpy as np

UPPER_HALF = "\N{UPPER HALF BLOCK}"
RESET = "\x1b[0m"


def preview(pixels: np.ndarray[Any, np.dtype[np.uint8]], columns: int) -> str:
    """The picture, at most `columns` characters wide, as text with ANSI colours."""
    height, width = pixels.shape[:2]
    across = max(1, min(columns, width))
    down = max(2, round(height * across / width / 2) * 2)
    small = cv2.resize(pixels, (across, down), interpolation=cv2.INTER_AREA)
    lines = []
    for upper, lower in zip(small[0::2].tolist(), small[1::2].tolist(), strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m{UPPER_HALF}"
            for a, b in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + RESET)
    return "\n".join(lines)
