"""Small mistakes planted in the engines, one at a time: which of them no test notices.

`python scripts/measure_mutants.py TREE [--each 12] [--seed 0] [--only cam/saliency.py] [--list mutants.txt]` works in TREE,
a copy of the repository that it may spoil (`make mutants` makes one), and prints each mutant that survived and a table.
With a list of `file:number` only those are tried.

The tests of an engine run once under coverage, which says for each line which tests run it and how long they take; a
mutant meets only those, the quick ones first, up to the first that fails. What they start in other processes is not seen.
A process that has imported torch is copied for each mutant.
"""

import argparse
import ast
import contextlib
import gc
import importlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType

import pytest

ENGINES = {
    "image.py": ("tests/test_image.py", "tests/properties/test_encodings.py"),
    "dataset/rng.py": ("tests/dataset/test_trace.py", "tests/properties/test_chance.py"),
    "pipelines": ("tests/pipelines", "tests/dataset/test_trace.py", "tests/properties/test_chance.py"),
    "schedule": ("tests/schedule", "tests/properties/test_curves.py", "tests/adapters/openmm/test_schedules.py"),
    "config": ("tests/config",),
    "checkpoints": ("tests/checkpoints", "tests/strangers/test_checkpoints.py"),
    "adapters/openmm": ("tests/adapters/openmm",),
    "cam": ("tests/cam", "tests/properties/test_maps.py"),
    "audit": ("tests/audit", "tests/runs/test_audit_run.py"),
    "check": ("tests/check",),
}
"""Files of the package, or folders of them, and the tests that are beside them."""
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
PRELOADED = (
    "torch",
    "cv2",
    "matplotlib.pyplot",
    "PIL.Image",
    "hypothesis.strategies",
    "timm",
    "torchvision",
    "jaxtyping",
    "pytest",
)
"""Imported once, instead of in every copy; nothing of classlens."""

SECONDS, LIMIT = 20, 60
"""What the tests of one mutant take, by what they took before, and when it is taken for one that runs for ever."""


class Mutator(ast.NodeTransformer):
    """Visits every place that can be mutated, in order, and mutates the one of the given number."""

    def __init__(self, number: int) -> None:
        self.number, self.places, self.change = number, 0, ""
        self.line, self.function = 0, ""  # of the mutated place; the outermost function, if it is in the body of one
        self.names, self.depth = list[str](), 0
        self.tree = ast.Module([], [])

    def is_of(self, code: CodeType, path: Path) -> bool:
        """Whether this code is of the function, or of one that has been made in it."""
        own = code.co_qualname == self.function or code.co_qualname.startswith(f"{self.function}.<locals>.")
        return bool(self.function) and own and code.co_filename == str(path)

    def is_here(self) -> bool:
        self.places += 1
        return self.places - 1 == self.number

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.AnnAssign):
            node.value = node.value and self.visit(node.value)
            return node
        if isinstance(node, ast.arg) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return node
        before = ast.unparse(node) if isinstance(node, ast.expr) else ""
        changed = self.changed(node)
        if changed is not None:
            self.line, self.function = node.lineno, ".".join(self.names[: self.depth]) if self.depth else ""
            self.change = f"line {node.lineno}: {before} -> {ast.unparse(changed)}"
            return changed
        if isinstance(node, ast.ClassDef):  # not its decorators: `frozen` and `eq` are promises, which mypy reads
            self.names.append(node.name)
            node.body = [self.visit(each) for each in node.body]
            self.names.pop()
            return node
        if isinstance(node, ast.FunctionDef):
            self.names.append(node.name)
            self.depth = self.depth or len(self.names)
            node.body = [self.visit(each) for each in node.body]
            self.names.pop()
            self.depth = self.depth if len(self.names) >= self.depth else 0
            node.args.kw_defaults = [each and self.visit(each) for each in node.args.kw_defaults]
            node.args.defaults = [self.visit(each) for each in node.args.defaults]
            return node
        return self.generic_visit(node)

    def changed(self, node: ast.AST) -> ast.expr | None:
        match node:
            case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in SWAPS and self.is_here():
                node.op = SWAPS[type(op)]()
            case ast.Compare(ops=[op, *_]) if type(op) in SWAPS and self.is_here():
                node.ops[0] = SWAPS[type(op)]()
            case ast.Constant(value=bool()) if self.is_here():
                return ast.copy_location(ast.Constant(not node.value), node)
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool) and self.is_here():
                return ast.copy_location(ast.Constant(node.value + 1), node)
            case ast.UnaryOp(op=ast.Not() | ast.USub()) if self.is_here():
                return node.operand
            case ast.IfExp() if self.is_here():
                node.body, node.orelse = node.orelse, node.body
            case _:
                return None
        return node


def codes_in(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """The code of all functions of a module, by qualified names."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each.co_qualname, each
            yield from codes_in(each)


def in_copy(work: Callable[[], bool], limit: float) -> bool:
    """Whether it is true in a copy of this process, and within a limit of seconds.

    They are the processor's, so that a busy machine kills no mutant; of the clock it is ten times as many.
    """
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + limit),) * 2)
        signal.alarm(int(10 * limit))
        status = 0 if work() else 1
    finally:
        os._exit(status)


class Engine:
    """One entry of `ENGINES`: its modules as they are, and which tests run which line of them."""

    def __init__(self, tree: Path, name: str) -> None:
        self.tree, self.name, self.package = tree, name, tree / "src/classlens"
        place = self.package / name
        files = [place] if place.is_file() else sorted(place.rglob("*.py"))
        self.sources = {each.relative_to(self.package).as_posix(): each.read_text(encoding="utf-8") for each in files}
        self.map_file = tree / f"mutants-{name.replace('/', '-')}.json"
        self.answers = tree / f"mutants-{name.replace('/', '-')}.txt"

    def read_map(self) -> None:
        self.seconds, self.lines = json.loads(self.map_file.read_text(encoding="utf-8"))

    def mutant(self, module: str, number: int) -> Mutator:
        mutator = Mutator(number)
        mutator.tree = ast.fix_missing_locations(mutator.visit(ast.parse(self.sources[module])))
        return mutator

    def tests_of(self, module: str, mutant: Mutator) -> list[str]:
        """Of the line or what is run above it; of what runs at import, all of the module. Quick ones first, to a limit."""
        lines: dict[str, list[str]] = self.lines.get(module, {})
        above = max((int(each) for each in lines if int(each) <= mutant.line), default=0)
        tests = lines.get(str(above), []) if mutant.function else [test for some in lines.values() for test in some]
        chosen, total = list[str](), 0.0
        for test in sorted(set(tests) & set(self.seconds), key=lambda test: self.seconds[test]):
            total += self.seconds[test]
            if total > SECONDS and chosen:
                break
            chosen.append(test)
        return chosen

    def note(self, mutant: Mutator, place: str, result: str, tests: list[object]) -> None:
        self.report(f"{result} {place} {mutant.change} ({len(tests)} tests)")

    def report(self, line: str) -> None:
        with self.answers.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def run_pytest(self, tests: Iterable[str], plugins: list[object]) -> bool:
        os.chdir(self.tree)
        sys.path.insert(0, str(self.tree / "src"))
        os.environ["PYTHONPATH"] = str(self.tree / "src")
        options = ["-x", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={self.tree}/out/tests"]
        (self.tree / "out").mkdir(exist_ok=True)
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported once
        with open(os.devnull, "w") as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):  # noqa: PTH123
            return not pytest.main([*tests, *options], plugins=plugins)

    def write(self, path: Path, text: str) -> None:
        """With what was compiled from it, which is known by size and second only."""
        path.write_text(text, encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()

    def try_anew(self, module: str, number: int) -> None:
        """A mutant of what runs at import, in a process that imports the package with it."""
        mutant, path = self.mutant(module, number), self.package / module
        tests = self.tests_of(module, mutant)
        self.write(path, ast.unparse(mutant.tree))
        try:
            survived = not tests or in_copy(lambda: self.run_pytest(tests, []), LIMIT)
        finally:
            self.write(path, self.sources[module])
        self.note(mutant, f"{module}:{number}", "survived" if survived else "killed", tests)


class Session:
    """A plugin of pytest that collects the tests of an engine once, and runs them in copies of the process.

    Under coverage first, then for each mutant those that run its line. What is mutated in the body of a function is
    put into the function as it is in memory, wherever it has been imported to; for the rest there is `try_anew`.
    """

    def __init__(self, engine: Engine, numbers: dict[str, list[int]]) -> None:
        self.engine, self.numbers, self.failed = engine, numbers, False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        engine = self.engine
        if not engine.map_file.exists():
            in_copy(lambda: self.write_map(items), 3600)
        engine.read_map()
        for module, numbers in self.numbers.items():
            path = engine.package / module
            importlib.import_module(f"classlens.{module.removesuffix('.py').replace('/', '.')}")
            functions = [
                each for each in gc.get_objects() if type(each) is FunctionType
            ]  # a proxy would answer for what is gone
            for number in numbers:
                mutant = engine.mutant(module, number)
                ours = [each for each in functions if mutant.is_of(each.__code__, path)]
                if ours:
                    chosen = [items[test] for test in engine.tests_of(module, mutant)]
                    survived = in_copy(partial(self.pass_with, mutant, ours, chosen), LIMIT)
                    engine.note(mutant, f"{module}:{number}", "survived" if survived else "killed", chosen)
        return True

    def write_map(self, items: dict[str, pytest.Item]) -> bool:
        import coverage

        watch = coverage.Coverage(data_file=None, config_file=False, source=[str(self.engine.package)])
        seconds = dict[str, float]()
        watch.start()
        for item, after in zip(items.values(), [*list(items.values())[1:], None], strict=True):
            watch.switch_context(item.nodeid)
            began, self.failed = time.process_time(), False
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if not self.failed:
                seconds[item.nodeid] = time.process_time() - began
        watch.stop()
        data = watch.get_data()
        files = {Path(file).relative_to(self.engine.package).as_posix(): file for file in data.measured_files()}
        lines = {name: data.contexts_by_lineno(file) for name, file in files.items()}
        self.engine.map_file.write_text(json.dumps([seconds, lines]), encoding="utf-8")
        return True

    def pass_with(self, mutant: Mutator, functions: list[FunctionType], tests: list[pytest.Item]) -> bool:
        codes = dict(codes_in(compile(mutant.tree, functions[0].__code__.co_filename, "exec", dont_inherit=True)))
        for function in functions:
            function.__code__ = codes[function.__code__.co_qualname]
        return self.pass_all(tests)

    def pass_all(self, tests: list[pytest.Item]) -> bool:
        for test, after in zip(tests, [*tests[1:], None], strict=True):
            test.config.hook.pytest_runtest_protocol(item=test, nextitem=after)
            if self.failed:
                return False
        return True


def places_in(source: str) -> int:
    mutator = Mutator(-1)
    mutator.visit(ast.parse(source))
    return mutator.places


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("tree", type=Path)
    parser.add_argument("--each", type=int, default=12, help="mutants of every module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    parser.add_argument("--only", nargs="+", help="modules, as cam/saliency.py")
    parser.add_argument("--list", type=Path)
    options = parser.parse_args()
    tree = options.tree.resolve()
    for package in PRELOADED:
        importlib.import_module(package)
    sys.modules["torch"].set_num_threads(1)
    listed = options.list.read_text(encoding="utf-8").split() if options.list else None
    print("| module | places | tried | survived |", "|---|---|---|---|", sep="\n")
    for name in options.engines:
        engine = Engine(tree, name)
        numbers = dict[str, list[int]]()
        for module, source in engine.sources.items():
            places = places_in(source)
            chosen = random.Random(f"{options.seed} {module}").sample(range(places), min(options.each, places))
            if listed is not None:
                chosen = [int(each.rpartition(":")[2]) for each in listed if each.rpartition(":")[0] == module]
            if chosen and (not options.only or module in options.only):
                numbers[module] = sorted(chosen)
        engine.answers.write_text("", encoding="utf-8")
        in_copy(lambda e=engine, n=numbers: e.run_pytest(ENGINES[e.name], [Session(e, n)]), 36000)
        engine.read_map()
        for module in numbers:
            done = engine.answers.read_text(encoding="utf-8")
            for number in numbers[module]:
                if f" {module}:{number} " not in done:
                    engine.try_anew(module, number)
        answers = engine.answers.read_text(encoding="utf-8").splitlines()
        print(*(each for each in answers if not each.startswith("killed")), sep="\n", file=sys.stderr)
        for module in numbers:
            results = [each.split()[0] for each in answers if f" {module}:" in each]
            print(
                f"| `{module}` | {places_in(engine.sources[module])} | {len(results)} | {results.count('survived')} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
