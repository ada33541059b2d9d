"""Checkpoints as trainers save them, made by the wrappers themselves."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from classlens.adapters import open_source
from classlens.checkpoints.load_checkpoint import match_names
from classlens.errors import DataError

torchvision = pytest.importorskip("torchvision")


class Small(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.fc = nn.Linear(4, 2)

    def forward(self, batch):
        return self.fc(self.features(batch).mean((2, 3)))


class Holding(nn.Module):
    """What Lightning modules and trainers do: keep the network under a name of their own."""

    def __init__(self, name, network):
        super().__init__()
        self.add_module(name, network)


def parallel_features():
    network = Small()
    network.features = nn.DataParallel(network.features)
    return network


def averaged(network):
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.9))


WRAPPED = {
    "as it is": Small,
    "parallel": lambda: nn.DataParallel(Small()),
    "parallel, compiled": lambda: nn.DataParallel(torch.compile(Small())),
    "Lightning, compiled": lambda: Holding("model", torch.compile(Small())),
    "parallel, Lightning": lambda: nn.DataParallel(Holding("model", Small())),
    "deep": lambda: Holding("task", Holding("classifier", nn.DataParallel(Small()))),
    "parallel features, as AlexNet's and VGG's authors did": parallel_features,
    "averaged": lambda: AveragedModel(Small()),
    "averaged, parallel, compiled": lambda: averaged(nn.DataParallel(torch.compile(Small()))),
}


def loaded(network, content, folder):
    torch.save(content, folder / "last.pth")
    return open_source(network).classifier(str(folder / "last.pth")).module


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("container", [None, "state_dict", "model", "module", "model_ema"])
def test_weights_are_found_behind_whatever_wrapped_the_network(tmp_path, name, container):
    state = WRAPPED[name]().state_dict()

    module = loaded(Small(seed=1), state if container is None else {container: state, "epoch": 3}, tmp_path)

    for key, tensor in Small().state_dict().items():
        torch.testing.assert_close(module.state_dict()[key], tensor, rtol=0, atol=0)


def test_the_average_that_torchvisions_training_saves_comes_before_the_weights(tmp_path):
    content = {"model": Small(seed=2).state_dict(), "model_ema": averaged(Small()).state_dict(), "epoch": 1}

    assert torch.equal(loaded(Small(seed=1), content, tmp_path).fc.weight, Small().fc.weight)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda network: Holding("net", network)])
def test_a_wrapped_network_takes_bare_weights(tmp_path, wrap):
    module = loaded(wrap(Small(seed=1)), Small().state_dict(), tmp_path)

    assert all(torch.equal(*pair) for pair in zip(module.parameters(), Small().parameters(), strict=True))


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        (("student.", "teacher."), "unexpected: teacher|unexpected: student"),
        (("", "module."), "unexpected: module"),
        (("", "model."), "unexpected: model"),
    ],
)
def test_a_checkpoint_that_holds_the_network_twice_is_refused(tmp_path, prefixes, message):
    content = {prefix + key: tensor for prefix in prefixes for key, tensor in Small().state_dict().items()}

    with pytest.raises(DataError, match=message) as caught:
        loaded(Small(seed=1), content, tmp_path)

    assert "holds more than this network" in caught.value.hint


def test_a_deeper_network_of_the_same_kind_is_another_architecture(tmp_path):
    content = Small().state_dict()
    first = next(iter(content))
    content |= {first: torch.zeros(7, 7), "deeper.weight": torch.zeros(3)}

    with pytest.raises(DataError, match="deeper") as caught:
        loaded(Small(seed=1), content, tmp_path)

    assert "same architecture" in caught.value.hint


def test_a_missing_head_is_named_also_behind_a_prefix(tmp_path):
    content = {f"module.model.{key}": one for key, one in Small().state_dict().items() if not key.startswith("fc")}

    with pytest.raises(DataError, match=r"does not fit the model: 2 missing: fc\.weight, fc\.bias$"):
        loaded(Small(seed=1), content, tmp_path)


def test_a_head_without_its_own_prefix_finds_its_place_beside_a_body_that_fits():
    body = {f"body.{key}": one for key, one in Small().features.state_dict().items()}
    weight = torch.ones(2, 4)

    fitted = match_names({**body, "fc.weight": weight}, {**body, "head.fc.weight": torch.zeros(2, 4)})

    assert fitted == {**body, "head.fc.weight": weight}
