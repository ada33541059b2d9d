"""Say which sections of the Chinese pages translate a text that has changed since.

Above every section of a page stands `<!-- docs/lr.md 2 1a2b3c4d -->`: the page, the number of the section (0 is what stands
above the first `##`), and the start of the sha256 of its English text. Without an option the drifted ones are listed,
status 1 if there is one; `--mark` writes what the English texts are now, for a translator who has looked at all of them.
"""

from __future__ import annotations

import argparse
import re
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.zh-CN.md", *sorted((ROOT / "docs" / "zh").glob("*.md")))
MARK = re.compile(r"<!-- (\S+\.md) (\d+) ([0-9a-f]{8}) -->")


def main() -> int:
    """List the drifted sections, or mark them; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mark", action="store_true", help="write the digests of the English texts")
    options = parser.parse_args()
    drifted = [line for page in PAGES for line in drifted_in(page)]
    if options.mark:
        for page in PAGES:
            text = page.read_text(encoding="utf-8")
            page.write_text(MARK.sub(lambda mark: mark[0].replace(mark[3], digest(mark)), text), encoding="utf-8")
        return 0
    print(*drifted, sep="\n", end="\n" if drifted else "")
    return int(bool(drifted))


def drifted_in(page: Path) -> list[str]:
    """A line for every section of a page whose English text is another one now."""
    marks = MARK.finditer(page.read_text(encoding="utf-8"))
    return [
        f"{page.relative_to(ROOT)}: section {mark[2]} of {mark[1]} has changed"
        for mark in marks
        if digest(mark) != mark[3]
    ]


def digest(mark: re.Match[str]) -> str:
    """The digest of the English section that a mark names."""
    sections = re.split(r"^(?=## )", (ROOT / mark[1]).read_text(encoding="utf-8"), flags=re.MULTILINE)
    number = int(mark[2])
    return sha256(sections[number].strip().encode()).hexdigest()[:8] if number < len(sections) else "missing"


if __name__ == "__main__":
    sys.exit(main())
