import pytest

import classlens
from classlens.adapters import ADAPTERS, Options, open_source, opener_of, split_address
from classlens.errors import NotFound
from classlens.files import PHOTOS


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


def test_the_demo_makes_its_photos_only_when_they_are_asked_for(tmp_path, monkeypatch):
    folder = tmp_path / "classlens" / "demo-photos"
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)

    source = classlens.open_source("demo")
    assert not folder.exists()

    assert source.dataset("train").length == 224
    assert folder.is_dir()


def test_the_demo_takes_photos_that_lie_elsewhere(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "one.png").write_bytes((PHOTOS / "chelsea.png").read_bytes())
    overrides = {"train_dataloader.dataset.data_root": str(tmp_path)}

    assert open_source("demo", options=Options(overrides)).dataset("train").length == 1
