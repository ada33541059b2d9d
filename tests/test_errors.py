import pytest

from classlens.errors import NotFound, short_repr, suggestion

CLASSES = ["Egyptian cat", "tiger cat", "tabby, tabby cat", "crate", "coast", "espresso"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "did you mean Egyptian cat or tabby, tabby cat or tiger cat?"),
        ("expresso", "did you mean espresso?"),
        ("zzz", "there is: Egyptian cat, coast, crate, espresso, tabby, tabby cat, tiger cat"),
    ],
)
def test_the_nearest_names_are_suggested(name, expected):
    assert suggestion(name, CLASSES) == expected


def test_nothing_is_suggested_where_there_is_nothing():
    assert suggestion("cat", []) == ""


def test_a_long_list_of_names_is_counted():
    assert suggestion("zzz", [f"name {number:02}" for number in range(20)]).endswith("name 11 and 8 more")


def test_an_absent_name_says_what_kind_of_thing_it_is_and_where():
    error = NotFound("layer", "backbon", ["backbone"], where="toy")

    assert (str(error), error.hint) == ("no layer named 'backbon' in toy", "did you mean backbone?")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1 << 5000, "a number of 5001 bits"), ([1 << 5000, 2], "[a number of 5001 bits, 2]"), (2**64, str(2**64))],
)
def test_a_number_that_would_fill_pages_is_said_by_its_size(value, text):
    assert short_repr(value) == text
