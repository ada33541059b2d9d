"""JSON and YAML configs: parsed as data, with references to what they inherit.

The rule of this file: what comes in is data, whatever a YAML tag asks for, and no larger than it looks: nesting,
merged mappings and long numbers are counted before anything is built.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.config.values import WIDEST_NUMBER, Budget, LimitExceeded, Value
from classlens.errors import ConfigError

if TYPE_CHECKING:
    import yaml


BASE_REFERENCE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
BARE_REFERENCE = re.compile(r"(?<=[:\[,\s-])(\{\{\s*_base_\.[\w.]+\s*\}\})(?=\s*(?:[,\]}\n]|$))")

YAML_COST = 4
"""Parsing a character of YAML takes several times the work of other text."""

LONGEST_KEY = 200

MERGE = "tag:yaml.org,2002:merge"
WHOLE_NUMBER = "tag:yaml.org,2002:int"


def load_data(text: str, path: Path, budget: Budget) -> dict[str, Value]:
    """The settings in a JSON or YAML file; references to the base are still text.

    Raises:
        ConfigError: it cannot be parsed, or holds no settings.
    """
    import json  # a command on a Python config starts faster without it

    prepared = BARE_REFERENCE.sub(r'"\1"', text) if "_base_." in text else text  # unquoted, it is no JSON and no YAML
    try:
        values = json.loads(prepared) if path.suffix == ".json" else load_yaml(prepared, budget)
    except (ValueError, RecursionError, LimitExceeded) as fault:
        reason = " ".join(str(fault).split()) or "it is nested too deeply"
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path} holds no settings by name, but a {type(values).__name__}")
    return values


def load_yaml(text: str, budget: Budget) -> Value:
    """What a YAML text says, in plain values."""
    import yaml

    budget.spend(YAML_COST * len(text))
    loader = yaml_loader(budget)
    try:
        bound_yaml(yaml.parse(text, Loader=loader), budget)
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as fault:
        raise ValueError(str(fault)) from None


def yaml_loader(budget: Budget) -> "type[yaml.SafeLoader]":
    """PyYAML's safe loader, with what it puts together paid for; of the tags for Python it knows `!!python/tuple`."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            """Pay for `<<: [*a, *a]` before the mappings are put together."""
            for key, value in node.value:
                if key.tag == MERGE:
                    for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                        self.flatten_mapping(part)
                        budget.spend(len(part.value))
            super().flatten_mapping(node)

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Value, Value]:  # noqa: FBT001
            """Pay for the keys before they are put together."""
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or len(key.value) > LONGEST_KEY:
                    raise LimitExceeded(f"has a key that is no text or number of at most {LONGEST_KEY} characters")
                if key.tag == WHOLE_NUMBER:
                    budget.spend_on_key(self.construct_object(key))
            return dict(super().construct_mapping(node, deep))

        def construct_tuple(self, node: yaml.SequenceNode) -> tuple[Value, ...]:
            return tuple(self.construct_sequence(node, deep=True))

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", Loader.construct_tuple)
    return Loader


def bound_yaml(events: Iterable["yaml.Event"], budget: Budget) -> None:
    """Refuse what the loader would follow for too long, or too deep into the C stack."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            budget.spend(1, depth)
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and event.implicit[0] and len(event.value) > WIDEST_NUMBER:
            raise LimitExceeded("has a very long value without quotes")


def resolve_references(value: Value, base: Value, where: str) -> Value:
    """`value` with every `{{ _base_.key }}` replaced by what the base has there."""
    if isinstance(value, dict):
        return {key: resolve_references(item, base, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([resolve_references(item, base, where) for item in value])
    if not isinstance(value, str) or "_base_" not in value:
        return value

    def look_up(reference: re.Match[str]) -> Value:
        inherited = base
        for part in reference[1].split("."):
            if not isinstance(inherited, dict) or part not in inherited:
                raise ConfigError(f"{where}: the base has no key {reference[1]!r}")
            inherited = inherited[part]
        return inherited

    if whole := BASE_REFERENCE.fullmatch(value):
        return look_up(whole)
    return BASE_REFERENCE.sub(lambda reference: str(look_up(reference)), value)
