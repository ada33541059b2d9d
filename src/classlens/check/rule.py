"""The table of rules: what each is called, what it needs, and its page; and how rules are chosen.

A family of rules is one file, imported when one of its rules is chosen. Other packages add rules by an entry point in
the group `classlens.rules`, whose value leads to a tuple of rules: `package.module:RULES`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Literal

from classlens.errors import ConfigError, NotFound, first_line

if TYPE_CHECKING:
    from classlens.check.finding import Finding, Severity
    from classlens.check.inspection import Inspection

Need = Literal["schedule", "dataset", "labels", "loader", "classifier", "checkpoint", "log"]
"""What a rule cannot do without: a part of the source, class labels beside pictures, or a word of the user."""

FAMILIES: Mapping[str, str] = {
    "S": "classlens.check.schedule_rules",
    "L": "classlens.check.loader_rules",
    "F": "classlens.check.feed_rules",
    "C": "classlens.check.class_rules",
    "D": "classlens.check.data_rules",
    "M": "classlens.check.model_rules",
    "R": "classlens.check.run_rules",
}
"""The letter before the numbers of a family -> its file, which has a table of `RULES`."""

TITLES: Mapping[str, str] = {
    "S": "schedule",
    "L": "loader",
    "F": "feed",
    "C": "classes",
    "D": "data",
    "M": "model",
    "R": "run",
}

GROUP = "classlens.rules"
CODE = re.compile(r"[A-Z]+\d{3}")
SECTIONS = re.compile(r"^(Why it matters|Example|Cure): *", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """The documentation of a rule, in paragraphs."""

    what: str
    why: str
    example: str
    cure: str


@dataclass(frozen=True)
class Rule:
    """One rule: its stable code, a name in words, how bad it is what it finds, what it needs, and the function itself.

    The function's docstring is the page of the rule, unless `text` is.
    """

    code: str
    name: str
    severity: Severity
    needs: tuple[Need, ...]
    examine: Callable[[Inspection], Iterable[Finding]]
    text: str = ""

    def __post_init__(self) -> None:
        if not CODE.fullmatch(self.code):
            raise ValueError(f"the code of a rule is capital letters and three digits, not {self.code!r}")

    @property
    def family(self) -> str:
        """The letters of the code."""
        return self.code[:-3]

    @property
    def page(self) -> Page:
        """What the rule says about itself; a part that it leaves out is empty."""
        text = inspect.cleandoc(self.text or self.examine.__doc__ or "")
        what, *rest = SECTIONS.split(text)
        parts = {name: words.strip() for name, words in zip(rest[::2], rest[1::2], strict=True)}
        return Page(what.strip(), *(parts.get(name, "") for name in ("Why it matters", "Example", "Cure")))

    def explain(self) -> str:
        """The page as text for a terminal."""
        page, needs = self.page, ", ".join(self.needs) or "nothing but a source"
        lines = [f"{self.code} {self.name} ({self.severity}; needs {needs})", "", page.what]
        for title, words in {"Why it matters": page.why, "Example": page.example, "Cure": page.cure}.items():
            lines += ["", f"{title}: {words}"] if words else []
        return "\n".join(lines)


def all_rules(families: Iterable[str] | None = None) -> tuple[Rule, ...]:
    """The rules of some families, or of all: ours in the order of `FAMILIES`, then those of other packages."""
    wanted = None if families is None else set(families)
    chosen = [module for letter, module in FAMILIES.items() if wanted is None or letter in wanted]
    rules = [rule for module in chosen for rule in import_module(module).RULES]
    if wanted is None or not wanted <= FAMILIES.keys():
        rules += [rule for rule in foreign_rules() if wanted is None or rule.family in wanted]
    known = dict[str, Rule]()
    for rule in rules:
        if known.setdefault(rule.code, rule) is not rule:
            raise ConfigError(f"two rules have the code {rule.code}: {known[rule.code].name}, and {rule.name}")
    return tuple(rules)


def foreign_rules() -> Iterator[Rule]:
    """The rules that other installed packages bring."""
    for point in metadata.entry_points(group=GROUP):
        try:
            rules = point.load()
        except (ImportError, AttributeError) as error:
            where = f"the rules {point.value} of the package {point.dist.name if point.dist else point.name}"
            raise ConfigError(f"{where} cannot be loaded: {first_line(error)}") from error
        yield from rules


def choose_rules(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The rules whose codes begin with one of `select` (all, if that is empty) and with none of `ignore`.

    Raises:
        NotFound: no rule has such a code.
    """
    wanted, unwanted = (tuple(word.strip().upper() for word in words) for words in (select, ignore))
    letters = {re.sub(r"\d+$", "", word) for word in wanted}
    rules = all_rules(letters if letters and letters <= FAMILIES.keys() else None)
    for word in (*wanted, *unwanted):
        everything = rules if any(rule.code.startswith(word) for rule in rules) else all_rules()
        if not word or not any(rule.code.startswith(word) for rule in everything):
            raise NotFound(
                "rule", word, [*dict.fromkeys(rule.family for rule in everything), *(rule.code for rule in everything)]
            )
    return tuple(
        rule
        for rule in rules
        if (not wanted or rule.code.startswith(wanted)) and not (unwanted and rule.code.startswith(unwanted))
    )


def find_rule(code: str) -> Rule:
    """The rule of that code.

    Raises:
        NotFound: there is none.
    """
    name = code.strip().upper()
    families = [name[:-3]] if name[:-3] in FAMILIES else None
    for rule in all_rules(families):
        if rule.code == name:
            return rule
    raise NotFound("rule", name, [rule.code for rule in all_rules()])
