"""Contact sheets: the drawn pictures of several samples on one page."""

from collections.abc import Sequence

import numpy as np

from classlens.cli.browse_files import decoded, encoded
from classlens.cli.browse_job import SampleResult
from classlens.image import Image

GAP = 10


def sheet_of(rows: Sequence[SampleResult], columns: int) -> bytes:
    """The pictures in rows of `columns`, each column as wide as its widest, as one JPEG."""
    pictures = [decoded(row.jpeg).pixels for row in rows if row.jpeg is not None]
    lines = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    widths = [max(line[place].shape[1] for line in lines if place < len(line)) for place in range(len(lines[0]))]
    heights = [max(picture.shape[0] for picture in line) for line in lines]
    canvas = np.full((sum(heights) + GAP * (len(heights) + 1), sum(widths) + GAP * (len(widths) + 1), 3), 255, np.uint8)
    top = GAP
    for line, height in zip(lines, heights, strict=True):
        left = GAP
        for picture, width in zip(line, widths, strict=False):
            canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += width + GAP
        top += height + GAP
    return encoded(Image(canvas))
