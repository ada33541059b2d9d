"""Small mistakes planted in the engines, one at a time: which of them no test notices.

`python scripts/measure_mutants.py TREE [--sample 150] [--seed 0] [--only image.py] [--list mutants.txt]` works in TREE,
a copy of the repository that it may spoil (`make mutants` makes one), and prints each mutant that survived and a table.
With a list of `file:number` only those are tried. A process that has imported torch is copied for each mutant, and only
the tests beside the mutated module are run.
"""

import argparse
import ast
import contextlib
import io
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

CAM = (
    "tests/cam/test_saliency.py",
    "tests/cam/test_methods.py",
    "tests/cam/test_explain.py",
    "tests/properties/test_maps.py",
)
TESTS = {
    "image.py": ("tests/test_image.py", "tests/properties/test_encodings.py"),
    "dataset/rng.py": ("tests/dataset/test_trace.py", "tests/properties/test_chance.py"),
    "schedule/replay.py": ("tests/schedule", "tests/properties/test_curves.py"),
    "schedule/shapes.py": ("tests/schedule", "tests/properties/test_curves.py"),
    "cam/saliency.py": CAM,
    "cam/methods/weights.py": CAM[1:],
    "cam/methods/probing.py": CAM[1:],
    "cam/methods/attention.py": ("tests/cam/test_attention.py",),
}
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
SECONDS = 100  # a mutant that runs for ever is noticed, too


class Mutator(ast.NodeTransformer):
    """Visits every place that can be mutated, in order, and mutates the one of the given number."""

    def __init__(self, number: int) -> None:
        self.number, self.places, self.change = number, 0, ""

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
            self.change = f"line {node.lineno}: {before} -> {ast.unparse(changed)}"
            return changed
        if isinstance(node, ast.FunctionDef):
            node.body = [self.visit(each) for each in node.body]
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


def mutants_of(source: str) -> Iterator[tuple[int, str, str]]:
    """Number, description and text of every mutant of a module."""
    number = 0
    while True:
        mutator = Mutator(number)
        tree = mutator.visit(ast.parse(source))
        if not mutator.change:
            return
        yield number, mutator.change, ast.unparse(ast.fix_missing_locations(tree))
        number += 1


def run_tests(tree: Path, tests: tuple[str, ...]) -> bool:
    """Whether all the tests pass, in a copy of this process."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(SECONDS)
            os.chdir(tree)
            sys.path.insert(0, str(tree / "src"))
            import pytest

            files = [test for test in tests if Path(test).exists()]
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                status = int(pytest.main([*files, "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]))
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("tree", type=Path)
    parser.add_argument("--sample", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=list(TESTS))
    parser.add_argument("--list", type=Path)
    options = parser.parse_args()
    import matplotlib.pyplot  # noqa: F401  (here once, instead of in every copy)
    import torch

    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    sources = {name: options.tree / "src" / "classlens" / name for name in options.only}
    originals = {name: path.read_text(encoding="utf-8") for name, path in sources.items()}
    every = [(name, *mutant) for name, text in originals.items() for mutant in mutants_of(text)]
    if options.list:
        wanted = options.list.read_text(encoding="utf-8").split()
        chosen = [one for one in every if f"{one[0]}:{one[1]}" in wanted]
    else:
        chosen = random.Random(options.seed).sample(every, min(options.sample, len(every)))
    for name in options.only:
        if not run_tests(options.tree, TESTS[name]):
            parser.error(f"the tests of {name} fail without any mutant")
    count = Counter[tuple[str, bool]]()
    for name, number, change, text in chosen:
        sources[name].write_text(text, encoding="utf-8")
        survived = run_tests(options.tree, TESTS[name])
        sources[name].write_text(originals[name], encoding="utf-8")
        count[name, survived] += 1
        if survived:
            print(f"survived {name}:{number} {change}", flush=True)
    for name, text in originals.items():
        places = sum(1 for _ in mutants_of(text))
        print(
            f"{name:28} places {places:4} tried {count[name, True] + count[name, False]:4} survived {count[name, True]:4}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
