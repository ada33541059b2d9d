"""The pictures of a request, read a portion at a time: a folder of thousands need not fit into memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from classlens.cli.cam_request import Request
from classlens.dataset.decode import read_image
from classlens.dataset.decoder_warnings import DAMAGED, capture_stderr, damage
from classlens.errors import DataError
from classlens.image import Image

BATCHES = 4
"""How many batches are read at once where every picture goes into a file of its own, or into none."""


@dataclass(frozen=True, eq=False)
class Portion:
    """Some pictures that could be read, where they came from, and how many of all are behind."""

    paths: tuple[Path, ...]
    pictures: tuple[Image, ...]
    done: int


def portions(request: Request, bad: list[DataError]) -> Iterator[Portion]:
    """Every picture that can be read, portion by portion; `bad` collects what is wrong with the others.

    A damaged one that decodes is among both.

    Raises:
        DataError: not one can be read.
    """
    count = 0
    together = len(request.pictures) if in_one_piece(request) else BATCHES * request.arguments.batch_size
    for start in range(0, len(request.pictures), together):
        read: dict[Path, Image] = {}
        for path in request.pictures[start : start + together]:
            try:
                with capture_stderr() as lines:
                    read[path] = read_image(path)
                if found := damage(lines):
                    bad.append(DataError(f"{path}: {DAMAGED}{found}"))
            except DataError as error:
                bad.append(error)
        if read:
            count += len(read)
            yield Portion(tuple(read), tuple(read.values()), start)
    if not count:
        raise bad[0]


def in_one_piece(request: Request) -> bool:
    """Whether one file, or one table, is made of all pictures."""
    arguments = request.arguments
    return bool(arguments.npz or arguments.evaluate or (arguments.save_path and not request.to_folder))
