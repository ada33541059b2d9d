"""The methods, in one table. To add one: write a pure function in this folder, enter it in `METHODS` with its paper.

Nothing outside this folder knows a method by name. The table itself loads no torch, so that a misspelt method is
refused at once; functions are named as `module.function` and loaded when they are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from classlens.errors import NotFound


@dataclass(frozen=True)
class Method:
    """One method: the function that weighs the activations, the one that makes one map of the channels, its paper.

    `needs` is what it has to be told: "gradients" of the target class, or "activations" only (the same map for every
    class).
    """

    name: str
    weigh: str
    paper: str
    collapse: str = "collapse.channel_sum"
    needs: Literal["gradients", "activations"] = "gradients"


PCA = "collapse.first_component"
METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("GradCAM", "weights.grad_cam", "Selvaraju et al., ICCV 2017"),
        Method("GradCAM++", "weights.grad_cam_plus_plus", "Chattopadhay et al., WACV 2018"),
        Method("XGradCAM", "weights.x_grad_cam", "Fu et al., BMVC 2020"),
        Method("EigenCAM", "weights.activations_only", "Muhammad & Yeasin, IJCNN 2020", PCA, "activations"),
        Method("EigenGradCAM", "weights.hi_res_cam", "Muhammad & Yeasin, IJCNN 2020, of G A", PCA),
        Method("LayerCAM", "weights.layer_cam", "Jiang et al., TIP 2021"),
        Method("HiResCAM", "weights.hi_res_cam", "Draelos & Carin, 2020"),
        Method("GradCAMElementWise", "weights.grad_cam_element_wise", "Pillai & Pirsiavash, AAAI 2021"),
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
