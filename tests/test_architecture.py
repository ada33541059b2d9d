"""The layer table of the project, kept by the test suite."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "classlens"
FILES = sorted(path for path in ROOT.rglob("*.py") if "shipped" not in path.relative_to(ROOT).parts)
ENGINES = {"config", "dataset", "schedule", "cam"}
GROUND = {"errors", "image", "arrays", "files", "sharing"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "sharing": set(),
    "image": {"arrays", "files"},
    "arrays": set(),
    "shipped": set(),
    "config": {"errors", "sharing"},
    "dataset": GROUND,
    "schedule": {"errors", "arrays"},
    "cam": GROUND,
    "source": {"errors", "dataset", "schedule", "cam"},
    "adapters": GROUND | ENGINES | {"source", "shipped"},
    "figures": GROUND | {"dataset", "schedule", "cam"},
    "report": GROUND | {"dataset", "schedule", "cam", "figures"},
    "cli": GROUND | ENGINES | {"source", "adapters", "figures", "report", "shipped"},
    "__main__": {"cli"},
}
FRAMEWORKS = {
    "timm",
    "torchvision",
    "transformers",
    "mmengine",
    "mmpretrain",
    "mmcls",
    "mmcv",
    "albumentations",
    "kornia",
}
TORCH = {"cam", "adapters"}
VERBS = {"classlens.dataset.trace", "classlens.schedule.replay", "classlens.cam.explain"}
DUMPING_GROUNDS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager"}


def layer(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def test_imports_point_down():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in FILES
        if layer(path) != "__init__"
        for name in imports(path)
        if name.startswith("classlens.")
        and name.split(".")[1] not in MAY_IMPORT[layer(path)] | {layer(path), "__version__"}
    ]

    assert wrong == []


def test_every_folder_is_in_the_table():
    assert {layer(path) for path in FILES} - {"__init__"} <= MAY_IMPORT.keys()


def test_only_adapters_know_frameworks():
    assert [] == [path.name for path in FILES if layer(path) != "adapters" and tops(path) & FRAMEWORKS]


def test_only_the_cam_engine_and_adapters_know_torch():
    assert [] == [path.name for path in FILES if layer(path) not in TORCH and "torch" in tops(path)]


def test_adapters_call_no_verb():
    assert [] == [path.name for path in FILES if layer(path) == "adapters" and imports(path) & VERBS]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    long = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            words = ast.get_docstring(node) or ""
            lines = (node.end_lineno or 0) - node.lineno - len(words.splitlines())
            long += [node.name] if lines > 50 else []

    assert len(text.splitlines()) <= 500
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_is_in_it(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_no_dumping_ground():
    assert not DUMPING_GROUNDS & {path.stem for path in ROOT.rglob("*")}
