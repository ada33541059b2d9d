"""The methods, in one table. To add one: write a pure function in this folder, enter it in `METHODS` with its paper.

Nothing outside this folder knows a method by name. The table itself loads no torch, so that a misspelt method is
refused at once; functions are named as `module:function` and loaded when they are used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from classlens.errors import NotFound


@dataclass(frozen=True)
class Method:
    """One method: the function that weighs the activations, the one that makes one map of the channels, its paper.

    Without `collapse` the channels are added up. `needs` is what it looks at: "gradients" of the target class;
    "activations" only, so that the map is the same for every class; "attention", which only transformers have; or
    "scores", for which it runs the model again and again. `at` is where its map lies: at a layer, or at the pixels of the
    input. `score` is what the gradients are those of: the class, or the class against those most like it. `asks` is how
    often it runs the model for every one of `each`; with "place", that many times along the height and along the width.
    `assumes_non_negative` says that it assumes non-negative features, so that those of both signs, which a norm layer
    puts out, lead it astray. `cap` is the share of positions below the hottest colour: single pixels of a gradient
    outshine all others.
    """

    name: str
    weigh: str
    paper: str
    collapse: str | None = None
    needs: Literal["gradients", "activations", "attention", "scores"] = "gradients"
    at: Literal["layer", "input"] = "layer"
    score: Literal["class", "finer"] = "class"
    asks: int = 0
    each: Literal["picture", "place", "channel"] = "picture"
    assumes_non_negative: bool = False
    cap: float = 1.0

    def passes(self, channels: int, samples: int | None = None) -> int:
        """Runs of the model for one picture and class, at a layer of so many channels; `samples` instead of `asks`."""
        asks = self.asks if samples is None or self.asks <= 1 else samples
        return {"picture": asks, "place": asks * asks, "channel": asks * channels}[self.each]

    @property
    def adds_channels(self) -> bool:
        return self.at == "layer" and self.collapse is None

    @property
    def quick(self) -> bool:
        return self.needs in ("gradients", "activations")


masking = partial(Method, needs="scores", each="channel")
at_input = partial(Method, needs="scores", at="input")
of_attention = partial(Method, needs="attention", at="input")
PCA = "weights:first_component"
PCA_OF_EVIDENCE = "weights:first_component_of_evidence"
KERNEL_PCA = "weights:first_kernel_component"
METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("GradCAM", "weights:grad_cam", "Selvaraju et al., ICCV 2017"),
        Method("GradCAM++", "weights:grad_cam_plus_plus", "Chattopadhay et al., WACV 2018"),
        Method("XGradCAM", "weights:x_grad_cam", "Fu et al., BMVC 2020", assumes_non_negative=True),
        Method("EigenCAM", "weights:activations_only", "Muhammad & Yeasin, IJCNN 2020", PCA, "activations"),
        Method("EigenGradCAM", "weights:hi_res_cam", "Muhammad & Yeasin, IJCNN 2020, of G A", PCA_OF_EVIDENCE),
        Method("LayerCAM", "weights:layer_cam", "Jiang et al., TIP 2021"),
        Method("HiResCAM", "weights:hi_res_cam", "Draelos & Carin, 2020"),
        Method("GradCAMElementWise", "weights:grad_cam_element_wise", "Pillai & Pirsiavash, AAAI 2021"),
        Method("ShapleyCAM", "weights:shapley_cam", "Cai, 2025"),
        Method("FinerCAM", "weights:grad_cam", "Zhang et al., CVPR 2025", score="finer"),
        Method("FEM", "weights:fem", "Fuad et al., IPTA 2020", needs="activations", assumes_non_negative=True),
        Method("KPCA-CAM", "weights:activations_only", "Karmani et al., 2024", KERNEL_PCA, "activations"),
        Method("RandomCAM", "weights:random_cam", "a control", needs="activations"),
        Method("FullGrad", "probing:full_grad", "Srinivas & Fleuret, NeurIPS 2019", at="input"),
        of_attention("AttentionRollout", "attention:attention_rollout", "Abnar & Zuidema, ACL 2020"),
        of_attention("LeGrad", "attention:attention_gradients", "Bousselham et al., ICCV 2025"),
        masking("ScoreCAM", "probing:score_cam", "Wang et al., CVPRW 2020", asks=1, assumes_non_negative=True),
        masking("SS-CAM", "probing:ss_cam", "Wang et al., 2020", asks=10, assumes_non_negative=True),
        masking("IS-CAM", "probing:is_cam", "Naidu et al., 2020", asks=10, assumes_non_negative=True),
        masking("AblationCAM", "probing:ablation_cam", "Desai & Ramaswamy, WACV 2020", asks=1),
        at_input("RISE", "probing:rise", "Petsiuk et al., BMVC 2018", asks=1000),
        at_input("Occlusion", "probing:occlusion", "Zeiler & Fergus, ECCV 2014", asks=15, each="place"),
        at_input(
            "IntegratedGradients", "probing:integrated_gradients", "Sundararajan et al., ICML 2017", asks=50, cap=0.99
        ),
        at_input("SmoothGrad", "probing:smooth_grad", "Smilkov et al., 2017", asks=25, cap=0.99),
    )
}
"""Every method by its name, the six documented ones first."""


def find_method(name: str) -> Method:
    """The method of that name: `GradCAM++`, `gradcam++`, `grad-cam++` and `GradCAMPlusPlus` are one."""
    plain = [re.sub(r"[^\w+]|_", "", one.casefold()).replace("plusplus", "++") for one in (name, *METHODS)]
    if plain[0] not in plain[1:]:
        raise NotFound("method", name, METHODS)
    return list(METHODS.values())[plain.index(plain[0], 1) - 1]
