"""Maps cut into pieces: put together again without being told how they were cut."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from classlens.cam.classifier import Classifier, preserved
from classlens.cam.evidence import observe
from classlens.cam.explain import explain
from classlens.cam.forward import noise
from classlens.cam.layers import find_layers
from classlens.errors import ModelError
from classlens.zoo.build import build_network
from tests.cam.conftest import classifier_of, noise_image

SIDE = 3


class Whole(nn.Module):
    """A layer that treats every position of a map (batch, height, width, channels) alike."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.Linear(4, 4)

    def forward(self, grid: Tensor) -> Tensor:
        return grid + self.attn(grid)


class Windows(Whole):
    """The same layer applied to shifted, padded windows, so that its maps must be the same too."""

    def forward(self, grid: Tensor) -> Tensor:
        height, width = grid.shape[1:3]
        padded = nn.functional.pad(grid, (0, 0, 0, -width % SIDE, 0, -height % SIDE)).roll((-1, -2), (1, 2))
        rows, columns = padded.shape[1] // SIDE, padded.shape[2] // SIDE
        windows = padded.unflatten(2, (columns, SIDE)).unflatten(1, (rows, SIDE)).transpose(2, 3)
        treated = self.treated(windows).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return grid + treated.roll((1, 2), (1, 2))[:, :height, :width]

    def treated(self, windows: Tensor) -> Tensor:
        return self.attn(windows.flatten(3, 4).flatten(0, 2)).reshape(windows.shape)


class Kept(Windows):
    """Windows as two dimensions of their own, as in Twins."""

    def treated(self, windows: Tensor) -> Tensor:
        return self.attn(windows)


class Mixed(Windows):
    """Windows of sums: where their numbers come from cannot be told."""

    def treated(self, windows: Tensor) -> Tensor:
        return super().treated(windows + windows.flip(1))


class Net(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 4, 2, 2), block, nn.Linear(4, 5)

    def forward(self, batch: Tensor) -> Tensor:
        return self.head(self.block(self.stem(batch).permute(0, 2, 3, 1)).relu().mean((1, 2)))


def network(kind: type[Whole], size: tuple[int, int]) -> Classifier:
    torch.manual_seed(0)
    return classifier_of(Net(kind()), size=size)


@pytest.mark.parametrize("size", [(12, 18), (14, 20)], ids=["whole windows", "padded windows"])
@pytest.mark.parametrize("kind", [Windows, Kept])
@pytest.mark.parametrize("method", ["GradCAM", "LayerCAM", "EigenCAM", "AblationCAM"])
def test_a_map_in_windows_is_that_of_the_same_layer_without_them(kind, size, method):
    pictures = [noise_image(*size, seed=seed) for seed in (1, 2, 3)]

    cut, whole = (explain(network(one, size), pictures, methods=method, layers="block.attn") for one in (kind, Whole))

    for mine, theirs in zip(cut, whole, strict=True):
        assert mine.values.shape == (size[0] // 2, size[1] // 2)
        torch.testing.assert_close(torch.from_numpy(mine.values), torch.from_numpy(theirs.values))


def test_windows_whose_rows_come_from_no_map_are_refused():
    with pytest.raises(ModelError, match=r"'block\.attn' puts out 6 items for a batch of 1: windows") as caught:
        explain(network(Mixed, (12, 18)), noise_image(12, 18), layers="block.attn")

    assert "around it" in caught.value.hint


def test_the_way_a_map_is_cut_is_found_once_for_every_size_of_picture():
    classifier = network(Windows, (12, 18))
    runs = []
    classifier.module.register_forward_hook(lambda *_: runs.append(1))

    for size in ((12, 18), (12, 18), (18, 24), (18, 24)):
        explain(classifier, noise_image(*size), layers="block.attn")

    assert len(runs) == 4 + 2


def timm_swin() -> Classifier:
    timm = pytest.importorskip("timm")
    settings = {"img_size": 64, "window_size": 4, "embed_dim": 24, "depths": (2, 2, 1, 1)}
    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, **settings)
    return classifier_of(model.eval(), size=(64, 64))


def transformers_swin() -> Classifier:
    transformers = pytest.importorskip("transformers")
    settings = {"image_size": 64, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 5}
    model = transformers.SwinForImageClassification(transformers.SwinConfig(num_labels=5, **settings)).eval()
    return replace(classifier_of(model, size=(64, 64)), logits=lambda batch: model(batch).logits)


def openmm_swin() -> Classifier:
    arch = {"embed_dims": 24, "depths": [2, 2], "num_heads": [2, 2]}
    backbone = {"type": "SwinTransformer", "arch": arch, "img_size": 64, "window_size": 5, "out_indices": (1,)}
    head = {"type": "LinearClsHead", "num_classes": 5, "in_channels": 48}
    neck = {"type": "GlobalAveragePooling"}
    model = build_network({"type": "ImageClassifier", "backbone": backbone, "neck": neck, "head": head})
    return classifier_of(model.eval(), size=(64, 64))


@pytest.mark.parametrize(
    ("build", "block", "attention", "behind"),
    [
        (timm_swin, "layers.0.blocks.1", "attn.proj", "norm2"),
        (transformers_swin, "swin.encoder.layers.0.blocks.1", "attention", "layernorm_after"),
        (openmm_swin, "backbone.stages.0.blocks.1", "attn.w_msa", "norm2"),
    ],
    ids=["timm", "transformers, padded", "OpenMMLab, padded"],
)
def test_shifted_windows_of_real_networks_come_out_where_the_block_adds_them(build, block, attention, behind):
    """A Swin block adds its attention to its own input, and hands the sum to its second norm."""
    torch.manual_seed(0)
    classifier = build()
    module = classifier.module.get_submodule(block)
    came, went = [], []
    module.register_forward_pre_hook(lambda _, inputs: came.append(inputs[0].detach()))
    module.get_submodule(behind).register_forward_pre_hook(lambda _, inputs: went.append(inputs[0].detach()))

    with preserved(classifier.module):
        seen = observe(classifier, noise(classifier, count=2), find_layers(classifier, [f"{block}.{attention}"]))
        grid = seen.layouts[0].grid(seen.outputs[0].detach())

    added = (went[0].flatten(1, -2) - came[0].flatten(1, -2)).mT.reshape(grid.shape)
    assert seen.layouts[0].kind == "windows"
    torch.testing.assert_close(grid, added, atol=1e-5, rtol=1e-4)
