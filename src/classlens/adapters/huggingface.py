"""Image classifiers of transformers: `hf:FOLDER` as `save_pretrained` wrote it, or `hf:USER/MODEL` from the Hub.

The processor that belongs to the model prepares the pictures; only its last step, the normalisation, is left to the
encoding. `?pretrained=false` builds an untrained network from the configuration alone.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as Pillow
from torch import Tensor, nn
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from classlens.adapters import Options
from classlens.adapters.fitting import load_checkpoint
from classlens.adapters.hub import hub_at_hand, out_of_reach
from classlens.adapters.pipelines.carried import Foreign, triple
from classlens.adapters.pipelines.feeding import IMAGENET, Feeding, square
from classlens.adapters.settings import Setting, refuse_unknown, split_settings
from classlens.cam.classifier import Classifier
from classlens.errors import DataError
from classlens.image import Encoding, Image
from classlens.source import Source

SETTINGS = ("pretrained", "revision")
PROBE = 640
"""Side of the picture that is sent through a processor to see what size comes out."""


def open_model(rest: str, options: Options) -> Source:
    """Offer the classifier only.

    Raises:
        DataError: the name is neither a folder with a model nor a name on the Hub.
        NotFound: there is no such setting.
    """
    name, settings = split_settings(rest)
    refuse_unknown(settings, SETTINGS, f"hf:{name}")
    folder = Path(name).expanduser()
    if folder.is_dir():
        name = str(folder)
        if not (folder / "config.json").is_file():
            raise DataError(f"{name} holds no config.json", hint="hf: takes a folder that save_pretrained wrote")
    elif name.count("/") > 1 or name.startswith((".", "~", "/")):
        raise DataError(f"no such folder: {name}", hint="hf: takes a folder, or USER/MODEL on the Hub")
    return Source(f"hf:{rest}", open_classifier=partial(build, name, settings, options))


def build(name: str, settings: dict[str, Setting], options: Options, checkpoint: str | None) -> Classifier:
    """The network with the weights at `checkpoint`, or with its own.

    Raises:
        DataError: the model is out of reach, is no image classifier, or the checkpoint does not fit.
    """
    revision = settings.get("revision")
    if not Path(name).is_dir() and not hub_at_hand(name, ("config.json",), revision):
        raise out_of_reach(f"hf:{name}", "give a folder that save_pretrained wrote: hf:FOLDER")
    config = asked(AutoConfig.from_pretrained, name, revision=revision)
    if settings.get("pretrained", True) and checkpoint is None:
        network = asked(AutoModelForImageClassification.from_pretrained, name, revision=revision)
    else:
        network = asked(AutoModelForImageClassification.from_config, config)
    if checkpoint is not None:
        load_checkpoint(network, checkpoint, trust=options.trust_checkpoint)
    fed = feeding_of(name, config, revision)
    labels = config.id2label
    return Classifier(
        name=f"hf:{name}",
        module=network.eval(),
        logits=partial(logits, network),
        encoding=fed.encoding,
        size=fed.size,
        prepare=fed.prepare,
        classes=tuple(labels[index] for index in range(len(labels))),
    )


def asked(call: Callable[..., Foreign], name: Foreign, **settings: Foreign) -> Foreign:
    """What transformers builds, with its complaints as ours.

    Raises:
        DataError: transformers cannot read the model, or it is no image classifier.
    """
    try:
        return call(name, **settings)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"transformers cannot open it as an image classifier: {reason}") from error


def logits(network: nn.Module, batch: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
    """Raw class scores out of the model's named output."""
    scores: Tensor = network(pixel_values=batch).logits
    return scores


def feeding_of(name: str, config: Foreign, revision: str | None) -> Feeding:
    """The processor taken apart; a model without one is fed as ImageNet models are, at the size of its config."""
    try:
        processor = AutoImageProcessor.from_pretrained(name, revision=revision)
    except (OSError, ValueError):
        side = getattr(config, "image_size", None) or 224
        height, width = (side, side) if isinstance(side, int) else tuple(side)
        return Feeding(square(max(height, width)), IMAGENET, (height, width))
    encoding = encoding_of(processor)
    prepare = partial(processed, processor, encoding.order)
    noise = np.random.default_rng(0).integers(0, 256, (PROBE, PROBE, 3), dtype=np.uint8)
    return Feeding(prepare, encoding, prepare(Image(noise)).size)


def encoding_of(processor: Foreign) -> Encoding:
    """What the processor does to the numbers: rescaling (with an offset in some), then mean and std."""
    white, shift = 255.0, 0.0
    if getattr(processor, "do_rescale", False):
        factor = float(processor.rescale_factor)
        white = 255.0 * factor
        shift = -1.0 if getattr(processor, "rescale_offset", False) else 0.0
    normalises = getattr(processor, "do_normalize", False)
    mean = triple(processor.image_mean) if normalises else (0.0, 0.0, 0.0)
    std = triple(processor.image_std) if normalises else (1.0, 1.0, 1.0)
    order = "BGR" if getattr(processor, "do_flip_channel_order", False) else "RGB"
    first, second, third = (value - shift for value in mean)
    return Encoding(order, "CHW", float(f"{white:.6g}"), (first, second, third), std)  # type: ignore[arg-type]


def processed(processor: Foreign, order: str, image: Image) -> Image:
    """The picture as the processor resizes and crops it, before any arithmetic."""
    pixels = processor(
        images=Pillow.fromarray(image.pixels), do_rescale=False, do_normalize=False, return_tensors="pt"
    )["pixel_values"][0]
    array = torch.as_tensor(pixels).float().round().clamp(0, 255).to(torch.uint8).numpy()
    return Encoding(order, "CHW").decode(array)  # type: ignore[arg-type]
