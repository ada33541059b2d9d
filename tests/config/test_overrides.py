import pytest

from classlens.config import misspelled, parse_overrides, read_config
from classlens.errors import ConfigError

from .writing_files import read, write

CHILD = """
model = dict(type='ResNet', depth=50, init=dict(std=0.1))
pipeline = [dict(type='Load'), dict(type='Flip', prob=0.5), dict(type='Pack')]
size = (224, 192)
steps = [30, 60, 90]
"""


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1", 1),
        ("-2.5", -2.5),
        ("1e-3", 0.001),
        ("true", True),
        ("FALSE", False),
        ("None", None),
        ("none", "none"),
        ("", ""),
        ("abc", "abc"),
        ("'abc'", "abc"),
        ('"1"', 1),
        ("a b", "ab"),
        ("a=b", "a=b"),
        ("/data/x.txt", "/data/x.txt"),
        ("a,b", ["a", "b"]),
        ("1,", [1]),
        ("[a,b]", ["a", "b"]),
        ("[1]", [1]),
        ("[]", []),
        ("()", ()),
        ("(1,2)", (1, 2)),
        ("[(a,b),(c,d)]", [("a", "b"), ("c", "d")]),
        ("[(a, b), (c, d)]", [("a", "b"), ("c", "d")]),
        ("(1,2),(3,4)", [(1, 2), (3, 4)]),
        ("[[1,[2,(3,)]],x]", [[1, [2, (3,)]], "x"]),
        ("['a','b']", ["a", "b"]),
    ],
)
def test_every_form_of_value_is_parsed(word, value):
    parsed = parse_overrides([f"k={word}"])["k"]

    assert parsed == value
    assert type(parsed) is type(value)


def test_the_last_override_of_a_key_wins():
    assert parse_overrides(["a=1", "b=2", "a=3"]) == {"b": 2, "a": 3}


@pytest.mark.parametrize(
    "word",
    [
        "abc",
        "=1",
        "a..b=1",
        ".a=1",
        "a=[1,2",
        "a=1,(2",
        "a=2),(3",
        "a=" + "(" * 99 + ")" * 99,
        "a." * 64 + "b=1",
        "a=" + "b" * 50_000,
    ],
)
def test_a_word_that_is_no_override_is_one_error(word):
    with pytest.raises(ConfigError, match="--cfg-options"):
        parse_overrides([word])


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["model.depth=18"], "model", {"type": "ResNet", "depth": 18, "init": {"std": 0.1}}),
        (["model._delete_=True", "model.type=Z"], "model", {"type": "Z"}),
        (["model.new.deep=1"], "model", {"type": "ResNet", "depth": 50, "init": {"std": 0.1}, "new": {"deep": 1}}),
        (["model=None"], "model", None),
        (["pipeline.1.prob=1"], "pipeline", [{"type": "Load"}, {"type": "Flip", "prob": 1}, {"type": "Pack"}]),
        (["pipeline.-1.type=X"], "pipeline", [{"type": "Load"}, {"type": "Flip", "prob": 0.5}, {"type": "X"}]),
        (
            ["pipeline.1._delete_=True", "pipeline.1.type=Y"],
            "pipeline",
            [{"type": "Load"}, {"type": "Y"}, {"type": "Pack"}],
        ),
        (["pipeline.0=None"], "pipeline", [None, {"type": "Flip", "prob": 0.5}, {"type": "Pack"}]),
        (["steps.0=7"], "steps", [7, 60, 90]),
        (["steps.-1=7"], "steps", [30, 60, 7]),
        (["size.1=224"], "size", (224, 224)),
        (["steps=1,2"], "steps", [1, 2]),
        (["fresh.a.b=x"], "fresh", {"a": {"b": "x"}}),
        (["model.depth=1", "model.depth=2"], "model", {"type": "ResNet", "depth": 2, "init": {"std": 0.1}}),
    ],
)
def test_overrides_change_the_config(tmp_path, words, key, value):
    config = read_config(write(tmp_path, child=CHILD), overrides=parse_overrides(words))

    assert config[key] == value
    assert type(config[key]) is type(value)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["steps.3=1"], "steps.3: steps is a list of 3", "its items are 0 to 2, or -3 to -1"),
        (["steps.x=1"], "steps.x: steps is a list of 3", "its items are 0 to 2"),
        (["model.depth.x=1"], "model.depth.x: model.depth is 50, which has no keys", "model.depth=VALUE replaces it"),
        (["pipeline.0.type.x=1"], "pipeline.0.type is 'Load', which has no keys", ""),
        (["a=1", "a.b=2"], "a.b: a is 1, which has no keys", "a=VALUE replaces it"),
    ],
)
def test_an_override_that_leads_nowhere_says_why(tmp_path, words, message, hint):
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, child=CHILD), overrides=parse_overrides(words))

    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_a_probable_slip_is_pointed_out(tmp_path):
    config = read(tmp_path, child=CHILD)

    hints = misspelled(
        config, parse_overrides(["model.dept=18", "pipeline.1.porb=1", "model.depth=3", "model.brand_new=1"])
    )

    assert hints == ["model.dept creates dept; did you mean depth?", "pipeline.1.porb creates porb; did you mean prob?"]


def test_the_callers_overrides_are_not_changed(tmp_path):
    overrides = {"model": {"init": {"a": 1}}, "model.init.b": 2}

    config = read_config(write(tmp_path, child=CHILD), overrides=overrides)

    assert config["model"]["init"] == {"std": 0.1, "a": 1, "b": 2}
    assert overrides == {"model": {"init": {"a": 1}}, "model.init.b": 2}
