import numpy as np
import pytest
import torch
from torch import nn

from classlens.cam.explain import explain
from classlens.cam.faithfulness import (
    average_ranks,
    cascade,
    randomization_test,
    rank_correlation,
    shuffle_weights,
    structural_similarity,
)
from tests.cam.conftest import ESPRESSO, classifier_of, noise_image


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def test_layers_are_forgotten_from_the_head_down_to_the_first():
    module = network()

    steps = cascade(module)

    assert [name for name, _ in steps] == ["6", "2", "0"]
    assert [parameter is module[6].weight for parameter in steps[0][1]] == [True]
    assert steps[-1][1] == [module[6].weight, module[2].weight, module[0].weight]


def test_deep_networks_are_forgotten_in_five_steps():
    steps = cascade(nn.Sequential(*(nn.Linear(2, 2) for _ in range(50))))

    assert [len(weights) for _, weights in steps] == [1, 13, 26, 38, 50]


def test_weights_are_shuffled_within_themselves_and_given_back_after_an_error():
    module = network()
    before = module[0].weight.detach().clone()

    seen = []

    def interrupted() -> None:
        with shuffle_weights([module[0].weight]):
            seen.append(module[0].weight.detach().clone())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert not torch.equal(seen[0], before)
    assert torch.equal(seen[0].flatten().sort().values, before.flatten().sort().values)
    assert torch.equal(module[0].weight, before)


def test_a_map_that_needs_the_head_changes_at_once_and_one_that_does_not_later():
    classifier, image = classifier_of(network(), size=(16, 16)), noise_image(16, 16)
    maps = list(explain(classifier, image, methods=["HiResCAM", "EigenCAM"], layers="3", targets=1))

    needs, ignores = randomization_test(classifier, maps)

    assert needs.layers == ("6", "2", "0")
    assert needs.rank[0] < 0.99
    assert ignores.rank[0] == pytest.approx(1)
    assert ignores.ssim[0] == pytest.approx(1)
    assert ignores.rank[1] < 0.99


def test_slow_methods_are_asked_once_after_everything_is_forgotten():
    classifier, image = classifier_of(network(), size=(16, 16)), noise_image(16, 16)
    maps = list(explain(classifier, image, methods=["ScoreCAM"], layers="3", targets=1))

    (found,) = randomization_test(classifier, maps)

    assert found.rank[:-1] == (None, None)
    assert found.rank[-1] is not None


def test_a_network_that_becomes_blind_gives_no_number():
    module = network()
    classifier, image = classifier_of(module, size=(16, 16)), noise_image(16, 16)
    found = list(explain(classifier, image, methods="GradCAM", layers="3", targets=1))
    with torch.no_grad():
        module[6].weight.zero_()

    assert randomization_test(classifier, found)[0].rank == (None, None, None)


def test_a_trained_map_does_not_survive_and_the_weights_come_back(trained, cat_and_cup):
    before = [tensor.clone() for tensor in trained.module.state_dict().values()]
    maps = list(explain(trained, cat_and_cup, methods=["GradCAM", "LayerCAM"], targets=ESPRESSO))

    found = randomization_test(trained, maps)

    assert all(abs(one.rank[-1]) < 0.8 for one in found)
    assert all(map(torch.equal, before, trained.module.state_dict().values()))


def test_ranks_of_ties_are_shared():
    assert average_ranks(np.array([3.0, 1.0, 3.0, 7.0])).tolist() == [2.5, 1.0, 2.5, 4.0]
    rising, falling = np.arange(6, dtype=np.float32).reshape(2, 3), -np.arange(6, dtype=np.float32).reshape(2, 3)
    assert rank_correlation(rising, rising**3) == pytest.approx(1)
    assert rank_correlation(rising, falling) == pytest.approx(-1)
    assert rank_correlation(rising, np.zeros((2, 3), np.float32)) == 0


def test_structural_similarity_is_one_for_the_same_and_falls_for_another():
    one, other = (np.random.default_rng(seed).random((20, 24), dtype=np.float32) for seed in (0, 1))

    assert structural_similarity(one, one) == pytest.approx(1)
    assert structural_similarity(one, other) < 0.2


def test_maps_of_two_pictures_are_not_made_again_together():
    classifier = classifier_of(nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    maps = explain(classifier, [noise_image(8, 8), noise_image(8, 8, seed=1)])

    with pytest.raises(ValueError, match="maps of one picture and one class"):
        randomization_test(classifier, list(maps))
