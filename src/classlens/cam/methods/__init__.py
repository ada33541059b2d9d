"""The methods, in one table. To add one: write a pure function, enter it in `METHODS` with its paper.

Nothing outside this folder knows a method by name. Names are found whatever their case, with or without dashes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from classlens.cam.evidence import Evidence
from classlens.cam.methods import weights
from classlens.cam.methods.collapse import channel_sum, first_component
from classlens.errors import NotFound


@dataclass(frozen=True)
class Method:
    """One method: how it weighs the activations, how the channels become one map, and what it has to be told.

    `needs` is "gradients" (of the target class) or "activations" (the same map for every class).
    """

    name: str
    paper: str
    weigh: Callable[[Evidence], Float[Tensor, "batch channels height width"]]
    collapse: Callable[[Float[Tensor, "batch channels height width"]], Float[Tensor, "batch height width"]] = (
        channel_sum
    )
    needs: Literal["gradients", "activations"] = "gradients"


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("GradCAM", "Selvaraju et al., ICCV 2017", weights.grad_cam),
        Method("GradCAM++", "Chattopadhay et al., WACV 2018", weights.grad_cam_plus_plus),
        Method("XGradCAM", "Fu et al., BMVC 2020", weights.x_grad_cam),
        Method("EigenCAM", "Muhammad & Yeasin, IJCNN 2020", weights.activations_only, first_component, "activations"),
        Method("EigenGradCAM", "Muhammad & Yeasin, IJCNN 2020, on G A", weights.hi_res_cam, first_component),
        Method("LayerCAM", "Jiang et al., TIP 2021", weights.layer_cam),
        Method("HiResCAM", "Draelos & Carin, 2020", weights.hi_res_cam),
        Method("GradCAMElementWise", "Pillai & Pirsiavash, AAAI 2021", weights.grad_cam_element_wise),
    )
}
"""Every method by its name, the six documented ones first."""


def find_method(name: str) -> Method:
    """The method of that name: `GradCAM++`, `gradcam++`, `grad-cam++` and `GradCAMPlusPlus` are one.

    Raises:
        NotFound: there is no such method.
    """
    folded = {fold(known): method for known, method in METHODS.items()}
    if fold(name) not in folded:
        raise NotFound("method", name, METHODS)
    return folded[fold(name)]


def fold(name: str) -> str:
    """A method's name without case, dashes and spaces."""
    plain = "".join(letter for letter in name.casefold() if letter.isalnum() or letter == "+")
    return plain.replace("plusplus", "++")
