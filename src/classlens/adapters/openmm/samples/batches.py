"""What a config says about batches: their size, and Mixup and its kin."""

from classlens.adapters.openmm.setup import BatchAugments, Settings, Split
from classlens.adapters.openmm.stages.transform import named
from classlens.dataset.dataset import BatchPlan, Mixing
from classlens.errors import ConfigError, suggestion

KINDS = {"Mixup": "Mixup", "CutMix": "CutMix", "ResizeMix": "ResizeMix"}
DEFAULT_SIZE = 16


def batch_plan(split: Split, augments: BatchAugments) -> BatchPlan:
    """How training batches the samples of a split.

    Raises:
        ConfigError: there is no such mixing, or it lacks its alpha.
    """
    pairs = zip(augments.augments, augments.probabilities, strict=True)
    mixings = tuple(mixing_of(settings, probability) for settings, probability in pairs)
    return BatchPlan(split.batch_size or DEFAULT_SIZE, mixings)


def mixing_of(settings: Settings, probability: float) -> Mixing:
    """One batch augmentation."""
    kind = str(named(settings).get("type"))
    if kind not in KINDS:
        raise ConfigError(f"no batch augmentation named {kind!r}", hint=suggestion(kind, KINDS))
    if not settings.get("alpha"):
        raise ConfigError(f"{kind} needs an alpha above 0")
    within = settings.get("cutmix_minmax")
    return Mixing(
        kind=kind,  # type: ignore[arg-type]
        alpha=float(settings["alpha"]),
        probability=probability,
        within=(float(within[0]), float(within[1])) if within else None,
        corrected=bool(settings.get("correct_lam", True)),
        low=float(settings.get("lam_min", 0.1)),
        high=float(settings.get("lam_max", 0.8)),
    )
