"""Fingerprints of what a result was made of: weights, configs, files."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.adapters import DEFAULT, Options, split_address
from classlens.checkpoints.download import find_checkpoint
from classlens.errors import ClasslensError
from classlens.files import open_regular

if TYPE_CHECKING:
    from classlens.cam.classifier import Classifier

CHUNK = 1 << 20


def hash_of_file(path: Path) -> str:
    """The SHA-256 of a file of any size."""
    digest = sha256()
    with open_regular(path) as file:
        while content := file.read(CHUNK):
            digest.update(content)
    return f"sha256 {digest.hexdigest()}"


def hash_of_weights(classifier: "Classifier", checkpoint: str | None) -> str:
    """That of a checkpoint's file; without one, of the numbers of the network, in the order of their names."""
    if checkpoint is not None:
        return hash_of_file(find_checkpoint(checkpoint))
    digest = sha256()
    for name, tensor in sorted(classifier.module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return f"sha256 of its parameters {digest.hexdigest()}"


def hash_of_config(target: str, options: Options) -> str:
    """That of a config as it is understood, bases and overrides included; of other files, that of their content."""
    scheme, rest = split_address(target)
    try:
        if scheme == DEFAULT:
            from classlens.config.writing import ConfigRequest, write_config

            config = write_config(ConfigRequest(target, None, options.overrides, options.trust_config))
            return f"sha256 of the config as it is understood {sha256(config.text.encode()).hexdigest()}"
        path = Path(rest.rpartition(".py:")[0] + ".py" if ".py:" in rest else rest)
        return f"{path.name}: {hash_of_file(path)}" if path.is_file() else ""
    except ClasslensError:
        return ""
