"""Image classifiers of transformers: `hf:FOLDER` as `save_pretrained` wrote it, or `hf:USER/MODEL` from the Hub.

The processor that belongs to the model prepares the pictures. `?pretrained=false` builds an untrained network from the
configuration alone.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image as Pillow
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification
from transformers.utils import logging

from classlens.adapters import Options
from classlens.adapters.feeding import Feeding, as_colour, as_grey, noise_image, read_feeding, takes_grey, usual_feeding
from classlens.adapters.hub import UNTRAINED, Setting, hub_answers, is_cached, out_of_reach, split_settings
from classlens.adapters.python.network import classes_of, compute_scores, kind_of
from classlens.cam.classifier import Classifier
from classlens.checkpoints.load_checkpoint import LISTED, load_checkpoint
from classlens.dataset.decode import Pixels
from classlens.dataset.state import Foreign, array_of
from classlens.errors import DataError, first_line, join_first
from classlens.image import Encoding, Image
from classlens.pipelines.lay_open import channels, fit_encoding
from classlens.sharing import ALONE
from classlens.source import Source
from classlens.user_code import users_code

THROUGH_PYTHON = "open the model through py:, in a module that takes pictures and returns the scores"
PROCESSORS = ("preprocessor_config.json", "processor_config.json")  # where a model keeps how its pictures are prepared


def open_model(rest: str, options: Options) -> Source:
    """Offer the classifier only."""
    name, settings = split_settings(rest, ("pretrained", "revision"))
    folder = Path(name).expanduser()
    if folder.is_dir():
        name = str(folder)
        if not (folder / "config.json").is_file():
            raise DataError(f"{name} holds no config.json", hint="hf: takes a folder that save_pretrained wrote")
    notes = () if settings.get("pretrained", True) else (UNTRAINED,)
    return Source(f"hf:{rest}", open_classifier=partial(build, name, settings, options), notes=notes)


def build(name: str, settings: dict[str, Setting], options: Options, checkpoint: str | None) -> Classifier:
    """The network with the weights at `checkpoint`, or with its own."""
    revision = settings.get("revision")
    where = {"revision": revision, "local_files_only": Path(name).is_dir() or not hub_answers()}
    if where["local_files_only"] and not Path(name).is_dir() and not is_cached(name, "config.json", revision=revision):
        raise out_of_reach(f"the weights of hf:{name}", "give a folder that save_pretrained wrote: hf:FOLDER")
    try:
        with quiet_transformers():
            config, networks = AutoConfig.from_pretrained(name, **where), AutoModelForImageClassification
            if settings.get("pretrained", True) and checkpoint is None:
                network, report = networks.from_pretrained(name, output_loading_info=True, **where)
            else:
                network, report = networks.from_config(config), {"missing_keys": ()}
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(f"transformers cannot open it as an image classifier: {first_line(error)}") from error
    if missing := sorted(report["missing_keys"]):
        hint = "a base model has no head that tells classes apart: give a model that was trained to, or a checkpoint"
        raise DataError(f"hf:{name} has no weights for {join_first(missing, LISTED)}, so they are random", hint=hint)
    if network.main_input_name != "pixel_values":
        raise DataError(f"hf:{name} takes {network.main_input_name}, not pictures", hint=THROUGH_PYTHON)
    if config.problem_type == "regression":
        raise DataError(f"hf:{name} is a regression (problem_type): its numbers are no class scores")
    grey = takes_grey(network, getattr(config, "num_channels", None), f"hf:{name}")
    own = load_checkpoint(network, checkpoint, trust=options.trust_checkpoint) if checkpoint is not None else None
    return Classifier(
        name=f"hf:{name}",
        module=network.eval(),
        logits=partial(compute_scores, network, f"hf:{name}", grey=grey),
        classes=own or classes_of(network),
        output=kind_of(network),
        **vars(read_processor(name, config, where, grey=grey)),
    )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars for files that are on this machine already, and no report of what we refuse or say ourselves."""
    with ALONE:
        shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if shown:
                logging.enable_progress_bar()


def read_processor(name: str, config: Foreign, where: Mapping[str, Foreign], *, grey: bool) -> Feeding:
    """The processor as a pipeline; a model without one is fed as ImageNet models are, at the size of its config."""
    try:
        with quiet_transformers():
            processor = AutoImageProcessor.from_pretrained(name, **where)
    except (OSError, ValueError) as error:
        if any(Path(name, file).is_file() for file in PROCESSORS):
            raise DataError(f"the image processor of hf:{name} cannot be read: {first_line(error)}") from error
        return usual_feeding(getattr(config, "image_size", None) or 224, f"hf:{name} has no {PROCESSORS[0]}", grey=grey)
    if hasattr(processor, "val_transforms"):  # of timm's models, which has no settings to switch anything off
        return read_feeding(processor.val_transforms, grey=grey)
    entry = as_grey if grey else as_colour
    noise = entry(noise_image())
    raw, ready = (run_processor(processor, noise, off) for off in (arithmetic_of(processor), {}))
    order: Literal["RGB", "BGR"] = "BGR" if getattr(processor, "do_flip_channel_order", False) else "RGB"
    # One scale and shift, or that of plain pixels where the processor does more to the numbers.
    affine = fit_encoding(channels(raw / 255, "CHW"), channels(ready, "CHW"), Encoding(order, "CHW", 1.0))
    encoding = affine or Encoding(order, "CHW")
    sizing = {name: False for name in ("do_resize", "do_center_crop", "do_pad") if getattr(processor, name, None)}
    prepare, whole = (partial(prepare_image, processor, entry, encoding, off) for off in ({}, sizing))
    return Feeding(prepare, encoding, (ready.shape[1], ready.shape[2]), whole)


def arithmetic_of(processor: Foreign) -> dict[str, bool]:
    top = {"include_top": False} if hasattr(processor, "include_top") else {}  # EfficientNet's divides by std once more
    return {"do_rescale": False, "do_normalize": False} | top


def prepare_image(
    processor: Foreign, entry: Callable[[Image], Pillow.Image], encoding: Encoding, off: dict[str, bool], image: Image
) -> Image:
    """What the processor makes of a picture, and what that looks like."""
    picture = entry(image)
    numbers = run_processor(processor, picture, off)
    plain = run_processor(processor, picture, off | arithmetic_of(processor)) if encoding.white == 255 else numbers
    return Image(encoding.decode(plain).pixels, numbers)


def run_processor(processor: Foreign, picture: Pillow.Image, off: Mapping[str, bool]) -> Pixels:
    """What the processor makes of a picture, three channels first; less what is switched off."""
    with users_code(type(processor).__name__, DataError):
        batch = processor(images=picture, return_tensors="pt", **off)
    ready = torch.as_tensor(batch["pixel_values"][0]).float() if "pixel_values" in batch else torch.zeros(0)
    if ready.ndim != 3:
        raise DataError(f"{type(processor).__name__} makes no picture of one, but rows of numbers", hint=THROUGH_PYTHON)
    return np.ascontiguousarray(array_of(ready)[0])
