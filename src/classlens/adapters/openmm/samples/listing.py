"""What every kind of dataset comes down to: samples in order, and the bytes or pixels of each."""

from collections.abc import Callable
from dataclasses import dataclass

from classlens.adapters.openmm.setup import Settings
from classlens.dataset.dataset import Sample
from classlens.dataset.reading import Pixels, read_bytes
from classlens.errors import ConfigError
from classlens.image import Encoding

BGR = Encoding(order="BGR")


def no_pixels(index: int) -> Pixels | None:
    """For datasets of files: nothing is in memory."""
    return None


@dataclass(frozen=True)
class Listing:
    """The samples of a dataset.

    `sample` tells path and labels; `pixels` gives a picture kept in memory, encoded as `encoding` says, or None;
    `content` gives the bytes of a picture's file where they are not simply in a file.
    """

    length: int
    sample: Callable[[int], Sample]
    classes: tuple[str, ...] | None = None
    pixels: Callable[[int], Pixels | None] = no_pixels
    encoding: Encoding = BGR
    content: Callable[[int], bytes] | None = None
    warnings: tuple[str, ...] = ()

    def read(self, index: int) -> bytes:
        """The bytes of a picture's file.

        Raises:
            DataError: it is missing or cannot be read.
        """
        return self.content(index) if self.content else read_bytes(self.sample(index).path or "")


def text(settings: Settings, key: str, where: str) -> str:
    """A setting that is a text, empty where it is not given.

    Raises:
        ConfigError: it is something else.
    """
    value = settings.get(key) or ""
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {key} is a text, not {value!r}")
    return value
