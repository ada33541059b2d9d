"""How one value is shared out among several targets: `a, *b = values`, `for (a, b), c in ...`."""

import ast

from classlens.config.budget import Budget
from classlens.config.functions import items_of
from classlens.config.value import Value


def shared_out(target: ast.expr, value: Value, budget: Budget) -> list[tuple[ast.expr, Value]]:
    """Single targets and what each of them gets, from left to right.

    Raises:
        ValueError: there are more targets or fewer than values.
    """
    if not isinstance(target, ast.Tuple | ast.List):
        return [(target, value)]
    targets = target.elts
    values = items_of(value, budget)
    starred = next((index for index, part in enumerate(targets) if isinstance(part, ast.Starred)), None)
    if starred is not None and len(values) >= len(targets) - 1:
        after = len(values) - (len(targets) - 1 - starred)
        values = [*values[:starred], values[starred:after], *values[after:]]
    if len(values) != len(targets):
        raise ValueError(f"{len(values)} values for {len(targets)} names")
    pairs = []
    for part, item in zip(targets, values, strict=True):
        pairs += shared_out(part.value if isinstance(part, ast.Starred) else part, item, budget)
    return pairs
