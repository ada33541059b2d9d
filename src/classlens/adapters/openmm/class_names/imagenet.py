"""The thousand names of ImageNet-1k."""

from importlib.resources import files


def imagenet_names(count: int) -> tuple[str, ...] | None:
    """The names, where a network tells `count` = 1000 classes apart; None otherwise."""
    if count != 1000:
        return None
    text = files(__package__).joinpath("imagenet-1k.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
