"""What holds for the source of every adapter."""

import pytest

from classlens.adapters import ADAPTERS
from classlens.errors import NotOffered
from classlens.source import Source
from tests.contracts.openings import OPENINGS


@pytest.mark.parametrize("name", OPENINGS)
def test_a_source_offers_at_least_what_its_kind_promises(name, tmp_path):
    opening = OPENINGS[name]

    assert set(opening.parts) <= set(opening.open(tmp_path).parts)


@pytest.mark.parametrize("source", OPENINGS, indirect=True)
def test_a_part_that_is_not_offered_is_refused_with_those_that_are(source):
    openers = {"dataset": source.dataset, "schedule": source.schedule, "classifier": source.classifier}

    for part in openers.keys() - set(source.parts):
        with pytest.raises(NotOffered, match=f"has no {part}") as caught:
            openers[part]()
        assert all(offered in caught.value.hint for offered in source.parts)
    assert source.origin


def test_what_a_source_does_not_say_about_its_training_is_refused():
    bare = Source("bare", open_schedule=lambda: None)

    with pytest.raises(NotOffered, match="bare has no training length") as caught:
        bare.clock()
    assert "schedule" in caught.value.hint
    with pytest.raises(NotOffered, match="bare has no loader of training samples"):
        bare.loading()


def test_every_adapter_has_its_contract_tested():
    kinds = {name.partition(" ")[0] for name in OPENINGS}

    assert set(ADAPTERS) - {"mm"} <= kinds
