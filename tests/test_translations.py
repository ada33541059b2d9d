"""The Chinese pages translate what the English ones say now."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.zh-CN.md", *sorted((ROOT / "docs" / "zh").glob("*.md"))]


def test_no_translated_section_has_drifted():
    result = subprocess.run([sys.executable, ROOT / "scripts" / "mark_translations.py"], capture_output=True, text=True)

    assert result.stdout == ""
    assert result.returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_translation_has_every_section_and_every_block_of_code(page):
    text = page.read_text(encoding="utf-8")
    marks = re.findall(r"<!-- (\S+\.md) (\d+) \w+ -->", text)
    if not marks:  # a page of its own
        return
    english = (ROOT / marks[0][0]).read_text(encoding="utf-8")

    assert [int(number) for _, number in marks] == list(range(english.count("\n## ") + 1))
    assert commands(text) == commands(english)


def commands(text: str) -> list[str]:
    """The commands of a page, without the comments beside them."""
    return [re.split(r"\s{2,}#|$", line)[0] for line in text.splitlines() if line.startswith("classlens ")]
