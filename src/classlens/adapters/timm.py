"""Classifiers of timm, by name: `timm:resnet50`, `timm:vit_base_patch16_224.augreg_in1k`.

`timm:hf-hub:USER/MODEL` is one of the Hub, `timm:local-dir:FOLDER` one as `timm.models.push_to_hf_hub` writes it.

Published weights are the default, as a map of an untrained network says nothing. A checkpoint replaces them;
`?pretrained=false` leaves the network untrained, `?size=test` feeds pictures of the size that the weights are best at,
and other settings go to `timm.create_model`.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import timm
from timm.data import ImageNetInfo, create_transform, infer_imagenet_subset, resolve_model_data_config
from torch import nn

from classlens.adapters import Options
from classlens.adapters.feeding import Feeding, grey_scores, read_feeding, takes_grey
from classlens.adapters.hub import UNTRAINED, Setting, hub_answers, is_cached, out_of_reach, reachable, split_settings
from classlens.cam.classifier import Classifier
from classlens.checkpoints.load_checkpoint import FED_AS, load_checkpoint
from classlens.dataset.state import Foreign
from classlens.errors import ConfigError, DataError, NotFound, first_line
from classlens.source import Source

SIZES = ("train", "test")
HUB, LOCAL = "hf-hub:", "local-dir:"
FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Under which names timm publishes weights."""


def open_model(rest: str, options: Options) -> Source:
    """Offer the classifier only; timm's names carry no data and no schedule."""
    name, settings = split_settings(rest)
    folder = name.removeprefix(LOCAL)
    if folder != name and not Path(folder, "config.json").is_file():
        raise DataError(f"{folder} holds no config.json of timm", hint="timm:local-dir: takes a folder")
    if not name.startswith((HUB, LOCAL)) and not timm.is_model(name.partition(".")[0]):
        raise NotFound("timm model", name, timm.list_models())
    if (size := settings.get("size", "train")) not in SIZES:
        raise NotFound("size", str(size), SIZES, where=f"timm:{name}")
    notes = () if settings.get("pretrained", True) else (UNTRAINED,)
    return Source(f"timm:{rest}", open_classifier=partial(build, name, settings, options), notes=notes)


def build(name: str, settings: dict[str, Setting], options: Options, checkpoint: str | None) -> Classifier:
    """The network with the weights at `checkpoint`, or with the published ones."""
    own = {key: value for key, value in settings.items() if key not in ("size", "pretrained")}
    pretrained = bool(settings.get("pretrained", True)) and checkpoint is None
    if pretrained and not name.startswith(LOCAL):
        require_weights(name)
    try:
        network = timm.create_model(name, pretrained=pretrained, **own)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        hint = "settings go to timm.create_model"
        raise ConfigError(f"timm:{name} cannot be built: {first_line(error)}", hint=hint) from error
    grey = takes_grey(network, own.get("in_chans"), f"timm:{name}")
    classes = load_checkpoint(network, checkpoint, trust=options.trust_checkpoint) if checkpoint else None
    published = network.pretrained_cfg.get("num_classes")
    if pretrained and network.num_classes and published != network.num_classes:
        hint = f"its weights tell {published} classes apart: leave out num_classes, or give a checkpoint"
        raise DataError(f"the head of timm:{name} with {network.num_classes} classes is random", hint=hint)
    fed = feeding_of_weights(network, f"timm:{name}", settings.get("size"), own.get("img_size"))
    if checkpoint is not None:
        fed = replace(fed, notes=(f"{FED_AS} {network.pretrained_cfg.get('hf_hub_id') or name}", *fed.notes))
    return Classifier(
        name=f"timm:{name}",
        module=network.eval(),
        logits=partial(grey_scores, network) if grey else network,
        classes=classes or class_names(network),
        output="softmax",
        **vars(fed),
    )


def require_weights(name: str) -> None:
    """Say at once that published weights cannot be had, or were never published."""
    config = None if name.startswith(HUB) else timm.get_pretrained_cfg(name)
    repository = name.removeprefix(HUB) if config is None else config.hf_hub_id
    hint = f"give a checkpoint behind the address, or look at an untrained network with timm:{name}?pretrained=false"
    if config is not None and not config.has_weights:
        raise DataError(f"timm:{name} has no published weights", hint=hint)
    at_hand = is_cached(repository, *FILES) or hub_answers() if repository else reachable(str(config and config.url))
    if not at_hand:
        raise out_of_reach(f"the weights of timm:{name}", hint)


def feeding_of_weights(
    network: nn.Module, name: str, size: str | None = None, side: int | tuple[int, int] | None = None
) -> Feeding:
    """The test pipeline that belongs to the weights of a network built by timm.

    Many weights are better at larger pictures than they were trained with: `size` says which are fed, "train" or
    "test". `side` is the setting `img_size`, a number or height and width, which the weights' record ignores.
    """
    if network.num_classes == 0:
        hint = "give weights that were trained to, or a checkpoint with ?num_classes=N"
        raise DataError(f"{name} has no head that tells classes apart: it gives features", hint=hint)
    side = (side, side) if isinstance(side, int) else side
    shape = None if side is None else (3, *side)
    train, test = (
        resolve_model_data_config(network, args={"input_size": shape}, use_test_size=larger) for larger in (False, True)
    )
    transform = create_transform(**(test if size == "test" else train), is_training=False)
    fed = read_feeding(transform, grey=takes_grey(network))
    if size is not None or train == test:
        return fed
    at_training, at_testing = (
        f"{one['input_size'][-1]} x {one['input_size'][-2]}, crop {one['crop_pct']:g}" for one in (train, test)
    )
    note = (
        f"pictures are fed as in training, {at_training}; its weights are tested with {at_testing}: timm:NAME?size=test"
    )
    return replace(fed, notes=(note,))


def class_names(network: Foreign) -> tuple[str, ...] | None:
    """Names as the weights carry them, or those of the ImageNet subset that they were trained on."""
    names, subset = network.pretrained_cfg.get("label_names"), infer_imagenet_subset(network)
    if names is None and subset is not None:
        info = ImageNetInfo(subset)
        names = map(info.index_to_description, range(info.num_classes()))
    names = tuple(names or ())
    return names if names and len(names) == network.num_classes else None
