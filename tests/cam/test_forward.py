"""What a network puts out is found out: maps are those of the logits, and probabilities those that the network means."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import classlens
from classlens.cam.classifier import encode_batch
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.faithfulness import evaluate
from classlens.cam.forward import describe_output
from classlens.cam.methods import METHODS
from classlens.errors import ModelError
from classlens.image import Encoding
from tests.cam.conftest import classifier_of, noise_image

SHARP = 4.0


class Ending(nn.Module):
    """Convolution, ReLU, pool, linear, and whatever comes behind the logits."""

    def __init__(self, classes: int = 3, end=None, sharp: float = SHARP):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, classes)
        self.sharp, self.end = sharp, end

    def features(self, batch: Tensor) -> Tensor:
        return self.relu(self.conv(batch))

    def forward(self, batch: Tensor) -> Tensor:
        logits = self.sharp * self.head(self.features(batch).mean((2, 3)))
        return logits if self.end is None else self.end(logits)


def fed(picture) -> Tensor:
    return torch.from_numpy(picture.pixels.transpose(2, 0, 1) / np.float32(255))[None]


def cam_by_hand(network: Ending, picture, target: int, *, sign: float = 1.0) -> np.ndarray:
    """Selvaraju et al. 2017, section 3.1: behind pooling and a linear layer, the weights of Grad-CAM are the layer's."""
    with torch.no_grad():
        features = network.features(fed(picture))[0]
        weights = sign * network.sharp * network.head.weight[target] / features[0].numel()
        return torch.einsum("c,cij->ij", weights, features).numpy()


SOFTMAX_ENDS = {
    "module": nn.Softmax(dim=1),
    "method": lambda logits: logits.softmax(1),
    "function": lambda logits: torch.nn.functional.softmax(logits, dim=-1),
    "by keyword": lambda logits: torch.softmax(input=logits, dim=1),
    "logarithm": nn.LogSoftmax(dim=1),
    "a view behind it": lambda logits: logits[:, :, None, None].softmax(1).flatten(1),
    "clipped": lambda logits: logits.softmax(1).clamp(0, 1),
}
SIGMOID_ENDS = {
    "module": nn.Sigmoid(),
    "method": lambda logits: logits.sigmoid(),
    "in place": lambda logits: logits.clone().sigmoid_(),
    "logarithm": nn.LogSigmoid(),
    "in double": lambda logits: logits.sigmoid().double(),
}


@pytest.mark.parametrize("end", SOFTMAX_ENDS)
def test_behind_a_softmax_the_logits_are_explained_and_the_probability_is_its_own(end, noise):
    network = Ending(end=SOFTMAX_ENDS[end]).eval()
    expected = Ending().eval()(fed(noise)).detach()

    (found,) = explain(classifier_of(network), noise, layers="relu", targets=1)

    np.testing.assert_allclose(found.values, cam_by_hand(network, noise, 1), rtol=1e-4, atol=1e-7)
    assert found.logit == pytest.approx(expected[0, 1].item(), rel=1e-5)
    assert found.probability == pytest.approx(expected.softmax(1)[0, 1].item(), rel=1e-5)


@pytest.mark.parametrize("end", SIGMOID_ENDS)
def test_behind_a_sigmoid_every_class_is_a_label_by_itself(end, noise):
    network = Ending(end=SIGMOID_ENDS[end]).eval()
    expected = Ending().eval()(fed(noise)).detach()
    classifier = classifier_of(network)

    (found,) = explain(classifier, noise, layers="relu", targets=1)

    np.testing.assert_allclose(found.values, cam_by_hand(network, noise, 1), rtol=1e-4, atol=1e-7)
    assert found.probability == pytest.approx(expected.sigmoid()[0, 1].item(), rel=1e-5)
    assert "ends in a sigmoid, each class a label by itself" in describe_output(classifier)


def test_a_softmax_that_is_saturated_does_not_matter_where_its_logits_are_there(noise):
    network = Ending(end=nn.Softmax(1), sharp=1e4).eval()
    assert network(fed(noise)).max() == 1

    (found,) = explain(classifier_of(network), noise, layers="relu")

    np.testing.assert_allclose(found.values, cam_by_hand(network, noise, found.target), rtol=1e-4, atol=1e-4)
    assert classlens.explain(classifier_of(network), noise)[0].layer  # nor for the search of the default layer


def averaged(logits: Tensor) -> Tensor:
    """The mean of two members of an ensemble, as probabilities."""
    return (logits.softmax(1) + (logits * 0.5).softmax(1)) / 2


def by_hand(logits: Tensor) -> Tensor:
    return logits.exp() / logits.exp().sum(1, keepdim=True)


@pytest.mark.parametrize("end", [averaged, by_hand])
def test_probabilities_without_logits_are_shown_as_they_are_and_their_gradient_is_explained(end, noise):
    network = Ending(end=end, sharp=1.0).eval()
    features = network.features(fed(noise)).detach().requires_grad_()
    shares = end(network.head(features.mean((2, 3))))
    weights = torch.autograd.grad(shares[0, 2], features)[0].mean((2, 3))[0] / shares[0, 2].detach()
    classifier = classifier_of(network)

    (found,) = explain(classifier, noise, layers="relu", targets=2)

    assert found.probability == pytest.approx(shares[0, 2].item(), rel=1e-5)
    np.testing.assert_allclose(
        found.values, torch.einsum("c,cij->ij", weights, features[0]).detach(), rtol=1e-3, atol=1e-7
    )
    assert "no logits" in describe_output(classifier)


def test_a_mean_of_sigmoids_is_known_for_labels(noise):
    network = Ending(end=lambda logits: (logits.sigmoid() + (logits / 2).sigmoid()) / 2).eval()

    (found,) = explain(classifier_of(network), noise, layers="relu", targets=1)

    assert found.probability == pytest.approx(network(fed(noise))[0, 1].item(), rel=1e-5)
    assert found.subject.output == "sigmoid"


def test_saturated_probabilities_without_logits_are_refused_for_that_reason(noise):
    network = Ending(end=averaged, sharp=1e4).eval()

    with pytest.raises(ModelError, match=r"the softmax at the end of toy is saturated: it gives the class 100\.0000%"):
        explain(classifier_of(network), noise, layers="relu")


def test_what_the_record_says_makes_probabilities_of_raw_logits(noise):
    network = Ending().eval()
    logits = network(fed(noise)).detach()

    (found,) = explain(classifier_of(network, output="sigmoid"), noise, layers="relu", targets=0)
    (usual,) = explain(classifier_of(network), noise, layers="relu", targets=0)

    assert found.probability == pytest.approx(logits.sigmoid()[0, 0].item(), rel=1e-5)
    assert usual.probability == pytest.approx(logits.softmax(1)[0, 0].item(), rel=1e-5)


def test_logits_between_nought_and_one_are_no_probabilities(noise):
    network = Ending(end=lambda logits: 0.3 + 0.1 * logits).eval()

    (found,) = explain(classifier_of(network), noise, layers="relu", targets=0)

    scores = network(fed(noise))
    assert scores.min() > 0
    assert scores.max() < 1
    assert found.probability == pytest.approx(scores.softmax(1)[0, 0].item(), rel=1e-5)


@pytest.mark.parametrize("end", [None, nn.Sigmoid()])
@pytest.mark.parametrize(
    ("target", "sign", "name"), [(0, -1, "benign"), (1, 1, "malignant"), ("benign", -1, "benign"), ("malignant", 1, "malignant")]
)  # fmt: skip
def test_a_single_logit_speaks_for_the_second_class_and_its_negative_for_the_first(end, target, sign, name, noise):
    network = Ending(1, end).eval()
    logit = Ending(1).eval()(fed(noise)).item()
    classifier = classifier_of(network, classes=("benign", "malignant"))

    (found,) = explain(classifier, noise, layers="relu", targets=target)

    np.testing.assert_allclose(found.values, cam_by_hand(network, noise, 0, sign=sign), rtol=1e-4, atol=1e-7)
    assert (found.class_name, found.logit) == (name, pytest.approx(sign * logit, rel=1e-5))
    assert found.probability == pytest.approx(torch.tensor(sign * logit).sigmoid().item(), rel=1e-5)


@pytest.mark.parametrize("shift", [-3.0, 3.0])
def test_the_side_of_a_single_logit_that_is_likelier_is_predicted(shift, noise):
    network = Ending(1, lambda logits: logits + shift).eval()

    (found,) = explain(classifier_of(network), noise, layers="relu")

    assert found.target == int(shift > 0)
    assert found.class_name == str(int(shift > 0))
    assert found.probability > 0.5


def test_a_single_logit_with_one_name_has_the_other_side_by_its_negation(noise):
    classifier = classifier_of(Ending(1).eval(), classes=("melanoma",))
    probability = classifier.module(fed(noise)).sigmoid().item()

    shares = [explain(classifier, noise, layers="relu", targets=one)[0].probability for one in (0, "not melanoma")]

    assert shares == pytest.approx([probability, 1 - probability], rel=1e-5)


def test_every_method_takes_a_single_logit(noise):
    methods = [one.name for one in METHODS.values() if one.needs != "attention"]

    found = explain(
        classifier_of(Ending(1).eval()),
        noise,
        layers="relu",
        methods=methods,
        targets=[0, 1],
        options=ExplainOptions(samples=2),
    )

    assert len(found) == 2 * len(methods)


def test_a_contrast_of_the_two_sides_is_evaluated_with_what_the_network_gives(noise):
    classifier = classifier_of(Ending(1).eval(), classes=("benign", "malignant"))
    single, contrast = (
        explain(classifier, noise, layers="relu", targets=one)[0] for one in ("malignant", "malignant - benign")
    )

    assert vars(evaluate(classifier, contrast).own) == pytest.approx(vars(evaluate(classifier, single).own), abs=1e-6)


def test_scores_of_a_map_use_the_probability_of_the_label(noise):
    network = Ending().eval()
    classifier = classifier_of(network, output="sigmoid")
    (found,) = explain(classifier, noise, layers="relu", targets=1)
    picture = encode_batch(classifier, [noise])[0]
    hot = picture * torch.from_numpy(found.heatmap().values)
    before, after = network(torch.stack([picture, hot])).detach().sigmoid()[:, 1].tolist()

    scores = evaluate(replace(classifier), found).own

    assert scores.drop == pytest.approx(100 * max(0, before - after) / before, rel=1e-4)
    assert scores.increase == (after > before)


def test_more_names_than_a_network_has_scores_are_an_error(noise):
    classifier = classifier_of(Ending(3).eval(), classes=("a", "b", "c", "d"))

    with pytest.raises(ModelError, match="4 class names for 3 scores"):
        explain(classifier, noise, layers="relu", targets="d")


def test_weights_that_are_not_finite_are_traced_to_their_layer(noise):
    for place, layer in (("conv.weight", r"'conv' \(Conv2d\)"), ("head.bias", r"'head' \(Linear\)")):
        network = Ending().eval()
        network.state_dict()[place].view(-1)[0] = float("nan")

        with pytest.raises(ModelError, match=f"scores of toy are not finite: {layer} is the first") as caught:
            explain(classifier_of(network), noise, layers="relu")
        assert "its weights hold NaN" in caught.value.hint


def test_numbers_that_grow_too_large_are_traced_to_where_they_do(noise):
    network = Ending(sharp=1.0).eval()
    network.head.weight.data *= 1e30
    network.conv.weight.data *= 1e30

    for method in ("GradCAM", "ScoreCAM"):
        with pytest.raises(ModelError, match="'head'") as caught:
            explain(classifier_of(network), noise, layers="relu", methods=method)
        assert caught.value.hint == "numbers grow too large for float32"


def test_a_method_without_a_class_says_so_too(noise):
    network = Ending().eval()
    network.conv.weight.data[0] = float("inf")

    with pytest.raises(ModelError, match="'conv'"):
        explain(classifier_of(network), noise, layers="relu", methods="EigenCAM")


def test_classes_that_are_masked_out_are_no_fault_of_the_weights(noise):
    mask = torch.tensor([0.0, float("-inf"), 0.0])

    (found,) = explain(classifier_of(Ending(end=lambda logits: logits + mask).eval()), noise, layers="relu", targets=0)

    assert 0 < found.probability < 1


def test_a_gradient_that_is_not_finite_is_refused(noise):
    network = Ending(end=lambda logits: logits + (logits * 0).abs().sqrt()).eval()

    with pytest.raises(ModelError, match="gradient of the score at layer 'relu' is not finite"):
        explain(classifier_of(network), noise, layers="relu")


def test_half_precision_behind_a_softmax_is_explained_by_its_logits():
    picture = noise_image(8, 8)
    network = Ending(end=nn.Softmax(1)).eval()
    expected = explain(classifier_of(network), picture, layers="relu", targets=1)[0].values

    found = explain(
        classifier_of(Ending(end=nn.Softmax(1)).eval().to(torch.bfloat16)), picture, layers="relu", targets=1
    )

    np.testing.assert_allclose(found[0].values, expected, atol=1e-2)


def test_a_picture_that_is_fed_as_no_numbers_is_refused_with_what_to_look_at():
    encoding = Encoding("RGB", "CHW", 1.0, mean=(float("nan"),) * 3)

    with pytest.raises(ModelError, match="the picture as fed to toy is not finite") as caught:
        explain(replace(classifier_of(Ending()), encoding=encoding), noise_image(8, 8))
    assert caught.value.hint == "look at the mean and std of its encoding"
