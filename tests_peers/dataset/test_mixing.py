"""Mixed batches beside mmpretrain's, with the same draws."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import BATCH_AUGMENTS

from classlens.adapters.openmm.datasets import mixings_of
from classlens.dataset.batch import apply


@pytest.mark.parametrize("kind", ["Mixup", "CutMix", "ResizeMix"])
@pytest.mark.parametrize("seed", range(6))
def test_mixed_batches_with_the_peers_draws_are_the_peers(kind, seed, monkeypatch):
    settings = {"type": kind, "alpha": 1.0}
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 40, 60, 3)).astype(np.float32)
    theirs = BATCH_AUGMENTS.build(dict(settings))
    np.random.seed(seed)
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    monkeypatch.setattr(torch, "randperm", lambda count: order)
    share = np.random.beta(1.0, 1.0)
    monkeypatch.setattr(np.random, "beta", lambda *_: share)
    params = {"share": share, "partners": tuple(order.tolist())}
    if kind != "Mixup":
        scaled = share * 0.7 + 0.1 if kind == "ResizeMix" else share
        (top, bottom, left, right), corrected = theirs.cutmix_bbox_and_lam((40, 60), scaled)
        monkeypatch.setattr(theirs, "cutmix_bbox_and_lam", lambda *_: ((top, bottom, left, right), corrected))
        params |= {"share": corrected, "box": (int(left), int(top), int(right - left), int(bottom - top))}
    batch = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    if kind != "Mixup" and (params["box"][2] == 0 or params["box"][3] == 0):
        pytest.skip("the peer cannot resize to nothing")

    expected, scores = theirs(batch, torch.eye(4))

    mixed = apply(mixings_of({"augments": settings})[0], pixels, params)
    np.testing.assert_allclose(mixed.transpose(0, 3, 1, 2), expected.numpy(), atol=0.02)
    assert scores[0].max() == pytest.approx(max(params["share"], 1 - params["share"]), abs=1e-6) or order[0] == 0
