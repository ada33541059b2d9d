"""The samples of a dataset before a pipeline is put behind them, and the datasets that are made of them.

A `Listing` says which samples there are. With a `Pipeline` it becomes a `Dataset`, and datasets are put together by
`combine`, which leaves every sample the pipeline of the dataset that it comes from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from classlens.dataset.dataset import Dataset, MaxSide, Sample, Stage, Thumbnail
from classlens.dataset.decode import Pixels
from classlens.dataset.decoder_warnings import STOPS
from classlens.dataset.loading import LoadImageFromFile
from classlens.dataset.state import BGR, State, to_image
from classlens.dataset.storage import read_bytes
from classlens.errors import DataError
from classlens.image import Encoding

Classes = tuple[str, ...] | None


@dataclass(frozen=True)
class Listing:
    """The samples of a dataset, with their paths and labels.

    `picture`, where there is one, gives the picture of a sample that is no file of its own: the bytes of its file, or
    an array, encoded as `encoding` says; None leaves it to the path.
    """

    length: int
    sample: Callable[[int], Sample]
    classes: Classes = None
    warnings: tuple[str, ...] = ()
    picture: Callable[[int], bytes | Pixels | None] | None = None
    encoding: Encoding = BGR


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


AS_STORED = Pipeline()
"""The pictures as they are in their files."""


def to_dataset(listing: Listing, name: str, pipeline: Pipeline = AS_STORED) -> Dataset:
    """The samples with a pipeline behind them."""
    loader = pipeline.loader or LoadImageFromFile()

    def load(index: int, max_side: MaxSide | None = None) -> State:
        sample = listing.sample(index)
        picture = listing.picture(index) if listing.picture else None
        # a sample that has both a file and an array is taken from its file where the pipeline begins with a loader
        in_file = picture is None or isinstance(picture, bytes) or (pipeline.loader is not None and sample.path)
        if reason := pipeline.stops[not in_file]:
            raise DataError(f"{STOPS}{reason}")
        remarks = tuple(filter(None, (sample.trouble, pipeline.unpacked and STOPS + pipeline.unpacked)))
        if not in_file:
            return State(picture, listing.encoding, sample.path, remarks)
        path = sample.path or ""
        state = loader.state(picture if isinstance(picture, bytes) else read_bytes(path), path, max_side=max_side)
        return replace(state, remarks=(*remarks, *state.remarks)) if remarks else state

    def thumbnail(index: int, max_side: MaxSide) -> Thumbnail:
        state = load(index, max_side)
        image = to_image(state)
        return Thumbnail(image, state.full or image.size, state.remarks)

    return Dataset(
        name=name,
        length=listing.length,
        load=load,
        thumbnail=thumbnail,
        stages=pipeline.stages,
        to_image=to_image,
        sample=listing.sample,
        classes=listing.classes,
        loader="LoadImageFromFile" if pipeline.loader else "original",
        remarks=lambda state: state.remarks,
        warnings=listing.warnings,
    )


def combine(parts: Sequence[Dataset], length: int, origin: Callable[[int], tuple[Dataset, int]]) -> Dataset:
    """A dataset of samples of others: `origin` gives the dataset of each, and its number there.

    Class names are those of the first.
    """

    def load(index: int) -> object:
        part, place = origin(index)
        return part.load(place)

    def thumbnail(index: int, max_side: MaxSide) -> Thumbnail:
        part, place = origin(index)
        return part.thumbnail(place, max_side)  # type: ignore[misc]  # it is not offered unless every part has one

    def sample(index: int) -> Sample:
        part, place = origin(index)
        return part.sample(place)

    def stages_of(index: int) -> tuple[Stage, ...]:
        part, place = origin(index)
        return part.pipeline(place)

    return replace(
        parts[0],
        length=length,
        load=load,
        thumbnail=thumbnail if all(part.thumbnail for part in parts) else None,
        sample=sample,
        stages_of=stages_of,
        warnings=tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
    )
