"""Names as one text behave like a tuple of names."""

import pickle

import pytest

from classlens.dataset.listing import PackedNames

NAMES = ("a.jpg", "", "b c.png", "Größe 图.webp", "bad\udcff.jpg", "a.jpg")


def test_they_are_the_names_in_their_order():
    packed = PackedNames(NAMES)

    assert tuple(packed) == packed[:] == NAMES
    assert (len(packed), packed[3], packed[-2]) == (6, NAMES[3], NAMES[-2])
    assert packed[1:5:2] == NAMES[1:5:2]
    assert "b c.png" in packed


@pytest.mark.parametrize("place", [6, -7, 10**9])
def test_a_place_without_a_name_is_an_index_error(place):
    with pytest.raises(IndexError):
        PackedNames(NAMES)[place]


def test_they_go_to_other_processes_and_are_equal_there():
    packed = PackedNames(NAMES)

    assert pickle.loads(pickle.dumps(packed)) == packed != PackedNames(NAMES[1:])
    assert not PackedNames(())
    assert len({packed, PackedNames(NAMES), PackedNames(NAMES[1:])}) == 2
    assert repr(packed) == "<6 names>"
