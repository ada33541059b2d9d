"""The thousand names of ImageNet-1k."""

from classlens.adapters.openmm.class_names import names_of


def imagenet_names(count: int) -> tuple[str, ...] | None:
    """The names, where a network tells `count` = 1000 classes apart; None otherwise."""
    return names_of("ImageNet") if count == 1000 else None
