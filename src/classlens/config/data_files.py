"""JSON and YAML configs: parsed as data, with references to what they inherit.

The rule of this file: what comes in is data, whatever a YAML tag asks for, and no larger than it looks: nesting,
merged mappings and long numbers are counted before anything is built.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.config.values import CONTAINER, WIDEST_NUMBER, Budget, LimitExceeded, Value
from classlens.errors import ConfigError, short_repr

if TYPE_CHECKING:
    import yaml

BASE_REFERENCE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
BARE_REFERENCE = re.compile(r"(?<=[:\[,\s-])(\{\{\s*_base_\.[\w.]+\s*\}\})(?=\s*(?:[,\]}\n]|$))")

LONGEST_KEY = 200

TAG = "tag:yaml.org,2002:"


def load_data(text: str, path: Path, budget: Budget) -> dict[str, Value]:
    """The settings in a JSON or YAML file; references to the base are still text."""
    import json  # a command on a Python config starts faster without it

    prepared = BARE_REFERENCE.sub(r'"\1"', text) if "_base_." in text else text  # unquoted, it is no JSON and no YAML
    try:
        values = json.loads(prepared) if path.suffix == ".json" else load_yaml(prepared, budget)
    except (ValueError, TypeError, RecursionError, LimitExceeded) as fault:
        reason = " ".join(str(fault).split()) or "it is nested too deeply"
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path} holds no settings by name, but a {type(values).__name__}")
    return values


def load_yaml(text: str, budget: Budget) -> Value:
    """What a YAML text says, in plain values."""
    import yaml

    budget.spend(4 * len(text))  # so much more work than other text
    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=kind):  # what is composed too deep would break the C stack
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            budget.spend(0, depth)
            if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and len(event.value) > WIDEST_NUMBER:
                raise LimitExceeded("has a very long value without quotes")
        loader, root = kind(""), yaml.compose(text, Loader=kind)
        return None if root is None else build_node(root, loader, budget)
    except yaml.YAMLError as fault:
        raise ValueError(str(fault)) from None


def build_node(node: "yaml.Node", loader: "yaml.SafeLoader", budget: Budget, depth: int = 0) -> Value:
    """The value of a YAML node. What has a name is built wherever the name stands, and paid for each time."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return build_scalar(node, loader)
    budget.spend(len(node.value) + CONTAINER, depth)
    if isinstance(node, yaml.SequenceNode) and node.tag in (f"{TAG}seq", f"{TAG}python/tuple"):
        items = [build_node(item, loader, budget, depth + 1) for item in node.value]
        return tuple(items) if node.tag.endswith("tuple") else items
    if not isinstance(node, yaml.MappingNode) or node.tag != f"{TAG}map":
        raise ValueError(f"the tag {node.tag} is not read")
    own: dict[Value, Value] = {}
    merged: dict[Value, Value] = {}
    for key, part in node.value:
        if not isinstance(key, yaml.ScalarNode) or len(key.value) > LONGEST_KEY:
            raise LimitExceeded(f"has a key that is no text or number of at most {LONGEST_KEY} characters")
        if key.tag == f"{TAG}merge":  # `<<: *a` or `<<: [*a, *b]`; what comes first, and the keys beside it, win
            for mapping in reversed(part.value if isinstance(part, yaml.SequenceNode) else [part]):
                values = build_node(mapping, loader, budget, depth + 1)
                if not isinstance(values, dict):
                    raise ValueError("<< is followed by no mapping")
                merged |= values
            continue
        name = build_scalar(key, loader)
        budget.spend_on_key(name)
        own[name] = build_node(part, loader, budget, depth + 1)
    return merged | own


def build_scalar(node: "yaml.ScalarNode", loader: "yaml.SafeLoader") -> Value:
    """The value of a YAML scalar; its tag may ask for anything, and PyYAML trusts that it fits."""
    if node.tag != f"{TAG}str" and len(node.value) > WIDEST_NUMBER:
        raise LimitExceeded("has a very long value that is no text")
    try:
        value = loader.construct_object(node)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        value = []
    if isinstance(value, list | dict | set):  # which is what a scalar with the tag of a collection becomes
        kind = node.tag.removeprefix(TAG)
        raise ValueError(f"line {node.start_mark.line + 1}: {short_repr(node.value)} is no {kind}")
    return value


def resolve_references(value: Value, base: Value, where: str, budget: Budget) -> Value:
    """`value` with every `{{ _base_.key }}` replaced by what the base has there."""
    if isinstance(value, dict):
        return {key: resolve_references(item, base, where, budget) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([resolve_references(item, base, where, budget) for item in value])
    if not isinstance(value, str) or "_base_" not in value:
        return value

    def look_up(reference: re.Match[str]) -> Value:
        inherited = base
        for part in reference[1].split("."):
            if not isinstance(inherited, dict) or part not in inherited:
                raise ConfigError(f"{where}: the base has no key {short_repr(reference[1])}")
            inherited = inherited[part]
        return inherited

    if whole := BASE_REFERENCE.fullmatch(value):
        return look_up(whole)

    def as_text(reference: re.Match[str]) -> str:
        inherited = look_up(reference)
        budget.walk(inherited)
        return str(inherited)

    return BASE_REFERENCE.sub(as_text, value)
