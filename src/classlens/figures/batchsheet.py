"""A training batch as one sheet: every mixed picture with the share of each class in it."""

from collections.abc import Sequence

from classlens.dataset.batch import Batch
from classlens.figures.filmstrip import CAPTION, DOT, FAINT, INK, SMALLEST, Tile, described, resized, sheet, tile_factor
from classlens.figures.lettering import wrapped
from classlens.image import Image


def draw_batch(result: Batch, *, rescale: float | None = None, left_out: Sequence[Image] = ()) -> Image:
    """Draw a batch in rows of tiles, under the name of the mixing and what it drew; marked tiles come last."""
    tiles = []
    pairs = zip(result.indices, result.partners, strict=True)
    for image, shares, pair in zip(result.images, result.shares, pairs, strict=True):
        height, width = image.size
        pixels = resized(image.pixels, rescale or tile_factor(width, height))
        told = " + ".join(name if share == 1 else f"{share:.2f} {name}" for name, share in shares.items())
        room = max(int(pixels.shape[1]), SMALLEST)
        numbers = " + ".join(f"#{index}" for index in dict.fromkeys(pair))
        lines = [(line, INK) for line in wrapped(told or "no label", CAPTION, room)]
        tiles.append(Tile(pixels, (*lines, (numbers, FAINT))))
    tiles += [Tile(image.pixels, ()) for image in left_out]
    drawn = {key: value for key, value in result.drawn.items() if key != "partners"}
    title = DOT.join([result.mixing, *described(drawn), f"{len(result.images)} samples of {result.dataset}"])
    return Image(sheet(tiles, title, ()))
