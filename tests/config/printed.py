"""What a printed config may consist of: values, given to names."""

import ast

PLAIN = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.UnaryOp, ast.USub, ast.keyword, ast.Load, ast.BinOp)
CALLED = {"dict", "set", "float", "range"}


def check_printed(text):
    """The text does nothing but give values to names, whoever wrote the config that it was printed from."""
    try:
        module = ast.parse(text)
    except (RecursionError, MemoryError):  # it is nested more deeply than Python reads it
        return
    for statement in module.body:
        assert isinstance(statement, ast.Assign), text
        assert all(isinstance(target, ast.Name) for target in statement.targets), text
        check_value(statement.value, text)


def check_value(node, text):
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name), text
        assert node.func.id in CALLED, text
        parts = [*node.args, *node.keywords]
    else:
        assert isinstance(node, (*PLAIN, ast.Add, ast.Sub)), text  # a complex number is a sum
        parts = list(ast.iter_child_nodes(node))
    for part in parts:
        check_value(part, text)
