"""Classifiers of torchvision, by name and weights: `torchvision:resnet50`, `torchvision:resnet50:IMAGENET1K_V1`.

Without weights the recommended ones are meant; `torchvision:resnet50:none` is the untrained network. A checkpoint
replaces them. Settings behind a question mark go to the function that builds the model.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torchvision import models

from classlens.adapters import Options
from classlens.adapters.feeding import read_feeding
from classlens.adapters.hub import UNTRAINED, Setting, out_of_reach, reachable, split_settings
from classlens.cam.classifier import Classifier
from classlens.checkpoints.load_checkpoint import FED_AS, load_checkpoint
from classlens.dataset.state import Foreign
from classlens.errors import ConfigError, NotFound
from classlens.source import Source


def open_model(rest: str, options: Options) -> Source:
    """Offer the classifier only; torchvision's names carry no data and no schedule."""
    address, settings = split_settings(rest)
    name, _, weights = address.partition(":")
    if name not in (known := models.list_models(module=models)):
        raise NotFound("torchvision classifier", name, known)
    published = models.get_model_weights(name).__members__
    weights = weights if settings.pop("pretrained", True) else "none"
    if weights and weights.casefold() not in ("none", "default") and weights not in published:
        raise NotFound("weights", weights, [*published, "none"], where=f"torchvision:{name}")
    untrained = weights.casefold() == "none"
    record = None if untrained else published.get(weights, models.get_model_weights(name).DEFAULT)
    notes = (UNTRAINED,) if untrained else ()
    return Source(f"torchvision:{rest}", open_classifier=partial(build, name, record, settings, options), notes=notes)


def build(
    name: str, weights: Foreign, settings: dict[str, Setting], options: Options, checkpoint: str | None
) -> Classifier:
    """The network with the weights at `checkpoint`, or with the published ones; fed as the weights want it."""
    download = weights if checkpoint is None else None
    if download is not None and not is_on_disk(download.url) and not reachable(download.url):
        raise out_of_reach(
            f"the weights of torchvision:{name}",
            f"give a checkpoint behind the address, or look at an untrained network with torchvision:{name}:none",
        )
    quiet = {"init_weights": True} if name in ("googlenet", "inception_v3") and download is None else {}
    try:
        network = models.get_model(name, weights=download, **(quiet | settings))
    except (TypeError, ValueError) as error:
        hint = "settings go to the function of that name in torchvision.models"
        raise ConfigError(f"torchvision:{name} cannot be built: {error}", hint=hint) from error
    own = load_checkpoint(network, checkpoint, trust=options.trust_checkpoint) if checkpoint is not None else None
    record = weights or models.get_model_weights(name).DEFAULT
    preset = record.transforms()
    side = getattr(network, "image_size", preset.crop_size[0])
    if side != preset.crop_size[0]:  # vision transformers take no other size than the one that they were built for
        preset = record.transforms(crop_size=side, resize_size=side)
    fed = read_feeding(preset)
    if checkpoint is not None:
        fed = replace(fed, notes=(f"{FED_AS} torchvision:{name}:{record.name}",))
    names = tuple(record.meta["categories"])
    return Classifier(
        name=f"torchvision:{name}",
        module=network.eval(),
        logits=network,
        classes=own or (names if settings.get("num_classes", len(names)) == len(names) else None),
        output="softmax",
        **vars(fed),
    )


def is_on_disk(url: str) -> bool:
    return (Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file()
