"""Models in whatever state their owner keeps them: the same map as ever, or a reason; and nothing of theirs changed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

from classlens.cam.classifier import preserved
from classlens.cam.explain import explain
from classlens.cam.layers import preview
from classlens.errors import ModelError
from tests.cam.conftest import classifier_of, default_layer, noise_image
from tests.cam.test_explain import same, state_of


class Block(nn.Module):
    """Two convolutions that share one activation in place, as in torchvision's ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, grid: Tensor) -> Tensor:
        changed = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(grid)))))
        changed += grid
        return self.relu(changed)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 4, 3, padding=1), Block()
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, batch: Tensor) -> Tensor:
        return self.head(self.drop(self.block(self.stem(batch)).mean((2, 3))))


def made(change=lambda network: network) -> nn.Module:
    torch.manual_seed(0)
    network = Net()
    network(torch.randn(4, 3, 8, 8))  # BatchNorm has seen something
    return change(network.eval())


def mapped(network: nn.Module, noise, *, layer="block.bn2", method="GradCAM") -> np.ndarray:
    return explain(classifier_of(network), noise, layers=layer, methods=method, targets=1)[0].values


def hooked_by_others(network: nn.Module) -> nn.Module:
    """Hooks that count, and one that changes what the layer behind takes."""
    network.seen = []
    network.block.register_forward_hook(lambda module, inputs, output: network.seen.append(1))
    network.block.conv1.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 1.0,))
    network.stem.register_full_backward_hook(lambda module, grads, more: network.seen.append(2))
    return network


def partly_frozen(network: nn.Module) -> nn.Module:
    network.block.requires_grad_(False)
    return network


def partly_in_training(network: nn.Module) -> nn.Module:
    network.drop.train(), network.block.bn1.train()
    return network


STATES = {
    "training": lambda network: network.train(),
    "partly in training": partly_in_training,
    "frozen": lambda network: network.requires_grad_(False),
    "partly frozen": partly_frozen,
    "hooks of others": hooked_by_others,
    "data parallel": nn.DataParallel,
    "compiled": lambda network: torch.compile(network, backend="eager"),
    "compiled ahead": lambda network: torch.compile(network, backend="aot_eager"),
    "channels last": lambda network: network.to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("state", STATES)
def test_the_map_is_the_same_and_the_model_as_it_was(state, noise):
    network = made(STATES[state])
    before = state_of(network)

    found = mapped(network, noise)

    assert same(before, state_of(network))
    np.testing.assert_allclose(found, mapped(made(), noise), atol=1e-7)


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")
def test_a_compiled_model_that_has_already_run_is_read_too(noise):
    network = torch.compile(made(), backend="eager")
    with torch.no_grad():
        network(torch.zeros(1, 3, 8, 8))

    np.testing.assert_array_equal(mapped(network, noise), mapped(made(), noise))
    np.testing.assert_array_equal(mapped(network, noise, layer="_orig_mod.block.bn2"), mapped(made(), noise))
    assert default_layer(classifier_of(network)).name == "block.bn2"
    assert preview(classifier_of(network)).rows[0].name == "stem"


def test_a_compiled_part_keeps_the_names_of_its_own(noise):
    def compiled(network):
        network.block = torch.compile(network.block, backend="eager")
        return network

    np.testing.assert_array_equal(mapped(made(compiled), noise), mapped(made(), noise))


def test_a_model_built_in_inference_mode_is_read_and_keeps_its_tensors(noise):
    with torch.inference_mode():
        network = made()
    tensors = [*network.parameters(), *network.buffers()]

    found = mapped(network, noise)

    np.testing.assert_array_equal(found, mapped(made(), noise))
    kept = [*network.parameters(), *network.buffers()]
    assert all(one is other and one.is_inference() for one, other in zip(tensors, kept, strict=True))
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("wrap", [weight_norm, spectral_norm])
def test_weights_that_are_computed_are_computed_as_ever(wrap, noise):
    network = made(lambda one: (wrap(one.block.conv2), one)[1])
    plain = made()
    with torch.no_grad():
        plain.block.conv2.weight.copy_(network.eval().block.conv2.weight)
    before = state_of(network.train())

    found = mapped(network, noise)

    assert same(before, state_of(network))
    np.testing.assert_allclose(found, mapped(plain, noise), atol=1e-6)


@pytest.mark.parametrize(("kind", "close"), [(torch.half, 1e-3), (torch.bfloat16, 1e-2), (torch.double, 1e-6)])
def test_weights_of_another_precision_are_fed_in_it_and_give_float32(kind, close, noise):
    methods = ["GradCAM", "EigenCAM", "ScoreCAM", "ShapleyCAM", "IntegratedGradients"]

    found = explain(classifier_of(made(lambda network: network.to(kind))), noise, layers="block.bn2", methods=methods)

    assert {saliency.variants.dtype for saliency in found} == {np.dtype("float32")}
    np.testing.assert_allclose(
        found[0].values, explain(classifier_of(made()), noise, layers="block.bn2")[0].values, atol=close
    )


def test_the_same_question_has_the_same_answer_to_the_last_bit(noise):
    network = made()

    for method in ("GradCAM", "EigenGradCAM", "ShapleyCAM", "RISE", "SmoothGrad"):
        np.testing.assert_array_equal(mapped(network, noise, method=method), mapped(network, noise, method=method))


def test_an_error_in_the_middle_leaves_nothing_behind(noise):
    class Stumbling(Net):
        def forward(self, batch: Tensor) -> Tensor:
            super().forward(batch)
            raise KeyError("half-way")

    network = Stumbling().train()
    network.block.requires_grad_(False)
    before = state_of(network)

    with pytest.raises(KeyError, match="half-way"):
        mapped(network, noise)

    assert same(before, state_of(network))
    assert torch.is_grad_enabled()


def test_scores_in_something_else_than_a_tensor_are_refused_with_the_way_out(noise):
    network = made()
    classifier = replace(classifier_of(network), logits=lambda batch: {"logits": network(batch)})

    with pytest.raises(ModelError, match="toy gave a dict, not a tensor") as caught:
        explain(classifier, noise, layers="block.bn2")
    assert "logits" in caught.value.hint


def test_a_shared_activation_is_refused_with_where_to_look_instead(noise):
    with pytest.raises(ModelError, match=r"'block\.relu' ran 2 times") as caught:
        mapped(made(), noise, layer="block.relu")

    assert "once: what stands in front of it or behind it" in caught.value.hint


def test_a_model_without_weights_is_refused(noise):
    with pytest.raises(ModelError, match="no weights"):
        mapped(made().to("meta"), noise)


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_lazy_layers_that_have_not_run_are_refused_and_others_explained(noise):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)).eval()

    with pytest.raises(ModelError, match="lazy layers"):
        mapped(network, noise, layer="1")
    network(torch.zeros(1, 3, 8, 8))
    assert mapped(network, noise, layer="1").shape == (6, 6)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_torchscript_program_is_refused(noise):
    with pytest.raises(ModelError, match="TorchScript"):
        mapped(torch.jit.trace(made(), torch.zeros(1, 3, 8, 8)), noise)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantised_head_passes_no_gradient_on_and_leaves_the_other_methods(noise):
    network = torch.ao.quantization.quantize_dynamic(made(), {nn.Linear})

    assert mapped(network, noise, method="EigenCAM").shape == (8, 8)
    with pytest.raises(ModelError, match=r"do not depend on layer 'block\.bn2'") as caught:
        mapped(network, noise)
    assert "quantised" in caught.value.hint
    with pytest.raises(ModelError, match="toy passes no gradient on"):
        default_layer(classifier_of(network))


def test_parts_that_are_computed_twice_for_the_backward_pass_are_computed_once(noise):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", depth=3, img_size=64, num_classes=5)
    classifier = classifier_of(model, size=(64, 64))
    usual = explain(classifier, noise_image(64, 64), layers="blocks.1.norm1")[0].values
    model.set_grad_checkpointing(True)

    again = explain(classifier, noise_image(64, 64), layers="blocks.1.norm1")[0].values

    np.testing.assert_array_equal(usual, again)
    assert model.grad_checkpointing


class Checkpointing(nn.Module):
    """Saves memory in every pass, as networks do whose `gradient_checkpointing` does not ask for training."""

    def __init__(self, reentrant):
        super().__init__()
        torch.manual_seed(0)
        self.reentrant = reentrant
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Linear(16, 4)

    def forward(self, batch):
        features = self.stem(batch)
        if self.reentrant is None:
            features = self.body(features)
        else:
            features = checkpoint(self.body, features, use_reentrant=self.reentrant)
        return self.head(features.mean((2, 3)))


@pytest.mark.parametrize("layer", ["stem.1", "body.1", None])
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_network_that_checkpoints_in_evaluation_has_the_maps_of_one_that_does_not(layer, reentrant):
    before = torch.utils.checkpoint.CheckpointFunction
    plain, saving = (
        explain(classifier_of(Checkpointing(how).eval(), size=(32, 32)), noise_image(32, 32), layers=layer)[0]
        for how in (None, reentrant)
    )

    np.testing.assert_array_equal(saving.values, plain.values)
    assert saving.layer == plain.layer
    assert torch.utils.checkpoint.CheckpointFunction is before


def test_checkpointing_comes_back_when_the_last_of_several_threads_is_done():
    before = torch.utils.checkpoint.CheckpointFunction
    network = Checkpointing(reentrant=True).eval()
    first, second = preserved(network), preserved(Checkpointing(reentrant=True))

    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.utils.checkpoint.CheckpointFunction is not before
    second.__exit__(None, None, None)

    assert torch.utils.checkpoint.CheckpointFunction is before


def test_a_missing_second_derivative_is_told(noise):
    network = made()
    network.drop = nn.Hardsigmoid()

    assert mapped(network, noise).shape == (8, 8)
    with pytest.raises(ModelError, match=r"no second derivative behind layer 'block\.bn2'"):
        mapped(network, noise, method="ShapleyCAM")
