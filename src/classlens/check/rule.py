"""The table of rules, ours by family and those of other packages: what each is called and needs; how to choose."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from textwrap import fill
from typing import TYPE_CHECKING, Literal

from classlens.errors import ConfigError, NotFound, first_line

if TYPE_CHECKING:
    from classlens.check.finding import Finding, Severity
    from classlens.check.inspection import Inspection

# What a rule cannot do without: a part of the source, class labels beside pictures, or a word of the user.
Need = Literal["schedule", "dataset", "labels", "loader", "classifier", "checkpoint", "log"]
FAMILIES = {"S": "schedule", "L": "loader", "F": "feed", "C": "class", "D": "data", "M": "model", "R": "run"}
"""The letter before the numbers of a family -> its name; the `RULES` of the loader's are in `loader_rules`."""

GROUP = "classlens.rules"
CODE = re.compile(r"[A-Z]+\d{3}")
SECTIONS = re.compile(r"\b(Why it matters|Example|Cure):")


@dataclass(frozen=True)
class Rule:
    """One rule; its page is `text`, or the docstring of the function."""

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
    def page(self) -> Mapping[str, str]:
        """What the rule says about itself, by heading; what it does has none."""
        what, *rest = SECTIONS.split(" ".join((self.text or self.examine.__doc__ or "").split()))
        return dict(zip(["", *rest[::2]], map(str.strip, [what, *rest[1::2]]), strict=True))

    def explain(self) -> str:
        """The page as text for a terminal."""
        head = f"{self.code} {self.name} ({self.severity}; needs {', '.join(self.needs) or 'nothing but a source'})"
        parts = (f"{title}: {words}" if title else words for title, words in self.page.items())
        return "\n\n".join([head, *(fill(part, 110, break_on_hyphens=False) for part in parts)])


def all_rules(families: Collection[str] = ()) -> tuple[Rule, ...]:
    """The rules of some of our families, or all there are: ours in the order of `FAMILIES`, then those of other packages."""
    names = [name for letter, name in FAMILIES.items() if not families or letter in families]
    rules = [rule for name in names for rule in import_module(f"classlens.check.{name}_rules").RULES]
    for point in () if families else metadata.entry_points(group=GROUP):
        try:
            rules += point.load()
        except (ImportError, AttributeError) as error:
            where = f"the rules {point.value} of the package {point.dist.name if point.dist else point.name}"
            raise ConfigError(f"{where} cannot be loaded: {first_line(error)}") from error
    known = dict[str, Rule]()
    for rule in rules:
        if known.setdefault(rule.code, rule) is not rule:
            raise ConfigError(f"two rules have the code {rule.code}: {known[rule.code].name}, and {rule.name}")
    return tuple(rules)


def choose_rules(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The rules whose codes begin with one of `select` (all, if that is empty) and with none of `ignore`.

    Raises:
        NotFound: no rule has such a code.
    """
    wanted, unwanted = (tuple(word.strip().upper() for word in words) for words in (select, ignore))
    letters = {word.rstrip("0123456789") for word in wanted}
    rules = all_rules(letters if letters <= FAMILIES.keys() else ())
    for word in (*wanted, *unwanted):
        known = rules if any(rule.code.startswith(word) for rule in rules) else all_rules()
        if not word or not any(rule.code.startswith(word) for rule in known):
            codes = [rule.code for rule in known]
            raise NotFound("rule", word, [*dict.fromkeys(code[:-3] for code in codes), *codes])
    chosen = (rule for rule in rules if not wanted or rule.code.startswith(wanted))
    return tuple(rule for rule in chosen if not rule.code.startswith(unwanted))
