"""The floor plan of the project, kept by the test suite: who may import whom, and how large and how named things are."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "classlens"
FILES = sorted(path for path in ROOT.rglob("*.py") if "shipped" not in path.relative_to(ROOT).parts)
GROUND = {"words", "errors", "image", "arrays", "files", "intervals", "printed", "results", "sharing", "user_code"}
ENGINES = {"config", "dataset", "schedule", "cam"}
ROOMS = GROUND | ENGINES | {"pipelines", "checkpoints", "source"}
OVER_ROOMS = {"adapters", "figures", "check", "logs", "audit", "demo_photos"}
MAY_IMPORT = {
    "errors": set(),
    "arrays": set(),
    "files": {"errors", "printed"},
    "intervals": set(),
    "printed": set(),
    "user_code": {"errors"},
    "sharing": set(),
    "words": set(),
    "results": set(),
    "image": {"arrays", "errors", "results"},
    "demo_photos": GROUND,
    "config": {"errors", "files", "sharing"},
    "dataset": GROUND,
    "schedule": {"errors", "arrays", "printed", "results", "sharing"},
    "cam": GROUND,
    "pipelines": GROUND | {"dataset"},
    "checkpoints": GROUND,
    "zoo": GROUND | {"config"},
    "source": {"errors", "dataset", "schedule", "cam"},
    "adapters": ROOMS | {"zoo", "demo_photos"},
    "logs": GROUND | {"schedule", "checkpoints"},
    "check": ROOMS | {"logs"},
    "audit": ROOMS,
    "figures": GROUND | {"dataset", "schedule", "cam", "check", "audit"},
    "runs": ROOMS | OVER_ROOMS,
    "studio": ROOMS | OVER_ROOMS | {"runs"},
    "cli": ROOMS | OVER_ROOMS | {"runs", "studio"},
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
KNOW_FRAMEWORKS = {"adapters", "pipelines"}
KNOW_TORCH = {"cam", "adapters", "pipelines", "check", "audit", "checkpoints", "zoo"}
VERBS = {"classlens.dataset.trace", "classlens.schedule.replay", "classlens.cam.explain"}
DUMPING_GROUNDS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager"}

PARSING = {"__call__", "run", "read_request"}
"""What a function that takes an `argparse.Namespace` may be called."""
TWICE = {"Normalize": ["formats", "loaders"]}
"""Both are shown to users under this name: a config's stage, and that of a prefetching loader."""
SMALL = {
    "arrays": "array types that cost nothing until they are checked",
    "config": "the thinnest command: all its work is `write_config`",
    "sharing": "one lock on the ground floor",
    "sources": "the thinnest command: all its work is in `adapters`",
}
"""Modules under 40 lines, and why each stands alone."""


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


def own_lines(node: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    words = ast.get_docstring(node) or ""
    return (node.end_lineno or 0) - node.lineno - len(words.splitlines())


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


def test_nothing_outside_the_openmm_adapter_imports_it():
    inside = ROOT / "adapters" / "openmm"
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in FILES
        if inside not in path.parents
        for name in imports(path)
        if name.startswith("classlens.adapters.openmm")
    ]

    assert wrong == []


def test_nobody_but_the_openmm_adapter_imports_the_zoo():
    inside = (ROOT / "adapters" / "openmm", ROOT / "zoo")

    assert [] == [
        path.name
        for path in FILES
        if not set(inside) & set(path.parents) and any(name.startswith("classlens.zoo") for name in imports(path))
    ]


def test_only_adapters_and_pipelines_know_frameworks():
    assert [] == [path.name for path in FILES if layer(path) not in KNOW_FRAMEWORKS and tops(path) & FRAMEWORKS]


def test_few_rooms_know_torch():
    assert [] == [path.name for path in FILES if layer(path) not in KNOW_TORCH and "torch" in tops(path)]


def test_adapters_call_no_verb():
    assert [] == [path.name for path in FILES if layer(path) == "adapters" and imports(path) & VERBS]


def test_a_parsed_command_line_stays_in_the_functions_that_parse():
    """Everything behind them gets a typed request."""
    wrong = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name not in PARSING:
                annotations = [part.annotation for part in ast.walk(node.args) if isinstance(part, ast.arg)]
                wrong += [f"{path.name}: {node.name}" for one in annotations if one and "Namespace" in ast.unparse(one)]

    assert wrong == []


def test_module_names_are_unique():
    names = Counter(path.stem for path in FILES if path.stem not in ("__init__", "__main__"))

    assert [name for name, times in names.items() if times > 1] == []


def test_class_names_are_unique():
    homes = defaultdict(list)
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(path.stem)

    assert {name: files for name, files in homes.items() if len(files) > 1} == TWICE


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_have_a_good_size(path):
    text = path.read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]

    assert len(text.splitlines()) <= 500
    assert len(text.splitlines()) >= 40 or path.stem in ("__init__", "__main__") or path.stem in SMALL
    assert [node.name for node in functions if own_lines(node) > 50] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_long_functions_say_what_they_do(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = [node for part in tree.body if isinstance(part, ast.ClassDef) for node in part.body]
    long = [
        node.name
        for node in [*tree.body, *inside]
        if isinstance(node, ast.FunctionDef) and len(node.body) > 5 and not ast.get_docstring(node)
        if not node.name.startswith("__")
    ]

    assert ast.get_docstring(tree)
    assert long == []


def test_no_dumping_ground():
    assert not DUMPING_GROUNDS & {path.stem for path in ROOT.rglob("*")}
