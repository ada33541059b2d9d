"""Addresses of every kind: taken apart, opened, listed, extended by other packages, refused with what to install."""

import json
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest

import classlens
from classlens.adapters import ADAPTERS, DEFAULT, PACKAGES, Options, catalogue, extra_of, open_source, split_address
from classlens.cli.main import main
from classlens.errors import ConfigError, MissingDependency, NotFound, install_command
from classlens.files import PHOTOS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "classlens-letters"


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
    assert callable(resolve_name(ADAPTERS[scheme].opener))


def test_the_demo_offers_all_three_parts():
    assert classlens.open_source("demo").parts == ("dataset", "schedule", "classifier")


def test_a_documented_config_is_found_without_a_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    source = classlens.open_source("configs/resnet/resnet50_8xb32_in1k.py")

    assert source.parts == ("dataset", "schedule", "classifier")


def test_the_demo_makes_its_photos_only_when_they_are_asked_for(tmp_path, monkeypatch):
    folder = tmp_path / "classlens" / "demo-photos-2"
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


def test_every_adapter_is_in_the_catalogue_and_every_extra_exists():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

    assert set(ADAPTERS) | set(PACKAGES) <= {entry.scheme for entry in catalogue()}
    assert {extra_of(scheme) for scheme, one in ADAPTERS.items() if one.needs} | set(PACKAGES) <= set(extras)


def test_the_list_names_what_is_missing_and_the_command_that_installs_it(monkeypatch, capsys):
    monkeypatch.setattr("classlens.adapters.find_spec", lambda name: None if name == "timm" else name)

    assert main(["sources"]) == 0

    printed = capsys.readouterr().out
    assert "timm:resnet50" in printed
    assert f"not installed: timm; {install_command('timm')}" in printed


def test_the_list_is_given_as_data(capsys):
    assert main(["sources", "--json"]) == 0

    entries = {entry["scheme"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert entries["py"]["offers"] == ["dataset", "schedule", "classifier"]


@pytest.mark.parametrize(
    ("scheme", "package"), [("timm", "timm"), ("torchvision", "torchvision"), ("hf", "transformers")]
)
def test_a_missing_framework_gives_the_exact_command(monkeypatch, scheme, package):
    module = ADAPTERS[scheme].opener.partition(":")[0]
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingDependency) as caught:
        open_source(f"{scheme}:anything")

    assert str(caught.value) == f"{package} is not installed"
    assert caught.value.hint == install_command(scheme)


@pytest.mark.parametrize(
    ("address", "extra"),
    [
        ("timm:resnet18", "timm"),
        ("hf:user/vit", "hf"),
        ("schedule:timm.cosine(lr=1)", "timm"),
        ("schedule:torch.StepLR(lr=1)", "cam"),
        ("configs/resnet.py", "cam"),
        ("demo", "demo"),
        ("letters:word", "cam"),
    ],
)
def test_an_address_names_the_one_extra_that_brings_all_that_it_needs(address, extra):
    assert extra_of(*split_address(address)) == extra


def test_without_torch_a_model_asks_for_its_own_extra(monkeypatch, capsys):
    monkeypatch.setattr("classlens.runs.explain_files.find_spec", lambda name: None)

    assert main(["cam", str(ROOT / "demo" / "photos" / "chelsea.png"), "timm:resnet18"]) == 2

    assert capsys.readouterr().err == f"error: torch is not installed\nhint:  {install_command('timm')}\n"


def test_an_unknown_kind_of_address_lists_the_known_ones():
    with pytest.raises(NotFound, match="no kind of source named 'tim'") as caught:
        open_source("tim:resnet50")

    assert "timm" in caught.value.hint


def write_distribution(place, name, version, points):
    """What pip leaves beside a package: its name, its version, and the adapters that it names."""
    folder = place / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{scheme} = {address}" for scheme, address in points.items()]
    (folder / "entry_points.txt").write_text("\n".join(["[classlens.adapters]", *lines, ""]))


@pytest.fixture
def installed_example(tmp_path, monkeypatch):
    """The example as pip would leave it: its package on the path, with a dist-info that names the entry point."""
    import tomllib

    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"]["classlens.adapters"]
    write_distribution(tmp_path, project["name"], project["version"], points)
    monkeypatch.syspath_prepend(EXAMPLE / "src")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_package_adds_a_kind_of_address_by_its_entry_point(installed_example, tmp_path, capsys):
    assert [entry.says for entry in catalogue() if entry.scheme == "letters"] == [
        "added by the package classlens-letters"
    ]

    status = main(
        ["browse", "letters:hello", "--mode", "pipeline", "--output-dir", str(tmp_path / "out"), "--not-show"]
    )

    assert status == 0
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 5
    with pytest.raises(ConfigError, match="is not a word"):
        open_source("letters:12")


def test_a_foreign_adapter_that_needs_something_names_it(tmp_path, monkeypatch):
    write_distribution(tmp_path, "needy", "1.0", {"needy": "needy_adapter:open_it"})
    (tmp_path / "needy_adapter.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match="need a_package_that_is_not_there") as caught:
        open_source("needy:x")

    assert caught.value.hint == "pip install a_package_that_is_not_there"


def test_a_module_that_a_foreign_adapter_misses_without_a_name_is_its_own_error(tmp_path, monkeypatch):
    write_distribution(tmp_path, "vague", "1.0", {"vague": "vague_adapter:open_it"})
    (tmp_path / "vague_adapter.py").write_text("raise ModuleNotFoundError('something is missing')\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="something is missing"):
        open_source("vague:x")


def test_names_of_classes_beside_a_network_alone_change_nothing():
    source = open_source("timm:resnet18", options=Options(class_names=("cat", "dog")))

    assert source.parts == ("classifier",)


def test_stages_are_left_out_of_pictures_behind_a_transform(tmp_path):
    transforms = pytest.importorskip("torchvision.transforms")
    data = f"folder:{ROOT / 'demo' / 'photos'}", [transforms.RandomHorizontalFlip(), transforms.CenterCrop(20)]
    (tmp_path / "mine.py").write_text(
        "from torchvision.transforms import CenterCrop, RandomHorizontalFlip\n"
        f"data = {data[0]!r}, [RandomHorizontalFlip(), CenterCrop(20)]\n"
    )
    options = Options(skipped=("CenterCrop",))

    for target in (f"py:{tmp_path / 'mine.py'}:data", data):
        stages = open_source(target, options=options).dataset().stages
        assert [stage.name for stage in stages] == ["RandomHorizontalFlip"]


def test_listing_imports_no_framework():
    code = "import sys; from classlens.cli.main import main; main(['sources']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"torch", "timm", "transformers", "torchvision", "albumentations", "matplotlib"}
    assert DEFAULT == "mm"
