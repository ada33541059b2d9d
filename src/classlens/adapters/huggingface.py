"""Image classifiers of transformers: `hf:FOLDER` as `save_pretrained` wrote it, or `hf:USER/MODEL` from the Hub.

The processor that belongs to the model prepares the pictures; only its last step, the normalisation, is left to the
encoding. `?pretrained=false` builds an untrained network from the configuration alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification
from transformers.utils import logging

from classlens.adapters import Options
from classlens.adapters.fitting import load_checkpoint
from classlens.adapters.hub import cached, hub_answers, out_of_reach
from classlens.adapters.pipelines.carried import Array, Foreign, channels, fitted
from classlens.adapters.pipelines.feeding import IMAGENET, Feeding, square
from classlens.adapters.scoring import kind_of
from classlens.adapters.settings import Setting, refuse_unknown, split_settings
from classlens.arrays import Float
from classlens.cam.classifier import Classifier
from classlens.errors import DataError
from classlens.image import Encoding, Image
from classlens.sharing import ALONE
from classlens.source import Source

SETTINGS = ("pretrained", "revision")
THROUGH_PYTHON = "open the model through py:, in a module that takes pictures and returns the scores"
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
    where = {"revision": revision, "local_files_only": Path(name).is_dir() or not hub_answers()}
    if where["local_files_only"] and not Path(name).is_dir() and not cached(name, ("config.json",), revision):
        raise out_of_reach(f"the weights of hf:{name}", "give a folder that save_pretrained wrote: hf:FOLDER")
    config = asked(AutoConfig.from_pretrained, name, **where)
    if settings.get("pretrained", True) and checkpoint is None:
        network = asked(AutoModelForImageClassification.from_pretrained, name, **where)
    else:
        network = asked(AutoModelForImageClassification.from_config, config)
    if network.main_input_name != "pixel_values":
        raise DataError(f"hf:{name} takes {network.main_input_name}, not pictures", hint=THROUGH_PYTHON)
    if config.problem_type == "regression":
        raise DataError(f"hf:{name} is a regression (problem_type): its numbers are no class scores")
    if checkpoint is not None:
        load_checkpoint(network, checkpoint, trust=options.trust_checkpoint)
    fed = feeding_of(name, config, where)
    return Classifier(
        name=f"hf:{name}",
        module=network.eval(),
        logits=partial(logits, network),
        encoding=fed.encoding,
        size=fed.size,
        prepare=fed.prepare,
        classes=class_names(config),
        output=kind_of(network),
    )


def class_names(config: Foreign) -> tuple[str, ...] | None:
    """The names in a configuration, in the order of the scores; None where there are none, or not one for each."""
    labels = config.id2label or {}
    names = tuple(labels[index] for index in range(config.num_labels) if index in labels)
    return names if names and len(names) == config.num_labels else None


def asked(call: Callable[..., Foreign], name: Foreign, **settings: Foreign) -> Foreign:
    """What transformers builds, with its complaints as ours.

    Raises:
        DataError: transformers cannot read the model, or it is no image classifier.
    """
    try:
        with quietly():
            return call(name, **settings)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"transformers cannot open it as an image classifier: {reason}") from error


@contextmanager
def quietly() -> Iterator[None]:
    """No progress bars for files that are on this machine already."""
    with ALONE:
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            if shown:
                logging.enable_progress_bar()


def logits(network: nn.Module, batch: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
    """Raw class scores out of the model's named output."""
    output: Foreign = network(pixel_values=batch)
    scores: Tensor = output.logits if "logits" in output else output[0]
    return scores


def feeding_of(name: str, config: Foreign, where: dict[str, Foreign]) -> Feeding:
    """The processor taken apart; a model without one is fed as ImageNet models are, at the size of its config."""
    try:
        processor = AutoImageProcessor.from_pretrained(name, **where)
    except (OSError, ValueError):
        side = getattr(config, "image_size", None) or 224
        height, width = (side, side) if isinstance(side, int) else tuple(side)
        return Feeding(square(max(height, width)), IMAGENET, (height, width))
    order = "BGR" if getattr(processor, "do_flip_channel_order", False) else "RGB"
    noise = Image(np.random.default_rng(0).integers(0, 256, (PROBE, PROBE, 3), dtype=np.uint8))
    prepare = partial(prepared, processor, order)
    return Feeding(prepare, encoding_of(processor, order, noise), prepare(noise).size)


def encoding_of(processor: Foreign, order: str, probe: Image) -> Encoding:
    """What the processor does to the numbers, measured: rescaling, offset, mean and std in one scale and shift.

    Raises:
        DataError: it does more than that.
    """
    plain = Encoding(order, "CHW", 1.0)  # type: ignore[arg-type]
    raw, ready = (processed(processor, probe, arithmetic=arithmetic) for arithmetic in (False, True))
    found = fitted(channels(raw / 255, "CHW"), channels(ready, "CHW"), plain)
    if found is None:
        kind = type(processor).__name__
        raise DataError(f"{kind} does more to a picture than resize, crop, scale and shift", hint=THROUGH_PYTHON)
    return found


def prepared(processor: Foreign, order: str, image: Image) -> Image:
    """The picture as the processor resizes and crops it."""
    array = processed(processor, image, arithmetic=False)
    return Encoding(order, "CHW").decode(array.round().clip(0, 255).astype(np.uint8))  # type: ignore[arg-type]


def processed(processor: Foreign, image: Image, *, arithmetic: bool) -> Array:
    """What the processor makes of a picture, channels first; without its arithmetic, whole numbers as they were.

    Raises:
        DataError: it makes something else of it, such as rows of patches.
    """
    off = {"do_rescale": False, "do_normalize": False}
    if hasattr(processor, "include_top"):
        off["include_top"] = False  # EfficientNet's divides by std a second time
    picture = Pillow.fromarray(image.pixels)
    batch = processor(images=picture, return_tensors="pt", **({} if arithmetic else off))
    ready = torch.as_tensor(batch["pixel_values"][0]).float() if "pixel_values" in batch else torch.zeros(0)
    if ready.ndim != 3:
        raise DataError(f"{type(processor).__name__} makes no picture of one, but rows of numbers", hint=THROUGH_PYTHON)
    return np.asarray(ready)
