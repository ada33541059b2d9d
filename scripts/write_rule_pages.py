"""Write `docs/rules.md` from what the rules of `classlens check` say about themselves; `--check` only compares."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from classlens.check.rule import FAMILIES, Rule, all_rules

PLACE = Path(__file__).parents[1] / "docs" / "rules.md"
HEAD = """\
# The rules of `classlens check`

Written by `scripts/write_rule_pages.py` from the rules themselves; `classlens check --explain CODE` prints the same.
How they are measured is in [check.md](check.md).
"""


def main() -> int:
    """Write the page, or find out whether it is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="status 1 if the page is not current")
    text = write_pages()
    if parser.parse_args().check:
        return int(PLACE.read_text(encoding="utf-8") != text)
    PLACE.write_text(text, encoding="utf-8")
    return 0


def write_pages() -> str:
    """The page of all rules that come with Classlens."""
    parts = [HEAD]
    for letter, name in FAMILIES.items():
        parts.append(f"## {letter}: {name}\n")
        parts += map(write_page, all_rules(letter))
    return "\n".join(parts)


def write_page(rule: Rule) -> str:
    """What one rule does, why it matters, an example, and the cure."""
    lines = [f"### {rule.code} {rule.name}", ""]
    for title, words in rule.page.items():
        head = f"**{title}:**" if title else f"*{rule.severity}; needs {', '.join(rule.needs) or 'nothing'}.*"
        lines += [f"{head} {words}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
