import pytest

from classlens.adapters.hub import split_settings
from classlens.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("resnet50", "resnet50", {}),
        ("resnet50?pretrained=false&num_classes=10", "resnet50", {"pretrained": False, "num_classes": 10}),
        ("a.b_c?drop_rate=0.1&img_size=(96, 96)", "a.b_c", {"drop_rate": 0.1, "img_size": (96, 96)}),
        ("x?act=relu&weights=None&path=a%26b", "x", {"act": "relu", "weights": None, "path": "a&b"}),
    ],
)
def test_settings_are_python_values(text, name, settings):
    assert split_settings(text) == (name, settings)


@pytest.mark.parametrize("text", ["a?b", "a?=3", "a?b=1&c"])
def test_a_setting_without_a_name_or_value_is_refused(text):
    with pytest.raises(ConfigError, match="has no value"):
        split_settings(text)
