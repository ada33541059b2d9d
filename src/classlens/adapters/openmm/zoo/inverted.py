"""The inverted residual block of the MobileNet and EfficientNet families, and its fused form.

Source: Sandler et al., MobileNetV2, CVPR 2018, figure 3 (expand, convolve each channel, project without activation);
with squeeze-and-excitation: Howard et al., MobileNetV3, ICCV 2019, figure 4. The fused form joins the first two
convolutions into one: Tan & Le, EfficientNetV2, ICML 2021, figure 2.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.units import ACTIVATIONS, Activation, SqueezeExcite, conv_unit, norm_layer
from classlens.arrays import Float

SIGMOID = ACTIVATIONS["Sigmoid"]


@dataclass(frozen=True)
class Shape:
    """Channels in, inside and out; kernel and stride; the width of the gate's waist, None without a gate."""

    entering: int
    inside: int
    leaving: int
    kernel: int
    stride: int
    squeezed: int | None = None

    @property
    def keeps(self) -> bool:
        """Whether input and output have one shape, so that a shortcut can join them."""
        return self.stride == 1 and self.entering == self.leaving


@dataclass(frozen=True)
class Parts:
    """What every unit of one network is made of; `gate` are the two activations of squeeze-and-excitation."""

    conv: type[nn.Conv2d]
    norm: Settings
    act: Activation
    gate: tuple[Activation, Activation]

    def unit(
        self, channels: tuple[int, int], kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True
    ) -> nn.Sequential:
        """Convolution, norm and activation; `channels` is (in, out)."""
        padding = kernel // 2 if self.conv is nn.Conv2d else 0
        conv = self.conv(*channels, kernel, stride, padding, groups=groups, bias=False)
        return conv_unit(conv, norm_layer(channels[1], self.norm), self.act if act else None)


class InvertedResidual(nn.Module):
    """Expand (where the inside is wider), convolve each channel, gate, project; then the shortcut."""

    def __init__(self, shape: Shape, parts: Parts) -> None:
        super().__init__()
        inside = shape.inside
        self.shortcut = shape.keeps
        if inside != shape.entering:
            self.expand_conv = parts.unit((shape.entering, inside), 1)
        self.depthwise_conv = parts.unit((inside, inside), shape.kernel, stride=shape.stride, groups=inside)
        if shape.squeezed is not None:
            self.se = SqueezeExcite(inside, shape.squeezed, parts.gate)
        self.linear_conv = parts.unit((inside, shape.leaving), 1, act=False)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Features of the next block."""
        inside = features
        for part in self.children():
            inside = part(inside)
        return features + inside if self.shortcut else inside


class FusedResidual(nn.Module):
    """Expand by a full spatial convolution, gate, project; then the shortcut."""

    def __init__(self, shape: Shape, parts: Parts, *, shortcut: bool = True) -> None:
        super().__init__()
        self.shortcut = shortcut and shape.keeps
        self.conv1 = parts.unit((shape.entering, shape.inside), shape.kernel, stride=shape.stride)
        if shape.squeezed is not None:
            self.se = SqueezeExcite(shape.inside, shape.squeezed, parts.gate)
        project = nn.Conv2d(shape.inside, shape.leaving, 1, bias=False)
        self.conv2 = conv_unit(project, norm_layer(shape.leaving, parts.norm), None)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Features of the next block."""
        inside = features
        for part in self.children():
            inside = part(inside)
        return features + inside if self.shortcut else inside
