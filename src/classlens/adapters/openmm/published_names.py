"""Names of the classes of well-known datasets; the sources and their licences are in ATTRIBUTION.md."""

from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=4)
def names_of(dataset: str) -> tuple[str, ...] | None:
    """The classes of a dataset that has one set of them, whatever its files say, by the name of its type."""
    place = files(__package__).joinpath(f"class_names/{dataset.lower()}.txt")
    return tuple(place.read_text(encoding="utf-8").splitlines()) if place.is_file() else None


def imagenet_names(count: int) -> tuple[str, ...] | None:
    return names_of("ImageNet") if count == 1000 else None
