import json
import math
from datetime import date

import pytest

from classlens.config.values import Budget, LimitExceeded
from classlens.config.writing import ABSENT, ConfigRequest, Difference, as_data, as_python, differences, write_config


def printed(settings):
    return as_python(settings, Budget())


def test_short_values_take_one_line_and_long_ones_a_line_per_item():
    text = printed({"lr": 0.1, "model": {"type": "R" * 60, "head": {"type": "H" * 40, "k": (1,)}}, "odd": {"a-b": [1]}})

    assert text == (
        "lr = 0.1\n"
        f"model = dict(\n    type='{'R' * 60}',\n    head=dict(type='{'H' * 40}', k=(1,)),\n)\n"
        "odd = {'a-b': [1]}\n"
    )


def test_a_name_that_python_does_not_allow_becomes_a_comment():
    assert printed({"a-b": 1, "c": 2}) == "# a-b = 1\nc = 2\n"


def test_empty_collections_are_written_as_configs_write_them():
    assert printed({"a": {}, "b": [{}], "c": (), "d": set()}) == "a = dict()\nb = [dict()]\nc = ()\nd = set()\n"


def test_a_printed_config_holds_no_code_that_was_not_in_it():
    """A line break ended the comment; a name that Python reads as another is none; what reading fills in is broken up."""
    settings = {"x = 1\rimport os\r#": 1, "ﬁt": 2, "a": "{{$A:'+b+'}}", "b": {"ﬁt": date(2001, 2, 3)}, "c": {math.nan}}

    assert printed(settings) == (
        "# 'x = 1\\rimport os\\r#' = 1\n# ﬁt = 2\n"
        "a = \"{\\x7b$A:'+b+'}}\"\nb = {'ﬁt': '2001-02-03'}\nc = {float('nan')}\n"
    )


def test_what_is_indented_deeply_is_paid_for():
    value = [1] * 50_000
    for _ in range(60):
        value = [value]

    with pytest.raises(LimitExceeded, match="needs more than"):
        printed({"a": value})


def test_data_fits_into_json():
    value = {"a": (1, {2}), 3: float("inf"), "b": range(2), "c": b"x"}

    assert json.loads(json.dumps(as_data(value, Budget()))) == {"a": [1, [2]], "3": "inf", "b": [0, 1], "c": "b'x'"}


def test_differences_are_told_key_by_key():
    first = {"a": 1, "b": {"x": 1, "y": [1, 2]}, "same": [{"type": "A"}]}
    second = {"b": {"x": 1, "y": [1, 3]}, "same": [{"type": "A"}], "c": 2}

    assert list(differences(first, second, Budget())) == [
        Difference("a", 1, ABSENT),
        Difference("b.y", [1, 2], [1, 3]),
        Difference("c", ABSENT, 2),
    ]


def test_a_stage_more_in_a_pipeline_is_one_difference():
    first = [{"type": "Load"}, {"type": "Flip", "prob": 0.5}, {"type": "Pack"}]
    second = [{"type": "Load"}, {"type": "Crop"}, {"type": "Flip", "prob": 1.0}, {"type": "Pack"}]

    assert list(differences({"p": first}, {"p": second}, Budget())) == [
        Difference("p.1", ABSENT, {"type": "Crop"}),
        Difference("p.1.prob", 0.5, 1.0),
    ]


def test_true_and_one_differ():
    assert list(differences({"a": 1}, {"a": True}, Budget())) == [Difference("a", 1, True)]


def test_what_is_written_prints_as_its_text(tmp_path):
    (tmp_path / "config.py").write_text("a = 1 + 1\n")

    assert str(write_config(ConfigRequest(str(tmp_path / "config.py")))) == "a = 2\n"
