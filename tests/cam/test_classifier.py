import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from classlens.cam.classifier import encode_batch, placement_of, preserved
from classlens.image import Encoding
from tests.cam.conftest import classifier_of, noise_image


def test_global_random_states_are_given_back():
    with preserved(nn.Linear(2, 2)):
        before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
        random.random(), np.random.random(), torch.rand(3)

    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_mode_is_set_without_running_the_model_s_own_override():
    class Merging(nn.Linear):
        merged = 0

        def train(self, mode=True):
            self.merged += 1
            return super().train(mode)

    module = Merging(2, 2)
    with preserved(module):
        assert not module.training

    assert (module.merged, module.training) == (0, True)


def test_nothing_is_recorded_before_the_first_cut():
    module = nn.Linear(2, 2)
    with preserved(module):
        assert torch.is_grad_enabled()
        assert not module(torch.ones(1, 2)).requires_grad
    assert module(torch.ones(1, 2)).requires_grad


def test_a_model_without_real_numbers_is_on_the_cpu_in_float32():
    counting = nn.Module()
    counting.register_buffer("seen", torch.zeros(1, dtype=torch.int64))

    assert placement_of(nn.ReLU()) == placement_of(counting) == (torch.device("cpu"), torch.float32)


def test_an_encoding_with_channels_last_feeds_no_model():
    classifier = replace(classifier_of(nn.Linear(2, 2)), encoding=Encoding("RGB", "HWC", 1.0))

    with pytest.raises(ValueError, match="toy: a model reads channels first, its encoding says"):
        encode_batch(classifier, [noise_image(4, 4)])


def test_a_classifier_says_what_it_takes_and_what_it_names(pooled):
    assert repr(pooled) == "<Classifier toy: Sequential, 8 x 8 pictures, 3 named classes>"
    assert repr(classifier_of(nn.Linear(2, 2))) == "<Classifier toy: Linear, 8 x 8 pictures>"
