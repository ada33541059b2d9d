"""Classifiers of timm, by name: `timm:resnet50`, `timm:vit_base_patch16_224.augreg_in1k`.

`timm:hf-hub:USER/MODEL` is one of the Hub, `timm:local-dir:FOLDER` one as `timm.models.push_to_hf_hub` writes it.

Published weights are the default, as a map of an untrained network says nothing. A checkpoint replaces them;
`?pretrained=false` leaves the network untrained, and other settings go to `timm.create_model`.
"""

from functools import partial
from pathlib import Path

import timm
from timm.data import ImageNetInfo, create_transform, infer_imagenet_subset, resolve_model_data_config
from torch import Tensor, nn

from classlens.adapters import Options
from classlens.adapters.fitting import load_checkpoint
from classlens.adapters.hub import hub_at_hand, out_of_reach, reachable
from classlens.adapters.pipelines.feeding import feeding
from classlens.adapters.settings import UNTRAINED, Setting, split_settings
from classlens.adapters.taking import as_taken, takes_grey
from classlens.arrays import Float
from classlens.cam.classifier import Classifier
from classlens.errors import ConfigError, DataError, NotFound
from classlens.source import Source

HUB, LOCAL = "hf-hub:", "local-dir:"
FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Under which names timm publishes weights."""


def open_model(rest: str, options: Options) -> Source:
    """Offer the classifier only; timm's names carry no data and no schedule.

    Raises:
        NotFound: timm has no model of that name.
        DataError: the folder holds no model.
        ConfigError: the settings behind the name cannot be read.
    """
    name, settings = split_settings(rest)
    if name.startswith(LOCAL) and not Path(name.removeprefix(LOCAL), "config.json").is_file():
        raise DataError(
            f"{name.removeprefix(LOCAL)} holds no config.json of timm", hint="timm:local-dir: takes a folder"
        )
    if not name.startswith((HUB, LOCAL)) and not timm.is_model(name.partition(".")[0]):
        raise NotFound("timm model", name, timm.list_models())
    notes = () if settings.get("pretrained", True) else (UNTRAINED,)
    return Source(f"timm:{rest}", open_classifier=partial(build, name, settings, options), notes=notes)


def build(name: str, settings: dict[str, Setting], options: Options, checkpoint: str | None) -> Classifier:
    """The network with the weights at `checkpoint`, or with the published ones.

    Raises:
        DataError: the checkpoint does not fit, or the published weights are out of reach.
        ConfigError: timm refuses a setting.
    """
    wanted = dict(settings)
    pretrained = bool(wanted.pop("pretrained", True)) and checkpoint is None
    if pretrained and not name.startswith(LOCAL):
        require_weights(name)
    try:
        network = timm.create_model(name, pretrained=pretrained, **wanted)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"timm:{name} cannot be built: {reason}", hint="settings go to timm.create_model") from error
    if checkpoint is not None:
        load_checkpoint(network, checkpoint, trust=options.trust_checkpoint)
    return classifier_of(network.eval(), f"timm:{name}", wanted.get("img_size"))


def require_weights(name: str) -> None:
    """Say at once that published weights cannot be had, or were never published.

    Raises:
        DataError: neither cached nor reachable.
    """
    config = None if name.startswith(HUB) else timm.get_pretrained_cfg(name)
    repository = name.removeprefix(HUB) if config is None else config.hf_hub_id
    hint = f"give a checkpoint behind the address, or look at an untrained network with timm:{name}?pretrained=false"
    if config is not None and not config.has_weights:
        raise DataError(f"timm:{name} has no published weights", hint=hint)
    at_hand = hub_at_hand(repository, FILES) if repository else reachable(str(config and config.url))
    if not at_hand:
        raise out_of_reach(f"the weights of timm:{name}", hint)


def classifier_of(network: nn.Module, name: str, side: int | tuple[int, int] | None = None) -> Classifier:
    """A network built by timm, with the test pipeline and the class names that belong to its weights.

    `side` of its pictures, or height and width, is that of the setting `img_size`, which the weights' record ignores.
    """
    size = None if side is None else (3, side, side) if isinstance(side, int) else (3, *side)
    data = resolve_model_data_config(network, args={"input_size": size})
    fed = feeding(create_transform(**data, is_training=False))
    return Classifier(
        name=name,
        module=network,
        logits=partial(scores, network) if takes_grey(network) else network,
        encoding=fed.encoding,
        size=fed.size,
        prepare=fed.prepare,
        classes=class_names(network),
        output="softmax",
    )


def scores(network: nn.Module, batch: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
    """The class scores of a network for grey pictures."""
    found: Tensor = network(as_taken(batch, grey=True))
    return found


def class_names(network: nn.Module) -> tuple[str, ...] | None:
    """Names as the weights carry them, or those of the ImageNet subset that they were trained on."""
    config = getattr(network, "pretrained_cfg", None) or {}
    count = getattr(network, "num_classes", None)
    names = config.get("label_names")
    if names is None:
        subset = infer_imagenet_subset(network)
        if subset is None:
            return None
        info = ImageNetInfo(subset)
        names = [info.index_to_description(index) for index in range(info.num_classes())]
    return tuple(names) if len(names) == count else None
