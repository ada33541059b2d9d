"""Cutting a map of tokens into windows and joining them again, shifted or not.

Source: Liu et al., Swin Transformer, ICCV 2021, section 3.2: attention inside windows; every second block shifts the
map by half a window, and a mask keeps tokens apart that only the shift made neighbours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from classlens.arrays import Float, Int

Map = Float[Tensor, "b height width channels"]
Windows = Float[Tensor, "windows places channels"]
APART = -100.0
"""Added to the attention of tokens that are no neighbours; softmax makes it 0."""


@dataclass(frozen=True)
class Windowing:
    """Windows of `side` x `side` tokens on a map moved up and left by `shift`."""

    side: int
    shift: int

    def padded(self, length: int) -> int:
        """The next multiple of the window's side."""
        return -(-length // self.side) * self.side

    def cut(self, tokens: Map) -> Windows:
        """The windows of every picture, row by row; maps that no whole number covers are padded with zeros."""
        _, height, width, channels = tokens.shape
        tall, wide, side = self.padded(height), self.padded(width), self.side
        tokens = functional.pad(tokens, (0, 0, 0, wide - width, 0, tall - height))
        moved = torch.roll(tokens, (-self.shift, -self.shift), dims=(1, 2)) if self.shift else tokens
        rows = moved.reshape(-1, tall // side, side, wide // side, side, channels)
        return rows.transpose(2, 3).reshape(-1, side * side, channels)

    def join(self, windows: Windows, height: int, width: int) -> Map:
        """The map of the windows; the inverse of `cut`."""
        tall, wide, side = self.padded(height), self.padded(width), self.side
        rows = windows.reshape(-1, tall // side, wide // side, side, side, windows.shape[-1])
        moved = rows.transpose(2, 3).reshape(-1, tall, wide, windows.shape[-1])
        tokens = torch.roll(moved, (self.shift, self.shift), dims=(1, 2)) if self.shift else moved
        return tokens[:, :height, :width]

    def mask(self, height: int, width: int) -> Float[Tensor, "windows places places"] | None:
        """What is added to the attention inside each window of one picture; None without a shift."""
        if not self.shift:
            return None
        rows, columns = (self.regions(self.padded(length)) for length in (height, width))
        regions = (rows[:, None] * 3 + columns).float()[None, :, :, None]
        inside = Windowing(self.side, 0).cut(regions).squeeze(-1)
        return (inside[:, :, None] != inside[:, None, :]).float() * APART

    def regions(self, length: int) -> Int[Tensor, " length"]:
        """Which of three regions each row or column came from: untouched, before and behind the shift's cut."""
        places = torch.arange(length)
        return (places >= length - self.side).long() + (places >= length - self.shift).long()


def relative_index(side: int) -> Int[Tensor, "places places"]:
    """For every pair of places in a window: which entry of the table of (2 side - 1)^2 offsets is theirs.

    Made on the CPU even where networks are built on "meta": checkpoints need not bring it.
    """
    places = torch.arange(side, device="cpu")
    rows, columns = (axis.flatten() for axis in torch.meshgrid(places, places, indexing="ij"))
    down = rows[:, None] - rows + side - 1
    right = columns[:, None] - columns + side - 1
    return down * (2 * side - 1) + right
