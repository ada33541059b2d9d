import pytest
import torch

from classlens.cam.forward import probabilities, read_targets
from classlens.cam.targets import class_index
from classlens.errors import NotFound

CLASSES = ("tench, Tinca tinca", "tabby, tabby cat", "crane", "crane", "T-shirt - red")
LOGITS = torch.tensor([[0.0, 3.0, 2.0, 1.0, -1.0], [5.0, 0.0, 1.0, 2.0, 3.0]])


@pytest.mark.parametrize("wish", [1, "1", " 1 ", "tabby, tabby cat", "Tabby", "TABBY CAT"])
def test_a_class_is_a_number_or_a_name_or_a_synonym(wish):
    assert class_index(wish, 5, CLASSES) == 1


def test_top_k_and_predicted_differ_from_picture_to_picture():
    found = read_targets(("top2", "predicted"), LOGITS, CLASSES)

    assert [one.target.tolist() for one in found] == [[1, 0], [2, 4], [1, 0]]


def test_top_of_more_classes_than_there_are_is_all_of_them():
    assert len(read_targets(("top99",), LOGITS, CLASSES)) == 5


def test_a_contrast_scores_the_difference():
    (found,) = read_targets(("tench - tabby",), LOGITS, CLASSES)

    assert found.score(LOGITS).tolist() == [-3.0, 5.0]


def test_a_class_whose_name_looks_like_a_contrast_is_a_class():
    (found,) = read_targets(("T-shirt - red",), LOGITS, CLASSES)

    assert (found.target.tolist(), found.against) == ([4, 4], None)


@pytest.mark.parametrize("wish", [5, "5", -1, "-1"])
def test_a_number_that_is_no_class_is_refused(wish):
    with pytest.raises(NotFound, match="no class named") as caught:
        class_index(wish, 5, CLASSES)
    assert caught.value.hint == "there is: 0 to 4"


def test_the_top_none_are_refused():
    with pytest.raises(NotFound, match="no class named 'top0'"):
        read_targets(("top0",), torch.zeros(1, 5), CLASSES)


def test_a_misspelt_name_suggests_the_nearest():
    with pytest.raises(NotFound, match="no class named 'taby'") as caught:
        class_index("taby", 5, CLASSES)
    assert caught.value.hint == "did you mean tabby or tabby cat?"


def test_a_name_of_two_classes_asks_for_the_number():
    with pytest.raises(NotFound, match="no single class named 'crane'") as caught:
        class_index("crane", 5, CLASSES)
    assert caught.value.hint == "there is: 2, 3"


def test_a_name_is_refused_where_classes_have_none():
    with pytest.raises(NotFound) as caught:
        class_index("cat", 5, ())
    assert caught.value.hint == "there is: 0 to 4, by number only"


def test_the_only_logit_of_a_binary_network_is_a_sigmoid():
    binary = probabilities(torch.tensor([[0.0], [2.0]]))
    several = probabilities(torch.tensor([[0.0, 2.0]]))

    torch.testing.assert_close(binary, torch.tensor([[0.5], [0.880797]]))
    torch.testing.assert_close(several, torch.tensor([[0.119203, 0.880797]]))
