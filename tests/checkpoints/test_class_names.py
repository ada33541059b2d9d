import json

import pytest

from classlens.checkpoints.class_names import names_in, read_names
from classlens.errors import DataError


@pytest.mark.parametrize(
    "value",
    [["cat", "dog"], ("cat", "dog"), {"dog": 1, "cat": 0}, {1: "dog", 0: "cat"}, {"1": "dog", "0": "cat"}],
)
def test_names_are_in_the_order_of_their_numbers(value):
    assert names_in(value) == ("cat", "dog")


@pytest.mark.parametrize(
    "value", [None, [], [1, 2], "cat", {"cat": 0, "dog": 2}, {"0": "cat", "5": "dog"}, {"a": "b"}, {0.5: "cat"}]
)
def test_what_names_no_classes_is_none(value):
    assert names_in(value) is None


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("names.txt", "cat\ndog\n"),
        ("names.json", '["cat", "dog"]'),
        ("names.json", '{"cat": 0, "dog": 1}'),
        ("config.json", json.dumps({"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}})),
    ],
)
def test_files_of_names_are_read_and_names_may_be_said_at_once(tmp_path, file, text):
    (tmp_path / file).write_text(text)

    assert read_names(str(tmp_path / file)) == read_names("cat, dog") == ("cat", "dog")


@pytest.mark.parametrize(("file", "text"), [("a.txt", ""), ("a.json", "{"), ("a.json", '{"cat": 7}'), (None, "")])
def test_what_holds_no_names_is_refused(tmp_path, file, text):
    if file:
        (tmp_path / file).write_text(text)

    with pytest.raises(DataError, match="class names"):
        read_names(str(tmp_path / (file or "nowhere.txt")))
