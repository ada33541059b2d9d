"""Near duplicates of eight kinds, beside the perceptual hash of imagededup on the same pictures."""

import numpy as np
import pytest
from imagededup.methods import PHash
from tests.check.pictures import KINDS, tiles

from classlens.dataset.near_duplicates import find_pairs, small_copy


def planted(pairs, count):
    return {(one, other) for one, other in pairs if other == one + count}


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_pairs_are_found_as_by_a_perceptual_hash_and_no_wrong_ones(kind):
    pieces = tiles()
    pixels = [np.asarray(piece) for piece in [*pieces, *map(KINDS[kind], pieces)]]
    hasher = PHash(verbose=False)
    hashes = {f"{number:03}": hasher.encode_image(image_array=one) for number, one in enumerate(pixels)}

    theirs = hasher.find_duplicates(encoding_map=hashes, num_dist_workers=0)
    ours = {(pair.one, pair.other) for pair in find_pairs([small_copy(one) for one in pixels])}

    their_pairs = {(int(one), int(other)) for one, others in theirs.items() for other in others if one < other}
    assert len(planted(ours, len(pieces))) >= len(planted(their_pairs, len(pieces)))
    assert ours == planted(ours, len(pieces))
