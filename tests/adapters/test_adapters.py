import pytest

import classlens
from classlens.adapters import ADAPTERS, open_source, opener_of, split_address
from classlens.errors import NotFound


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("demo", ("demo", "")),
        ("configs/a.py", ("mm", "configs/a.py")),
        ("timm:resnet50", ("timm", "resnet50")),
        ("py:train.py:build", ("py", "train.py:build")),
        ("C:\\configs\\a.py", ("mm", "C:\\configs\\a.py")),
        ("./strange:name.py", ("mm", "./strange:name.py")),
        ("folder:/data/a:b", ("folder", "/data/a:b")),
    ],
)
def test_an_address_is_a_scheme_and_the_rest(address, expected):
    assert split_address(address) == expected


def test_an_unknown_scheme_names_the_nearest_one():
    with pytest.raises(NotFound, match="no kind of source named 'dmo'") as caught:
        open_source("dmo:x")

    assert caught.value.hint == "did you mean demo?"


@pytest.mark.parametrize("scheme", ["demo", "mm"])
def test_every_scheme_leads_to_a_function(scheme):
    assert scheme in ADAPTERS
    assert callable(opener_of(scheme))


def test_the_demo_offers_all_three_parts():
    assert classlens.open_source("demo").parts == ("dataset", "schedule", "classifier")


def test_a_documented_config_is_found_without_a_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    source = classlens.open_source("configs/resnet/resnet50_8xb32_in1k.py")

    assert source.parts == ("dataset", "schedule", "classifier")
