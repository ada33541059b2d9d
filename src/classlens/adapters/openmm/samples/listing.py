"""What every kind of dataset comes down to: samples in order, the bytes or pixels of each, and what is done to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.stages.loading import LoadImageFromFile
from classlens.adapters.openmm.stages.state import BGR, State, look
from classlens.dataset.complaints import STOPS
from classlens.dataset.dataset import Dataset, Glance, Needed, Sample, Stage
from classlens.dataset.reading import Pixels, read_bytes
from classlens.errors import ConfigError, DataError, suggestion
from classlens.image import Encoding


@dataclass(frozen=True)
class Pipeline:
    """How pictures become arrays, and the stages after that; without a loader, pictures come as arrays.

    `stops` says why training stops in it, for samples in files and for those in memory, and `unpacked` why it stops
    after it; all are empty where it goes on.
    """

    loader: LoadImageFromFile | None = None
    stages: tuple[Stage, ...] = ()
    stops: tuple[str, str] = ("", "")
    unpacked: str = ""


def no_pixels(index: int) -> Pixels | None:
    """For datasets of files: nothing is in memory."""
    return None


def nothing_wrong(index: int) -> str:
    """For datasets whose labels are read when they are opened."""
    return ""


@dataclass(frozen=True)
class Listing:
    """The samples of a dataset.

    `sample` tells path and labels; `pixels` gives a picture kept in memory, encoded as `encoding` says, or None;
    `content` gives the bytes of a picture's file where they are not simply in a file; `trouble` tells what is wrong
    with a label that is read with its sample. A dataset made of others has its samples from them: `origin` tells from
    which one, and the number there.
    """

    length: int
    sample: Callable[[int], Sample]
    classes: tuple[str, ...] | None = None
    pixels: Callable[[int], Pixels | None] = no_pixels
    encoding: Encoding = BGR
    content: Callable[[int], bytes] | None = None
    trouble: Callable[[int], str] = nothing_wrong
    warnings: tuple[str, ...] = ()
    pipeline: Pipeline = Pipeline()
    origin: Callable[[int], tuple["Listing", int]] | None = None

    def found(self, index: int) -> tuple["Listing", int]:
        """The innermost dataset that holds a sample, and the sample's number in it."""
        return self.origin(index) if self.origin else (self, index)

    def load(self, index: int, needed: Needed | None = None) -> State:
        """A sample as the loader of its own pipeline gives it, or smaller where fewer pixels are `needed`.

        Raises:
            DataError: its file is missing, or cannot be read or decoded; or training would stop at its pipeline.
        """
        own, place = self.found(index)
        path = own.sample(place).path
        pixels = None if own.pipeline.loader and path else own.pixels(place)
        if reason := own.pipeline.stops[pixels is not None]:
            raise DataError(f"{STOPS}{reason}")
        trouble = [own.trouble(place), own.pipeline.unpacked and STOPS + own.pipeline.unpacked]
        said = tuple(filter(None, trouble))
        if pixels is not None:
            return State(pixels, own.encoding, path, said)
        data = own.content(place) if own.content else read_bytes(path or "")
        state = (own.pipeline.loader or LoadImageFromFile()).state(data, path or "", needed=needed)
        return replace(state, remarks=(*said, *state.remarks)) if said else state


def made_of(parts: Sequence[Listing], length: int, origin: Callable[[int], tuple[Listing, int]]) -> Listing:
    """A dataset of samples of other ones; class names are those of the first."""

    def innermost(index: int) -> tuple[Listing, int]:
        part, place = origin(index)
        return part.found(place)

    def sample(index: int) -> Sample:
        part, place = origin(index)
        return part.sample(place)

    return Listing(
        length,
        sample,
        parts[0].classes,
        warnings=tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
        pipeline=parts[0].pipeline,
        origin=innermost,
    )


def dataset_of(listing: Listing, name: str) -> Dataset:
    """A listing as the record that the browser reads."""
    return Dataset(
        name=name,
        length=listing.length,
        load=listing.load,
        glance=lambda index, needed: seen(listing.load(index, needed)),
        stages=listing.pipeline.stages,
        stages_of=None if listing.origin is None else lambda index: listing.found(index)[0].pipeline.stages,
        look=look,
        sample=listing.sample,
        classes=listing.classes,
        loader="LoadImageFromFile" if listing.pipeline.loader else "original",
        remarks=lambda state: state.remarks,
        warnings=listing.warnings,
    )


def seen(state: State) -> Glance:
    """A picture for looking at, and its true size."""
    image = look(state)
    return Glance(image, state.full or image.size, state.remarks)


def text(settings: Settings, key: str, where: str) -> str:
    """A setting that is a text, empty where it is not given.

    Raises:
        ConfigError: it is something else.
    """
    value = settings.get(key) or ""
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {key} is a text, not {value!r}")
    return value


def split_of(settings: Settings, where: str, *known: str) -> str:
    """The split, by default the first of those that the dataset has.

    Raises:
        ConfigError: it has no such split.
    """
    split = settings.get("split", known[0])
    if split not in known:
        kind = settings["type"]
        raise ConfigError(f"{where}: {kind} has no split {split!r}", hint=suggestion(str(split), known))
    return str(split)
