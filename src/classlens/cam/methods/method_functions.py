"""The functions behind the table of methods."""

from collections.abc import Callable
from importlib import import_module

from torch import Tensor

from classlens.arrays import Float
from classlens.cam.methods import Method
from classlens.cam.probe import Evidence

Weigh = Callable[[Evidence], Float[Tensor, "batch channels height width"]]
Collapse = Callable[[Float[Tensor, "batch channels height width"]], Float[Tensor, "batch height width"]]


def functions(method: Method) -> tuple[Weigh, Collapse]:
    return loaded(method.weigh), loaded(method.collapse)


def loaded(address: str) -> Callable[..., Tensor]:
    """The function at `module.function` in this folder."""
    module, _, function = address.partition(".")
    found: Callable[..., Tensor] = getattr(import_module(f"classlens.cam.methods.{module}"), function)
    return found
