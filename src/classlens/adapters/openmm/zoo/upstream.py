"""Networks that are not built here, built by mmpretrain where it is installed."""

from collections.abc import Iterable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.arrays import Float
from classlens.errors import ConfigError, first_line, suggestion

TRAINING = ("train_cfg", "data_preprocessor", "init_cfg", "pretrained")
"""What a model is not built from when it is only looked at."""


class UpstreamClassifier(nn.Module):
    """mmpretrain's network with its own layer names, asked for logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name, part in network.named_children():
            self.add_module(name, part)
        self.network = (network,)  # in a tuple, so that its layers are not listed twice

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        """One logit per class; networks with several branches are scored by their sum, as mmpretrain predicts."""
        scores = self.network[0](images, mode="tensor")
        return torch.stack(list(scores)).sum(0) if isinstance(scores, tuple | list) else scores


def build_upstream(model: Settings, *, part: str, known: Iterable[str]) -> nn.Module:
    """Have mmpretrain build the whole model, because nobody here builds its `part`.

    Raises:
        ConfigError: mmpretrain is not installed, or does not know the model either.
    """
    name = model[part]["type"] if part in model else model["type"]
    if find_spec("mmpretrain") is None:
        near = suggestion(str(name), known)
        raise ConfigError(
            f"no native {part} named {name!r}",
            hint=(f"{near} " if near.endswith("?") else "")
            + "mmpretrain builds others, and your own (--trust-config follows custom_imports): "
            f"pip install 'classlens[mmpretrain]'; native are {', '.join(known)}",
        )
    from mmpretrain.models import build_classifier

    settings = {key: plain(value) for key, value in model.items() if key not in TRAINING}
    try:
        with torch.device("cpu"):
            return UpstreamClassifier(build_classifier(settings))
    except (KeyError, TypeError, ValueError, ImportError, AssertionError) as error:
        raise ConfigError(
            f"mmpretrain cannot build the {part} {name!r}: {first_line(error)}",
            hint="a type of your own is registered by custom_imports, which --trust-config follows",
        ) from error


def plain(value: object) -> object:
    """The same settings as dicts and lists, which mmpretrain changes while it builds."""
    if hasattr(value, "items"):
        return {key: plain(inside) for key, inside in value.items()}
    return [plain(inside) for inside in value] if isinstance(value, list) else value
